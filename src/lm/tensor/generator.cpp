#include <interplay/lm/generator.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/base/random.h>
#include <interplay/base/tasks.h>
#include <interplay/lm/scorer.h>

#include "lm/tensor/sampling.h"

namespace interplay::lm {
namespace {

/// What all draws of a prompt depend on.
uint64_t stream_of(const LmPrompt& prompt) {
  const std::string_view bytes(reinterpret_cast<const char*>(prompt.ids.data()), prompt.ids.size() * sizeof(int64_t));
  return hash64(bytes, prompt.draw);
}

double unit_of(const GenerateOptions& options, const LmPrompt& prompt, size_t place) {
  return options.temperature > 0 ? random_unit(options.seed, stream_of(prompt), place) : 0;
}

/// Bytes that are not UTF-8, as an answer that was cut within a character ends in, become U+FFFD.
std::string valid_text(std::string_view bytes) {
  std::string out;
  while (const auto valid = valid_utf8_before(bytes)) {
    out.append(bytes.substr(0, *valid)).append("\xef\xbf\xbd");
    bytes.remove_prefix(*valid + 1);
    while (!bytes.empty() && (uint8_t(bytes[0]) & 0xc0) == 0x80) bytes.remove_prefix(1);  // the rest of it
  }
  return out.append(bytes);
}

/// Where the first stop text begins in `text`, of which what lies before `from` was searched already.
std::optional<size_t> find_stop(std::string_view text, size_t from, const std::vector<std::string>& stops) {
  std::optional<size_t> found;
  for (const auto& stop : stops) {
    const size_t at = text.find(stop, from - std::min(from, stop.size() - 1));
    if (at != text.npos && (!found || at < *found)) found = at;
  }
  return found;
}

/// The answers that are being written, and their way through the model.
class Writing {
 public:
  Writing(Decoder decoder, const Tokenizer& tokenizer, std::span<const LmPrompt> prompts,
          const GenerateOptions& options)
      : decoder_(std::move(decoder)), tokenizer_(tokenizer), prompts_(prompts), options_(options) {
    for (const char* name : {"<|im_end|>", "<|endoftext|>"}) {
      const auto id = tokenizer.find(name);
      if (id && tokenizer.is_control(*id)) ends_.push_back(*id);
    }
    if (tokenizer.end_id() >= 0) ends_.push_back(tokenizer.end_id());
  }

  void run(const LmGenerator::Use& use) {
    std::optional<Progress> line;
    if (options_.progress) line.emplace("generate", int64_t(prompts_.size()), "prompts");
    for (size_t next = 0; next < prompts_.size() || !rows_.empty();) {
      while (next < prompts_.size() && int64_t(rows_.size()) < options_.batch) admit(next++);
      step();
      if (line) line->also(int64_t(rows_.size()), "tokens"), line->add(0);
      for (size_t r = rows_.size(); r-- > 0;) {
        if (!rows_[r].ended) continue;
        const auto prompt = int64_t(rows_[r].prompt);
        rows_[r].answer.text = valid_text(rows_[r].answer.text);
        auto answer = std::move(rows_[r].answer);
        rows_.erase(rows_.begin() + int64_t(r));
        cache_.remove(int64_t(r));
        use(prompt, std::move(answer));
        if (line) line->add(1);
      }
    }
  }

 private:
  struct Row {
    size_t prompt = 0;
    int64_t last = 0;  // the token that is read next
    int64_t room = 0;  // most tokens of the answer
    bool ended = false;
    Generated answer;
  };

  /// Reads a prompt but for its last token, which the next step takes. By itself: who else is there changes nothing.
  void admit(size_t prompt) {
    const TokenIds& ids = prompts_[prompt].ids;
    KvCache own;
    if (ids.size() > 1)
      decoder_->extend(own, TokenBatch::of({TokenIds(ids.begin(), ids.end() - 1)}), at::empty({0}, at::kLong));
    cache_.append(own);
    Row row;
    row.prompt = prompt, row.last = ids.back();
    row.room = std::min(options_.max_tokens, decoder_->config().context - int64_t(ids.size()) + 1);
    rows_.push_back(std::move(row));
  }

  void step() {
    std::vector<int64_t> last;
    for (const auto& row : rows_) last.push_back(row.last);
    const auto logits = decoder_->step(cache_, last);  // [B, V]
    const auto* const numbers = logits.const_data_ptr<float>();
    const auto wide = size_t(logits.size(1));
    run_tasks(int64_t(rows_.size()), [&](int64_t r) {
      Row& row = rows_[size_t(r)];
      const std::span own(numbers + size_t(r) * wide, wide);
      if (!std::all_of(own.begin(), own.end(), [](float x) { return std::isfinite(x); })) {
        throw Error(
            fmt::format("prompt {} of {}: logits are NaN or infinite; the weights or the adapters hold such numbers",
                        row.prompt + 1, prompts_.size()),
            ErrorKind::numeric);
      }
      row.last = choose_token(own, options_, unit_of(options_, prompts_[row.prompt], row.answer.ids.size()));
      take(row);
    });
  }

  /// The token that was chosen becomes part of the answer, or ends it.
  void take(Row& row) const {
    Generated& answer = row.answer;
    if (std::find(ends_.begin(), ends_.end(), row.last) != ends_.end()) {
      answer.finish = Finish::stop, row.ended = true;
      return;
    }
    const size_t before = answer.text.size();
    answer.ids.push_back(row.last);
    if (row.last < tokenizer_.size()) answer.text += tokenizer_.decode(std::span(&row.last, 1));
    if (const auto stop = find_stop(answer.text, before, options_.stop)) {
      answer.text.resize(*stop);
      answer.finish = Finish::stop, row.ended = true;
    } else if (int64_t(answer.ids.size()) >= row.room) {
      answer.finish = Finish::length, row.ended = true;
    }
  }

