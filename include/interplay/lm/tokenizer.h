#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <interplay/base/config.h>

namespace interplay::lm {

/// How a text becomes token ids.
struct EncodeOptions {
  bool control = false;    ///< control tokens written out in the text (`<|im_end|>`, `[SEP]`) become those tokens
  bool frame = false;      ///< what the model expects around a text is added: [CLS] text [SEP], or a first token
  int64_t max_length = 0;  ///< most ids, frame included; the end of a longer text is cut off. 0 = no bound
};

/// The vocabulary of a language model and how it splits a text. Texts are UTF-8; anything else is refused with
/// Error(data), which names the byte.
///
/// Immutable: may be used from any thread.
///
///     const auto tokenizer = lm::Tokenizer::load("SmolLM2-135M-Instruct.Q4_1.gguf");
///     const auto ids = tokenizer->encode("Will they like it?");  // {..}
///     tokenizer->decode(ids);                                    // "Will they like it?"
class INTERPLAY_API Tokenizer {
 public:
  enum class Kind : uint8_t {
    text,
    control,      ///< recognised in a text where asked
    user_defined  ///< recognised in a text always
  };

  virtual ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  /// The tokenizer of a GGUF file, or of a folder with a `tokenizer.json`. Throws Error(data) where the vocabulary is
  /// damaged, or of a kind that is not read, which is then named.
  static std::unique_ptr<Tokenizer> load(const std::filesystem::path& model);

  std::vector<int64_t> encode(std::string_view text, const EncodeOptions& options = {}) const;
  /// Bytes of all tokens, one after another; control tokens are left out unless `control`. Throws Error(data) for an
  /// id outside the vocabulary.
  std::string decode(std::span<const int64_t> ids, bool control = false) const;

  int64_t size() const { return int64_t(tokens_.size()); }
  std::span<const int64_t> frame_before() const { return before_; }  ///< what EncodeOptions::frame adds
  std::span<const int64_t> frame_after() const { return after_; }
  /// The token of exactly these bytes, a control token by its name; none where there is none.
  std::optional<int64_t> find(std::string_view token) const;
  int64_t id(std::string_view token) const;  ///< throws Error(config) where there is none
  std::string_view token(int64_t id) const;  ///< its bytes; throws Error(data) for an id outside the vocabulary
  bool is_control(int64_t id) const;
  const std::string& origin() const { return origin_; }  ///< the file it was read from

  /// What generation ends with, and what fills up short rows; -1 where the model has none.
  int64_t end_id() const { return end_; }
  int64_t padding_id() const { return padding_; }

 protected:
  /// `tokens` are their bytes.
  Tokenizer(std::string origin, std::vector<std::string> tokens, std::vector<Kind> kinds);

  /// Appends the ids of a text without control tokens.
  virtual void encode_text(std::string_view text, std::vector<int64_t>& ids) const = 0;
  virtual void append(int64_t id, std::string& text) const;  ///< of decode(); the token's bytes

  std::vector<int64_t> before_, after_;  ///< the frame
  int64_t end_ = -1, padding_ = -1;

 private:
  struct Found {
    size_t begin, bytes;
    int64_t id;
  };
  Found next_control(std::string_view text, size_t from, bool control) const;

  std::string origin_;
  std::vector<std::string> tokens_;
  std::vector<Kind> kinds_;
  std::unordered_map<std::string_view, int64_t> ids_;
  std::vector<int64_t> control_;  // ids of those that are no text, the longest name first
  bool first_byte_[256] = {};     // of their names
};

/// A tokenizer that a configuration names, loaded when it is first asked for: whoever tokenizes nothing need not have
/// it. Thread safety: const functions may run concurrently.
class INTERPLAY_API NamedTokenizer {
 public:
  /// `name` as find_tokenizer() takes it; `at` is where it is written.
  NamedTokenizer(std::string name, Config at) : name_(std::move(name)), at_(std::move(at)) {}
  /// Throws Error naming that place, and the remedy, where it cannot be found or read.
  const Tokenizer& operator*() const;
  const Tokenizer* operator->() const { return &**this; }
  const std::filesystem::path& model() const;  ///< what it was found in
  uint64_t checksum() const;                   ///< of its file

 private:
  std::string name_;
  Config at_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Tokenizer> loaded_;  // guarded by mutex_ until it is there
  mutable std::filesystem::path model_;
  mutable uint64_t checksum_ = 0;
};

/// Bytes before the first one that is not UTF-8; none where all are.
INTERPLAY_API std::optional<size_t> valid_utf8_before(std::string_view text);

}  // namespace interplay::lm
