// FLIP (Wang et al. 2023, "FLIP: Fine-grained Alignment between ID-based Models and Pretrained Language Models for CTR
// Prediction", arXiv:2310.19453), its pre-training: the same row as ids and as text, each recovered from the other.
#include <ATen/ATen.h>

#include <interplay/core/model.h>
#include <interplay/core/represents.h>
#include <interplay/core/sees_rows.h>
#include <interplay/nn/contrastive.h>
#include <interplay/nn/noise_contrastive.h>

#include "systems/flip/heads.h"
#include "systems/flip/masking.h"
#include "systems/flip/represented.h"
#include "systems/flip/text_tower.h"

namespace interplay::flip {
namespace {

constexpr int64_t kTokensAtOnce = 1024;              // whose vocabularies' logits are made together
constexpr int64_t kScoresAtOnce = int64_t{1} << 24;  // of masked features and those of their field

/// What is learnt, each with a curve of its own (section 3.3):
///
///   mlm  masked words are recovered from the rest of the text and the row's ids
///   mtm  masked ids are recovered from the other ids and the row's text, among noise drawn from all features
///   icl  the two vectors of a row find each other among those of the batch
///
/// In evaluation masks and noise follow from the row, and beside the losses there are the shares of masked features
/// and words that are recovered (top-1; of a feature, among all those of its field), also with zero in place of what
/// the other side says (`_alone`). An id 0 is missing: nothing is to be recovered of it.
class FlipPretrain final : public Model, public SeesRows {
 public:
  struct Options {
    TextOptions text;
    ModelOption backbone{"dcnv2"};
    double mask_ratio = 0.15, temperature = 0.7, head_dropout = 0.2;
    int64_t noise = 25, feature_dim = 32, width = 128;
    bool mlm = true, mtm = true, icl = true, attention = true, fusion = true, standardise = true;
    void visit(auto&& field) {
      text.visit(field);
      field("backbone", backbone,
            "model of the ids: one that has a last hidden vector (deepfm, dcnv2, autoint, din, ...)");
      field("mask_ratio", mask_ratio, "share of the fields that are masked, rounded down, but one at least",
            Range{0, 1});
      field("mlm", mlm, "masked words are recovered, with the ids");
      field("mtm", mtm, "masked features are recovered, with the text");
      field("icl", icl, "rows' two vectors find each other");
      field("attention", attention, "of mtm: the text is read; without, the other ids alone");
      field("fusion", fusion, "of mlm: the ids are read; without, the rest of the text alone");
      field("noise", noise, "features that a masked one is told from", Range{1, 1e6});
      field("feature_dim", feature_dim, "numbers by which features are told apart", Range{1, 4096});
      field("temperature", temperature, "of icl: inner products are divided by it", Range{1e-6, 1e6});
      field("standardise", standardise,
            "of icl: what its heads read has mean 0 and deviation 1 over the batch, number by number");
      field("width", width, "of icl: numbers of the vectors that are compared", Range{1, 65536});
      field("head_dropout", head_dropout, "of what stands on the towers for mlm and icl", Range{0, 0.99});
    }
    void check(const Config& config) const {
      if (!mlm && !mtm && !icl) config.fail("mlm, mtm and icl are all off: there is nothing to learn");
    }
  };

  FlipPretrain(const Schema& schema, const Options& o) : o_(o), field_(o.text.field_of(schema)) {
    backbone_ = register_module("backbone", make_backbone(o.backbone, schema));
    body_ = &represented(*backbone_, o.backbone.name());
    text_ = register_module("text", TextTower(o.text, field_));
    const int64_t hidden = body_->representation_width(), states = text_->width();
    for (const Field* f : schema.of(FieldKind::categorical)) features_.push_back(*f);
    INTERPLAY_CHECK(!features_.empty(), "flip_pretrain: there is no categorical field to mask; give it ids");
    INTERPLAY_CHECK(!field_.text_columns.empty(),
                    "flip_pretrain: the text '{}' names no column whose words could be "
                    "masked; prepare it with a template that does",
                    field_.name);
    if (o.mlm) {
      mask_ = mask_token(o.text.lm);
      tokens_ = register_module(
          "mlm", MaskedTokenHead(states, o.fusion ? hidden : 0, text_->options().vocabulary, o.head_dropout));
    }
    if (o.mtm) {
      const int64_t classes = place_features();
      masked_features_ = register_module(
          "mtm", MaskedFeatureHead(hidden, o.attention ? states : 0, int64_t(features_.size()), o.feature_dim));
      nce_ = register_module("nce", nn::NoiseContrastive(classes, o.feature_dim, o.noise));
    }
    if (o.icl) {
      id_head_ = register_module("icl_ids", nn::ProjectionHead(hidden, o.width, o.head_dropout));
      text_head_ = register_module("icl_text", nn::ProjectionHead(states, o.width, o.head_dropout));
    }
  }

