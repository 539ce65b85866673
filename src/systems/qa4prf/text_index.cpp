#include <interplay/systems/text_index.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include <interplay/base/error.h>

#include "systems/qa4prf/index_format.h"

namespace fs = std::filesystem;

namespace interplay {
namespace qa4prf {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "interplay text index";
constexpr int kVersion = 1;

}  // namespace

void save_info(const fs::path& directory, const IndexInfo& info) {
  const Json json{{"format", kFormat},
                  {"version", kVersion},
                  {"documents", info.documents},
                  {"tokens", info.tokens},
                  {"terms", info.terms},
                  {"postings", info.postings},
                  {"fields", info.fields},
                  {"stemmer", info.analyzer.stemmer},
                  {"stop_words", info.analyzer.stop_words}};
  write_file(directory / kIndexFile, json.dump(1) + "\n");
}

IndexInfo load_info(const fs::path& directory) {
  INTERPLAY_CHECK_DATA(fs::is_directory(directory), "{}: no such directory; `interplay prf index` makes one",
                       directory.string());
  const fs::path file = directory / kIndexFile;
  INTERPLAY_CHECK_DATA(fs::exists(file) && fs::exists(directory / "manifest.json"),
                       "{}: has no {} and manifest.json; expected what `interplay prf index` writes",
                       directory.string(), kIndexFile);
  Manifest::load(directory).check(directory, /*contents=*/true);
  try {
    const Json json = Json::parse(read_file(file));
    INTERPLAY_CHECK_DATA(json.at("format") == kFormat && json.at("version") == kVersion,
                         "{}: format {} version {}; expected {} version {}: build the index again", file.string(),
                         json.at("format").dump(), json.at("version").dump(), kFormat, kVersion);
    IndexInfo out;
    json.at("documents").get_to(out.documents);
    json.at("tokens").get_to(out.tokens);
    json.at("terms").get_to(out.terms);
    json.at("postings").get_to(out.postings);
    json.at("fields").get_to(out.fields);
    json.at("stemmer").get_to(out.analyzer.stemmer);
    json.at("stop_words").get_to(out.analyzer.stop_words);
    for (const auto& [name, value] : {std::pair{"documents", out.documents}, {"terms", out.terms}}) {
      INTERPLAY_CHECK_DATA(value >= 0 && value < UINT32_MAX, "{}: {} is {}; expected 0 to {}", file.string(), name,
                           value, UINT32_MAX - 1);
    }
    return out;
  } catch (const nlohmann::json::exception& problem) {
    throw Error(fmt::format("{}: {}; expected what `interplay prf index` writes", file.string(), problem.what()),
                ErrorKind::data);
  }
}

}  // namespace qa4prf

using namespace qa4prf;

namespace {

template <class T>
const T* records(const MappedFile& file, int64_t count) {
  INTERPLAY_CHECK_DATA(file.bytes().size() == size_t(count) * sizeof(T),
                       "{}: is {} bytes; expected {} of {} bytes each; build the index again", file.path().string(),
                       file.bytes().size(), count, sizeof(T));
  return reinterpret_cast<const T*>(file.bytes().data());
}

}  // namespace

TextIndex::TextIndex(const fs::path& directory) : directory_(directory), info_(load_info(directory)) {
  checksum_ = hash64_file(directory / "manifest.json");
  analyzer_ = std::make_unique<Analyzer>(info_.analyzer);
  const auto map = [&](const char* name) { return std::make_unique<MappedFile>(directory / name); };
  terms_file_ = map(kTermsFile), term_texts_ = map(kTermTextsFile), postings_ = map(kPostingsFile);
  documents_file_ = map(kDocumentsFile), document_ids_ = map(kDocumentIdsFile), id_order_ = map(kIdOrderFile);
  tokens_ = map(kTokensFile);
  terms_ = records<TermEntry>(*terms_file_, info_.terms + 1);
  documents_ = records<DocumentEntry>(*documents_file_, info_.documents + 1);
  by_id_ = records<uint32_t>(*id_order_, info_.documents);
  check();
  for (int64_t d = 0; d < info_.documents; ++d) longest_ = std::max<int64_t>(longest_, documents_[d].length);
}

void TextIndex::damaged(const MappedFile& file, const std::string& what) const {
  throw Error(fmt::format("{}: {}; the index is damaged: build it again with `interplay prf index`",
                          file.path().string(), what),
              ErrorKind::data);
}

