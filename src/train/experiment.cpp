#include <interplay/base/section.h>
#include <interplay/core/bundle.h>
#include <interplay/core/model.h>
#include <interplay/core/warm_start.h>
#include <interplay/train/run.h>
#include <interplay/train/tracker.h>
#include <interplay/train/trainer.h>

namespace interplay {
namespace {

/// The keys of an experiment file; what they hold is read elsewhere.
struct ExperimentOptions {
  Config data = Config::parse("~"), model = data, fields = data, train = data, optimizer = data, init = data,
         search = data, tracking = data, seed = Config::scalar("1"), threads = Config::scalar("0");
  void visit(auto&& field) {
    field("data", data, "prepared data, where --data does not say");
    field("model", model, "a model's name, or a map with its name and options");
    field("fields", fields, "which fields and labels of the data it sees");
    field("train", train, "the training loop");
    field("optimizer", optimizer, "by group of parameters (dense, embedding, ...), a rule's name and options");
    field("init", init,
          "weights to begin with: a run, or a map from run to the part of the model that it is, as in {runs/ctr: "
          "backbone}; runs/flip:backbone is a part of a run");
    field("search", search, "for `interplay search`: a search's name and options");
    field("tracking", tracking, "who is told of the run while it trains: a map from trackers to their options");
    field("seed", seed, "of weights, order of rows, dropout");
    field("threads", threads, "0 = one a core");
  }
};
INTERPLAY_SECTION("experiment", ExperimentOptions, "an experiment file");

void check_keys(const Config& experiment) {
  ExperimentOptions options;
  read_options(options, experiment, "an experiment");
  if (!experiment.has("model")) experiment["model"].fail("missing; expected a model, as in `model: {name: deepfm}`");
}

}  // namespace

Config resolve_experiment(const Config& experiment) {
  check_keys(experiment);
  Config out;
  if (experiment.has("data")) out.set("data", experiment["data"]);
  out.set("model", models().resolve(experiment["model"]));
  if (experiment.has("fields")) out.set("fields", resolve_fields(experiment["fields"]));
  const Config rest = resolve_training(experiment);
  for (const auto& key : rest.keys()) out.set_key(key, rest[key]);
  if (experiment.has("init")) out.set("init", resolve_init(experiment["init"]));
  if (experiment.has("tracking")) out.set("tracking", resolve_tracking(experiment["tracking"]));
  if (experiment.has("threads")) out.set("threads", experiment["threads"]);
  return out;
}

}  // namespace interplay
