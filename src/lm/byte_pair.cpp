// Byte-level byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909; on bytes: Radford et al. 2019, GPT-2).
#include <algorithm>
#include <array>
#include <atomic>
#include <functional>

#include <unicode/regex.h>
#include <unicode/utext.h>
#include <unicode/utf8.h>

#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/lm/gguf.h>

#include "lm/tokenizers.h"

namespace interplay::lm {
namespace {

// How a text is cut into words before merging: each pattern in turn cuts what the ones before left whole, into its
// matches and what lies between. \s of GPT-2's pattern is Unicode's White_Space; ICU's own \s is not.
constexpr const char16_t* kDigit = uR"(\p{N})";
constexpr const char16_t* kGpt2 =
    uR"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+)";

struct Splitting {
  const char* name;  // tokenizer.ggml.pre
  std::vector<const char16_t*> patterns;
};
const std::vector<Splitting>& splittings() {
  static const auto* const all = new std::vector<Splitting>{{"gpt-2", {kGpt2}}, {"smollm", {kDigit, kGpt2}}};
  return *all;
}

/// GPT-2's printable character for each byte: printable Latin-1 stands for itself, the others for U+0100 on.
std::array<UChar32, 256> printable_bytes() {
  std::array<UChar32, 256> out{};
  UChar32 next = 256;
  for (UChar32 byte = 0; byte < 256; ++byte) {
    const bool itself = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    out[size_t(byte)] = itself ? byte : next++;
  }
  return out;
}

/// The bytes that a token written in printable characters stands for; a character that stands for none is kept.
std::string bytes_of(std::string_view token) {
  static const auto bytes = [] {
    std::unordered_map<UChar32, char> map;
    const auto printable = printable_bytes();
    for (size_t byte = 0; byte < 256; ++byte) map.emplace(printable[byte], char(byte));
    return map;
  }();
  std::string out;
  for (int32_t at = 0, size = int32_t(token.size()); at < size;) {
    const int32_t begin = at;
    UChar32 c = 0;
    U8_NEXT(token.data(), at, size, c);
    const auto found = bytes.find(c);
    if (found != bytes.end()) {
      out += found->second;
    } else {
      out += token.substr(size_t(begin), size_t(at - begin));
    }
  }
  return out;
}

/// What a vocabulary file says, tokens and merges in printable characters.
struct Parts {
  std::string origin;
  std::vector<std::string> tokens;
  std::vector<std::pair<std::string, std::string>> merges;  // the first is done first
  std::vector<const char16_t*> patterns;
  std::vector<Tokenizer::Kind> kinds;
  int64_t first = -1, last = -1;  // tokens around a text; -1 = none
  int64_t end = -1, padding = -1;
};

/// (left, right) -> (rank, what they become), open addressing: it is asked twice for each byte of a new word.
class Merges {
 public:
  struct Merge {
    int32_t left = -1, right = -1, rank = -1, merged = -1;
  };
  explicit Merges(size_t count) {
    size_t size = 16;
    while (size < 2 * count) size *= 2;
    slots_.resize(size);
  }
  void add(const Merge& merge) {
    Merge& slot = slots_[place(merge.left, merge.right)];
    if (slot.left < 0) slot = merge;  // the first of equals counts
  }
  const Merge* find(int32_t left, int32_t right) const {
    const Merge& slot = slots_[place(left, right)];
    return slot.left < 0 ? nullptr : &slot;
  }

