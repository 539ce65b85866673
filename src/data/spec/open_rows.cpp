#include "data/spec/open_rows.h"

#include <interplay/base/error.h>

#include "data/read/joined_reader.h"

namespace interplay {

std::shared_ptr<Reader> open_rows(const DataSpec& spec, const ReadRequest& request) {
  INTERPLAY_CHECK(!request.files.empty(), "no file to read is named");
  if (spec.options.join.empty()) return readers().make(request, spec.reader);
  const auto files = [&](const Config& reader, std::string key) {
    return TableFiles{request, [&reader](const ReadRequest& r) { return readers().make(r, reader); }, std::move(key)};
  };
  std::vector<TableFiles> tables;
  for (size_t i = 0; i < spec.options.join.size(); ++i) {
    const auto& join = spec.options.join[i];
    tables.push_back(files(spec.join_readers[i], join.key));
    tables.back().request.files = expand_glob(request.files.front().parent_path() / join.file);
  }
  return std::make_shared<JoinedReader>(files(spec.reader, ""), tables);
}

}  // namespace interplay
