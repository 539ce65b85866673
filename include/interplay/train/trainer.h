#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <interplay/base/stages.h>
#include <interplay/core/loss.h>
#include <interplay/core/metric.h>
#include <interplay/core/model.h>
#include <interplay/data/dataset.h>
#include <interplay/optim/optimizer.h>
#include <interplay/train/retrieval.h>

namespace interplay {

/// The `train:` part of a configuration.
struct INTERPLAY_API TrainOptions {
  int64_t epochs = 10, batch_size = 4096;
  Config loss = Config::scalar("bce", true);
  std::map<std::string, double> terms;
  std::vector<std::string> metrics = {"auc", "logloss"};
  Config monitor = Config::scalar("auc", true);
  std::string keep = "best";
  int64_t patience = 2;
  Config schedule = Config::scalar("constant", true);
  int64_t warmup_steps = 0;
  double clip_norm = 0;
  int64_t eval_every = 0, eval_batch_size = 4096, checkpoint_every = 0;
  bool shuffle = true;
  int64_t shuffle_window = int64_t{1} << 25;
  bool keep_groups = false;
  double negative_rate = 1;
  std::string negative_label;
  RetrievalOptions retrieval;
  std::string device = "cpu";
  std::string precision = "auto";

  void visit(auto&& field) {
    field("epochs", epochs, "passes over the training rows at most", Range{0, 1e9});
    field("batch_size", batch_size, "rows a step", Range{1, 1e9});
    field("loss", loss, "bce, or a map with name and options; or a map from label to loss, each with its own `weight`");
    field("terms", terms, "scales of what the model learns beside the labels, by name; its own by default");
    field("metrics", metrics, "computed at each evaluation");
    field(
        "monitor", monitor,
        "what early stopping watches: a metric (auc:click for one label's, ndcg@10 for a retriever's, term:NAME for a "
        "term's mean), or weights as in {auc: 1, logloss: -1}");
    field("keep", keep, "weights that are the result: of the best evaluation, or of the last", OneOf{{"best", "last"}});
    field("patience", patience, "stop after this many evaluations in a row without improvement; 0 = never",
          Range{0, 1e9});
    field("schedule", schedule,
          "of the learning rates: constant, plateau, cosine, linear, step, or a map with options");
    field("warmup_steps", warmup_steps, "learning rates rise linearly over these first steps", Range{0, 1e12});
    field("clip_norm", clip_norm, "global norm that gradients are clipped to; 0 = off", Range{0, 1e12});
    field("eval_every", eval_every,
          "steps between evaluations, beside the one at the end of each epoch; 0 = only those", Range{0, 1e12});
    field("eval_batch_size", eval_batch_size, "rows a batch when evaluating", Range{1, 1e9});
    field("checkpoint_every", checkpoint_every, "steps between checkpoints; 0 = at each evaluation", Range{0, 1e12});
    field("shuffle", shuffle, "a new order every epoch; false = as stored");
    field("shuffle_window", shuffle_window,
          "rows shuffled among each other; larger data are shuffled by record batch, then in windows of that many rows",
          Range{1, 1e12});
    field("keep_groups", keep_groups,
          "rows of one group lie side by side in the order of an epoch, as losses that compare them want");
    field("negative_rate", negative_rate, "share of the negatives trained on; logits are corrected for it",
          Range{1e-9, 1});
    field("negative_label", negative_label, "of several labels, the one whose negatives negative_rate speaks of");
    field("retrieval", retrieval, "how metrics of a ranked catalogue (recall@10, ndcg@10, hit@10, mrr) are taken");
    field("device", device, "cpu, cuda or cuda:N");
    field("precision", precision,
          "factors of matrix products: bf16, fp32, or auto = bf16 where the processor multiplies it itself",
          OneOf{{"auto", "fp32", "bf16"}});
  }
};

/// One evaluation during training.
struct EpochReport {
  int64_t epoch = 0;  ///< from 1
  int64_t step = 0;
  double train_loss = 0;                                ///< mean over the steps since the last evaluation
  std::vector<std::pair<std::string, double>> terms{};  ///< means of the parts of the loss, where it has several
  std::vector<MetricValue> metrics;
  double monitor = 0, lr = 0, rows_per_s = 0, seconds = 0;
  int64_t rows = 0;       ///< trained on since the last evaluation
  StageSeconds stages{};  ///< where the seconds went
  bool improved = false;
};

struct FitReport {
  std::vector<EpochReport> evaluations;
  int64_t best = -1;  ///< index into evaluations; -1 = none
  int64_t steps = 0;
  double seconds = 0, rows_per_s = 0;  ///< of training alone, evaluation left out
  StageSeconds stages{};               ///< where they went
  std::string stopped_by;              ///< in words
  bool interrupted = false;
};

/// The training loop. It knows models by their interface alone.
///
///     Trainer trainer(*model, config);           // reads train:, optimizer: and seed
///     trainer.fit(train, valid);                 // leaves the best weights in *model
///
/// fit() logs a line an evaluation (base/log.h: log::set_level(log::Level::warning) silences it).
///
/// With a run directory (`run_in`) it keeps metrics.jsonl, the best weights and checkpoints there, and goes on from the
/// last checkpoint when asked: the end is the same, to the byte, as that of a run that was never stopped.
/// One thread uses it; stop() may be called from any thread or signal handler.
class INTERPLAY_API Trainer {
 public:
  /// `labels`: names of the labels, for step() on batches of which several labels have losses of their own, or whose
  /// terms name one; fit() goes by the data.
  Trainer(Model& model, const Config& config, std::vector<std::string> labels = {});
  ~Trainer();

  static Config resolve(const Config& config);  ///< train:, optimizer: and seed with every default written out

  void run_in(const std::filesystem::path& directory, bool resume);
  void on_epoch(std::function<void(const EpochReport&)> call);
  /// Called after each step with the step's number and loss.
  void on_step(std::function<void(int64_t step, double loss)> call);
  /// These parameter groups learn from `held_out` alone: a step on training rows leaves them, and after it they take
  /// one of their own on the next batch of `held_out` (in an order of its own, which follows the seed too).
  void take_turns(std::vector<std::string> groups, const Dataset& held_out);

  FitReport fit(const Dataset& train, const Dataset& valid);
  FitReport fit(const Dataset& train);  ///< without validation: every epoch, the last weights
  /// One step on one batch: forward, loss, backward, update of `only` (empty = every group). Returns the loss.
  double step(const Batch& batch, const std::vector<std::string>& only = {});
  void stop() noexcept;              ///< fit() writes a checkpoint and returns after the present step
  bool stop_asked() const noexcept;  ///< whether stop() was called, also where fit() had ended by then

  Model& model();
  Optimizer& parameters();
  const TrainOptions& options() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interplay
