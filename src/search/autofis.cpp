// AutoFIS (Liu et al. 2020, "AutoFIS: Automatic Feature Interaction Selection in Factorization Models for
// Click-Through Rate Prediction", KDD, arXiv:2003.11235).
#include <algorithm>
#include <cmath>
#include <numeric>

#include <ATen/ATen.h>

#include <interplay/base/log.h>
#include <interplay/core/bundle.h>
#include <interplay/search/search.h>

#include "search/choice.h"
#include "search/gates.h"
#include "search/retrain.h"
#include "search/turn_taking.h"

namespace interplay {
namespace {

/// Search: the experiment with a gate on every interaction (model.gates), which GRDA moves in the same steps in which
/// the experiment's own optimizers move everything else (eq. 14). What is kept: where nothing is said, GRDA has no
/// threshold, the search ends when valid stops getting better, and the valid split chooses (ValidChoice); with c, mu,
/// keep or top_k, what GRDA's threshold leaves open. Re-train: the experiment anew, with the interactions
/// whose gate did not end at 0 (a negative one counts); their gates start afresh and are trained as attention, by the
/// optimizer of group `dense` unless `optimizer.gates` says otherwise (eq. 15). Nothing but the list is carried over.
/// Where the valid split chooses, it also chooses between that and the experiment with the list and no gates
/// (RetrainOptions): what an experiment was tuned for need not suit normalised products.
class Autofis final : public Search {
 public:
  struct Options {
    GrdaKnobs grda;
    std::optional<int64_t> epochs;
    int64_t top_k = 0;
    double keep = 0;
    bool base = true, validation = false, warm_start = false;
    RetrainOptions retrain;
    void visit(auto&& field) {
      grda.visit(field);
      field("epochs", epochs,
            "passes of the search over the training rows; the gates count as they are at its end. Nothing: until valid "
            "stops getting better, or 1 where c, mu, keep or top_k is given",
            Range{1, 1e9});
      field("keep", keep,
            "share of the interactions to keep: c is moved to where the threshold would leave that many open, given "
            "what the gates have accumulated, and told in search.json (grda); 0 = as c or the valid split says",
            Range{0, 1});
      field("top_k", top_k,
            "as keep, in number: the interactions with the largest gates; 0 = as c or the valid split says",
            Range{0, 1e12});
      field("base", base, "train the experiment as it is first, to compare with");
      retrain.visit(field);
      field("validation", validation,
            "gates learn from the validation rows, all else from the training rows, in turns (as DARTS); false: both "
            "from the training rows, in one step");
      field("warm_start", warm_start,
            "re-train with gates from the search's weights, gates aside; false: from fresh ones");
    }
    void check(const Config& config) const {
      if (keep > 0 && top_k > 0) config["top_k"].fail("keep and top_k exclude each other; leave one away");
    }
  };

  explicit Autofis(const Options& options)
      : o_(options), by_valid_(!o_.grda.given() && o_.keep == 0 && o_.top_k == 0) {}

  void check(const SearchRun& run) const override {
    const Config model = run.experiment()["model"];
    const auto name = model_of(run.experiment())["name"].as<std::string>();
    const auto able = searchable_models();
    if (std::find(able.begin(), able.end(), name) == able.end()) {
      model.fail(fmt::format("model '{}' has no interactions that gates could be put on; models that have: {}", name,
                             fmt::join(able, ", ")));
    }
    if (by_valid_) check_valid(run);
    o_.retrain.check(run, by_valid_);
    INTERPLAY_CHECK_DATA(!o_.validation || Dataset::exists(run.data(), "valid"),
                         "{}: has no validation rows, from which the gates are to learn (search.validation: true); "
                         "prepare data with a valid split, or leave search.validation away",
                         run.data().string());
  }

  void run(SearchRun& run) override {
    const Config gated = with_gates(run.experiment());
    if (o_.base) run.stage({.name = "base", .experiment = without_gates(run.experiment())});
    const StageResult searched = run.stage(search_stage(run, gated));
    SearchFindings findings = select(run, searched);
    const bool any = std::any_of(findings.interactions.begin(), findings.interactions.end(), is_kept);
    const Config kept = kept_sets(findings.interactions);
    Config with_gates = any ? gated : without_gate_rules(gated);  // for groups that it does not have
    with_gates.set("model.interactions", kept);
    Config plain = without_gates(run.experiment());
    plain.set("model.interactions", kept);
    std::function<void(Trainer&)> started;
    if (o_.warm_start) {
      started = [from = run.directory(searched)](Trainer& trainer) {
        copy_weights(trainer.model(), *Bundle::open(from).model());
      };
    }
    interplay::retrain(
        run, findings, o_.retrain, by_valid_,
        {{.with = "gates", .experiment = with_gates, .started = started}, {.with = "plain", .experiment = plain}});
  }

