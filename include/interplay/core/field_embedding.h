#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/options.h>
#include <interplay/data/features.h>
#include <interplay/data/schema.h>
#include <interplay/nn/attention.h>
#include <interplay/nn/embedding.h>
#include <interplay/nn/field_vectors.h>

namespace interplay {

/// What a row's user did before it: items, and the columns paired with them (their ratings, say).
struct History {
  std::vector<std::string> sequences;  ///< fields of the schema: the items, then the paired columns
  std::string target;                  ///< the field of the row's own item
  int64_t max_length = 0;              ///< 0: any
};
/// Sequences that name their target, in the schema's order.
INTERPLAY_API std::vector<History> histories_of(const Schema& schema);

/// What a model says of its embedding; a model's Options may begin with it:
///
///     struct Options : interplay::EmbeddingOptions {
///       void visit(auto&& field) {
///         EmbeddingOptions::visit(field);
///         ...
struct EmbeddingOptions {
  int64_t embedding_dim = 16;  ///< K
  double init_std = 1e-4;
  void visit(auto&& field) {
    field("embedding_dim", embedding_dim, "embedding width K", Range{1, 4096});
    field("init_std", init_std, "embeddings start from N(0, init_std^2)", Range{0, 100});
  }
};

/// Which fields a FieldEmbedding reads, and how. Names that are no field or no table are an Error.
struct FieldChoice {
  /// Of these alone: others have neither table nor weight in it. For models of several parts that read fields of their
  /// own, as two towers do.
  std::optional<std::vector<std::string>> only = {};
  /// forward() skips these, because the model reads them its own way; one of those that an experiment added is not made
  /// at all.
  std::vector<std::string> leave_out = {};
  std::string group = "embedding";  ///< of its parameters
  /// Tables that are narrower than K, as a search for embedding dimensions finds them, beside those that the schema
  /// says are (fields.widths): their rows hold, and are saved as, that many weights; the vectors they give are zero
  /// past them. A table of width 0 is not made; the fields that read it have to be left out. A width above K is an
  /// Error.
  std::map<std::string, int64_t> widths = {};
};

/// Vectors on their way from a FieldEmbedding to the model that asked for them.
struct FieldRead {
  const std::string& field;  ///< as FieldEmbedding::names() has it, or a sequence that is read entry by entry
  at::Tensor vectors;        ///< f32 [n, K]
  at::Tensor row;            ///< i64 [n], which row of the batch each is of; undefined: n = B, one a row
  at::Tensor valid;          ///< bool [n], false where an entry is padding; undefined: none is
};
/// What the model gets in their place: of the same shape.
using FieldTap = std::function<at::Tensor(const FieldRead&)>;

/// The one way from Features to field vectors. In order: a row for each categorical field, e = x v for each numeric
/// field, a pooled vector for each sequence, a projection of each vector field. Fields of one table share it, also
/// between a categorical field and the sequence of its history. Then what an experiment adds (Schema::with_vectors):
/// frozen vectors of a field through a learned projection, `FIELD.vector`, and what augmenters give,
/// `augment.NAME.0`, `augment.NAME.1`, ... Fields of a frozen table come after the other categorical ones.
///
///     FieldEmbedding fields(schema, 16);
///     const nn::FieldVectors e = fields(x);                    // [B, F, K]
///     const auto item = fields->field(x, "item_id");           // [B, K]
///     const auto history = fields->sequence(x, "hist_item_ids");
///
/// A text field has no vector of its own: Error, unless it is left out by fields.drop.
/// Parameter group: embedding, unless named otherwise. Thread safety: concurrent forward() under NoGradGuard is
/// allowed.
class INTERPLAY_API FieldEmbeddingImpl : public torch::nn::Module, public nn::HasGroup {
 public:
  /// Rows start from N(0, init_std^2).
  FieldEmbeddingImpl(const Schema& schema, const EmbeddingOptions& options, const FieldChoice& choice = {});
  explicit FieldEmbeddingImpl(const Schema& schema, int64_t width, double init_std = 1e-4)
      : FieldEmbeddingImpl(schema, EmbeddingOptions{width, init_std}) {}

  nn::FieldVectors forward(const Features& x);                   ///< f32 [B, F, K]
  at::Tensor field(const Features& x, const std::string& name);  ///< f32 [B, K], whatever the field's kind
  /// What a field's table has for ids of your own, as negatives are: i32 [...] -> f32 [..., K]. Of a categorical field
  /// or a sequence; its tokens are 1 .. Field::tokens(). Throws Error on an id outside the table.
  at::Tensor rows(const std::string& name, const at::Tensor& ids);
  /// Not pooled. `pad_to` > 0: every row has exactly that many entries, its last ones, and behind them zeros that are
  /// not valid. For entries in time, see nn::pad().
  nn::SequenceVectors sequence(const Features& x, const std::string& name, int64_t pad_to = 0);
  /// An item beside its n - 1 paired columns: entries of n K numbers.
  nn::SequenceVectors sequence(const Features& x, const History& history, int64_t pad_to = 0);

  /// From now on all that forward(), field() and sequence() give goes through `tap`: for who looks at a model from
  /// outside, as attributions do. No gradient reaches what is learnt here meanwhile. {} takes it away. Nobody else may
  /// use the model at that time.
  void tap(FieldTap tap) { tap_ = std::move(tap); }

  /// Adds `mean` to what rows and numeric fields start from, which then is N(mean, init_std^2); padding stays zero.
  void shift_start(double mean);

  int64_t count() const { return int64_t(names_.size()); }          ///< F, fields that forward() returns
  int64_t width() const { return width_; }                          ///< K
  int64_t flat_width() const { return count() * width_; }           ///< W = F K
  const std::vector<std::string>& names() const { return names_; }  ///< in the order of forward()
  std::string parameter_group() const override { return group_; }
  bool uses_vectors() const;  ///< something of what Schema::with_vectors() says

 private:
  struct Parts;
  /// Of fields that are `here`; those that are `wanted` too are in forward().
  using Choice = std::function<bool(const Field&)>;
  void build(const Choice& here, const Choice& wanted, const std::vector<std::string>& leave_out = {});
  void build_frozen(const Choice& here);
  void build_added(const Choice& here, const std::vector<std::string>& leave_out);
  nn::Embedding table(const Field& field);
  at::Tensor read(const Field& field, const at::Tensor& ids);  // i32 [n] -> f32 [n, K]
  nn::FieldVectors read_all(const Features& x);                // as forward(), past the tap; so the next two
  at::Tensor read_field(const Features& x, const Field& field);
  nn::SequenceVectors read_sequence(const Features& x, const Field& field, int64_t pad_to = 0);
  at::Tensor numeric(const Features& x);
  at::Tensor augmented(const Features& x, size_t which);  // [B, n, K]
  Schema schema_;
  int64_t width_;
  double init_std_;
  std::string group_;
  std::map<std::string, int64_t> widths_;  // by table
  std::vector<std::string> names_;
  std::vector<Field> frozen_, sequences_, vectors_;  // those forward() returns
  std::vector<int64_t> categorical_, numeric_;       // columns of Features::ids and ::dense that forward() returns
  std::vector<nn::Embedding> categorical_tables_;
  at::Tensor numeric_weight_;     // f32 [D, K], one row a numeric field of the schema
  std::shared_ptr<Parts> parts_;  // the modules it is made of
  FieldTap tap_;
};
TORCH_MODULE(FieldEmbedding);

/// Names in the order in which a FieldEmbedding of this schema gives vectors, where it leaves nothing out.
INTERPLAY_API std::vector<std::string> vector_names(const Schema& schema);

}  // namespace interplay
