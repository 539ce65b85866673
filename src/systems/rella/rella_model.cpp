// ReLLa (Lin et al. 2024, "ReLLa: Retrieval-enhanced Large Language Models for Lifelong Sequential Behavior
// Comprehension in Recommendation", arXiv:2308.11131): a language model with adapters, asked whether a user will like
// an item.
#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/with_place.h>
#include <interplay/core/model.h>
#include <interplay/lm/decoder.h>
#include <interplay/lm/model_files.h>
#include <interplay/lm/scorer.h>
#include <interplay/lm/tokenizer.h>
#include <interplay/nn/embedding.h>
#include <interplay/systems/adapted_model.h>

namespace interplay {
namespace {

/// Reads the prompts that `interplay lm prompts` makes fields of the data. The logit is s_yes - s_no, the scores that
/// the language model gives the two answers as the next token: its sigmoid is ReLLa's score (section 3.1).
///
/// Trained on every prompt that `trained` names (mixed prompts, ReiT, section 3.3: each row with its recent and with
/// its retrieved history), scored by `scored`. The loss of the answer's token over the whole vocabulary is that of the
/// two answers, which is the binary one of the logit, plus -log(p_yes + p_no), which knows no label and so is a
/// term of its own. The authors learn the full stop behind the answer as well; it is left out, for it says nothing of
/// the row.
///
/// Parameters are the adapters alone (group: adapters). The language model stays outside of the run, which remembers
/// its checksum, and is found by name.
class Rella final : public Model, public nn::HasGroup, public AdaptedModel {
 public:
  struct Options {
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

  Rella(const Schema& schema, const Options& o)
      : decoder_(lm::load_decoder(lm::find_model(o.lm), nn::parse_precision(o.weights))),
        vocabulary_loss_(o.vocabulary_loss),
        checkpointing_(o.checkpointing),
        tokens_at_once_(o.tokens_at_once) {
    for (const auto& name : o.trained) trained_.push_back({name, column(schema, name)});
    scored_ = column(schema, o.scored);
    const auto tokenizer = lm::Tokenizer::load(lm::find_model(o.lm));
    for (const auto& answer : o.answers) {
      const auto ids = tokenizer->encode(answer);
      INTERPLAY_CHECK(ids.size() == 1, "model.answers: '{}' is {} tokens of {}; expected one, as Yes", answer,
                      ids.size(), o.lm);
      answers_.push_back(ids[0]);
    }
    // From the generator that first weights are drawn with.
    decoder_->adapt(o.adapter, uint64_t(at::randint(int64_t{1} << 62, {1}, at::kLong).item<int64_t>()));
    for (const auto& p : decoder_->named_parameters()) {
      std::string name = p.key();
      std::replace(name.begin(), name.end(), '.', '/');  // torch's names of parameters have no dots
      register_parameter(name, p.value());
    }
    checksum_ = int64_t(std::stoull(decoder_->checksum(), nullptr, 16));
    lm_checksum_ = register_buffer("lm_checksum", at::tensor({checksum_}));
  }

  std::string parameter_group() const override { return "adapters"; }
  void save_adapters(const std::filesystem::path& file) const override { decoder_->save_adapters(file); }

  Output forward(const Features& x) override {
    INTERPLAY_CHECK_DATA(
        lm_checksum_.item<int64_t>() == checksum_,
        "model.lm: the adapters of this run are of another language model (checksum {:016x}, this one has "
        "{:016x}); put the one it was trained with in place",
        uint64_t(lm_checksum_.item<int64_t>()), uint64_t(checksum_));
    decoder_->train(is_training());
    if (!is_training()) {
      Output out(at::GradMode::is_enabled() ? learn(x, scored_).logit : score(x, scored_));
      out.tokens = tokens(x, scored_);
      return out;
    }
    Output out;
    std::vector<Term> others;
    for (const auto& prompt : trained_) {
      Learnt learnt = learn(x, prompt.column);
      if (out.logit.defined()) {
        out.terms.push_back({.name = prompt.name, .logit = learnt.logit});
      } else {
        out.logit = learnt.logit;
      }
      if (learnt.others.defined()) others.push_back({.name = prompt.name + "_vocabulary", .value = learnt.others});
      out.tokens += tokens(x, prompt.column);
    }
    out.terms.insert(out.terms.end(), others.begin(), others.end());
    return out;
  }

