#include <interplay/lm/tokenizer.h>

#include <algorithm>
#include <limits>

#include <unicode/utf8.h>

#include <interplay/base/error.h>
#include <interplay/lm/gguf.h>
#include <interplay/lm/model_files.h>
#include <interplay/lm/tuned_folder.h>

#include "lm/json_file.h"
#include "lm/tokenizers.h"

namespace interplay::lm {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

void check_utf8(std::string_view text) {
  const auto bad = valid_utf8_before(text);
  INTERPLAY_CHECK_DATA(!bad, "the text is not UTF-8 from its byte {} on (0x{:02x}); convert it first", *bad,
                       uint8_t(text[*bad]));
}

std::unique_ptr<Tokenizer> load_gguf(const fs::path& file) {
  const Gguf model(file);
  const auto kind = model.text("tokenizer.ggml.model");
  INTERPLAY_CHECK_DATA(kind == "gpt2",
                       "{}: tokenizer.ggml.model is '{}'; of GGUF files, byte-level BPE ('gpt2') is read",
                       file.string(), kind);
  return byte_pair_of(model);
}

std::unique_ptr<Tokenizer> load_json(const fs::path& file) {
  const std::string place = file.string();
  return with_json(file, "tokenizer.json as Hugging Face's tokenizers write it", [&](const Json& tokenizer) {
    const auto kind = tokenizer.at("model").at("type").get<std::string>();
    INTERPLAY_CHECK_DATA(kind == "BPE" || kind == "WordPiece",
                         "{}: model.type is '{}'; byte-level BPE and WordPiece are read", place, kind);
    return kind == "BPE" ? byte_pair_of(tokenizer, place) : word_piece_of(tokenizer, place);
  });
}

}  // namespace

std::optional<size_t> valid_utf8_before(std::string_view text) {
  INTERPLAY_CHECK_DATA(text.size() <= size_t(std::numeric_limits<int32_t>::max()),
                       "a text of {} bytes; one of at most 2^31 is encoded at once; cut it", text.size());
  const auto bytes = int32_t(text.size());
  for (int32_t at = 0; at < bytes;) {
    const int32_t begin = at;
    UChar32 c = 0;
    U8_NEXT(text.data(), at, bytes, c);
    if (c < 0) return size_t(begin);
  }
  return std::nullopt;
}

const Tokenizer& NamedTokenizer::operator*() const {
  const std::lock_guard lock(mutex_);
  if (loaded_) return *loaded_;
  try {
    model_ = find_tokenizer(name_);
    loaded_ = Tokenizer::load(model_);
    checksum_ = hash64_file(loaded_->origin());
  } catch (const Error& problem) {
    at_.fail(problem.what());
  }
  return *loaded_;
}

const fs::path& NamedTokenizer::model() const { return **this, model_; }
uint64_t NamedTokenizer::checksum() const { return **this, checksum_; }

JsonVocabulary vocabulary_of(const Json& tokenizer, const std::string& place) {
  JsonVocabulary out;
  const auto& vocabulary = tokenizer.at("model").at("vocab");
  const auto added_tokens = tokenizer.value("added_tokens", Json::array());
  // Ids may have gaps, but not so many that an altered one would take all memory.
  const auto most = int64_t(2 * (vocabulary.size() + added_tokens.size()) + 1000);
  const auto put = [&](const std::string& token, int64_t id, Tokenizer::Kind kind) {
    INTERPLAY_CHECK_DATA(id >= 0 && id < most, "{}: token '{}' has the id {}; expected 0 to {}", place, token, id,
                         most - 1);
    if (size_t(id) >= out.tokens.size()) {
      out.tokens.resize(size_t(id) + 1);
      out.kinds.resize(size_t(id) + 1);
    }
    auto& place_of = out.tokens[size_t(id)];
    INTERPLAY_CHECK_DATA(place_of.empty() || place_of == token, "{}: id {} belongs to two tokens, '{}' and '{}'", place,
                         id, place_of, token);
    place_of = token;
    out.kinds[size_t(id)] = kind;
  };
  for (const auto& [token, id] : vocabulary.items()) put(token, id.get<int64_t>(), Tokenizer::Kind::text);
  for (const auto& added : added_tokens) {
    for (const char* flag : {"single_word", "lstrip", "rstrip"}) {
      INTERPLAY_CHECK_DATA(!added.value(flag, false), "{}: added token {} asks for {}, which is not read", place,
                           added.at("content").dump(), flag);
    }
    put(added.at("content").get<std::string>(), added.at("id").get<int64_t>(),
        added.value("special", false) ? Tokenizer::Kind::control : Tokenizer::Kind::user_defined);
  }
  return out;
}