  Output forward(const Features& x) override {
    const Row row{x, TextRows::of(x.tokens[size_t(field_.column)])};
    const auto chosen = choose(row);
    Output out;
    at::Tensor v, states;  // of what is not masked
    if (o_.icl || (o_.mlm && o_.fusion)) v = body_->represent(x);
    if (o_.icl || (o_.mtm && o_.attention)) {
      states = text_->states(row.text.ids, row.text.lengths);
      out.tokens += x.tokens[size_t(field_.column)].ids.numel();
    }
    if (o_.mlm) {
      recover_tokens(row, chosen, v, out);
      out.tokens += x.tokens[size_t(field_.column)].ids.numel();
    }
    if (o_.mtm) recover_features(row, chosen, states, out);
    if (o_.icl) {
      const auto seen = [&](const at::Tensor& x) { return o_.standardise ? nn::standardised(x) : x; };
      const auto each = nn::info_nce(id_head_(seen(v)), text_head_(seen(states.select(1, 0))), o_.temperature);
      out.terms.push_back({.name = "icl", .value = each});
    }
    return out;
  }

  bool wants_rows() const override { return o_.mtm && nce_->counts().sum().item<int64_t>() == 0; }
  void see_rows(const Features& x) override {
    if (!seen_.defined()) seen_ = at::zeros_like(nce_->counts(), at::kCPU);
    for (const Field& f : features_) {
      const auto ids = x.ids.select(1, f.column).to(at::kLong);
      seen_.narrow(0, first_[size_t(f.column)], f.rows).add_(at::bincount(ids, {}, f.rows));
    }
  }
  void saw_all_rows() override {
    if (seen_.defined()) nce_->set_counts(seen_);
    seen_.reset();
  }

 private:
  struct Row {
    const Features& x;
    TextRows text;
  };
  struct Chosen {
    at::Tensor columns, fields;       // bool [B, C], [B, F]
    std::vector<uint64_t> keys = {};  // of the rows as ids, where they decide
  };

  /// The features of all fields in one row, table after table. Returns how many there are.
  int64_t place_features() {
    std::map<std::string, int64_t> tables;
    int64_t classes = 0;
    for (const Field& f : features_) {
      const auto [known, fresh] = tables.try_emplace(f.table, classes);
      if (fresh) classes += f.rows;
      first_.push_back(known->second);
    }
    return classes;
  }

  Chosen choose(const Row& row) const {
    const int64_t rows = row.x.rows, columns = int64_t(field_.text_columns.size()), fields = int64_t(features_.size());
    const int64_t of_text = masked_count(columns, o_.mask_ratio), of_ids = masked_count(fields, o_.mask_ratio);
    const auto device = row.x.ids.device();
    if (is_training()) {
      const auto words = draw_fields(rows, columns, of_text);
      return {words.to(device), draw_fields(rows, fields, of_ids).to(device)};
    }
    const auto texts = row_keys(row.text.ids.masked_fill(row.text.columns < 0, -1));
    auto keys = row_keys(row.x.ids);
    return {fixed_fields(texts, columns, of_text).to(device), fixed_fields(keys, fields, of_ids).to(device), keys};
  }

  void recover_tokens(const Row& row, const Chosen& chosen, const at::Tensor& v, Output& out) {
    const auto masked = mask_text(row.text.ids, row.text.columns, chosen.columns, mask_);
    const auto states = text_->states(masked.ids, row.text.lengths);
    const auto at = masked.masked.nonzero();  // [N, 2]
    const auto rows = at.select(1, 0), places = at.select(1, 1);
    const auto h = states.index({rows, places});  // [N, D]
    const auto of = v.defined() ? v.index_select(0, rows) : v;
    const auto tokens = row.text.ids.masked_select(masked.masked);
    const Recovered with = recovered(h, of, tokens);
    out.terms.push_back({.name = "mlm", .value = with.loss, .rows = rows});
    if (is_training()) return;
    tell(out, "mlm_accuracy", with.right, rows);
    if (o_.fusion) tell(out, "mlm_accuracy_alone", recovered(h, {}, tokens).right, rows);
  }

