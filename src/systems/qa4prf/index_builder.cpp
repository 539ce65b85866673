#include <algorithm>
#include <cstring>
#include <numeric>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/base/progress.h>
#include <interplay/base/temporary_file.h>
#include <interplay/systems/text_index.h>

#include "systems/qa4prf/index_format.h"
#include "systems/qa4prf/lines.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

using namespace qa4prf;

constexpr size_t kBlock = size_t(1) << 20;  // bytes that are written, or read, at once

/// Bytes behind one another on disk, gone with the object.
class Spill {
 public:
  explicit Spill(const fs::path& directory) : file_(directory) {}
  void write(const std::vector<uint32_t>& numbers) {
    for (const uint32_t n : numbers) append_number(block_, n);
    if (block_.size() >= kBlock) flush();
  }
  /// Calls `use` for each of all numbers, in order.
  template <class Use>
  void each(const Use& use) {
    flush();
    std::string bytes;
    for (int64_t from = 0; from < written_;) {
      bytes.resize(size_t(std::min<int64_t>(int64_t(kBlock), written_ - from)));
      file_.read({bytes.data(), bytes.size()}, from);
      const auto* const begin = reinterpret_cast<const uint8_t*>(bytes.data());
      const auto* const end = begin + bytes.size();
      const uint8_t* whole = begin;  // behind the last number that ends in this block
      for (const uint8_t* at = begin; at < end; whole = at) {
        uint32_t number = 0;
        if (!take_number(at, end, number)) break;
        use(number);
      }
      INTERPLAY_ASSERT(whole > begin);
      from += whole - begin;
    }
  }

 private:
  void flush() {
    file_.write({block_.data(), block_.size()}, written_);
    written_ += int64_t(block_.size());
    block_.clear();
  }
  TemporaryFile file_;
  std::string block_;
  int64_t written_ = 0;
};

/// A file that is written in blocks.
class BlockFile {
 public:
  explicit BlockFile(const fs::path& file) : out_(file) {}
  std::string& block() { return block_; }
  void flush_full() {
    if (block_.size() >= kBlock) flush();
  }
  template <class Record>
  void record(const Record& r) {
    block_.append(reinterpret_cast<const char*>(&r), sizeof r);
    flush_full();
  }
  uint64_t size() const { return uint64_t(out_.size()) + block_.size(); }
  void close() {
    flush();
    out_.sync();
    out_.close();
  }

 private:
  void flush() {
    out_.write(block_);
    block_.clear();
  }
  OutputFile out_;
  std::string block_;
};

fs::path documents_in(const fs::path& given) {
  if (!fs::is_directory(given)) return given;
  for (const char* name : {"docs.jsonl", "docs.jsonl.gz", "docs.tsv", "docs.tsv.gz"}) {
    if (fs::exists(given / name)) return given / name;
  }
  throw Error(fmt::format("{}: has neither docs.jsonl nor docs.tsv, packed or not; name the file of the documents",
                          given.string()),
              ErrorKind::data);
}

/// Gathers documents, then writes the files of the index.
class Builder {
 public:
  Builder(const IndexOptions& options, const fs::path& directory)
      : o_(options), directory_(directory), analyzer_(options.analyzer), spilled_(directory) {}

  void read(const fs::path& documents) {
    const fs::path file = documents_in(documents);
    const bool json = file.string().find(".json") != std::string::npos;
    Progress progress("prf index: read", 0, "documents");
    int64_t shown = 0;
    each_line(
        file, [&](std::string_view line, const Place& place) { json ? add_json(line, place) : add_tabs(line, place); },
        [&](int64_t, int64_t) {
          progress.add(int64_t(lengths_.size()) - shown);
          shown = int64_t(lengths_.size());
        });
    INTERPLAY_CHECK_DATA(!lengths_.empty(), "{}: has no documents", file.string());
  }

  IndexInfo write() {
    number_terms();
    write_documents();
    write_terms(write_postings());
    info_.documents = int64_t(lengths_.size());
    info_.terms = int64_t(order_.size());
    info_.analyzer = o_.analyzer;
    info_.fields = o_.fields;
    save_info(directory_, info_);
    return info_;
  }

 private:
  struct Count {
    uint32_t documents = 0, last = 0;  // `last`: the document that was counted last, plus one
    uint64_t occurrences = 0;
  };