 private:
  static Config model_of(const Config& experiment) {
    Config model = experiment["model"];
    if (!model.is_scalar()) return model;
    Config named;
    named.set("name", model);
    return named;
  }

  static Config with_gates(const Config& experiment) {
    Config out = experiment, model = model_of(experiment);
    model.set("gates", Config::scalar("true"));
    out.set("model", model);
    return out;
  }

  static Config without_gates(const Config& experiment) {
    Config out = without_gate_rules(experiment), model = model_of(out);  // rules of groups that it does not have
    model.erase("gates");
    out.set("model", model);
    return out;
  }

  GrdaOptions grda() const { return by_valid_ ? o_.grda.without_threshold() : o_.grda.over({}); }

  SearchLength length(const SearchRun& run) const {
    if (o_.epochs || !by_valid_) return {.epochs = o_.epochs.value_or(1)};
    return until_valid_stops(run.experiment(), run.train_rows());
  }

  static bool is_kept(const Interaction& i) { return i.kept; }

  SearchStage search_stage(const SearchRun& run, const Config& gated) const {
    Config experiment = gated;
    if (by_valid_) experiment.set("model", ready_to_rank(gated["model"]));
    SearchStage stage{.name = "search",
                      .experiment = with_grda(experiment, {{"gates", grda()}}, length(run)),
                      .read_gates = read_grda_gates};
    if (by_valid_) {
      stage.choose = [&run](Trainer& trainer) {
        ValidChoice choice(trainer, open_split(run, "train"), open_split(run, "valid"));
        return std::vector{choice.choose("gates", read_grda_gates(trainer).names)};
      };
    }
    if (o_.validation) {
      stage.started = [&run](Trainer& trainer) { take_turns(trainer, {"gates"}, open_split(run, "valid")); };
    }
    return stage;
  }

  /// The gates as the search left them or, by `keep` and `top_k`, as the threshold that keeps so many would have, or
  /// those that the valid split chose.
  SearchFindings select(const SearchRun& run, const StageResult& searched) const {
    const auto model = Bundle::open(run.directory(searched)).model();
    SearchFindings found;
    found.interactions = interactions_of(*model);
    if (by_valid_) {
      const KeptCurve curve = run.curves(searched).at(0);
      keep_chosen(found.interactions, curve);
      log::info("kept {} of {} interactions {}", curve.chosen, found.interactions.size(), curve_text(curve));
      return found;
    }
    const GateCourse course = read_course(run.directory(searched) / "gates.jsonl");
    const auto& values = course.values.back();
    INTERPLAY_CHECK_DATA(values.size() == found.interactions.size(), "{}: {} gates for {} interactions",
                         (run.directory(searched) / "gates.jsonl").string(), values.size(), found.interactions.size());
    const auto wanted = o_.top_k > 0 ? size_t(o_.top_k) : wanted_gates(o_.keep, values.size());
    const GrdaSummary grda = closing_grda(searched, this->grda(), course.thresholds.back(), values, wanted);
    if (wanted > 0) set_gates(found.interactions, values, grda.threshold);
    found.grda = {grda};
    const auto kept = std::count_if(found.interactions.begin(), found.interactions.end(), is_kept);
    INTERPLAY_CHECK(kept > 0,
                    "search: every gate is closed after {} steps: the threshold {:.4g} is beyond all of them; make "
                    "search.c smaller than {}, or say how many to keep (search.keep, --keep)",
                    searched.steps, grda.threshold, grda.searched_c);
    log::info("kept {} of {} interactions; {}", kept, found.interactions.size(), grda_text(grda));
    return found;
  }

  /// Whatever both models have under one name and in one shape: tables, first-order weights, an MLP whose input is the
  /// same. What belongs to the interactions themselves is another list now and starts afresh.
  static void copy_weights(Model& to, const Model& from) {
    const at::NoGradGuard no_grad;
    const auto old = weights_of(from);
    for (auto& [name, weight] : weights_of(to)) {
      const auto it = old.find(name);
      const bool of_gates = name.find("interactions") != std::string::npos;
      if (it != old.end() && it->second.sizes() == weight.sizes() && !of_gates) weight.copy_(it->second);
    }
  }

  Options o_;
  bool by_valid_;  // nothing is said of what to keep
};

INTERPLAY_REGISTER(searches(), "autofis", Autofis,
                   "gates on all interactions, closed by GRDA; what stays open is trained anew");

}  // namespace
}  // namespace interplay
