#pragma once

#include <string>
#include <vector>

#include <interplay/core/field_embedding.h>
#include <interplay/core/model.h>
#include <interplay/core/retriever.h>
#include <interplay/core/sees_rows.h>
#include <interplay/nn/mlp.h>

namespace interplay {

/// What models of two towers have in common; their Options may begin with it.
struct TowerOptions : EmbeddingOptions {
  int64_t output_dim = 64;
  std::string item;
  std::vector<std::string> item_fields;
  nn::MlpOptions mlp{.hidden = {128}};
  double temperature = 0.1;
  bool sampling_correction = true;
  int64_t negatives = 0;
  TowerOptions() { init_std = 1e-2; }
  void visit(auto&& field) {
    EmbeddingOptions::visit(field);
    field("output_dim", output_dim, "numbers of the vectors that are compared", Range{1, 4096});
    field("item", item, "field that says which item a row is of; by default the one that histories are of");
    field("item_fields", item_fields, "further fields of the item; all others are the query's");
    mlp.visit(field);
    field("temperature", temperature, "inner products are divided by it", Range{1e-6, 1e6});
    field("sampling_correction", sampling_correction,
          "in the softmax over a batch, items are corrected for how often they come up (logQ)");
    field(
        "negatives", negatives,
        "items that a row's own one is told from, drawn alike from all, each once; 0: those of the batch's other rows",
        Range{0, 1e6});
  }
};

/// A model of two towers (Huang et al. 2013, DSSM; Yi et al. 2019 for how they are trained): what a row asks for, and
/// its item, as vectors whose inner product ranks a catalogue. Fields are either the item's or the query's; each side
/// is an MLP over its field vectors. Trained by softmax (term `softmax`) over the positives of the first label: either
/// within the batch, corrected by how often an item has been seen so far (logQ, kept in a buffer), or against items
/// drawn from the catalogue, whose fields are those of their first training row (kept in buffers; categorical and
/// numeric fields can be). Where no rows have been shown yet, as outside of Trainer::fit(), it is within the batch.
///
/// A model that reads a history its own way derives from it, says in Towers which fields the query's MLP is to leave to
/// it and how wide what it gives is, and overrides beside():
///
///     Gru4Rec(const Schema& schema, const Options& o)
///         : RetrievalModel(schema, o, SequenceTowers::of(schema, o, "gru4rec")) { ... }
///
/// Thread safety: as that of Model::forward().
class INTERPLAY_API RetrievalModel : public Model, public Retriever, public SeesRows {
 public:
  Output forward(const Features& x) override;
  std::string item_field() const override { return item_; }
  at::Tensor queries(const Features& x) override;
  at::Tensor items(const Features& x) override;

  bool wants_rows() const override;
  void see_rows(const Features& x) override;
  void saw_all_rows() override;

 protected:
  struct Towers {
    std::string name;                        ///< of the model, for messages
    std::vector<std::string> left_out = {};  ///< fields that the query's MLP does not read
    int64_t beside = 0;                      ///< numbers that beside() gives
    bool unit = true;                        ///< vectors are put to length 1
    bool halves = false;  ///< without `hidden` layers are half and a quarter, the item's half as wide as
                          ///< what comes in
  };
  RetrievalModel(const Schema& schema, const TowerOptions& options, const Towers& towers);
  ~RetrievalModel() override;
  virtual at::Tensor beside(const Features& x);  ///< f32 [B, Towers::beside], or undefined

  FieldEmbedding query_fields_{nullptr}, item_fields_{nullptr};

 private:
  at::Tensor log_probability(const at::Tensor& id);
  at::Tensor against_catalogue(const Features& x, const at::Tensor& query, const at::Tensor& id);

  std::string item_, label_;
  double temperature_;
  bool correct_, unit_;
  int64_t negatives_, column_ = 0, beside_;
  nn::Mlp query_mlp_{nullptr}, item_mlp_{nullptr};
  std::vector<int64_t> item_ids_, item_dense_;          // columns of the item's fields
  at::Tensor seen_;                                     // i64 [rows of the item's table]
  at::Tensor catalogue_ids_, catalogue_dense_, known_;  // i32 [rows, F], f32 [rows, D], bool [rows]
};

/// What models have in common whose query reads a history by a layer of their own.
struct SequenceTowerOptions : TowerOptions {
  std::string history;
  SequenceTowerOptions() {
    embedding_dim = output_dim = 32;
    init_std = 0.02;
    mlp.hidden = {};
    temperature = 1;
    negatives = 50;
  }
  void visit(auto&& field) {
    TowerOptions::visit(field);
    field("history", history, "sequence with what came before the row; by default the item's first history");
  }
};

/// Two towers (of length as they come, with layers half and a quarter as wide as what comes in unless `hidden` says
/// other widths) whose query has, in place of a pooled history, what encode() makes of its entries.
class INTERPLAY_API SequenceRetrievalModel : public RetrievalModel {
 protected:
  /// `vectors`: as wide as an entry, that encode() gives. Throws Error, naming the model, where there is no history.
  SequenceRetrievalModel(const Schema& schema, const SequenceTowerOptions& options, const std::string& name,
                         int64_t vectors);
  ~SequenceRetrievalModel() override;
  virtual at::Tensor encode(const nn::SequenceVectors& entries) = 0;  ///< f32 [N, E] -> f32 [B, vectors E]
  at::Tensor beside(const Features& x) override;
  int64_t entry_width() const { return width_; }  ///< E: an item's and its paired columns'
  int64_t longest() const { return history_.max_length; }

 private:
  History history_;
  int64_t width_;
};

/// The field that rows' items are in: `given`, or the one that histories are of. Throws Error, naming `model`, where
/// neither says it.
INTERPLAY_API std::string item_field_of(const Schema& schema, const std::string& given, const std::string& model);

}  // namespace interplay
