#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <interplay/core/loss.h>
#include <interplay/core/model.h>

namespace interplay {

/// What a step minimises: the sum of every label's loss times its weight, and of every term's times its scale.
///
/// `train.loss` is one loss for all labels, or a map from label to loss, {click: bce, buy: {name: bce, weight: 0.5}},
/// whose key `weight` is the label's; `train.terms` overrides scales. A label that is NaN is missing: its row has no
/// part in that label's loss.
///
/// Immutable but for the names of terms that it has met; one thread uses it.
class INTERPLAY_API Objective {
 public:
  /// Throws Error(config) where the map of losses does not name just the labels.
  Objective(const Config& loss, std::map<std::string, double> scales, std::vector<std::string> labels);

  /// `train.loss` with every default written out.
  static Config resolve(const Config& loss);

  struct Part {
    std::string name;
    at::Tensor value;  ///< scalar, before its weight or scale
  };
  struct Value {
    at::Tensor total;         ///< scalar with a gradient
    std::vector<Part> parts;  ///< of labels and terms, where there is more than the one loss
  };
  /// Throws Error where logits do not fit the labels, where a term is not well formed or names a label that there is
  /// not, where two terms have one name, and where train.terms names a term that the model has not.
  Value operator()(const Output& out, const Batch& batch);

  /// The terms alone, each with its name.
  std::vector<Part> terms(const Output& out, const Batch& batch) const;

  const std::vector<std::string>& labels() const { return labels_; }

 private:
  struct OfLabel {
    std::shared_ptr<Loss> loss;
    double weight = 1;
  };
  const OfLabel& of(size_t label) const { return losses_.size() == 1 ? losses_[0] : losses_[label]; }
  size_t place(const Term& term, int64_t count) const;
  void check_names(const Output& out) const;
  void check_scales(const Output& out) const;
  at::Tensor value_of(const Term& term, const Batch& batch) const;

  std::vector<OfLabel> losses_;  // one for all labels, or one a label
  std::map<std::string, double> scales_;
  std::vector<std::string> labels_;
  bool checked_ = false;
};

/// Throws Error unless logits are [B] for labels [B, 1], or [B, T] for T labels.
INTERPLAY_API void check_logit_shape(const at::Tensor& logit, const at::Tensor& labels);

/// One label of a batch: missing ones as 0 with weight 0.
INTERPLAY_API LossInput loss_input(const at::Tensor& logit, const Batch& batch, int64_t label);

}  // namespace interplay
