#pragma once

#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/explain/sampled_rows.h>

namespace interplay {

struct AttributionOptions {
  int64_t steps = 16, most_steps = 1024;  ///< points of the path; doubled until the sum holds
  double tolerance = 1e-3;  ///< of the sum, in logits, or as a share of the difference where that exceeds 1
};

/// Why a row has the logit that it has: `sum of fields = logit - baseline`, within the tolerance where `complete`.
struct Attribution {
  double logit = 0, baseline = 0;                      ///< of the row, and of the mean row
  std::vector<std::pair<std::string, double>> fields;  ///< in the order in which the model first read them
  int64_t steps = 0;                                   ///< that the path was given
  double error = 0;                                    ///< the sum less logit - baseline
  bool complete = false;
};

/// Integrated gradients (Sundararajan, Taly and Yan 2017, arXiv:1703.01365) on the vectors that a model's
/// FieldEmbedding gives: from the baseline, where every field has its mean vector over the rows given here, to the
/// row's own vectors, by the midpoint rule. What a field is given is what its vectors are in all places that the model
/// reads them: weights of a linear term, vectors, entries of a history. A numeric field's vector is its value times a
/// learnt one, so that its mean vector is that of the mean value. Of a history each entry begins at the mean entry.
///
/// Exact for models that are linear in each vector, where it gives what Shapley values against the same baseline give:
/// a linear term is its field's, a product of two fields is halved between them.
///
/// What a model reads past its FieldEmbedding (texts, ids that select entries) stays as the row has it. The model is
/// used by one thread meanwhile, and is afterwards as it was. Throws Error where it reads no field vectors at all.
class INTERPLAY_API Attributor {
 public:
  Attributor(const LabelLogit& logit, const SampledRows& rows, const AttributionOptions& options = {});
  Attribution operator()(const Features& row) const;  ///< of one row: B = 1

 private:
  Attribution integrate(const Features& row, int64_t steps) const;
  double at_baseline(const Features& x) const;
  const LabelLogit logit_;
  AttributionOptions options_;
  std::vector<std::pair<std::string, at::Tensor>> baseline_;  // f32 [K] a read, in the order of a forward pass
};

}  // namespace interplay
