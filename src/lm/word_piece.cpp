// WordPiece (Wu et al. 2016, arXiv:1609.08144) with BERT's cleaning and splitting (Devlin et al. 2019), as Hugging
// Face's tokenizers do it.
#include <algorithm>

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <nlohmann/json.hpp>

#include <interplay/base/error.h>

#include "lm/tokenizers.h"

namespace interplay::lm {
namespace {

struct Cleaning {
  bool clean_text = true, space_chinese = true, strip_accents = true, lowercase = true;
};

// U+2B820..2B91F are Chinese too, and left out by the reference.
bool is_chinese(UChar32 c) {
  const auto within = [c](UChar32 first, UChar32 last) { return c >= first && c <= last; };
  return within(0x4e00, 0x9fff) || within(0x3400, 0x4dbf) || within(0x20000, 0x2a6df) || within(0x2a700, 0x2b73f) ||
         within(0x2b740, 0x2b81f) || within(0x2b920, 0x2ceaf) || within(0xf900, 0xfaff) || within(0x2f800, 0x2fa1f);
}

/// The reference's tables of marks, punctuation and format characters are those of Unicode 8.
bool is_of_unicode_8(UChar32 c) {
  UVersionInfo age;
  u_charAge(c, age);
  return age[0] <= 8;
}

bool is_space(UChar32 c) { return u_isUWhiteSpace(c); }

bool is_dropped(UChar32 c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  const bool other = (U_GET_GC_MASK(c) & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK)) != 0;
  return c == 0 || c == 0xfffd || (other && is_of_unicode_8(c));
}

bool is_punctuation(UChar32 c) {
  if (c < 128) return c > ' ' && c < 127 && !u_isalnum(c);  // of ASCII the symbols as well, as $ and +
  return u_ispunct(c) && is_of_unicode_8(c);
}

class WordPiece final : public Tokenizer {
 public:
  WordPiece(const std::string& origin, std::vector<std::string> tokens, std::vector<Kind> kinds,
            const nlohmann::json& settings)
      : Tokenizer(origin, std::move(tokens), std::move(kinds)) {
    const auto& model = settings.at("model");
    unknown_ = needed(model.at("unk_token").get<std::string>());
    prefix_ = model.value("continuing_subword_prefix", "##");
    most_characters_ = model.value("max_input_chars_per_word", int64_t(100));
    for (int64_t id = 0; id < size(); ++id) longest_ = std::max(longest_, token(id).size());
    read_cleaning(settings);
    read_frame(settings);
    if (const auto padding = find("[PAD]")) padding_ = *padding;
  }

 private:
  int64_t needed(const std::string& name) const {
    const auto found = find(name);
    INTERPLAY_CHECK_DATA(found, "{}: token '{}' is named, but not in model.vocab", origin(), name);
    return *found;
  }

  void read_cleaning(const nlohmann::json& settings) {
    const auto& normalizer = settings.at("normalizer");
    const auto& pre = settings.at("pre_tokenizer");
    INTERPLAY_CHECK_DATA(normalizer.at("type") == "BertNormalizer" && pre.at("type") == "BertPreTokenizer",
                         "{}: normalizer is {} and pre_tokenizer {}; of WordPiece, BertNormalizer and BertPreTokenizer "
                         "are read",
                         origin(), normalizer.at("type").dump(), pre.at("type").dump());
    cleaning_.clean_text = normalizer.value("clean_text", true);
    cleaning_.space_chinese = normalizer.value("handle_chinese_chars", true);
    cleaning_.lowercase = normalizer.value("lowercase", true);
    const bool said = normalizer.contains("strip_accents") && normalizer["strip_accents"].is_boolean();
    cleaning_.strip_accents = said ? normalizer["strip_accents"].get<bool>() : cleaning_.lowercase;
  }

  /// post_processor: special tokens before and after the one text A.
  void read_frame(const nlohmann::json& settings) {
    if (!settings.contains("post_processor") || settings["post_processor"].is_null()) return;
    const auto& post = settings["post_processor"];
    if (post.at("type") == "BertProcessing") {
      before_ = {needed(post.at("cls").at(0).get<std::string>())};
      after_ = {needed(post.at("sep").at(0).get<std::string>())};
    } else {
      INTERPLAY_CHECK_DATA(post.at("type") == "TemplateProcessing",
                           "{}: post_processor is {}; TemplateProcessing and BertProcessing are read", origin(),
                           post.at("type").dump());
      bool text_seen = false;
      for (const auto& part : post.at("single")) {
        if (part.contains("Sequence")) {
          text_seen = true;
        } else {
          (text_seen ? after_ : before_).push_back(needed(part.at("SpecialToken").at("id").get<std::string>()));
        }
      }
    }
    if (!after_.empty()) end_ = after_.back();
  }

