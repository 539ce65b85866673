#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace interplay::testing {

/// A tokenizer.json of BERT's kind that lower-cases, with these tokens behind [UNK] 0, [CLS] 1, [SEP] 2 and [PAD] 3;
/// the middle two stand around a text.
inline std::string word_piece(const std::vector<std::string>& tokens) {
  auto json = nlohmann::json::parse(R"({
    "added_tokens": [{"id": 0, "content": "[UNK]", "special": true}, {"id": 1, "content": "[CLS]", "special": true},
                     {"id": 2, "content": "[SEP]", "special": true}, {"id": 3, "content": "[PAD]", "special": true}],
    "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
                   "lowercase": true},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
       {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
              "max_input_chars_per_word": 20, "vocab": {}}})");
  int64_t id = 0;
  for (const char* token : {"[UNK]", "[CLS]", "[SEP]", "[PAD]"}) json["model"]["vocab"][token] = id++;
  for (const auto& token : tokens) json["model"]["vocab"][token] = id++;
  return json.dump();
}

/// Writes one into a folder of its own, which `tokenizer:` then names.
inline std::filesystem::path write_word_piece(const std::filesystem::path& folder,
                                              const std::vector<std::string>& tokens) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "tokenizer.json", std::ios::binary) << word_piece(tokens);
  return folder;
}

}  // namespace interplay::testing
