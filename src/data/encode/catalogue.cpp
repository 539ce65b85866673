#include "data/encode/catalogue.h"

#include <algorithm>

#include <interplay/base/error.h>
#include <interplay/data/reader.h>

namespace interplay {

std::set<std::string> catalogue_tokens(const DataSpec& spec, size_t field) {
  const std::filesystem::path named = spec.catalogues[field];
  const auto file = named.is_absolute() ? named : spec.root / named;
  const std::string extension = file.extension().string();
  Config format = spec.reader;
  if (extension == ".parquet" || extension == ".csv" || extension == ".tsv")
    format = Config::scalar(extension.substr(1), true);
  ReadRequest request;
  request.files = expand_glob(file);
  const auto has = readers().make(request, format)->columns();
  std::string column = spec.fields[field].encoding["column"].as<std::string>();
  const auto is_there = [&](const std::string& name) { return std::find(has.begin(), has.end(), name) != has.end(); };
  INTERPLAY_CHECK_DATA(is_there(column) || is_there("key"),
                       "{}: has no column '{}' and none called key; the catalogue of field '{}' is read from it "
                       "(columns: {})",
                       file.string(), column, spec.fields[field].name, fmt::join(has, ", "));
  if (!is_there(column)) column = "key";
  request.columns = {column};
  const auto reader = readers().make(request, format);
  std::set<std::string> tokens;
  for (RawBatch batch; reader->next(batch);) {
    const RawColumn& cells = batch.column(column);
    INTERPLAY_CHECK_DATA(!cells.is_list(), "{}: column '{}' holds lists; a catalogue has a value a row", file.string(),
                         column);
    for (int64_t r = 0; r < batch.rows; ++r) {
      if (!cells.missing(r)) tokens.emplace(cells.cell(r));
    }
  }
  return tokens;
}

}  // namespace interplay
