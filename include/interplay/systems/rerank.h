#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <interplay/base/options.h>
#include <interplay/core/calibration.h>
#include <interplay/core/model.h>
#include <interplay/core/predictions.h>
#include <interplay/data/dataset.h>

namespace interplay {

/// Filter, then rerank (Hou et al. 2024, arXiv:2305.08845; Lin et al. 2023, arXiv:2306.05817, sec. 3.3): a cheap model
/// scores every row, a dear one only the rows on which the first is unsure, and orders those anew.
struct RerankOptions {
  double low = 0.4, high = 0.6;
  double blend = 1;
  int64_t batch_size = 4096, second_batch_size = 64;
  void visit(auto&& field) {
    field("low", low, "rows are asked about from this probability of the first model on", Range{0, 1});
    field("high", high, "and up to this one", Range{0, 1});
    field("blend", blend, "share of the second model's logit, in place of the first's, by which they are ordered",
          Range{0, 1});
    field("batch_size", batch_size, "rows that the first model scores at once", Range{1, 1e9});
    field("second_batch_size", second_batch_size, "rows that the second model scores at once", Range{1, 1e9});
  }
};

/// The first model's logits, of which those of `asked` are dealt out anew among these rows: in the order of
/// (1 - blend) first + blend second, so that no row leaves the band. Equal numbers stay in the order of the rows.
/// first f32 [N], asked [M] places in it, second f32 [M] -> f32 [N]
INTERPLAY_API std::vector<float> reranked(std::span<const float> first, std::span<const int64_t> asked,
                                          std::span<const float> second, double blend);

struct Reranking {
  Predictions first;           ///< of all rows; for one label
  std::vector<int64_t> asked;  ///< rows of the band, ascending
  std::vector<float> second;   ///< logits of these rows
  std::vector<float> logit;    ///< of all rows, after
  double seconds_first = 0, seconds_second = 0;
};

/// Both datasets are the same rows, each with the fields that its model reads. Models of one label; throws Error where
/// a model has several, or no logit. `offset` and `calibration` correct the first model's logits, in this order
/// (Bundle::logit_offsets(), Bundle::calibration()).
INTERPLAY_API Reranking rerank(Model& first, const Dataset& rows_of_first, Model& second, const Dataset& rows_of_second,
                               const RerankOptions& options, double offset = 0,
                               const Calibration* calibration = nullptr);

}  // namespace interplay
