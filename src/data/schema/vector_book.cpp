#include <interplay/data/vector_book.h>

#include <algorithm>

#include <interplay/base/error.h>
#include <interplay/base/log.h>
#include <interplay/base/options.h>

#include "data/schema/vocabulary.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

/// An entry of `vectors:` in schema.yaml.
struct Listed {
  std::string table, checksum;
  int64_t rows = 0, width = 0, tokens = 0, known = 0;
  VectorSource source;
  void visit(auto&& field) {
    field("table", table, "table whose rows they are for");
    source.visit(field);
    field("rows", rows, "of the table", Range{1, 2147483647});
    field("width", width, "numbers of a vector", Range{1, 1e6});
    field("tokens", tokens, "of the table");
    field("known", known, "tokens that have one");
    field("checksum", checksum, "of the file's keys and vectors");
  }
};

std::string key_of(const std::string& table, const VectorSource& source) {
  return fmt::format("{}\n{}", table, write_options(source).yaml());
}

/// 1682 as 1,682
std::string with_commas(int64_t number) {
  std::string out = std::to_string(number);
  for (auto at = int64_t(out.size()) - 3; at > 0; at -= 3) out.insert(size_t(at), ",");
  return out;
}

}  // namespace

VectorBook::VectorBook(fs::path directory, const Config& listed) : directory_(std::move(directory)) {
  if (!listed.defined() || listed.size() == 0) return;
  is_run_ = true;
  for (const Config& item : listed.items()) {
    Listed read;
    read_options(read, item);
    if (read.rows < 1 || read.width < 1) item.fail("has no rows or width; the file was changed after it was written");
    RowVectors vectors{read.rows, read.width, read.tokens, read.known, read.checksum, {}, {}};
    entries_[key_of(read.table, read.source)] = {read.table, read.source,
                                                 std::make_shared<const RowVectors>(std::move(vectors))};
  }
}

std::shared_ptr<const RowVectors> VectorBook::of(const Field& field, const VectorSource& source) {
  INTERPLAY_CHECK(!field.table.empty(), "field '{}' is {}; vectors by key are for fields that read a table of tokens",
                  field.name, to_string(field.kind));
  const std::lock_guard lock(mutex_);
  auto& entry = entries_[key_of(field.table, source)];
  if (!entry.vectors) {
    try {
      INTERPLAY_CHECK_DATA(!is_run_,
                           "{}: its schema.yaml does not list the vectors of {} for table '{}'; the file was "
                           "changed after it was written",
                           directory_.string(), source.from, field.table);
      entry = {field.table, source, read(field, source)};
    } catch (...) {
      entries_.erase(key_of(field.table, source));
      throw;
    }
  }
  INTERPLAY_CHECK_DATA(entry.vectors->rows == field.rows, "table '{}' has {} rows, its vectors of {} are for {}",
                       field.table, field.rows, source.from, entry.vectors->rows);
  return entry.vectors;
}

std::shared_ptr<const RowVectors> VectorBook::read(const Field& field, const VectorSource& source) const {
  const fs::path file = vocabulary_file(directory_, field.table);
  INTERPLAY_CHECK(fs::exists(file),
                  "field '{}' has no vocabulary, as its ids come by hash, so that nothing tells which key a row of its "
                  "table is of; prepare the data without its hash_buckets",
                  field.name);
  const KeyedVectors vectors = KeyedVectors::load(source);
  const Vocabulary tokens = Vocabulary::load(file);
  auto out = std::make_shared<RowVectors>();
  out->rows = tokens.rows();
  out->width = vectors.width();
  out->tokens = tokens.size();
  out->checksum = vectors.checksum();
  out->values.resize(size_t(out->rows * out->width));
  out->has.resize(size_t(out->rows));
  for (int64_t id = 1; id <= tokens.size(); ++id) {
    const auto found = vectors.find(tokens.token(id));
    if (found.empty()) continue;
    std::copy(found.begin(), found.end(), out->values.begin() + id * out->width);
    out->has[size_t(id)] = 1;
    ++out->known;
  }
  const std::string said = fmt::format("{}: {} of {} values of {} have a vector", source.from, with_commas(out->known),
                                       with_commas(out->tokens), field.table);
  INTERPLAY_CHECK_DATA(out->known > 0 || out->tokens == 0,
                       "{}; its keys are '{}', ... where the field's values are '{}', ...: expected the raw values",
                       said, vectors.key(0), tokens.token(1));
  log::info("{}", said);
  return out;
}

Config VectorBook::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<Config> out;
  for (const auto& [key, e] : entries_) {
    const RowVectors& v = *e.vectors;
    out.push_back(write_options(Listed{e.table, v.checksum, v.rows, v.width, v.tokens, v.known, e.source}));
  }
  return Config::sequence(std::move(out));
}

std::string VectorBook::difference(const VectorBook& other) const {
  const std::scoped_lock lock(mutex_, other.mutex_);
  for (const auto& [key, e] : entries_) {
    const auto theirs = other.entries_.find(key);
    if (theirs != other.entries_.end() && theirs->second.vectors->checksum != e.vectors->checksum) return e.source.from;
  }
  return "";
}

}  // namespace interplay