 private:
  size_t place(int32_t left, int32_t right) const {
    uint64_t hash = (uint64_t(uint32_t(left)) << 32 | uint32_t(right)) * 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio
    size_t at = size_t(hash >> 32) & (slots_.size() - 1);
    while (slots_[at].left >= 0 && (slots_[at].left != left || slots_[at].right != right))
      at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  std::vector<Merge> slots_;
};

/// Room for merging, kept from word to word.
struct Scratch {
  struct Symbol {
    int32_t id, before, after;  // neighbours by place, -1 = none; a symbol that was merged away has the id -1
  };
  struct Candidate {
    int32_t rank, place, left, right, merged;
    bool operator<(const Candidate& other) const {  // std::push_heap keeps the greatest in front
      return rank != other.rank ? rank > other.rank : place > other.place;
    }
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

class BytePair final : public Tokenizer {
 public:
  explicit BytePair(const Parts& parts)
      : Tokenizer(parts.origin, plain(parts), parts.kinds), merges_(parts.merges.size()) {
    if (parts.first >= 0) before_ = {parts.first};
    if (parts.last >= 0) after_ = {parts.last};
    end_ = parts.end;
    padding_ = parts.padding;
    std::unordered_map<std::string_view, int32_t> ids;
    for (size_t id = 0; id < parts.tokens.size(); ++id) ids.emplace(parts.tokens[id], int32_t(id));
    const auto printable = printable_bytes();
    for (size_t byte = 0; byte < 256; ++byte) {
      std::string name;
      icu::UnicodeString(printable[byte]).toUTF8String(name);
      const auto found = ids.find(name);
      byte_ids_[byte] = found == ids.end() ? -1 : found->second;
    }
    int32_t rank = 0;
    for (const auto& [left, right] : parts.merges) {
      const auto l = ids.find(left), r = ids.find(right), merged = ids.find(left + right);
      INTERPLAY_CHECK_DATA(l != ids.end() && r != ids.end() && merged != ids.end(),
                           "{}: merge {} is of '{}' and '{}'; one of them or both together are no token", origin(),
                           rank, left, right);
      merges_.add({l->second, r->second, rank++, merged->second});
    }
    for (const char16_t* pattern : parts.patterns) {
      UErrorCode status = U_ZERO_ERROR;
      patterns_.emplace_back(icu::RegexPattern::compile(icu::UnicodeString(pattern), 0, status));
      INTERPLAY_ASSERT(U_SUCCESS(status));
    }
    whole_ = std::vector<std::atomic<Whole>>(parts.tokens.size());
  }

 private:
  enum class Whole : uint8_t { unknown, yes, no };  // does a word of a token's bytes become that token?

  static std::vector<std::string> plain(const Parts& parts) {
    std::vector<std::string> out;
    for (size_t id = 0; id < parts.tokens.size(); ++id)
      out.push_back(parts.kinds[id] == Kind::text ? bytes_of(parts.tokens[id]) : parts.tokens[id]);
    return out;
  }

  void encode_text(std::string_view text, std::vector<int64_t>& ids) const override {
    UErrorCode status = U_ZERO_ERROR;
    UText words = UTEXT_INITIALIZER;
    utext_openUTF8(&words, text.data(), int64_t(text.size()), &status);
    std::vector<std::unique_ptr<icu::RegexMatcher>> matchers;
    for (const auto& pattern : patterns_) {
      matchers.emplace_back(pattern->matcher(status));
      matchers.back()->reset(&words);
    }
    Scratch scratch;
    const auto split = [&](const auto& self, size_t level, int64_t begin, int64_t end) -> void {
      if (begin == end) return;
      if (level == matchers.size()) {
        encode_word(text.substr(size_t(begin), size_t(end - begin)), scratch, ids);
        return;
      }
      icu::RegexMatcher& matcher = *matchers[level];
      matcher.region(begin, end, status);
      while (matcher.find(status) && U_SUCCESS(status)) {
        const int64_t first = matcher.start64(status), last = matcher.end64(status);
        self(self, level + 1, begin, first);
        self(self, level + 1, first, last);
        begin = last;
      }
      self(self, level + 1, begin, end);
    };
    split(split, 0, 0, int64_t(text.size()));
    utext_close(&words);
    INTERPLAY_CHECK_DATA(U_SUCCESS(status), "a text of {} bytes cannot be cut into words: {}", text.size(),
                         u_errorName(status));
  }

