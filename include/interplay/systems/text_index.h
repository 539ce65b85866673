#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/files.h>
#include <interplay/base/options.h>

namespace interplay {

/// How text becomes terms: lower case, runs of ASCII letters and digits, without stop words, each then stemmed.
struct INTERPLAY_API AnalyzerOptions {
  std::string stemmer;
  std::vector<std::string> stop_words = default_stop_words();
  void visit(auto&& field) {
    field("stemmer", stemmer, "Snowball stemmer of a language, as english; empty: terms are words as they stand");
    field("stop_words", stop_words, "words that are left out, before anything is stemmed");
  }
  /// Lucene's 33 English words.
  static std::vector<std::string> default_stop_words();
};

/// Text to terms. Throws Error(config) for a stemmer that libstemmer does not have, or where this build is without it.
/// One thread uses it.
class INTERPLAY_API Analyzer {
 public:
  explicit Analyzer(AnalyzerOptions options = {});
  ~Analyzer();
  Analyzer(const Analyzer&) = delete;
  Analyzer& operator=(const Analyzer&) = delete;

  std::vector<std::string> terms(std::string_view text) const;  ///< in the order of the text
  const AnalyzerOptions& options() const { return options_; }

 private:
  struct Words;
  AnalyzerOptions options_;
  std::unique_ptr<Words> words_;
};

struct IndexOptions {
  AnalyzerOptions analyzer = {};
  std::vector<std::string> fields = {"title", "text"};  ///< of a line of JSON, joined by a space; those that are there
  int64_t memory_bytes = int64_t(512) << 20;            ///< for postings, while they are put in order
};

/// What an index has, as its index.json says.
struct IndexInfo {
  int64_t documents = 0, tokens = 0, terms = 0, postings = 0;
  AnalyzerOptions analyzer;
  std::vector<std::string> fields;
  double average_length() const { return documents ? double(tokens) / double(documents) : 0; }
};

/// Documents to an index directory, whole or not at all; one that is there is replaced. `documents`: a file of JSON
/// lines (`id`, and the fields) or of tabs (id, text), packed or not, several by a pattern, or a folder with docs.jsonl
/// or docs.tsv. Memory: the vocabulary, `memory_bytes`, and some bytes a document; the rest lies on the disk of `out`
/// meanwhile. Throws Error(data) naming file and line where a document has no id, an id that a run cannot hold (white
/// space) or one that was there before.
INTERPLAY_API IndexInfo build_text_index(const std::filesystem::path& documents, const std::filesystem::path& out,
                                         const IndexOptions& options = {});

/// A document that has a term, and how often.
struct Posting {
  uint32_t document, count;
};

/// An index directory, mapped. Its manifest is checked when it is opened, and every number in it before it is used:
/// Error(data) names file and remedy, whatever the bytes. Terms are numbered in the order of their bytes, documents as
/// they came. Immutable: may be used from any thread, but for analyzer().
class INTERPLAY_API TextIndex {
 public:
  explicit TextIndex(const std::filesystem::path& directory);

  const IndexInfo& info() const { return info_; }
  int64_t documents() const { return info_.documents; }
  const std::filesystem::path& directory() const { return directory_; }
  const Analyzer& analyzer() const { return *analyzer_; }
  uint64_t checksum() const { return checksum_; }  ///< of the manifest: of all that is in it

  std::optional<uint32_t> find(std::string_view term) const;
  std::string_view term(uint32_t term) const;
  int64_t document_frequency(uint32_t term) const { return term_at(term).documents; }
  int64_t occurrences(uint32_t term) const { return int64_t(term_at(term).occurrences); }
  void postings(uint32_t term, std::vector<Posting>& out) const;  ///< replaces what is in `out`; by document

  std::string_view document_id(uint32_t document) const;
  std::optional<uint32_t> find_document(std::string_view id) const;
  int64_t length(uint32_t document) const { return document_at(document).length; }  ///< terms
  int64_t longest() const { return longest_; }
  /// Its terms in their order, at most `most` of them.
  std::vector<uint32_t> tokens(uint32_t document, int64_t most = INT64_MAX) const;

  /// As they lie in terms.bin and documents.bin: each says where its part of another file begins, one more where the
  /// last ends.
  struct TermEntry {
    uint64_t text, postings, occurrences;
    uint32_t documents, unused;
  };
  struct DocumentEntry {
    uint64_t id, tokens;
    uint32_t length, unused;
  };

 private:
  const TermEntry& term_at(uint32_t term) const { return terms_[term]; }
  const DocumentEntry& document_at(uint32_t document) const { return documents_[document]; }
  void check() const;
  [[noreturn]] void damaged(const MappedFile& file, const std::string& what) const;

  std::filesystem::path directory_;
  uint64_t checksum_ = 0;
  IndexInfo info_;
  std::unique_ptr<Analyzer> analyzer_;
  std::unique_ptr<MappedFile> terms_file_, term_texts_, postings_, documents_file_, document_ids_, id_order_, tokens_;
  const TermEntry* terms_ = nullptr;          // [terms + 1]
  const DocumentEntry* documents_ = nullptr;  // [documents + 1]
  const uint32_t* by_id_ = nullptr;           // [documents], in the order of their ids
  int64_t longest_ = 0;
};

}  // namespace interplay
