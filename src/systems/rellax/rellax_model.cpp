// ReLLaX (Lin et al. 2025, "ReLLaX: Full-Stack Optimized Large Language Models for Lifelong Sequential Behavior
// Comprehension in Recommendation", arXiv:2501.13344): ReLLa's language model, told what a CTR model knows of the row.
#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/with_place.h>
#include <interplay/core/field_embedding.h>
#include <interplay/core/frozen_run.h>
#include <interplay/core/represents.h>
#include <interplay/nn/embedding.h>
#include <interplay/systems/adapted_model.h>

#include "systems/rella/answer_reader.h"
#include "systems/rellax/core_gates.h"
#include "systems/rellax/item_projection.h"

namespace interplay {
namespace {

/// Reads the same prompts as `rella`, and knows of a CTR run, which is fixed, in one or both of two ways:
///
/// - soft prompts (mode spa): behind each event and behind the target stands a vector, the item's in the CTR model
///   through Linear, GELU, Linear. The places are markers in the prompt's tokens (`{vector}` in the prompt's texts);
/// - cores (mode cflora): between A and B of each adapter lies a matrix G that is made of the CTR model's hidden state
///   of the row (CoreGates), shared by all of its tokens.
///
/// mode full has both, mode lora neither: it is `rella`. Adapters are those of a run of `rella` (--init RUN) and fixed,
/// but in mode lora or with train_adapters.
///
/// With mix_history the CTR model reads the events that the prompt's are of (the sequence PROMPT_items and those paired
/// with it) in place of each of its own histories, so that a row's two prompts come with two states.
class Rellax final : public Model, public nn::HasGroup, public AdaptedModel {
 public:
  struct Options : AnswerOptions {
    std::string mode = "full", item;
    RunOption ctr;
    CoreOptions core;
    bool mix_history = true, train_adapters = false;
    void visit(auto&& field) {
      field("mode", mode,
            "what the language model is given of the CTR model: lora: nothing; spa: vectors of items in the prompt; "
            "cflora: cores of the adapters; full: both",
            OneOf{{"lora", "spa", "cflora", "full"}});
      field("ctr", ctr,
            "a finished run of a CTR model that has a hidden state, on the same data; nothing of it changes");
      field("item", item, "field of the row's own item; by default what the CTR model's histories are of");
      field("mix_history", mix_history,
            "the CTR model's histories are the events that the prompt is made of; false: the row's own");
      field("train_adapters", train_adapters,
            "adapters learn on, beside what the mode adds; in mode lora they always do");
      core.visit(field);
      AnswerOptions::visit(field);
    }
    bool has_vectors() const { return mode == "spa" || mode == "full"; }
    bool has_cores() const { return mode == "cflora" || mode == "full"; }
    bool fixes_adapters() const { return mode != "lora" && !train_adapters; }
    void check(const Config& config) const {
      AnswerOptions::check(config);
      if (mode != "lora" && !ctr.given())
        config["ctr"].fail(fmt::format("missing; mode {} reads a CTR run, as `ctr: runs/din`", mode));
      if (mode == "cflora" && core.core == "identity" && !train_adapters)
        config["core"].fail(
            "identity: such cores leave nothing to learn; expected diag, block or full, or train_adapters: true");
    }
  };

  Rellax(const Schema& schema, const Options& o) : reader_(*this, "rellax", schema, o), o_(o) {
    if (o.fixes_adapters()) {
      for (auto& p : reader_.decoder()->parameters()) p.set_requires_grad(false);
    }
    if (o.mode == "lora") return;
    ctr_ = with_place("model.ctr", [&] { return FrozenRun(o.ctr, schema); });
    body_ = dynamic_cast<Represents*>(&ctr_.model());
    INTERPLAY_CHECK(body_, "model.ctr: {}: its model has no hidden state of a row; take another, as din",
                    o.ctr.path().string());
    ctr_checksum_ = register_buffer("ctr_checksum", at::tensor({int64_t(ctr_.checksum())}));
    if (o.mix_history) {
      for (const auto& prompt : reader_.trained()) find_events(schema, prompt.name);
      find_events(schema, reader_.scored().name);
    }
    if (o.has_vectors()) add_vectors(schema);
    if (o.has_cores() && o.core.core != "identity") {
      gates_ =
          register_module("gates", CoreGates(projections(), body_->representation_width(), o.adapter.rank, o.core));
    }
  }