  void encode_word(std::string_view word, Scratch& scratch, std::vector<int64_t>& ids) const {
    const auto whole = find(word);
    if (whole && whole_[size_t(*whole)].load(std::memory_order_relaxed) == Whole::yes) {
      ids.push_back(*whole);
      return;
    }
    const size_t before = ids.size();
    merge(word, scratch, ids);
    if (!whole) return;
    const bool one = ids.size() == before + 1 && ids.back() == *whole;
    whole_[size_t(*whole)].store(one ? Whole::yes : Whole::no, std::memory_order_relaxed);
  }

  /// The lowest rank first, of equals the leftmost, until nothing merges.
  void merge(std::string_view word, Scratch& scratch, std::vector<int64_t>& ids) const {
    auto& [symbols, heap] = scratch;
    symbols.clear();
    heap.clear();
    for (const char byte : word) {
      const int32_t id = byte_ids_[uint8_t(byte)];
      if (id < 0) continue;  // a byte without a token is passed over, as Hugging Face's tokenizers do
      const auto place = int32_t(symbols.size());
      symbols.push_back({id, place - 1, place + 1});
    }
    if (symbols.empty()) return;
    symbols.back().after = -1;
    const auto propose = [&](int32_t place) {
      if (place < 0 || symbols[size_t(place)].after < 0) return;
      const Scratch::Symbol& left = symbols[size_t(place)];
      const int32_t right = symbols[size_t(left.after)].id;
      const auto* const merge = merges_.find(left.id, right);
      if (!merge) return;
      heap.push_back({merge->rank, place, left.id, right, merge->merged});
      std::push_heap(heap.begin(), heap.end());
    };
    for (int32_t place = 0; place + 1 < int32_t(symbols.size()); ++place) propose(place);
    while (!heap.empty()) {
      std::pop_heap(heap.begin(), heap.end());
      const Scratch::Candidate best = heap.back();
      heap.pop_back();
      Scratch::Symbol& left = symbols[size_t(best.place)];
      if (left.id != best.left || left.after < 0 || symbols[size_t(left.after)].id != best.right) continue;
      Scratch::Symbol& right = symbols[size_t(left.after)];
      left.id = best.merged;
      left.after = right.after;
      right.id = -1;
      if (left.after >= 0) symbols[size_t(left.after)].before = best.place;
      propose(left.before);
      propose(best.place);
    }
    for (int32_t place = 0; place >= 0; place = symbols[size_t(place)].after) ids.push_back(symbols[size_t(place)].id);
  }