  void add_tabs(std::string_view line, const Place& place) {
    const size_t tab = line.find('\t');
    INTERPLAY_CHECK_DATA(tab != line.npos, "{}: has no tab; expected a document's id, a tab and its text",
                         place.text());
    add(line.substr(0, tab), line.substr(tab + 1), place);
  }

  void add_json(std::string_view line, const Place& place) {
    using Json = nlohmann::json;
    try {
      const Json document = Json::parse(line);
      const auto id = document.find("id");
      INTERPLAY_CHECK_DATA(id != document.end() && (id->is_string() || id->is_number_integer()),
                           "{}: a document has no `id`, text or whole number", place.text());
      std::string text;
      for (const auto& field : o_.fields) {
        const auto found = document.find(field);
        if (found != document.end() && !found->is_null()) text += found->get_ref<const std::string&>() + " ";
      }
      add(id->is_string() ? id->get<std::string>() : id->dump(), text, place);
    } catch (const Json::exception& problem) {
      throw Error(fmt::format("{}: {}; expected an object with `id` and {} a line", place.text(), problem.what(),
                              fmt::join(o_.fields, ", ")),
                  ErrorKind::data);
    }
  }

  void add(std::string_view id, std::string_view text, const Place& place) {
    check_id(id, "a document", place);
    INTERPLAY_CHECK_DATA(lengths_.size() + 1 < UINT32_MAX, "{}: an index holds at most {} documents", place.text(),
                         UINT32_MAX - 1);
    ids_.append(id);
    id_ends_.push_back(ids_.size());
    std::vector<uint32_t> tokens;
    for (auto& word : analyzer_.terms(text)) {
      const auto [it, fresh] = words_.try_emplace(std::move(word), uint32_t(counts_.size()));
      if (fresh) counts_.emplace_back();
      Count& count = counts_[it->second];
      ++count.occurrences;
      const auto now = uint32_t(lengths_.size() + 1);
      if (count.last != now) count.last = now, ++count.documents, ++info_.postings;
      tokens.push_back(it->second);
    }
    lengths_.push_back(uint32_t(tokens.size()));
    info_.tokens += int64_t(tokens.size());
    spilled_.write(tokens);
  }

  std::string_view id(uint32_t d) const {
    const uint64_t begin = d == 0 ? 0 : id_ends_[d - 1];
    return std::string_view(ids_).substr(begin, id_ends_[d] - begin);
  }

  /// Terms were numbered as they came; from here on they are by their bytes.
  void number_terms() {
    std::vector<const std::string*> texts(words_.size());
    for (const auto& [text, came] : words_) texts[came] = &text;
    order_.resize(texts.size());
    std::iota(order_.begin(), order_.end(), uint32_t(0));
    std::sort(order_.begin(), order_.end(), [&](uint32_t a, uint32_t b) { return *texts[a] < *texts[b]; });
    number_.resize(order_.size());
    for (size_t t = 0; t < order_.size(); ++t) number_[order_[t]] = uint32_t(t);
    BlockFile out(directory_ / kTermTextsFile);
    for (const uint32_t came : order_) {
      out.block() += *texts[came];
      out.flush_full();
      term_ends_.push_back(out.size());
    }
    out.close();
    words_ = {};
  }

  void write_documents() {
    std::vector<uint32_t> by_id(lengths_.size());
    std::iota(by_id.begin(), by_id.end(), uint32_t(0));
    std::sort(by_id.begin(), by_id.end(), [&](uint32_t a, uint32_t b) {
      const auto left = id(a), right = id(b);
      return left != right ? left < right : a < b;
    });
    for (size_t i = 1; i < by_id.size(); ++i) {
      INTERPLAY_CHECK_DATA(id(by_id[i - 1]) != id(by_id[i]), "two documents have the id '{}': the {}th and the {}th",
                           id(by_id[i]), by_id[i - 1] + 1, by_id[i] + 1);
    }
    write_file(directory_ / kDocumentIdsFile, ids_);
    write_file(directory_ / kIdOrderFile,
               {reinterpret_cast<const char*>(by_id.data()), by_id.size() * sizeof(uint32_t)});
    BlockFile entries(directory_ / kDocumentsFile), tokens(directory_ / kTokensFile);
    size_t d = 0;
    uint32_t left = 0;  // tokens of document d - 1 that are still to come
    const auto begin_documents = [&] {
      for (; left == 0 && d < lengths_.size(); ++d) {
        entries.record(TextIndex::DocumentEntry{d == 0 ? 0 : id_ends_[d - 1], tokens.size(), lengths_[d], 0});
        left = lengths_[d];
      }
    };
    begin_documents();
    spilled_.each([&](uint32_t came) {
      append_number(tokens.block(), number_[came]);
      tokens.flush_full();
      if (--left == 0) begin_documents();
    });
    entries.record(TextIndex::DocumentEntry{ids_.size(), tokens.size(), 0, 0});
    entries.close(), tokens.close();
  }

