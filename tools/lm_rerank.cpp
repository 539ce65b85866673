// interplay lm rerank FIRST SECOND: a CTR run scores all rows, a second run those on which the first is unsure.
#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/core/bootstrap.h>
#include <interplay/core/bundle.h>
#include <interplay/core/metric.h>
#include <interplay/systems/rerank.h>

#include "command.h"
#include "scores.h"

namespace interplay::tool::lm_rerank_command {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::string first, second, data, split = "test", scores;
  std::vector<double> band{0.4, 0.6};
  RerankOptions options;
  bool json = false;
};

/// A run's model and its fields of the data's rows.
struct Side {
  Bundle bundle;
  std::shared_ptr<Model> model;
  Dataset rows;

  Side(const std::string& run, const std::string& data, const std::string& split)
      : bundle(Bundle::open(run)),
        model((bundle.check_data(data), bundle.model())),
        rows(Dataset::open(data, split).select(bundle.schema())) {
    INTERPLAY_CHECK(bundle.schema().labels().size() == 1, "{}: learnt {} labels; reranking takes runs of one", run,
                    bundle.schema().labels().size());
  }
};

/// AUC of some rows by two models, as far as both classes occur among them.
struct Compared {
  int64_t rows = 0;
  std::optional<AucDifference> after;  // less before

  Compared(const std::vector<float>& label, const std::vector<float>& weight, const std::vector<float>& after_logit,
           const std::vector<float>& before)
      : rows(int64_t(label.size())) {
    const auto positive = [](float y) { return y >= 0.5f; };
    const bool both =
        std::any_of(label.begin(), label.end(), positive) && !std::all_of(label.begin(), label.end(), positive);
    if (both) after = bootstrap_auc_difference({label, after_logit, before, weight});
  }
  std::vector<std::string> row(const std::string& name) const {
    if (!after) return {name, std::to_string(rows), "n/a", "n/a", "n/a", "n/a"};
    return {name,
            std::to_string(rows),
            fmt::format("{:.4f}", after->auc_b),
            fmt::format("{:.4f}", after->auc_a),
            fmt::format("{:+.4f}", after->difference),
            fmt::format("{:+.4f} to {:+.4f}", after->low, after->high)};
  }
  Json json() const {
    Json out{{"rows", rows}};
    if (!after) return out;
    out["auc_before"] = after->auc_b, out["auc_after"] = after->auc_a, out["difference"] = after->difference;
    out["low"] = after->low, out["high"] = after->high;
    return out;
  }
};

std::vector<float> pick(const std::vector<float>& values, const std::vector<int64_t>& rows) {
  std::vector<float> out;
  out.reserve(rows.size());
  for (const int64_t row : rows) out.push_back(values[size_t(row)]);
  return out;
}

void run(Arguments& a) {
  INTERPLAY_CHECK(a.band.size() == 2, "--band: {} numbers; expected two, as 0.4,0.6", a.band.size());
  a.options.low = a.band[0], a.options.high = a.band[1];
  if (!a.scores.empty()) check_scores_file(a.scores);
  Side first(a.first, a.data, a.split), second(a.second, a.data, a.split);
  const auto offsets = first.bundle.logit_offsets();
  const Reranking r = rerank(*first.model, first.rows, *second.model, second.rows, a.options,
                             offsets.empty() ? 0 : offsets[0], first.bundle.calibration().get());
  if (!a.scores.empty()) {
    std::string text;
    for (const float logit : r.logit) text += fmt::format("{}\n", 1 / (1 + std::exp(-double(logit))));
    write_file(a.scores, text);
  }
  const auto& weight = r.first.weight;
  const Compared all(r.first.label, weight, r.logit, r.first.logit);
  const Compared band(pick(r.first.label, r.asked), weight.empty() ? weight : pick(weight, r.asked),
                      pick(r.logit, r.asked), pick(r.first.logit, r.asked));
  const double share = double(r.asked.size()) / double(std::max<int64_t>(1, r.first.rows()));
  if (a.json) {
    fmt::print("{}\n", Json{{"first", a.first},
                            {"second", a.second},
                            {"rows", r.first.rows()},
                            {"asked", r.asked.size()},
                            {"low", a.options.low},
                            {"high", a.options.high},
                            {"blend", a.options.blend},
                            {"seconds_first", r.seconds_first},
                            {"seconds_second", r.seconds_second},
                            {"in_the_band", band.json()},
                            {"all_rows", all.json()}}
                           .dump(1));
    return;
  }
  fmt::print("{} split: {} rows, {} of them from {:g} to {:g} by {}: {} asked, {:.1f}% of the calls saved\n", a.split,
             r.first.rows(), r.asked.size(), a.options.low, a.options.high, a.first, r.asked.size(), 100 * (1 - share));
  fmt::print("{}", table({{"rows", "count", "AUC before", "AUC after", "difference", "95% interval"},
                          band.row("in the band"),
                          all.row("all")}));
  fmt::print("{} took {:.2f} s, {} {:.2f} s\n", a.first, r.seconds_first, a.second, r.seconds_second);
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("FIRST", a->first, "the run that scores all rows")->required();
  app.add_option("SECOND", a->second, "the run that is asked where the first is unsure, as one of a language model")
      ->required();
  app.add_option("--data", a->data, "prepared data with the fields of both")->required();
  app.add_option("--split", a->split, "split to score")->capture_default_str();
  app.add_option("--band", a->band, "probabilities of the first run between which the second is asked")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  app.add_option("--blend", a->options.blend, "share of the second's logit in the order, in place of the first's")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--scores", a->scores, "file for the probabilities after, one a row");
  app.add_flag("--json", a->json, "for machines: one object");
  return [a] { run(*a); };
}

const AddCommand command("lm rerank", "a CTR run scores all rows, a language model those it is unsure of", add);

}  // namespace
}  // namespace interplay::tool::lm_rerank_command