/// All places lie within their files, in order, and the sums are those of index.json: what is read later needs to look
/// at no more than its own part.
void TextIndex::check() const {
  const auto places = [&](const auto* entries, int64_t count, auto member, const MappedFile& file,
                          const MappedFile& of) {
    if (entries[0].*member != 0 || entries[count].*member != of.bytes().size())
      damaged(file, fmt::format("its entries do not span {}", of.path().filename().string()));
    for (int64_t i = 0; i < count; ++i) {
      if (entries[i].*member > entries[i + 1].*member) damaged(file, fmt::format("entry {} ends before it begins", i));
    }
  };
  places(terms_, info_.terms, &TermEntry::text, *terms_file_, *term_texts_);
  places(terms_, info_.terms, &TermEntry::postings, *terms_file_, *postings_);
  places(documents_, info_.documents, &DocumentEntry::id, *documents_file_, *document_ids_);
  places(documents_, info_.documents, &DocumentEntry::tokens, *documents_file_, *tokens_);
  uint64_t occurrences = 0, postings = 0, lengths = 0;
  for (int64_t t = 0; t < info_.terms; ++t) {
    const TermEntry& e = terms_[t];
    if (e.documents < 1 || e.documents > info_.documents || e.occurrences < e.documents)
      damaged(*terms_file_, fmt::format("term {} occurs {} times in {} documents", t, e.occurrences, e.documents));
    if (t > 0 && term(uint32_t(t - 1)) >= term(uint32_t(t)))
      damaged(*terms_file_, fmt::format("term {} is not behind the one before", t));
    occurrences += e.occurrences, postings += e.documents;
  }
  for (int64_t d = 0; d < info_.documents; ++d) {
    const DocumentEntry& e = documents_[d];
    if (e.length > documents_[d + 1].tokens - e.tokens)  // a token has at least a byte
      damaged(*documents_file_,
              fmt::format("document {} has {} tokens in {} bytes", d, e.length, documents_[d + 1].tokens - e.tokens));
    lengths += e.length;
    if (by_id_[d] >= info_.documents) damaged(*id_order_, fmt::format("names document {}", by_id_[d]));
  }
  if (occurrences != uint64_t(info_.tokens) || lengths != occurrences || postings != uint64_t(info_.postings))
    damaged(*terms_file_, fmt::format("{} occurrences, {} postings and {} tokens of documents; {} says {} and {}",
                                      occurrences, postings, lengths, kIndexFile, info_.tokens, info_.postings));
}

std::string_view TextIndex::term(uint32_t t) const {
  return term_texts_->bytes().substr(terms_[t].text, terms_[t + 1].text - terms_[t].text);
}

std::string_view TextIndex::document_id(uint32_t d) const {
  return document_ids_->bytes().substr(documents_[d].id, documents_[d + 1].id - documents_[d].id);
}

std::optional<uint32_t> TextIndex::find(std::string_view word) const {
  int64_t low = 0, high = info_.terms;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    term(uint32_t(middle)) < word ? low = middle + 1 : high = middle;
  }
  if (low == info_.terms || term(uint32_t(low)) != word) return {};
  return uint32_t(low);
}

std::optional<uint32_t> TextIndex::find_document(std::string_view id) const {
  const auto* const end = by_id_ + info_.documents;
  const auto* const found =
      std::lower_bound(by_id_, end, id, [&](uint32_t d, std::string_view wanted) { return document_id(d) < wanted; });
  if (found == end || document_id(*found) != id) return {};
  return *found;
}

void TextIndex::postings(uint32_t t, std::vector<Posting>& out) const {
  const auto* at = reinterpret_cast<const uint8_t*>(postings_->bytes().data()) + terms_[t].postings;
  const auto* const end = reinterpret_cast<const uint8_t*>(postings_->bytes().data()) + terms_[t + 1].postings;
  out.resize(terms_[t].documents);
  uint64_t next = 0;  // the first document that the next posting may be of
  for (auto& posting : out) {
    uint32_t behind = 0, count = 0;
    if (!take_number(at, end, behind) || !take_number(at, end, count) || count == 0 ||
        next + behind >= uint64_t(info_.documents))
      damaged(*postings_, fmt::format("the postings of term {} cannot be read", t));
    posting = {uint32_t(next + behind), count};
    next += uint64_t(behind) + 1;
  }
  if (at != end) damaged(*postings_, fmt::format("the postings of term {} do not end with it", t));
}

std::vector<uint32_t> TextIndex::tokens(uint32_t d, int64_t most) const {
  const auto* at = reinterpret_cast<const uint8_t*>(tokens_->bytes().data()) + documents_[d].tokens;
  const auto* const end = reinterpret_cast<const uint8_t*>(tokens_->bytes().data()) + documents_[d + 1].tokens;
  std::vector<uint32_t> out(size_t(std::min<int64_t>(documents_[d].length, most)));
  for (auto& token : out) {
    if (!take_number(at, end, token) || token >= info_.terms)
      damaged(*tokens_, fmt::format("the tokens of document {} cannot be read", d));
  }
  return out;
}

}  // namespace interplay
