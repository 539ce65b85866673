// interplay lm retrieve EXP.yaml: which events of a user's past are nearest to the item in question.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>

#include <nlohmann/json.hpp>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/lm/encoder.h>
#include <interplay/lm/model_files.h>
#include <interplay/nn/safetensors.h>
#include <interplay/systems/rella.h>

#include "lm.h"

namespace interplay::tool::lm_retrieve_command {
namespace {

struct Arguments {
  std::string experiment, out, vectors, split = "test";
  std::vector<std::string> sets;
  bool recent = false, force = false, json = false;
};

/// Mean over samples of the number of distinct topics among K events of their histories.
template <class Events>
double mean_topics(const Rella& rella, std::string_view split, Events&& events) {
  const auto samples = rella.samples(split);
  double sum = 0;
  for (size_t i = 0; i < samples.size(); ++i) sum += double(rella.topics(events(samples[i], int64_t(i))));
  return sum / double(samples.size());
}

struct ItemVectors {
  at::Tensor vectors;  // f32 [items, D]
  std::string identity;
};

ItemVectors vectors_of(const Arguments& a, const Rella& rella) {
  if (!a.vectors.empty()) return {nn::Safetensors(a.vectors).at("vectors"), a.vectors};
  lm::EncoderOptions options;
  options.progress = "encode items";
  const auto encoder = lm::load_encoder(lm::find_model(rella.options().retrieval.encoder), options);
  return {encoder->encode(rella.item_texts()), encoder->identity()};
}

void run(const Arguments& a, int threads) {
  Config experiment = Config::load(a.experiment);
  set_all(experiment, a.sets);
  if (!a.out.empty()) {
    const auto folder = std::filesystem::absolute(a.out).parent_path();  // before the long part
    INTERPLAY_CHECK(std::filesystem::is_directory(folder), "--out {}: there is no folder {}; make it", a.out,
                    folder.string());
    check_out(a.out, a.force);
  }
  const Rella rella(experiment, threads);
  const auto samples = rella.samples(a.split);
  INTERPLAY_CHECK_DATA(!samples.empty(), "there are no samples of {}", a.split);
  const auto& lengths = rella.options().lengths;
  std::optional<RetrievedHistories> found;
  if (!a.recent) {
    const ItemVectors items = vectors_of(a, rella);
    const auto start = std::chrono::steady_clock::now();
    found =
        rella.retrieve(items.vectors, {"train", "valid", "test"}, *std::max_element(lengths.begin(), lengths.end()));
    found->describe("encoder", items.identity);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    int64_t rows = 0;
    for (const char* split : {"train", "valid", "test"}) rows += int64_t(rella.samples(split).size());
    log::info("retrieved {} events of each of {} samples, {} samples/s", found->length(), rows,
              human_count(double(rows) / seconds));
    if (!a.out.empty()) found->save(a.out);
  }
  nlohmann::ordered_json json{{"split", a.split}, {"samples", samples.size()}, {"items", rella.items()}};
  std::vector<std::vector<std::string>> rows = {{"K", "recent"}};
  if (found) rows[0].push_back("retrieved");
  for (const int64_t k : lengths) {
    const double recent = mean_topics(rella, a.split, [&](uint32_t event, int64_t) { return rella.recent(event, k); });
    rows.push_back({std::to_string(k), fmt::format("{:.3f}", recent)});
    nlohmann::ordered_json entry{{"k", k}, {"recent", recent}};
    if (found) {
      const double retrieved = mean_topics(rella, a.split, [&](uint32_t event, int64_t i) {
        return rella.ordered(event, found->nearest(a.split, i, k));
      });
      rows.back().push_back(fmt::format("{:.3f}", retrieved));
      entry["retrieved"] = retrieved;
    }
    json["topics"].push_back(entry);
  }
  if (a.json) {
    fmt::print("{}\n", json.dump());
    return;
  }
  fmt::print("mean number of distinct values of `{}` among K events of a history, {} split, {} samples, {} items\n{}",
             rella.options().topic, a.split, samples.size(), rella.items(), table(rows));
  if (!a.out.empty()) fmt::print("{}: {} events of every sample of train, valid and test\n", a.out, found->length());
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("EXP", a->experiment, "experiment: data, item_text, retrieval, prompt (configs/ml-1m/prompts.yaml)")
      ->required();
  auto* const out = app.add_option("--out", a->out, "file to write the retrieved histories to (.safetensors)");
  app.add_option("--vectors", a->vectors, "safetensors file with `vectors` [items, D] instead of the encoder's");
  app.add_flag("--recent", a->recent, "only count what the last K events have; no encoder is needed")->excludes(out);
  app.add_option("--split", a->split, "whose histories are counted: train, valid or test")->capture_default_str();
  app.add_option("--set", a->sets, "KEY=VALUE, on top of the file (may be given again)")->allow_extra_args(false);
  app.add_flag("--force", a->force, "replace --out if it exists");
  app.add_flag("--json", a->json, "for machines");
  return [a, &app] { run(*a, threads_of(app)); };
}

const AddCommand command("lm retrieve", "the events of each history that are nearest to the item in question (SUBR)",
                         add);

}  // namespace
}  // namespace interplay::tool::lm_retrieve_command