 private:
  struct Prompt {
    std::string name;
    int64_t column;
  };

  int64_t column(const Schema& schema, const std::string& name) const {
    const Field& field = with_place("rella reads prompts, which `interplay lm prompts` makes",
                                    [&]() -> const Field& { return schema.field(name); });
    INTERPLAY_CHECK(field.kind == FieldKind::text,
                    "rella: field '{}' is {}; expected text, as the prompts that `interplay lm prompts` makes", name,
                    to_string(field.kind));
    INTERPLAY_CHECK(field.rows == decoder_->config().vocabulary,
                    "rella: the prompts '{}' are made of {} tokens, the language model has {}; make them for it "
                    "(`interplay lm prompts --model`)",
                    name, field.rows, decoder_->config().vocabulary);
    return field.column;
  }

  /// Logits of one prompt of each row, f32 [B].
  at::Tensor score(const Features& x, int64_t column) const {
    lm::DecoderScorer scorer(decoder_);
    const auto scores = scorer.answers(texts(x, column), answers_, {.batch_tokens = tokens_at_once_});  // [B, 2]
    return scores.select(1, 0) - scores.select(1, 1);
  }

  struct Learnt {
    at::Tensor logit;   // f32 [B]
    at::Tensor others;  // f32 [B]: what the vocabulary's other tokens cost; undefined where they do not compete
  };

  /// The same with gradients.
  Learnt learn(const Features& x, int64_t column) {
    const auto prompts = texts(x, column);
    const auto tokens = at::tensor(answers_);
    std::vector<at::Tensor> logits, others;
    for (size_t first = 0, last = 0; first < prompts.size(); first = last) {
      std::vector<lm::TokenIds> some;
      for (int64_t read = 0; last < prompts.size(); ++last) {
        read += int64_t(prompts[last].size());
        if (last > first && read > tokens_at_once_) break;
        some.push_back(prompts[last]);
      }
      const auto batch = lm::TokenBatch::of(some);
      const auto hidden = decoder_->forward(
          batch, {.checkpoint = checkpointing_ && at::GradMode::is_enabled(), .rows = batch.last_rows()});
      const auto scores = decoder_->logits(hidden, tokens);  // [rows, 2]
      logits.push_back(scores.select(1, 0) - scores.select(1, 1));
      if (vocabulary_loss_ && is_training())
        others.push_back(at::logsumexp(decoder_->logits(hidden), 1) - at::logsumexp(scores, 1));
    }
    return {logits.empty() ? at::zeros({0}) : at::cat(logits), others.empty() ? at::Tensor() : at::cat(others)};
  }

  static int64_t tokens(const Features& x, int64_t column) { return x.tokens[size_t(column)].ids.numel(); }

  static std::vector<lm::TokenIds> texts(const Features& x, int64_t column) {
    const Tokens& prompts = x.tokens[size_t(column)];
    const at::Tensor ids = prompts.ids.to(at::kLong).contiguous(), ends = prompts.offsets.contiguous();
    const auto* const token = ids.const_data_ptr<int64_t>();
    const auto* const offset = ends.const_data_ptr<int64_t>();
    std::vector<lm::TokenIds> out;
    for (int64_t b = 0; b < x.rows; ++b) out.emplace_back(token + offset[b], token + offset[b + 1]);
    return out;
  }

  lm::Decoder decoder_;  // not a submodule: its weights are no part of the run
  bool vocabulary_loss_, checkpointing_;
  int64_t tokens_at_once_, scored_ = 0, checksum_ = 0;
  std::vector<Prompt> trained_;
  lm::TokenIds answers_;    // two
  at::Tensor lm_checksum_;  // i64 [1]
};

INTERPLAY_REGISTER_MODEL("rella", Rella, "a language model with adapters reads prompts (ReLLa)");

}  // namespace

AdaptedModel::~AdaptedModel() = default;

}  // namespace interplay
