#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "serve/forward_graph.h"
#include "serve/packed_matrix.h"
#include "serve/scoring_kernels.h"

namespace interplay {

/// Which columns of Features are the same for all rows of a request: the user's.
struct UserColumns {
  std::vector<bool> ids, dense, sequences, vectors;

  static UserColumns none(const Schema& schema) {
    const auto none = [&](FieldKind kind) { return std::vector<bool>(size_t(schema.count(kind))); };
    return {none(FieldKind::categorical), none(FieldKind::numeric), none(FieldKind::sequence), none(FieldKind::vector)};
  }
};

/// A ForwardGraph made ready to run without LibTorch, for requests in which some columns are the same for all rows: the
/// user's. What depends on these alone is computed once a request; a layer over both is split by columns, and the
/// user's part becomes a bias. So with the entries of a history: a user's are looked up and multiplied once, and only
/// what depends on an entry and a row is computed for each pair of them. A row's result does not depend on the other
/// rows. Immutable: any number of threads, each with a workspace of its own, which grows with the longest history;
/// beside that nothing is allocated.
class INTERPLAY_API ScoringPlan {
 public:
  static constexpr int64_t kChunk = 256;  ///< rows worked on at once: their activations stay in the second-level cache
  static constexpr int64_t kEntries = 256;  ///< so with entries, or one row's where it has more

  ScoringPlan(std::shared_ptr<const ForwardGraph> graph, const UserColumns& user);

  /// Of the rows that are worked on: where each one's entries begin, and, of a list that was chosen from another, where
  /// each entry lies among its row's entries there.
  struct List {
    std::vector<int64_t> offsets;
    std::vector<int32_t> chosen;
    int64_t first(int64_t row) const { return offsets[size_t(row)]; }
    int64_t count(int64_t row) const { return offsets[size_t(row) + 1] - offsets[size_t(row)]; }
  };
  struct Workspace {
    std::vector<float> user, rows;             // numbers of rows
    std::vector<float> user_entries, entries;  // and of entries
    int64_t user_room = 0, room = 0;           // entries that these have room for
    std::vector<List> user_lists, lists;       // beside ForwardGraph::lists
    std::vector<float> scratch;
    std::vector<int32_t> order;  // of entries, by score
  };
  Workspace workspace() const;

  /// Row r owns entries [offsets[r], offsets[r + 1]).
  struct Sequence {
    const int32_t* ids;
    const int64_t* offsets;
    const float* weights;  ///< or null
  };
  struct Request {
    const int32_t* user_ids;  ///< [F], read at the user's columns
    const float* user_dense;  ///< [D]
    const int32_t* ids;       ///< [rows, F], read at the other columns
    const float* dense;       ///< [rows, D]
    int64_t rows;
    std::span<const Sequence> user_sequences, sequences;            ///< by Features::sequences; the user's of one row
    std::span<const std::span<const float>> user_vectors, vectors;  ///< by Features::vectors
  };
  int64_t labels() const { return graph_->nodes[size_t(graph_->output)].n; }    ///< T
  void run(const Request& request, Workspace& workspace, float* logits) const;  ///< f32 [rows, T]

 private:
  /// A node's part that is the same for all rows, and the part that is not.
  struct Step {
    const ForwardGraph::Node* node;
    std::vector<bool> is_user;  // number by number
    bool all_user = false, any_user = false;
    bool whole = false;       // a row's copy holds the user's numbers too
    bool of_entries = false;  // it runs over entries, though its result may be a row's
    int64_t stage = 0;        // even: rows; odd: their entries, some rows at a time
    int64_t width = 0;        // room of a row or an entry, n padded to whole vectors
    int64_t user_at = 0;      // where its numbers begin: of the user,
    int64_t row_at = 0;       // of kChunk rows, in units of kChunk; of entries likewise
    int64_t bias_at = 0;      // linear, ffm of both: the user's part, which is where the rows' begins
    std::vector<ColumnRun> user_columns;
    std::vector<ForwardGraph::Table> user_tables, row_tables;
    std::vector<ForwardGraph::Run> user_runs, row_runs;
    std::vector<int32_t> user_parts, row_parts, both_parts;  // linear: of `outer`; products: sets; ffm: places
    std::optional<PackedMatrix> user_weight, row_weight;
    std::vector<float> bias;
    bool runs_twice() const { return (!user_parts.empty() && !all_user) || (user_weight && row_weight); }
  };
  /// What a step is run on: the user, or rows [first, first + rows) of a request, and entries of the rows from
  /// `first + begin` on.
  struct Part {
    bool for_user;
    int64_t first, rows, begin;
  };
  const Step& step_of(int node) const { return steps_[size_t(place_[size_t(node)])]; }
  void divide(Step& step, const UserColumns& user);
  void divide_parts(Step& step) const;
  void divide_linear(Step& step) const;
  void order_by_stage();
  void want_whole();
  void place();

  scoring::Source source(int node, bool for_user, const Workspace& workspace) const;
  scoring::Source entries_of(int node, int64_t row, const Part& part, const Workspace& workspace) const;
  void run_rows(const Step& step, const Request& request, const Part& part, Workspace& workspace) const;
  void run_linear(const Step& step, scoring::Source x, bool for_user, scoring::Target out, Workspace& workspace) const;
  void run_parts(const Step& step, scoring::Source x, bool for_user, scoring::Target out, Workspace& workspace) const;
  void run_entries(const Step& step, const Request& request, const Part& part, Workspace& workspace) const;
  void run_entries_of(const Step& step, int64_t row, const Part& part, Workspace& workspace) const;
  void look_up_entries(const Step& step, const Request& request, const Part& part, Workspace& workspace) const;
  void choose(const Step& step, const Part& part, Workspace& workspace) const;
  const List& list(int which, bool for_user, const Workspace& workspace) const;
  void open_user_lists(const Request& request, Workspace& workspace) const;
  int64_t open_lists(const Request& request, const Part& part, int64_t left, Workspace& workspace) const;

  std::shared_ptr<const ForwardGraph> graph_;
  std::vector<Step> steps_;         // by stage
  std::vector<int> place_;          // of each node
  std::vector<bool> user_lists_;    // of each list: its entries are the user's
  std::vector<size_t> stage_ends_;  // of each stage, in steps_
  int64_t user_size_ = 0, row_size_ = 0, user_entry_size_ = 0, entry_size_ = 0, scratch_ = 0;
};

}  // namespace interplay
