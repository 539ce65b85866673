#pragma once

#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include <interplay/lm/tokenizer.h>

namespace interplay::lm {

class Gguf;

/// The kinds of tokenizers, each from the files it is kept in; Tokenizer::load() knows which.
std::unique_ptr<Tokenizer> byte_pair_of(const Gguf& model);
std::unique_ptr<Tokenizer> byte_pair_of(const nlohmann::json& tokenizer, const std::string& place);
std::unique_ptr<Tokenizer> word_piece_of(const nlohmann::json& tokenizer, const std::string& place);

/// The vocabulary of a tokenizer.json, `model.vocab` and `added_tokens`, by id.
struct JsonVocabulary {
  std::vector<std::string> tokens;
  std::vector<Tokenizer::Kind> kinds;
};
JsonVocabulary vocabulary_of(const nlohmann::json& tokenizer, const std::string& place);

}  // namespace interplay::lm
