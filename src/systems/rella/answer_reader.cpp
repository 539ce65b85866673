#include "systems/rella/answer_reader.h"

#include <algorithm>
#include <numeric>

#include <ATen/ATen.h>

#include <interplay/base/with_place.h>
#include <interplay/lm/model_files.h>
#include <interplay/lm/scorer.h>
#include <interplay/lm/tokenizer.h>

namespace interplay {

AnswerReader::AnswerReader(Model& owner, const std::string& model, const Schema& schema, const AnswerOptions& o)
    : model_(model),
      decoder_(lm::load_decoder(lm::find_model(o.lm), nn::parse_precision(o.weights))),
      vocabulary_loss_(o.vocabulary_loss),
      checkpointing_(o.checkpointing),
      tokens_at_once_(o.tokens_at_once),
      checksum_(int64_t(std::stoull(decoder_->checksum(), nullptr, 16))) {
  for (const auto& name : o.trained) trained_.push_back(prompt(schema, name));
  scored_ = prompt(schema, o.scored);
  const auto tokenizer = lm::Tokenizer::load(lm::find_model(o.lm));
  for (const auto& answer : o.answers) {
    const auto ids = tokenizer->encode(answer);
    INTERPLAY_CHECK(ids.size() == 1, "model.answers: '{}' is {} tokens of {}; expected one, as Yes", answer, ids.size(),
                    o.lm);
    answers_.push_back(ids[0]);
  }
  decoder_->adapt(o.adapter, uint64_t(at::randint(int64_t{1} << 62, {1}, at::kLong).item<int64_t>()));
  for (const auto& p : decoder_->named_parameters()) {
    std::string name = p.key();
    std::replace(name.begin(), name.end(), '.', '/');  // torch's names of parameters have no dots
    owner.register_parameter(name, p.value());
  }
  lm_checksum_ = owner.register_buffer("lm_checksum", at::tensor({checksum_}));
}

AnswerReader::Prompt AnswerReader::prompt(const Schema& schema, const std::string& name) const {
  const Field& field = with_place(fmt::format("{} reads prompts, which `interplay lm prompts` makes", model_),
                                  [&]() -> const Field& { return schema.field(name); });
  INTERPLAY_CHECK(field.kind == FieldKind::text,
                  "{}: field '{}' is {}; expected text, as the prompts that `interplay lm prompts` makes", model_, name,
                  to_string(field.kind));
  const int64_t tokens = field.rows - field.dimension;
  INTERPLAY_CHECK(tokens == vocabulary(),
                  "{}: the prompts '{}' are made of {} tokens, the language model has {}; make them for it "
                  "(`interplay lm prompts --model`)",
                  model_, name, tokens, vocabulary());
  return {name, field.column};
}

std::vector<lm::TokenIds> AnswerReader::tokens(const Features& x, const Prompt& prompt) {
  const Tokens& prompts = x.tokens[size_t(prompt.column)];
  const at::Tensor ids = prompts.ids.to(at::kLong).contiguous(), ends = prompts.offsets.contiguous();
  const auto* const token = ids.const_data_ptr<int64_t>();
  const auto* const offset = ends.const_data_ptr<int64_t>();
  std::vector<lm::TokenIds> out;
  for (int64_t b = 0; b < x.rows; ++b) out.emplace_back(token + offset[b], token + offset[b + 1]);
  return out;
}

std::vector<lm::TokenIds> AnswerReader::without_markers(std::vector<lm::TokenIds> texts, int64_t vocabulary) {
  for (auto& text : texts) std::erase_if(text, [&](int64_t id) { return id >= vocabulary; });
  return texts;
}

Output AnswerReader::answer(bool training, const Tell& tell) {
  INTERPLAY_CHECK_DATA(lm_checksum_.item<int64_t>() == checksum_,
                       "model.lm: the adapters of this run are of another language model (checksum {:016x}, this one "
                       "has {:016x}); put the one it was trained with in place",
                       uint64_t(lm_checksum_.item<int64_t>()), uint64_t(checksum_));
  decoder_->train(training);
  const auto count = [](const Told& told) {
    return std::accumulate(told.tokens.begin(), told.tokens.end(), int64_t{0},
                           [](int64_t sum, const auto& text) { return sum + int64_t(text.size()); });
  };
  if (!training) {
    const Told told = tell(scored_);
    Output out(at::GradMode::is_enabled() ? learn(told, false).logit : score(told));
    out.tokens = count(told);
    return out;
  }
  Output out;
  std::vector<Term> others;
  for (const auto& prompt : trained_) {
    const Told told = tell(prompt);
    Learnt learnt = learn(told, true);
    if (out.logit.defined()) {
      out.terms.push_back({.name = prompt.name, .logit = learnt.logit});
    } else {
      out.logit = learnt.logit;
    }
    if (learnt.others.defined()) others.push_back({.name = prompt.name + "_vocabulary", .value = learnt.others});
    out.tokens += count(told);
  }
  out.terms.insert(out.terms.end(), others.begin(), others.end());
  return out;
}

at::Tensor AnswerReader::score(const Told& told) const {
  lm::DecoderScorer scorer(decoder_);
  const auto scores =
      scorer.answers(told.tokens, answers_, told.conditions, {.batch_tokens = tokens_at_once_});  // [B, 2]
  return scores.select(1, 0) - scores.select(1, 1);
}

AnswerReader::Learnt AnswerReader::learn(const Told& told, bool training) const {
  const auto& prompts = told.tokens;
  const auto tokens = at::tensor(answers_);
  std::vector<at::Tensor> logits, others;
  lm::Decoder decoder = decoder_;
  for (size_t first = 0, last = 0; first < prompts.size(); first = last) {
    std::vector<lm::TokenIds> some;
    std::vector<int64_t> which;
    for (int64_t read = 0; last < prompts.size(); ++last) {
      read += int64_t(prompts[last].size());
      if (last > first && read > tokens_at_once_) break;
      some.push_back(prompts[last]);
      which.push_back(int64_t(last));
    }
    const auto batch = decoder->batch(some, told.conditions.vectors(which));
    const auto adapters = told.conditions.adapters(which);
    lm::DecoderCall call;
    call.checkpoint = checkpointing_ && at::GradMode::is_enabled();
    call.rows = batch.last_rows();
    if (!adapters.mixes.empty()) call.adapters = &adapters;
    const auto hidden = decoder->forward(batch, call);
    const auto scores = decoder->logits(hidden, tokens);  // [rows, 2]
    logits.push_back(scores.select(1, 0) - scores.select(1, 1));
    if (vocabulary_loss_ && training)
      others.push_back(at::logsumexp(decoder->logits(hidden), 1) - at::logsumexp(scores, 1));
  }
  return {logits.empty() ? at::zeros({0}) : at::cat(logits), others.empty() ? at::Tensor() : at::cat(others)};
}

}  // namespace interplay