  std::string parameter_group() const override { return "adapters"; }
  void save_adapters(const std::filesystem::path& file) const override {
    INTERPLAY_CHECK(o_.mode == "lora",
                    "a run of rellax in mode {} is more than its adapters; only those of mode lora are of use alone",
                    o_.mode);
    reader_.decoder()->save_adapters(file);
  }

  Output forward(const Features& x) override {
    if (ctr_checksum_.defined()) {
      INTERPLAY_CHECK_DATA(ctr_checksum_.item<int64_t>() == int64_t(ctr_.checksum()),
                           "model.ctr: {}: its weights are not those that this run was trained with (checksum {:016x}, "
                           "expected {:016x})",
                           o_.ctr.path().string(), ctr_.checksum(), uint64_t(ctr_checksum_.item<int64_t>()));
    }
    if (is_training()) check_adapters();
    return reader_.answer(is_training(), [&](const AnswerReader::Prompt& prompt) { return tell(x, prompt); });
  }

 private:
  /// A sequence of the CTR run, and the one of the rows that takes its place.
  struct Replaced {
    int64_t column, by;
  };

  AnswerReader::Told tell(const Features& x, const AnswerReader::Prompt& prompt) {
    auto texts = AnswerReader::tokens(x, prompt);
    lm::AdapterCall adapters;
    if (gates_) adapters = gates_(state(x, prompt.name));
    at::Tensor vectors;
    if (!to_vectors_) {
      texts = AnswerReader::without_markers(std::move(texts), reader_.vocabulary());
    } else {
      vectors = item_vectors(x, prompt.name, texts);
    }
    lm::Conditions conditions(texts, vectors, std::move(adapters));
    return {std::move(texts), std::move(conditions)};
  }

  /// What the CTR model makes of the rows: f32 [B, H].
  at::Tensor state(const Features& x, const std::string& prompt) {
    const at::NoGradGuard no_grad;
    Features of = ctr_.features(x);
    const auto replaced = events_.find(prompt);
    if (replaced != events_.end()) {
      for (const auto& [column, by] : replaced->second) of.sequences[size_t(column)] = x.sequences[size_t(by)];
    }
    return body_->represent(of);
  }

  /// Markers in texts become places of vectors; those, in order: f32 [M, D].
  at::Tensor item_vectors(const Features& x, const std::string& prompt, std::vector<lm::TokenIds>& texts) {
    const Sequence& told = x.sequences[size_t(items_.at(prompt))];
    const auto ids = told.ids.contiguous(), offsets = told.offsets.contiguous(),
               own = x.ids.select(1, item_column_).contiguous();
    const auto* const id = ids.const_data_ptr<int32_t>();
    const auto* const offset = offsets.const_data_ptr<int64_t>();
    std::vector<int32_t> items;
    for (size_t b = 0; b < texts.size(); ++b) {
      const int64_t events = offset[b + 1] - offset[b];
      int64_t targets = 0;
      for (auto& token : texts[b]) {
        const int64_t marker = token - reader_.vocabulary();  // 0: the target; n: the n-th event
        if (marker < 0) continue;
        INTERPLAY_CHECK_DATA(marker <= events,
                             "prompt '{}' of row {} has a vector for event {}, but {} has {}; make the prompts again "
                             "(`interplay lm prompts --vectors`)",
                             prompt, b, marker, prompt + "_items", events);
        targets += marker == 0;
        items.push_back(marker == 0 ? own.const_data_ptr<int32_t>()[b] : id[offset[b] + marker - 1]);
        token = lm::TokenBatch::kVector;
      }
      INTERPLAY_CHECK_DATA(targets == 1,
                           "prompt '{}' of row {} has {} vectors of the row's own item; expected one: write {{vector}} "
                           "once into prompt.user and make the prompts again (`interplay lm prompts --vectors`)",
                           prompt, b, targets);
    }
    at::Tensor known;
    {
      const at::NoGradGuard no_grad;
      known = embedding_->rows(item_, at::tensor(items, at::kInt));
    }
    return to_vectors_->forward(known);
  }

