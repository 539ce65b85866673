#include <algorithm>

#include <interplay/base/error.h>

#include "data/read/delimited_reader.h"
#include "data/read/joined_reader.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

/// `age:float` names the column age.
std::string without_type(const std::string& name) {
  const auto colon = name.rfind(':');
  if (colon == std::string::npos) return name;
  const std::string type = name.substr(colon + 1);
  const bool known = type == "token" || type == "token_seq" || type == "float" || type == "float_seq";
  return known ? name.substr(0, colon) : name;
}

struct RecboleOptions : TextOptions {
  std::string user_field = "user_id";
  std::string item_field = "item_id";
  std::string separator = "\t";

  void visit(auto&& field) {
    field("user_field", user_field, "column that joins the .user file");
    field("item_field", item_field, "column that joins the .item file");
    field("separator", separator, "text between two values of a row");
    TextOptions::visit(field);
  }
  DelimitedOptions delimited() const {
    DelimitedOptions out{*this};
    out.separator = separator;
    out.quote = false;
    return out;
  }
};

/// Atomic files of one kind: text whose header says `field:type`, known here by the plain field names.
class AtomicReader final : public ParsingReader {
 public:
  AtomicReader(ReadRequest request, const DelimitedOptions& options) : ParsingReader(request.bad_rows) {
    request.bad_rows = bad_rows();
    const auto wanted = std::exchange(request.columns, {});
    const auto typed = DelimitedReader(request, options).columns();
    for (const auto& name : typed) names_.push_back(without_type(name));
    for (const int place : find_columns(names_, wanted, request.files.front())) {
      request.columns.push_back(typed[size_t(place)]);
    }
    reader_ = std::make_unique<DelimitedReader>(request, options);
  }
  std::vector<std::string> columns() const override { return names_; }
  int64_t bytes_total() const override { return reader_->bytes_total(); }
  int64_t bytes_done() const override { return reader_->bytes_done(); }

  bool next_unparsed(Unparsed& batch) override {
    Unparsed typed;
    if (!reader_->next_unparsed(typed)) return false;
    batch = [typed](BadRows& bad_rows) {
      RawBatch plain = typed(bad_rows);
      for (auto& column : plain.columns) column.name = without_type(column.name);
      return plain;
    };
    return true;
  }

 private:
  std::vector<std::string> names_;
  std::unique_ptr<DelimitedReader> reader_;
};

/// ml-100k.user beside ml-100k.inter; also beside ml-100k.train.inter and ml-100k.inter.gz. Empty where there is none.
fs::path sibling(const fs::path& inter, const std::string& extension) {
  for (std::string stem = inter.filename().string(); stem.find('.') != std::string::npos;) {
    stem.erase(stem.rfind('.'));
    for (const char* packed : {"", ".gz", ".zst"}) {
      const fs::path file = inter.parent_path() / (stem + extension + packed);
      if (fs::exists(file)) return file;
    }
  }
  return {};
}

std::vector<fs::path> siblings(const std::vector<fs::path>& inters, const std::string& extension) {
  std::vector<fs::path> files;
  for (const auto& inter : inters) {
    const fs::path file = sibling(inter, extension);
    if (!file.empty() && std::find(files.begin(), files.end(), file) == files.end()) files.push_back(file);
  }
  return files;
}

TableFiles atomic_files(ReadRequest request, const RecboleOptions& options, std::string key = {}) {
  const auto open = [options](const ReadRequest& r) { return std::make_shared<AtomicReader>(r, options.delimited()); };
  return {std::move(request), open, std::move(key)};
}

/// The .user and .item files that lie beside the events.
std::vector<TableFiles> tables_beside(const ReadRequest& events, const RecboleOptions& options) {
  std::vector<TableFiles> tables;
  for (const auto& [extension, key] : {std::pair(".user", options.user_field), {".item", options.item_field}}) {
    ReadRequest request = events;
    request.files = siblings(events.files, extension);
    if (!request.files.empty()) tables.push_back(atomic_files(std::move(request), options, key));
  }
  return tables;
}

/// RecBole's atomic files: events (.inter), each joined with its user (.user) and its item (.item) where these lie
/// beside it.
class RecboleReader final : public JoinedReader {
 public:
  using Options = RecboleOptions;
  RecboleReader(const ReadRequest& request, const Options& options)
      : JoinedReader(atomic_files(request, options), tables_beside(request, options)) {}
};

INTERPLAY_REGISTER(readers(), "recbole", RecboleReader, "RecBole atomic files: .inter, joined with .user and .item");

}  // namespace
}  // namespace interplay
