#pragma once

#include <map>
#include <string>
#include <vector>

#include <interplay/base/options.h>
#include <interplay/train/retrieval.h>

namespace interplay {

/// The `train:` part of a configuration.
struct INTERPLAY_API TrainOptions {
  int64_t epochs = 10, batch_size = 4096;
  Config loss = Config::scalar("bce", true);
  std::map<std::string, double> terms;
  std::vector<Config> metrics = {Config::scalar("auc", true), Config::scalar("logloss", true)};
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
    field("metrics", metrics, "computed at each evaluation: names, or maps with a name and options");
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

/// What training reads of an experiment, `train:`, `optimizer:` and `seed`, with every default written out. Throws
/// Error on a name or key that there is not.
INTERPLAY_API Config resolve_training(const Config& config);

}  // namespace interplay