  /// As many passes over the documents as it takes to hold the postings of some terms at a time, next to one another.
  /// Returns where those of each term end.
  std::vector<uint64_t> write_postings() {
    BlockFile out(directory_ / kPostingsFile);
    std::vector<uint64_t> ends;
    const auto room = uint64_t(std::max<int64_t>(1, o_.memory_bytes)) / sizeof(Posting);
    Progress progress("prf index: invert", info_.postings, "postings");
    for (size_t first = 0; first < order_.size();) {
      size_t last = first;
      uint64_t held = 0;
      for (; last < order_.size() && (last == first || held + counts_[order_[last]].documents <= room); ++last)
        held += counts_[order_[last]].documents;
      append_postings(uint32_t(first), uint32_t(last), held, out, ends);
      progress.add(int64_t(held));
      first = last;
    }
    out.close();
    return ends;
  }

  void append_postings(uint32_t first, uint32_t last, uint64_t held, BlockFile& out, std::vector<uint64_t>& ends) {
    std::vector<Posting> postings(held);
    std::vector<uint64_t> begin, next;  // of each term from `first` on
    uint64_t at = 0;
    for (uint32_t t = first; t < last; ++t) begin.push_back(at), at += counts_[order_[t]].documents;
    next = begin;
    uint32_t d = 0, left = 0;
    const auto begin_document = [&] {
      while (left == 0 && d < lengths_.size()) left = lengths_[d++];
    };
    begin_document();
    spilled_.each([&](uint32_t came) {
      const uint32_t t = number_[came];
      if (t >= first && t < last) {
        uint64_t& end = next[t - first];
        if (end > begin[t - first] && postings[end - 1].document == d - 1) {
          ++postings[end - 1].count;
        } else {
          postings[end++] = {d - 1, 1};
        }
      }
      if (--left == 0) begin_document();
    });
    for (uint32_t t = first; t < last; ++t) {
      uint32_t behind = 0;
      for (uint64_t i = begin[t - first]; i < next[t - first]; ++i) {
        append_number(out.block(), postings[i].document - behind);
        append_number(out.block(), postings[i].count);
        behind = postings[i].document + 1;
        out.flush_full();
      }
      ends.push_back(out.size());
    }
  }

  void write_terms(const std::vector<uint64_t>& posting_ends) {
    BlockFile out(directory_ / kTermsFile);
    uint64_t text = 0, postings = 0;
    for (size_t t = 0; t < order_.size(); ++t) {
      const Count& count = counts_[order_[t]];
      out.record(TextIndex::TermEntry{text, postings, count.occurrences, count.documents, 0});
      text = term_ends_[t], postings = posting_ends[t];
    }
    out.record(TextIndex::TermEntry{text, postings, 0, 0, 0});
    out.close();
  }

  IndexOptions o_;
  fs::path directory_;
  Analyzer analyzer_;
  IndexInfo info_;
  std::unordered_map<std::string, uint32_t> words_;  // by text: number as they came
  std::vector<Count> counts_;                        // by that number
  std::vector<uint32_t> order_, number_;             // by final number: as it came; and the other way round
  std::vector<uint64_t> term_ends_, id_ends_;
  std::string ids_;
  std::vector<uint32_t> lengths_;
  Spill spilled_;
};

}  // namespace

IndexInfo build_text_index(const fs::path& documents, const fs::path& out, const IndexOptions& options) {
  NewDirectory directory(out);
  Builder builder(options, directory.path());
  builder.read(documents);
  const IndexInfo info = builder.write();
  Manifest::describe(directory.path()).save(directory.path());
  directory.commit();
  return info;
}

}  // namespace interplay
