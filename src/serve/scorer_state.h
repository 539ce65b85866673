#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/core/calibration.h>
#include <interplay/core/model.h>
#include <interplay/data/encoder.h>
#include <interplay/serve/scorer.h>

#include "serve/scoring_plan.h"

namespace interplay {

/// A plan and the memory that its requests take turns with.
class CompiledModel {
 public:
  CompiledModel(std::shared_ptr<const ForwardGraph> graph, const UserColumns& user) : plan_(std::move(graph), user) {}

  struct Memory {
    ScoringPlan::Workspace workspace;
    std::vector<int32_t> user_ids, ids;
    std::vector<float> user_dense, dense;
    std::vector<ScoringPlan::Sequence> user_sequences, sequences;
    std::vector<std::span<const float>> user_vectors, vectors;
  };
  /// Memory for one request, given back when it goes.
  class Loan {
   public:
    explicit Loan(const CompiledModel& owner);
    ~Loan();
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    Memory* operator->() const { return memory_.get(); }
    Memory& operator*() const { return *memory_; }

   private:
    const CompiledModel& owner_;
    std::unique_ptr<Memory> memory_;
  };
  const ScoringPlan& plan() const { return plan_; }

 private:
  ScoringPlan plan_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Memory>> idle_;  // guarded by mutex_
};

/// Requests in which some columns are the user's.
struct RequestLayout {
  /// Where a field of the model finds its cell.
  struct Source {
    size_t field;  // of the schema
    bool numeric;
    int64_t column;  // of Features::ids or ::dense
    bool user;
    int64_t cell;  // among the user's columns, or a candidate's
  };
  std::vector<std::string> user_columns, candidate_columns;
  std::vector<Source> sources;
  /// Sequences and vectors, which are not read cell by cell.
  struct Rest {
    std::optional<Encoder> encoder;  // of these fields alone
    std::vector<std::string> columns;
    std::vector<int64_t> cells;               // where these are among the user's columns, or a candidate's
    std::vector<int64_t> sequences, vectors;  // columns of Features, beside those of the encoder
    /// Cells of `rows` rows, `width` to a row.
    EncodedBatch encode(std::span<const std::string_view> cells, int64_t width, int64_t rows) const;
  };
  Rest user_rest, candidate_rest;
  UserColumns user;
  std::unique_ptr<const CompiledModel> compiled;  // null: the model runs as it is
};

struct Scorer::State {
  State(Encoder e, std::shared_ptr<Model> m, std::vector<double> logit_offsets,
        std::shared_ptr<const Calibration> calibration, const std::map<std::string, nn::QuantisedRows>& quantised);

  Encoder encoder;
  std::shared_ptr<Model> model;  // null where its tables are quantised and it runs compiled: they are not unpacked
  std::vector<double> offsets;   // of each label, or none
  std::shared_ptr<const Calibration> calibration;  // or null
  int64_t slice_column = -1;                       // of ids, by which a row has its map; -1: all have the same
  std::vector<std::string> columns;
  std::string fallback_reason;
  std::shared_ptr<const ForwardGraph> graph;   // null where the model runs as it is
  std::unique_ptr<const CompiledModel> whole;  // of rows that have nothing in common

  /// What a model said as what is given out, in place. `ids`: of the first row, `stride` from row to row.
  void correct(std::span<float> logits, const int32_t* ids, int64_t stride) const;
  std::vector<float> logits(const Features& x) const;
  std::vector<float> logits(const EncodedBatch& rows) const;
  /// The graph as a plan that gives what the model gives on rows drawn at random; null, with the reason, where it does
  /// not.
  std::unique_ptr<const CompiledModel> compile(const UserColumns& user, std::string& why) const;

  using Cells = std::span<const std::string_view>;
  /// The layout for these user columns, made when first asked for.
  std::shared_ptr<const RequestLayout> layout(const std::vector<std::string>& user_columns) const;
  void score(const RequestLayout& layout, Cells user, Cells candidates, std::span<float> p) const;

 private:
  void read_packed(const std::map<std::string, nn::QuantisedRows>& quantised);
  std::vector<float> run(const ScoringPlan::Request& request) const;
  std::vector<float> run_whole(const Features& x) const;
  std::shared_ptr<RequestLayout> make_layout(const std::vector<std::string>& user_columns) const;
  bool place_rest(RequestLayout& layout) const;
  bool score_compiled(const RequestLayout& layout, Cells user, Cells candidates, int64_t rows,
                      std::span<float> p) const;

  mutable std::mutex mutex_;
  mutable std::map<std::vector<std::string>, std::shared_ptr<const RequestLayout>> layouts_;  // guarded by mutex_
};

/// In double: two logits that differ in the last bit must not end in the same float more often than they have to.
float to_probability(float logit);

}  // namespace interplay