Tokenizer::Tokenizer(std::string origin, std::vector<std::string> tokens, std::vector<Kind> kinds)
    : origin_(std::move(origin)), tokens_(std::move(tokens)), kinds_(std::move(kinds)) {
  INTERPLAY_ASSERT(tokens_.size() == kinds_.size());
  ids_.reserve(tokens_.size());
  for (size_t id = 0; id < tokens_.size(); ++id) {
    if (kinds_[id] == Kind::text) continue;
    if (tokens_[id].empty()) {  // nothing would be found everywhere
      kinds_[id] = Kind::text;
      continue;
    }
    control_.push_back(int64_t(id));
    first_byte_[uint8_t(tokens_[id][0])] = true;
    ids_.emplace(tokens_[id], int64_t(id));
  }
  for (size_t id = 0; id < tokens_.size(); ++id) ids_.emplace(tokens_[id], int64_t(id));  // the first of equals stays
  std::stable_sort(control_.begin(), control_.end(),
                   [&](int64_t a, int64_t b) { return tokens_[size_t(a)].size() > tokens_[size_t(b)].size(); });
}

Tokenizer::~Tokenizer() = default;

std::unique_ptr<Tokenizer> Tokenizer::load(const fs::path& model) {
  if (const auto tuned = TunedFolder::find(model)) return load(tuned->model());
  if (fs::is_directory(model)) return load_json(model / "tokenizer.json");
  return model.extension() == ".json" ? load_json(model) : load_gguf(model);
}

Tokenizer::Found Tokenizer::next_control(std::string_view text, size_t from, bool control) const {
  for (size_t at = from; at < text.size(); ++at) {
    if (!first_byte_[uint8_t(text[at])]) continue;
    for (const int64_t id : control_) {
      if (!control && kinds_[size_t(id)] == Kind::control) continue;
      const std::string& name = tokens_[size_t(id)];
      if (text.compare(at, name.size(), name) == 0) return {at, name.size(), id};
    }
  }
  return {text.size(), 0, -1};
}

std::vector<int64_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  check_utf8(text);
  const size_t frame = options.frame ? before_.size() + after_.size() : 0;
  INTERPLAY_CHECK(options.max_length == 0 || options.max_length > int64_t(frame),
                  "max_length {} leaves no token for the text; expected more than the {} around it", options.max_length,
                  frame);
  std::vector<int64_t> ids;
  if (options.frame) ids = before_;
  for (size_t at = 0; at < text.size();) {
    const Found found = next_control(text, at, options.control);
    if (found.begin > at) encode_text(text.substr(at, found.begin - at), ids);
    if (found.id >= 0) ids.push_back(found.id);
    at = found.begin + found.bytes;
  }
  const size_t after = options.frame ? after_.size() : 0;
  if (options.max_length > 0) ids.resize(std::min(ids.size(), size_t(options.max_length) - after));
  if (options.frame) ids.insert(ids.end(), after_.begin(), after_.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const int64_t> ids, bool control) const {
  std::string text;
  for (const int64_t id : ids) {
    if (control || !is_control(id)) append(id, text);
  }
  return text;
}

void Tokenizer::append(int64_t id, std::string& text) const { text += tokens_[size_t(id)]; }

std::optional<int64_t> Tokenizer::find(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

int64_t Tokenizer::id(std::string_view token) const {
  const auto found = find(token);
  INTERPLAY_CHECK(found, "{}: the vocabulary has no token '{}' among its {}", origin_, token, size());
  return *found;
}

std::string_view Tokenizer::token(int64_t id) const {
  INTERPLAY_CHECK_DATA(id >= 0 && id < size(), "{}: token id {}; the vocabulary has 0 to {}", origin_, id, size() - 1);
  return tokens_[size_t(id)];
}

bool Tokenizer::is_control(int64_t id) const {
  token(id);  // checks it
  return kinds_[size_t(id)] == Kind::control;
}

}  // namespace interplay::lm
