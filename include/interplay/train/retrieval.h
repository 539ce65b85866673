#pragma once

#include <functional>
#include <string>
#include <vector>

#include <interplay/core/metric.h>
#include <interplay/core/model.h>
#include <interplay/data/dataset.h>

namespace interplay {

/// How a retriever is judged: the `retrieval:` part of `train:`.
struct INTERPLAY_API RetrievalOptions {
  std::string per = "row", label;
  bool leave_out_seen = false;
  void visit(auto&& field) {
    field(
        "per", per,
        "what asks: row = every positive row, for its own item; group = every group (user), for all its positive items",
        OneOf{{"row", "group"}});
    field("label", label, "of several labels, the one whose positives are to be found; the first by default");
    field("leave_out_seen", leave_out_seen, "items that the group had among its training positives are no candidates");
  }
};

/// Ranks the whole catalogue for the positives of `rows`, see Retriever and RankingMetric. The catalogue is every item
/// that occurs in `train` or in `rows`, as described in its first row there; what was unknown to the vocabulary is no
/// item, so that a row of such an item is missed. Values are means over queries; a query counts by its row's weight
/// (the first of a group). The model is put into eval mode and back.
///
/// Throws Error(config) where the model is no Retriever, where names are no ranking metrics, or where groups are asked
/// for and the data have none. `before_batch` is called before each batch of queries or items, and may throw, to end
/// it. Without a positive row values are NaN, with the reason.
INTERPLAY_API std::vector<MetricValue> evaluate_retrieval(Model& model, const Dataset& rows, const Dataset& train,
                                                          const std::vector<std::string>& metrics,
                                                          const RetrievalOptions& options = {},
                                                          int64_t batch_size = 4096,
                                                          const std::function<void()>& before_batch = {});

}  // namespace interplay