  struct Recovered {
    at::Tensor loss, right;  // f32 [N]
  };
  /// A part at a time: V numbers a token are much.
  Recovered recovered(const at::Tensor& h, const at::Tensor& v, const at::Tensor& tokens) {
    std::vector<at::Tensor> loss{at::zeros({0}, h.options())}, right = loss;
    for (int64_t first = 0; first < h.size(0); first += kTokensAtOnce) {
      const auto part = [&](const at::Tensor& t) { return t.defined() ? t.slice(0, first, first + kTokensAtOnce) : t; };
      const auto logits = tokens_(part(h), part(v));
      loss.push_back(at::cross_entropy_loss(logits, part(tokens), {}, at::Reduction::None));
      if (!is_training()) right.push_back((logits.argmax(1) == part(tokens)).to(at::kFloat));
    }
    return {at::cat(loss), at::cat(right)};
  }

  void recover_features(const Row& row, const Chosen& chosen, const at::Tensor& states, Output& out) {
    const Features& x = row.x;
    Features masked = x;
    masked.ids = mask_ids(x.ids, chosen.fields);
    const auto v = body_->represent(masked);
    const auto at = chosen.fields.logical_and(x.ids != 0).nonzero();  // [N, 2]
    const auto rows = at.select(1, 0), fields = at.select(1, 1);
    const auto ids = x.ids.index({rows, fields}).to(at::kLong);
    const auto first = at::tensor(first_, at::TensorOptions().dtype(at::kLong).device(ids.device()));
    const auto target = first.index_select(0, fields) + ids;
    const auto z = masked_features_(v, states, row.text.lengths).index({rows, fields});  // [N, K]
    out.terms.push_back({.name = "mtm", .value = nce_(z, target, noise(chosen, rows, fields)), .rows = rows});
    if (is_training()) return;
    tell(out, "mtm_accuracy", found(z, fields, ids), rows);
    if (!o_.attention) return;
    const auto alone = masked_features_->forward(v, {}, row.text.lengths).index({rows, fields});
    tell(out, "mtm_accuracy_alone", found(alone, fields, ids), rows);
  }

  at::Tensor noise(const Chosen& chosen, const at::Tensor& rows, const at::Tensor& fields) const {
    if (is_training()) return nce_->draw(rows.size(0));
    const auto numbers = [&](uint64_t seed) {
      return fixed_numbers(chosen.keys, rows, fields, nce_->noise(), seed).to(rows.device());
    };
    return nce_->draw(numbers(1), numbers(2));
  }

  /// Whether the feature is the first among all those of its field: f32 [N].
  at::Tensor found(const at::Tensor& z, const at::Tensor& fields, const at::Tensor& ids) {
    auto out = at::zeros({z.size(0)}, z.options());
    for (const Field& f : features_) {
      const auto those = (fields == f.column).nonzero().squeeze(1);
      const int64_t most = std::max<int64_t>(1, kScoresAtOnce / f.rows);
      for (int64_t i = 0; i < those.size(0); i += most) {
        const auto some = those.slice(0, i, i + most);
        const auto scores = nce_->scores(z.index_select(0, some), first_[size_t(f.column)] + 1, f.rows - 1);
        const auto right = scores.argmax(1) + 1 == ids.index_select(0, some);
        out.index_copy_(0, some, right.to(z.scalar_type()));
      }
    }
    return out;
  }

  static void tell(Output& out, const char* name, const at::Tensor& right, const at::Tensor& rows) {
    out.terms.push_back({.name = name, .value = right, .rows = rows, .scale = 0});
  }

  Options o_;
  Field field_;                  // the text
  std::vector<Field> features_;  // by column
  std::vector<int64_t> first_;   // by column: the class of a field's id 0
  int64_t mask_ = 0;
  std::shared_ptr<Model> backbone_;
  Represents* body_ = nullptr;
  TextTower text_{nullptr};
  MaskedTokenHead tokens_{nullptr};
  MaskedFeatureHead masked_features_{nullptr};
  nn::NoiseContrastive nce_{nullptr};
  nn::ProjectionHead id_head_{nullptr}, text_head_{nullptr};
  at::Tensor seen_;  // i64 [classes], while rows are seen
};

INTERPLAY_REGISTER_MODEL("flip_pretrain", FlipPretrain,
                         "a row's ids and its text, each recovered from the other (FLIP)");

}  // namespace
}  // namespace interplay::flip
