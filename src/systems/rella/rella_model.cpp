// ReLLa (Lin et al. 2024, "ReLLa: Retrieval-enhanced Large Language Models for Lifelong Sequential Behavior
// Comprehension in Recommendation", arXiv:2308.11131): a language model with adapters, asked whether a user will like
// an item.
#include <interplay/core/model.h>
#include <interplay/nn/embedding.h>
#include <interplay/systems/adapted_model.h>

#include "systems/rella/answer_reader.h"

namespace interplay {
namespace {

/// Reads the prompts that `interplay lm prompts` makes fields of the data. Trained on every prompt that `trained` names
/// (mixed prompts, ReiT, section 3.3: each row with its recent and with its retrieved history), scored by `scored`.
/// Places of vectors (ReLLaX) are left out.
///
/// Parameters are the adapters alone (group: adapters).
class Rella final : public Model, public nn::HasGroup, public AdaptedModel {
 public:
  using Options = AnswerOptions;

  Rella(const Schema& schema, const Options& o) : reader_(*this, "rella", schema, o) {}

  std::string parameter_group() const override { return "adapters"; }
  void save_adapters(const std::filesystem::path& file) const override { reader_.decoder()->save_adapters(file); }

  Output forward(const Features& x) override {
    return reader_.answer(is_training(), [&](const AnswerReader::Prompt& prompt) -> AnswerReader::Told {
      return {AnswerReader::without_markers(AnswerReader::tokens(x, prompt), reader_.vocabulary())};
    });
  }

 private:
  AnswerReader reader_;
};

INTERPLAY_REGISTER_MODEL("rella", Rella, "a language model with adapters reads prompts (ReLLa)");

}  // namespace

AdaptedModel::~AdaptedModel() = default;

}  // namespace interplay
