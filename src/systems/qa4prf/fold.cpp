#include "systems/qa4prf/fold.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <torch/optim/adam.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/random.h>
#include <interplay/core/model.h>
#include <interplay/nn/safetensors.h>

#include "systems/qa4prf/lambdarank.h"
#include "systems/qa4prf/reader_training.h"

namespace fs = std::filesystem;

namespace interplay::qa4prf {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kWeightsFile = "model.safetensors";
constexpr const char* kFoldFile = "fold.json";
constexpr uint64_t kRankerStream = 1 << 20;  // of random numbers, beside those of the folds' readers

/// A query a step, in an order that is drawn for each pass. What the reader says of them does not change any more.
std::vector<double> learn_ranker(Networks& networks, const FoldData& data, const Training& t) {
  const RankerOptions& o = t.options.ranker;
  std::vector<Learnable> queries = data.held_out;
  if (o.learns_from == "training") queries = data.train;
  std::vector<at::Tensor> features, grades;
  for (const auto& query : queries) {
    const auto& of = query.lesson->grades;
    if (std::all_of(of.begin(), of.end(), [&](int64_t g) { return g == of.front(); })) continue;  // nothing to learn
    features.push_back(features_of(*query.readable, networks->read(t.words, *query.readable), t.vectors));
    grades.push_back(at::tensor(of, at::kLong));
  }
  torch::optim::Adam adam(networks->ranker->parameters(), torch::optim::AdamOptions(o.lr));
  networks->ranker->train();
  std::vector<double> losses;
  for (int64_t pass = 0; pass < o.epochs && !features.empty(); ++pass) {
    const Permutation order(features.size(),
                            random_bits(uint64_t(t.options.seed), kRankerStream + uint64_t(data.fold), uint64_t(pass)));
    double sum = 0;
    for (size_t i = 0; i < features.size(); ++i) {
      const size_t q = size_t(order.at(i));
      adam.zero_grad();
      const auto loss = lambdarank_loss(networks->ranker(features[q]).squeeze(1), grades[q], o.depth);
      loss.backward();
      adam.step();
      sum += loss.item<double>();
    }
    losses.push_back(sum / double(features.size()));
  }
  networks->ranker->eval();
  return losses;
}

}  // namespace

FoldReport learn_fold(Networks& networks, const FoldData& data, const Training& t) {
  FoldReport report;
  if (networks->reader) ReaderTraining(networks->reader, networks, data, t).run(report);
  networks->eval();
  if (networks->ranker) report.ranker_loss = learn_ranker(networks, data, t);
  std::vector<std::vector<TermWeight>> expansions;
  for (const auto& query : data.held_out) {
    const auto scores = networks->scores(t.words, t.vectors, *query.readable);
    expansions.push_back(expansion_of(query.readable->question, scores, t.options.terms));
  }
  report.map = map_by_beta(data.held_out, expansions, t);
  const auto best = std::max_element(report.map.begin(), report.map.end());
  report.beta = t.options.betas[size_t(best - report.map.begin())];
  return report;
}

void save_fold(const fs::path& directory, Networks& networks, const FoldReport& report) {
  NewDirectory out(directory);
  nn::save_safetensors(out.path() / kWeightsFile, weights_of(*networks));
  write_file(out.path() / kFoldFile, json_of(report).dump(1) + "\n");
  Manifest::describe(out.path()).save(out.path());
  out.commit();
}

FoldReport load_fold(const fs::path& directory, Networks& networks) {
  Manifest::load(directory).check(directory, /*contents=*/true);
  const fs::path weights = directory / kWeightsFile, file = directory / kFoldFile;
  load_weights(*networks, nn::Safetensors(weights).tensors(), weights.string());
  networks->eval();
  try {
    return report_of(Json::parse(read_file(file)));
  } catch (const nlohmann::json::exception& problem) {
    throw Error(fmt::format("{}: {}; expected what `interplay prf train` writes", file.string(), problem.what()),
                ErrorKind::data);
  }
}

Json json_of(const FoldReport& report) {
  Json passes = Json::array();
  for (const auto& p : report.passes) passes.push_back({{"loss", p.loss}, {"map", p.map}});
  return {{"passes", passes},
          {"best", report.best},
          {"ranker_loss", report.ranker_loss},
          {"map", report.map},
          {"beta", report.beta}};
}

FoldReport report_of(const Json& json) {
  FoldReport out;
  for (const auto& p : json.at("passes")) out.passes.push_back({p.at("loss"), p.at("map")});
  json.at("best").get_to(out.best);
  json.at("ranker_loss").get_to(out.ranker_loss);
  json.at("map").get_to(out.map);
  json.at("beta").get_to(out.beta);
  INTERPLAY_CHECK_DATA(std::isfinite(out.beta) && out.beta >= 0 && out.beta <= 1, "beta is {}; expected 0 to 1",
                       out.beta);
  return out;
}

}  // namespace interplay::qa4prf
