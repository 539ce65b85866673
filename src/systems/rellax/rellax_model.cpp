// ReLLaX (Lin et al. 2025, "ReLLaX: Full-Stack Optimized Large Language Models for Lifelong Sequential Behavior
// Comprehension in Recommendation", arXiv:2501.13344): ReLLa's language model, told what a CTR model knows of the row.
#include <algorithm>
#include <optional>

#include <ATen/ATen.h>

#include <interplay/core/model.h>
#include <interplay/nn/embedding.h>
#include <interplay/systems/adapted_model.h>

#include "systems/rella/answer_reader.h"
#include "systems/rellax/core_gates.h"
#include "systems/rellax/ctr_knowledge.h"
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
    std::string mode = "full";
    CtrOptions told;
    CoreOptions core;
    bool train_adapters = false;
    void visit(auto&& field) {
      field("mode", mode,
            "what the language model is given of the CTR model: lora: nothing; spa: vectors of items in the prompt; "
            "cflora: cores of the adapters; full: both",
            OneOf{{"lora", "spa", "cflora", "full"}});
      told.visit(field);
      field("train_adapters", train_adapters,
            "adapters learn on, beside what the mode adds; in mode lora they always do");
      core.visit(field);
      AnswerOptions::visit(field);
    }
    bool has_vectors() const { return mode == "spa" || mode == "full"; }
    bool has_cores() const { return (mode == "cflora" || mode == "full") && core.core != "identity"; }
    bool fixes_adapters() const { return mode != "lora" && !train_adapters; }
    void check(const Config& config) const {
      AnswerOptions::check(config);
      if (mode != "lora" && !told.ctr.given())
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
    ctr_.emplace(*this, o.told, schema);
    auto prompts = reader_.trained();
    prompts.push_back(reader_.scored());
    for (const auto& prompt : prompts) {
      if (o.told.mix_history) ctr_->read_events_of(schema, prompt.name);
      if (o.has_vectors()) events_[prompt.name] = CtrKnowledge::events_of(schema, prompt.name).column;
    }
    if (o.has_vectors()) {
      ctr_->find_vectors(schema);
      to_vectors_ = register_module("vectors", ItemProjection(ctr_->vector_width(), reader_.decoder()->config().width));
    }
    if (o.has_cores())
      gates_ = register_module("gates",
                               CoreGates(reader_.decoder()->adapted(), ctr_->state_width(), o.adapter.rank, o.core));
  }

  std::string parameter_group() const override { return "adapters"; }
  void save_adapters(const std::filesystem::path& file) const override {
    INTERPLAY_CHECK(o_.mode == "lora",
                    "a run of rellax in mode {} is more than its adapters; only those of mode lora are of use alone",
                    o_.mode);
    reader_.decoder()->save_adapters(file);
  }

  Output forward(const Features& x) override {
    if (ctr_) ctr_->check();
    if (is_training()) check_adapters();
    return reader_.answer(is_training(), [&](const AnswerReader::Prompt& prompt) { return tell(x, prompt); });
  }

 private:
  AnswerReader::Told tell(const Features& x, const AnswerReader::Prompt& prompt) {
    auto texts = AnswerReader::tokens(x, prompt);
    lm::AdapterCall adapters;
    if (gates_) adapters = gates_(ctr_->state(x, prompt.name));
    at::Tensor vectors;
    if (to_vectors_) {
      vectors = to_vectors_(item_vectors(x, prompt.name, texts));
    } else {
      texts = AnswerReader::without_markers(std::move(texts), reader_.vocabulary());
    }
    lm::Conditions conditions(texts, vectors, std::move(adapters));
    return {std::move(texts), std::move(conditions)};
  }

  /// Markers in texts become places of vectors; those that stand there, in order: f32 [M, d].
  at::Tensor item_vectors(const Features& x, const std::string& prompt, std::vector<lm::TokenIds>& texts) const {
    const Sequence& told = x.sequences[size_t(events_.at(prompt))];
    const auto ids = told.ids.contiguous(), offsets = told.offsets.contiguous(), own = ctr_->own_items(x);
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
    return ctr_->item_vectors(at::tensor(items, at::kInt));
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
  std::optional<CtrKnowledge> ctr_;
  std::map<std::string, int64_t> events_;  // by prompt: column of the sequence of its items
  ItemProjection to_vectors_{nullptr};
  CoreGates gates_{nullptr};
  bool checked_ = false;
};

INTERPLAY_REGISTER_MODEL("rellax", Rellax,
                         "a language model with adapters reads prompts and what a CTR model knows (ReLLaX)");

}  // namespace
}  // namespace interplay
