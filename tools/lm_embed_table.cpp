// interplay lm embed TABLE: the texts of a table to vectors by key, as models read them (fields.pretrained,
// augmenters).
#include "lm_embed_table.h"

#include <filesystem>
#include <unordered_map>

#include <ATen/ATen.h>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/data/keyed_vectors.h>
#include <interplay/data/reader.h>

#include "command.h"

namespace fs = std::filesystem;

namespace interplay::tool {
namespace {

constexpr size_t kPart = 1024;  // texts that are embedded together: a second or some of work

/// By the name, without .gz or .zst, unless it is said.
Config format_of(const EmbeddedTable& table) {
  if (!table.format.empty()) return Config::parse(table.format, "--format");
  fs::path file = table.file;
  if (file.extension() == ".gz" || file.extension() == ".zst") file = file.stem();
  const std::string extension = file.extension().string();
  INTERPLAY_CHECK(extension == ".csv" || extension == ".tsv" || extension == ".parquet",
                  "{}: its name says no format (.csv, .tsv or .parquet); give --format, as csv or '{{name: csv, "
                  "separator: \"::\", header: [item, title]}}'",
                  table.file);
  return Config::scalar(extension.substr(1), true);
}

struct Texts {
  std::vector<std::string> keys, texts;
  int64_t rows = 0, without = 0;  // of the table, and those whose key or text is missing
};

Texts read_texts(const EmbeddedTable& table) {
  ReadRequest request;
  request.files = expand_glob(table.file);
  request.columns = {table.key, table.column};
  const auto reader = readers().make(request, format_of(table));
  Texts out;
  std::unordered_map<std::string, size_t> seen;
  for (RawBatch batch; reader->next(batch);) {
    const RawColumn &key = batch.column(table.key), &text = batch.column(table.column);
    INTERPLAY_CHECK_DATA(!key.is_list() && !text.is_list(), "{}: column '{}' holds lists; expected a value a row",
                         table.file, key.is_list() ? key.name : text.name);
    for (int64_t r = 0; r < batch.rows; ++r) {
      ++out.rows;
      if (key.missing(r) || text.missing(r)) {
        ++out.without;
        continue;
      }
      const auto [it, fresh] = seen.emplace(key.cell(r), out.keys.size());
      if (fresh) {
        out.keys.emplace_back(key.cell(r));
        out.texts.emplace_back(text.cell(r));
      }
      INTERPLAY_CHECK_DATA(out.texts[it->second] == text.cell(r),
                           "{}: key '{}' has the text '{}', and another before: '{}'; a key has one text",
                           batch.place(r), it->first, text.cell(r), out.texts[it->second]);
    }
  }
  INTERPLAY_CHECK_DATA(!out.keys.empty(), "{}: has no row with both '{}' and '{}'", table.file, table.key,
                       table.column);
  return out;
}

}  // namespace

void embed_table(const EmbeddedTable& table, lm::TextEncoder& encoder) {
  const Texts found = read_texts(table);
  if (found.without > 0)
    log::warning("{}: {} of {} rows have no key or no text; they get no vector", table.file, found.without, found.rows);
  VectorWriter out(table.out, encoder.width());
  Progress progress("lm embed", int64_t(found.keys.size()), "texts");
  for (size_t first = 0; first < found.keys.size(); first += kPart) {
    const size_t count = std::min(kPart, found.keys.size() - first);
    const auto vectors = encoder.encode(std::span(found.texts).subspan(first, count)).contiguous();  // [n, D]
    out.write(std::span(found.keys).subspan(first, count), {vectors.const_data_ptr<float>(), size_t(vectors.numel())});
    progress.add(int64_t(count));
  }
  out.close();
  fmt::print("{}: {} vectors of {} numbers, by {}\n", table.out, found.keys.size(), encoder.width(), table.key);
}

}  // namespace interplay::tool
