#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <interplay/systems/text_index.h>

/// What lies in an index directory: index.json, terms.bin (TermEntry), terms.txt (their texts, one behind another),
/// postings.bin (of each term, by document: how far the document lies behind the one before, and the count),
/// documents.bin (DocumentEntry), documents.txt (ids), id_order.bin (u32: documents in the order of their ids),
/// tokens.bin (of each document its terms in their order), manifest.json. Numbers of postings.bin and tokens.bin have
/// seven bits a byte, the lowest first, the eighth set on all bytes but the last.
namespace interplay::qa4prf {

constexpr const char* kIndexFile = "index.json";
constexpr const char* kTermsFile = "terms.bin";
constexpr const char* kTermTextsFile = "terms.txt";
constexpr const char* kPostingsFile = "postings.bin";
constexpr const char* kDocumentsFile = "documents.bin";
constexpr const char* kDocumentIdsFile = "documents.txt";
constexpr const char* kIdOrderFile = "id_order.bin";
constexpr const char* kTokensFile = "tokens.bin";

void save_info(const std::filesystem::path& directory, const IndexInfo& info);
IndexInfo load_info(const std::filesystem::path& directory);  ///< throws Error(data)

inline void append_number(std::string& out, uint32_t value) {
  for (; value >= 128; value >>= 7) out += char(value | 128);
  out += char(value);
}

/// Takes a number from [at, end). False where none ends there, or one of more than 32 bits.
inline bool take_number(const uint8_t*& at, const uint8_t* end, uint32_t& value) {
  uint64_t out = 0;
  for (int shift = 0; at < end && shift < 35; shift += 7) {
    const uint8_t byte = *at++;
    out |= uint64_t(byte & 127) << shift;
    if (byte < 128) {
      value = uint32_t(out);
      return out <= UINT32_MAX;
    }
  }
  return false;
}

}  // namespace interplay::qa4prf