  /// UTF-16, so that ICU decomposes it; what follows is by character.
  icu::UnicodeString clean(std::string_view text) const {
    icu::UnicodeString raw = icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), int32_t(text.size()))), out;
    for (int32_t at = 0; at < raw.length(); at = raw.moveIndex32(at, 1)) {
      const UChar32 c = raw.char32At(at);
      if (cleaning_.clean_text && is_dropped(c)) continue;
      const bool alone = cleaning_.space_chinese && is_chinese(c);
      if (alone) out += u' ';
      out += cleaning_.clean_text && is_space(c) ? UChar32(' ') : c;
      if (alone) out += u' ';
    }
    if (!cleaning_.strip_accents && !cleaning_.lowercase) return out;
    if (cleaning_.strip_accents) {
      UErrorCode status = U_ZERO_ERROR;
      raw = icu::Normalizer2::getNFDInstance(status)->normalize(out, status);
      INTERPLAY_ASSERT(U_SUCCESS(status));
    } else {
      raw = out;
    }
    out.remove();
    for (int32_t at = 0; at < raw.length(); at = raw.moveIndex32(at, 1)) {
      const UChar32 c = raw.char32At(at);
      if (cleaning_.strip_accents && u_charType(c) == U_NON_SPACING_MARK && is_of_unicode_8(c)) continue;
      out += cleaning_.lowercase ? u_tolower(c) : c;
    }
    return out;
  }

  void encode_text(std::string_view text, std::vector<int64_t>& ids) const override {
    const icu::UnicodeString cleaned = clean(text);
    int32_t begin = 0;  // of the word
    const auto end_word = [&](int32_t end) {
      if (end > begin) encode_word(cleaned.tempSubStringBetween(begin, end), ids);
    };
    for (int32_t at = 0, next = 0; at < cleaned.length(); at = next) {
      const UChar32 c = cleaned.char32At(at);
      next = cleaned.moveIndex32(at, 1);
      if (!is_space(c) && !is_punctuation(c)) continue;
      end_word(at);
      begin = at;
      if (!is_space(c)) end_word(next);
      begin = next;
    }
    end_word(cleaned.length());
  }

  /// The longest token that the rest of the word begins with, again and again; where there is none, the word is
  /// unknown.
  void encode_word(const icu::UnicodeString& word, std::vector<int64_t>& ids) const {
    if (word.countChar32() > most_characters_) {
      ids.push_back(unknown_);
      return;
    }
    std::string rest;
    word.toUTF8String(rest);
    const size_t before = ids.size();
    for (size_t at = 0; at < rest.size();) {
      std::string piece = (at > 0 ? prefix_ : "") + rest.substr(at);
      const size_t head = at > 0 ? prefix_.size() : 0;
      piece.resize(std::min(piece.size(), longest_));
      std::optional<int64_t> found;
      while (piece.size() > head && !(found = find(piece))) piece.pop_back();
      if (!found) {
        ids.resize(before);
        ids.push_back(unknown_);
        return;
      }
      ids.push_back(*found);
      at += piece.size() - head;
    }
  }

  void append(int64_t id, std::string& text) const override {
    const std::string_view piece = token(id);
    const bool continued = piece.starts_with(prefix_) && piece.size() > prefix_.size();
    if (!continued && !text.empty()) text += ' ';
    text += continued ? piece.substr(prefix_.size()) : piece;
  }

  Cleaning cleaning_;
  std::string prefix_;
  int64_t unknown_ = -1, most_characters_ = 100;
  size_t longest_ = 0;  // bytes of the longest token
};

}  // namespace

std::unique_ptr<Tokenizer> word_piece_of(const nlohmann::json& tokenizer, const std::string& place) {
  JsonVocabulary vocabulary = vocabulary_of(tokenizer, place);
  return std::make_unique<WordPiece>(place, std::move(vocabulary.tokens), std::move(vocabulary.kinds), tokenizer);
}

}  // namespace interplay::lm
