#pragma once

#include <functional>
#include <string>
#include <vector>

#include <interplay/core/model.h>
#include <interplay/lm/conditions.h>
#include <interplay/lm/decoder.h>

namespace interplay {

/// What every model is told that asks a language model about prompts.
struct AnswerOptions {
  std::string lm = "smollm2-135m", scored = "prompt_retrieved", weights = "auto";
  std::vector<std::string> trained = {"prompt_recent", "prompt_retrieved"}, answers = {"Yes", "No"};
  bool vocabulary_loss = true, checkpointing = false;
  int64_t tokens_at_once = 8192;
  lm::AdapterOptions adapter;
  void visit(auto&& field) {
    field("lm", lm, "language model: a fetched name or a path");
    field("trained", trained, "fields with the prompts that it learns from, all of them alike");
    field("scored", scored, "field with the prompt that rows are scored by");
    field("answers", answers, "tokens that it may answer: what means a like, then what means a dislike");
    field("vocabulary_loss", vocabulary_loss,
          "the right answer competes with all tokens, not with the other answer alone");
    field("weights", weights, "of the language model; auto = bf16 where the processor multiplies it itself",
          OneOf{{"auto", "fp32", "bf16"}});
    field("checkpointing", checkpointing, "run layers again for their gradients: less memory, more time");
    field("tokens_at_once", tokens_at_once, "of the prompts that are read together", Range{1, 1e9});
    adapter.visit(field);
  }
  void check(const Config& config) const {
    if (answers.size() != 2 || answers[0] == answers[1])
      config["answers"].fail(fmt::format("[{}]: expected two answers that differ", fmt::join(answers, ", ")));
    if (trained.empty()) config["trained"].fail("names no prompt; name one or more");
  }
};

/// A language model with adapters, and how it answers prompts: the logit is s_yes - s_no, the scores that it gives the
/// two answers as the next token, whose sigmoid is ReLLa's score (section 3.1).
///
/// The loss of the answer's token over the whole vocabulary is that of the two answers, which is the binary one of the
/// logit, plus -log(p_yes + p_no), which knows no label and so is a term of its own. The authors learn the full stop
/// behind the answer as well; it is left out, for it says nothing of the row.
///
/// The language model stays outside of the run, which remembers its checksum, and is found by name. Adapters are
/// parameters of the model that owns this, under the names that they have in the decoder, with `/` for `.`.
/// Thread safety: as that of Model::forward().
class AnswerReader {
 public:
  /// A prompt of each row: which field of text has its tokens.
  struct Prompt {
    std::string name;
    int64_t column = 0;
  };
  /// What is read of a prompt of some rows.
  struct Told {
    std::vector<lm::TokenIds> tokens;
    lm::Conditions conditions = {};
  };
  using Tell = std::function<Told(const Prompt& prompt)>;

  /// Draws adapters from the generator that first weights are drawn with. Throws Error unless the prompts are fields
  /// of text, made of this language model's tokens, and each answer is a token. `model`: whose options these are.
  AnswerReader(Model& owner, const std::string& model, const Schema& schema, const AnswerOptions& options);

  /// The logit of each row, by what `tell` says of a prompt: of all that are learnt from while `training`, further ones
  /// as terms; else of the one that rows are scored by. Throws Error(data) where the run's adapters are of another
  /// language model.
  Output answer(bool training, const Tell& tell);

  /// A prompt of each row as the data hold it. Ids of vocabulary() and beyond stand for vectors (rella_field.cpp).
  static std::vector<lm::TokenIds> tokens(const Features& x, const Prompt& prompt);
  static std::vector<lm::TokenIds> without_markers(std::vector<lm::TokenIds> texts, int64_t vocabulary);
  int64_t vocabulary() const { return decoder_->config().vocabulary; }
  lm::Decoder decoder() const { return decoder_; }
  const std::vector<Prompt>& trained() const { return trained_; }
  const Prompt& scored() const { return scored_; }

 private:
  struct Learnt {
    at::Tensor logit;   // f32 [B]
    at::Tensor others;  // f32 [B]: what the vocabulary's other tokens cost; undefined where they do not compete
  };
  Prompt prompt(const Schema& schema, const std::string& name) const;
  at::Tensor score(const Told& told) const;             // f32 [B]
  Learnt learn(const Told& told, bool training) const;  // the same with gradients

  std::string model_;
  lm::Decoder decoder_;  // not a submodule: its weights are no part of the run
  bool vocabulary_loss_, checkpointing_;
  int64_t tokens_at_once_, checksum_;
  std::vector<Prompt> trained_;
  Prompt scored_;
  lm::TokenIds answers_;    // two
  at::Tensor lm_checksum_;  // i64 [1], a buffer of the owner
};

}  // namespace interplay