  std::array<int32_t, 256> byte_ids_{};
  Merges merges_;
  std::vector<std::unique_ptr<icu::RegexPattern>> patterns_;
  mutable std::vector<std::atomic<Whole>> whole_;  // by token; any thread finds the same
};

/// Patterns by the name that GGUF files have for them.
std::vector<const char16_t*> patterns_of(std::string_view name, const std::string& place) {
  std::vector<const char*> known;
  for (const auto& splitting : splittings()) {
    if (name == splitting.name) return splitting.patterns;
    known.push_back(splitting.name);
  }
  throw Error(fmt::format("{}: tokenizer.ggml.pre is '{}': how it cuts a text into words is not known (known: {})",
                          place, name, fmt::join(known, ", ")),
              ErrorKind::data);
}

Tokenizer::Kind kind_of(int64_t type) {
  constexpr int64_t kControl = 3, kUserDefined = 4;  // of llama.cpp
  return type == kControl       ? Tokenizer::Kind::control
         : type == kUserDefined ? Tokenizer::Kind::user_defined
                                : Tokenizer::Kind::text;
}

/// Patterns of a tokenizer.json: what its pre_tokenizer does must be one of the splittings.
std::vector<const char16_t*> patterns_of(const nlohmann::json& pre, const std::string& place) {
  const auto is_gpt2 = [](const nlohmann::json& step) {
    return step.at("type") == "ByteLevel" && step.value("use_regex", true) && !step.value("add_prefix_space", true);
  };
  const auto is_digits = [](const nlohmann::json& step) {
    return step.at("type") == "Digits" && step.value("individual_digits", false);
  };
  if (pre.is_object() && is_gpt2(pre)) return {kGpt2};
  if (pre.is_object() && pre.at("type") == "Sequence") {
    const auto& steps = pre.at("pretokenizers");
    if (steps.size() == 2 && is_digits(steps[0]) && is_gpt2(steps[1])) return {kDigit, kGpt2};
  }
  throw Error(fmt::format("{}: how pre_tokenizer cuts a text into words is not known: {}", place, pre.dump()),
              ErrorKind::data);
}

}  // namespace

std::unique_ptr<Tokenizer> byte_pair_of(const Gguf& model) {
  Parts parts;
  parts.origin = model.path().string();
  constexpr const char* kPre = "tokenizer.ggml.pre";
  parts.patterns = patterns_of(model.has(kPre) ? model.text(kPre) : "none", parts.origin);
  for (const auto token : model.texts("tokenizer.ggml.tokens")) parts.tokens.emplace_back(token);
  const auto tokens = int64_t(parts.tokens.size());
  for (const int64_t type : model.integers("tokenizer.ggml.token_type")) parts.kinds.push_back(kind_of(type));
  INTERPLAY_CHECK_DATA(int64_t(parts.kinds.size()) == tokens,
                       "{}: tokenizer.ggml.token_type has {} entries for {} tokens; the file was altered", parts.origin,
                       parts.kinds.size(), tokens);
  for (const auto merge : model.texts("tokenizer.ggml.merges")) {
    const size_t space = merge.find(' ');
    INTERPLAY_CHECK_DATA(space != merge.npos, "{}: merge {} is '{}'; expected two tokens and a space between them",
                         parts.origin, parts.merges.size(), merge);
    parts.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  const auto special = [&](const std::string& name) {
    const std::string key = "tokenizer.ggml." + name + "_token_id";
    if (!model.has(key)) return int64_t(-1);
    const int64_t id = model.integer(key);
    INTERPLAY_CHECK_DATA(id >= 0 && id < tokens, "{}: {} is {}; the vocabulary has 0 to {}", parts.origin, key, id,
                         tokens - 1);
    return id;
  };
  const auto added = [&](const char* key) { return model.has(key) && model.flag(key); };
  parts.end = special("eos");
  parts.padding = special("padding");
  if (added("tokenizer.ggml.add_bos_token")) parts.first = special("bos");
  if (added("tokenizer.ggml.add_eos_token")) parts.last = parts.end;
  return std::make_unique<BytePair>(parts);
}

std::unique_ptr<Tokenizer> byte_pair_of(const nlohmann::json& tokenizer, const std::string& place) {
  Parts parts;
  parts.origin = place;
  const auto refuse_unless = [&](bool holds, const char* what) {
    INTERPLAY_CHECK_DATA(holds, "{}: {} is set; byte-level BPE without it is read", place, what);
  };
  const auto empty = [](const nlohmann::json& from, const char* key) {
    return !from.contains(key) || from[key].is_null() || from[key] == "" || from[key] == false;
  };
  const auto& model = tokenizer.at("model");
  for (const char* key :
       {"unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges"})
    refuse_unless(empty(model, key), key);
  refuse_unless(empty(tokenizer, "normalizer"), "normalizer");
  refuse_unless(empty(tokenizer, "post_processor") || tokenizer["post_processor"].at("type") == "ByteLevel",
                "a post_processor other than ByteLevel");
  parts.patterns = patterns_of(tokenizer.at("pre_tokenizer"), place);
  JsonVocabulary vocabulary = vocabulary_of(tokenizer, place);
  parts.tokens = std::move(vocabulary.tokens);
  parts.kinds = std::move(vocabulary.kinds);
  for (const auto& merge : model.at("merges")) {  // "left right", or of late ["left", "right"]
    const std::string text = merge.is_string() ? merge.get<std::string>() : "";
    const size_t space = text.find(' ');
    if (space != text.npos) {
      parts.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    } else {
      parts.merges.emplace_back(merge.at(0).get<std::string>(), merge.at(1).get<std::string>());
    }
  }
  return std::make_unique<BytePair>(parts);
}

}  // namespace interplay::lm
