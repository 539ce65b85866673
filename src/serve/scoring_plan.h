#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "serve/forward_graph.h"
#include "serve/packed_matrix.h"

namespace interplay {

/// A ForwardGraph made ready to run without LibTorch, for requests in which some columns are the same for all rows: the
/// user's. What depends on these alone is computed once a request; a layer over both is split by columns, and the
/// user's part becomes a bias. A row's result does not depend on the other rows. Immutable: any number of threads, each
/// with a workspace of its own. Nothing is allocated once a workspace exists.
class INTERPLAY_API ScoringPlan {
 public:
  static constexpr int64_t kChunk = 256;  ///< rows worked on at once: their activations stay in the second-level cache

  /// `user_ids` and `user_dense` say of every column of Features::ids and ::dense whether it is the user's.
  ScoringPlan(std::shared_ptr<const ForwardGraph> graph, const std::vector<bool>& user_ids,
              const std::vector<bool>& user_dense);

  struct Workspace {
    std::vector<float> user, rows;
  };
  Workspace workspace() const;

  struct Request {
    const int32_t* user_ids;  ///< [F], read at the user's columns
    const float* user_dense;  ///< [D]
    const int32_t* ids;       ///< [rows, F], read at the other columns
    const float* dense;       ///< [rows, D]
    int64_t rows;
  };
  int64_t labels() const { return graph_->nodes[size_t(graph_->output)].n; }    ///< T
  void run(const Request& request, Workspace& workspace, float* logits) const;  ///< f32 [rows, T]

 private:
  /// A node's part that is the same for all rows, and the part that is not.
  struct Step {
    const ForwardGraph::Node* node;
    std::vector<bool> is_user;  // number by number
    bool all_user = false, any_user = false;
    bool whole = false;               // a row's copy holds the user's numbers too
    int64_t width = 0;                // room of a row, n padded to whole vectors
    int64_t user_at = 0, row_at = 0;  // where its numbers begin: of the user; of kChunk rows, in units of kChunk
    int64_t bias_at = 0;              // linear of both: the user's part, which is the rows' bias
    std::vector<ColumnRun> user_columns;
    std::vector<ForwardGraph::Table> user_tables, row_tables;
    std::vector<ForwardGraph::Run> user_runs, row_runs;
    std::optional<PackedMatrix> user_weight, row_weight;
    std::vector<float> bias;
  };
  struct Source {
    const float* data;
    int64_t stride;
  };
  void divide(Step& step, const std::vector<bool>& user_ids, const std::vector<bool>& user_dense) const;
  void divide_linear(Step& step);
  void want_whole();
  void place();
  Source source(int node, bool for_user, const Workspace& workspace) const;
  void run_step(const Step& step, bool for_user, const Request& request, int64_t first, int64_t rows,
                Workspace& workspace) const;

  std::shared_ptr<const ForwardGraph> graph_;
  std::vector<Step> steps_;
  int64_t user_size_ = 0, row_size_ = 0;
};

}  // namespace interplay