  Decoder decoder_;
  const Tokenizer& tokenizer_;
  std::span<const LmPrompt> prompts_;
  const GenerateOptions& options_;
  TokenIds ends_;
  std::vector<Row> rows_;
  KvCache cache_{0};  // of rows_
};

/// One of the choices. What all have in common, the prompt, is read once.
Generated choose(DecoderScorer& scorer, const Tokenizer& tokenizer, const LmPrompt& prompt,
                 const GenerateOptions& options) {
  const std::vector<TokenIds> prompts(options.choices.size(), prompt.ids);
  const auto sums = scorer.log_likelihood(prompts, options.choices);  // [A]
  Generated out;
  const auto* const log_p = sums.const_data_ptr<double>();
  out.log_p.assign(log_p, log_p + sums.numel());
  const std::vector<float> logits(out.log_p.begin(), out.log_p.end());
  out.choice = choose_token(logits, options, unit_of(options, prompt, 0));
  out.ids = options.choices[size_t(out.choice)];
  out.text = valid_text(tokenizer.decode(out.ids));
  out.finish = Finish::choice;
  return out;
}

void check_prompts(std::span<const LmPrompt> prompts, const GenerateOptions& options, int64_t context) {
  size_t longest = 1;
  for (const auto& choice : options.choices) longest = std::max(longest, choice.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    INTERPLAY_CHECK_DATA(!prompts[i].ids.empty(), "prompt {} of {} has no tokens", i + 1, prompts.size());
    const auto found = prompts[i].ids.size() + longest - 1;
    INTERPLAY_CHECK_DATA(int64_t(found) <= context,
                         "prompt {} of {} has {} tokens{}; the model was made for {} at most; shorten it", i + 1,
                         prompts.size(), prompts[i].ids.size(),
                         longest > 1 ? fmt::format(" and a choice {}", longest) : "", context);
  }
}

}  // namespace

LmGenerator::~LmGenerator() = default;

std::vector<Generated> LmGenerator::generate(std::span<const LmPrompt> prompts, const GenerateOptions& options) {
  std::vector<Generated> out(prompts.size());
  generate_each(prompts, options, [&](int64_t i, Generated answer) { out[size_t(i)] = std::move(answer); });
  return out;
}

const char* to_string(Finish finish) {
  return finish == Finish::stop ? "stop" : finish == Finish::length ? "length" : "choice";
}

void check(const GenerateOptions& o) {
  INTERPLAY_CHECK(o.max_tokens >= 1, "max_tokens is {}; expected at least 1", o.max_tokens);
  INTERPLAY_CHECK(o.temperature >= 0 && o.temperature <= 1e6,
                  "temperature is {}; expected 0 (the likeliest token) to 1e6", o.temperature);
  INTERPLAY_CHECK(o.top_k >= 0, "top_k is {}; expected 0 (all) or more", o.top_k);
  INTERPLAY_CHECK(o.top_p > 0 && o.top_p <= 1, "top_p is {}; expected 0 < top_p <= 1", o.top_p);
  INTERPLAY_CHECK(o.batch >= 1, "batch is {}; expected at least 1", o.batch);
  for (const auto& stop : o.stop) INTERPLAY_CHECK(!stop.empty(), "stop: an empty text; it would end every answer");
  for (size_t i = 0; i < o.choices.size(); ++i)
    INTERPLAY_CHECK(!o.choices[i].empty(), "choice {} of {} has no tokens", i + 1, o.choices.size());
}

DecoderGenerator::DecoderGenerator(Decoder decoder, std::shared_ptr<const Tokenizer> tokenizer, std::string identity)
    : decoder_(std::move(decoder)), tokenizer_(std::move(tokenizer)), identity_(std::move(identity)) {
  INTERPLAY_CHECK(tokenizer_->size() <= decoder_->config().vocabulary,
                  "{}: has {} tokens; the decoder has {}; take the tokenizer it was made with", tokenizer_->origin(),
                  tokenizer_->size(), decoder_->config().vocabulary);
}

DecoderGenerator::~DecoderGenerator() = default;

void DecoderGenerator::generate_each(std::span<const LmPrompt> prompts, const GenerateOptions& options,
                                     const Use& use) {
  const at::NoGradGuard off;
  check(options);
  check_prompts(prompts, options, decoder_->config().context);
  if (options.choices.empty()) return Writing(decoder_, *tokenizer_, prompts, options).run(use);
  DecoderScorer scorer(decoder_);
  std::optional<Progress> line;
  if (options.progress) line.emplace("generate", int64_t(prompts.size()), "prompts");
  for (size_t i = 0; i < prompts.size(); ++i) {
    use(int64_t(i), choose(scorer, *tokenizer_, prompts[i], options));
    if (line) line->add(1);
  }
}

std::unique_ptr<DecoderGenerator> load_generator(const std::filesystem::path& model, const GeneratorOptions& options) {
  std::shared_ptr<const Tokenizer> tokenizer = Tokenizer::load(model);
  Decoder decoder = load_decoder(model, options.precision);
  decoder->read_packed(model);
  std::string identity = fmt::format("llama {}, {}", decoder->checksum(), nn::to_string(options.precision));
  if (!options.adapter.empty()) {
    decoder->load_adapters(options.adapter);
    identity += fmt::format(", adapters {:016x}", hash64_file(options.adapter));
  }
  return std::make_unique<DecoderGenerator>(std::move(decoder), std::move(tokenizer), std::move(identity));
}

}  // namespace interplay::lm