  void add_vectors(const Schema& schema) {
    item_ = o_.item;
    if (item_.empty()) {
      const auto histories = histories_of(ctr_.schema());
      INTERPLAY_CHECK(
          !histories.empty(),
          "model.item: missing; which field is the row's own item? The CTR run has no history that says so");
      item_ = histories.front().target;
    }
    const Field& item = with_place("model.item", [&]() -> const Field& { return ctr_.schema().field(item_); });
    INTERPLAY_CHECK(item.kind == FieldKind::categorical, "model.item: '{}' is {}; expected a categorical field", item_,
                    to_string(item.kind));
    item_column_ = schema.field(item_).column;
    for (const auto& module : ctr_.model().modules()) {
      auto* const fields = dynamic_cast<FieldEmbeddingImpl*>(module.get());
      if (!fields || std::find(fields->names().begin(), fields->names().end(), item_) == fields->names().end())
        continue;
      embedding_ = fields;
      break;
    }
    INTERPLAY_CHECK(embedding_, "model.ctr: {}: no part of its model embeds '{}'", o_.ctr.path().string(), item_);
    auto prompts = reader_.trained();
    prompts.push_back(reader_.scored());
    for (const auto& prompt : prompts) items_[prompt.name] = items_of(schema, prompt.name).column;
    const int64_t width = reader_.decoder()->config().width;
    to_vectors_ = register_module("vectors", ItemProjection(embedding_->width(), width));
  }

  const Field& items_of(const Schema& schema, const std::string& prompt) const {
    const Field* const items = schema.find(prompt + "_items");
    INTERPLAY_CHECK(items && items->kind == FieldKind::sequence,
                    "rellax: the prompts '{}' come without the items that they tell of (a sequence '{}_items'); make "
                    "them with `interplay lm prompts --vectors`, and leave these fields in",
                    prompt, prompt);
    return *items;
  }

  /// For each history of the CTR run the prompt's events, column by column.
  void find_events(const Schema& schema, const std::string& prompt) {
    auto& replaced = events_[prompt];
    const auto histories = histories_of(ctr_.schema());
    if (histories.empty() || !replaced.empty()) return;
    const Field& items = items_of(schema, prompt);
    for (const auto& history : histories) {
      for (const auto& name : history.sequences) {
        const Field& own = ctr_.schema().field(name);
        const Field* by = nullptr;
        for (const Field* f : schema.of(FieldKind::sequence)) {
          if ((f == &items || f->paired_with == items.name) && f->table == own.table) by = f;
        }
        INTERPLAY_CHECK(by,
                        "model.mix_history: no sequence that is paired with '{}' has the table '{}' of the CTR run's "
                        "'{}'; make the prompts of a history with the same columns, or say mix_history: false",
                        items.name, own.table, name);
        replaced.push_back({own.column, by->column});
      }
    }
  }

  std::vector<std::string> projections() const {
    std::vector<std::string> out;
    for (const auto& [name, weight] : reader_.decoder()->adapter_weights()) {
      constexpr std::string_view kBefore = "base_model.model.model.", kAfter = ".lora_A.weight";
      if (name.starts_with(kBefore) && name.ends_with(kAfter))
        out.push_back(name.substr(kBefore.size(), name.size() - kBefore.size() - kAfter.size()));
    }
    return out;
  }

  /// Fixed adapters that add nothing give a core nothing to change.
  void check_adapters() {
    if (checked_ || !gates_ || !o_.fixes_adapters()) return;
    checked_ = true;
    for (const auto& [name, weight] : reader_.decoder()->adapter_weights()) {
      if (name.find("lora_B") != std::string::npos && weight.abs().max().item<float>() > 0) return;
    }
    throw Error(
        fmt::format("rellax: mode {} changes what fixed adapters add, and they add nothing yet; begin with a run "
                    "of rella (`--init RUN`), or say model.train_adapters: true",
                    o_.mode));
  }

  AnswerReader reader_;
  Options o_;
  FrozenRun ctr_;
  Represents* body_ = nullptr;
  FieldEmbeddingImpl* embedding_ = nullptr;  // of the CTR model
  at::Tensor ctr_checksum_;                  // i64 [1]
  std::string item_;
  int64_t item_column_ = 0;
  std::map<std::string, int64_t> items_;                 // by prompt: column of the sequence of its items
  std::map<std::string, std::vector<Replaced>> events_;  // by prompt
  ItemProjection to_vectors_{nullptr};
  CoreGates gates_{nullptr};
  bool checked_ = false;
};

INTERPLAY_REGISTER_MODEL("rellax", Rellax,
                         "a language model with adapters reads prompts and what a CTR model knows (ReLLaX)");

}  // namespace
}  // namespace interplay
