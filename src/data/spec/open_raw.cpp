#include <interplay/data/open_raw.h>

#include "data/read/parsing_reader.h"
#include "data/spec/data_spec.h"
#include "data/spec/open_rows.h"

namespace interplay {
namespace {

/// The reader that a file's first bytes, or else its name, ask for; empty where they do not.
std::string format_of(const std::filesystem::path& file) {
  check_file(file);
  char start[4] = {};
  const int64_t got = check_arrow(open_file(file).raw->Read(sizeof start, start), file);
  if (std::string_view(start, size_t(got)) == "PAR1") return "parquet";
  const auto extension =
      file.extension() == ".gz" || file.extension() == ".zst" ? file.stem().extension() : file.extension();
  return extension == ".csv" || extension == ".tsv" ? extension.string().substr(1) : "";
}

}  // namespace

std::shared_ptr<Reader> open_raw(const Schema& schema, const ReadRequest& request) {
  DataSpec spec = DataSpec::parse(schema.source);
  INTERPLAY_CHECK(!request.files.empty(), "no file to read is named");
  const std::string found = format_of(request.files.front()), stated = spec.reader["name"].as<std::string>();
  // Text may be csv under any name, so its stated format holds; Parquet is never anything else.
  if (found == "parquet" ? stated != "parquet" : stated == "parquet" && !found.empty())
    spec.reader = Config::parse("name: " + found);
  return open_rows(spec, request);
}

}  // namespace interplay
