#include <algorithm>

#include <interplay/base/error.h>

#include "data/delimited_reader.h"
#include "data/side_table.h"

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

struct RecboleOptions {
  std::string user_field = "user_id";
  std::string item_field = "item_id";
  std::string separator = "\t";
  std::string encoding = "utf8";
  std::string compression = "auto";
  int64_t max_line_bytes = 1 << 20;

  void visit(auto&& field) {
    field("user_field", user_field, "column that joins the .user file");
    field("item_field", item_field, "column that joins the .item file");
    field("separator", separator, "text between two values of a row");
    field("encoding", encoding, "of the text", OneOf{{"utf8", "latin1"}});
    field("compression", compression, "auto goes by the file's name, then by its first bytes",
          OneOf{{"auto", "none", "gz", "zst"}});
    field("max_line_bytes", max_line_bytes, "a longer line is a bad row", Range{1, 1 << 30});
  }
  DelimitedOptions delimited() const {
    return {separator, Config::scalar("true"), false, encoding, compression, max_line_bytes};
  }
};

/// Atomic files of one kind: text whose header says `field:type`, known here by the plain field names.
class AtomicFiles {
 public:
  AtomicFiles(std::vector<fs::path> files, const ReadRequest& request, const DelimitedOptions& options)
      : request_(request), options_(options) {
    request_.files = std::move(files);
    request_.columns.clear();
    typed_ = DelimitedReader(request_, options_).columns();
    for (const auto& name : typed_) names_.push_back(without_type(name));
  }
  const std::vector<std::string>& names() const { return names_; }
  bool has(const std::string& name) const { return std::find(names_.begin(), names_.end(), name) != names_.end(); }
  const fs::path& file() const { return request_.files.front(); }
  int64_t bytes_total() const { return total_bytes(request_.files); }
  int64_t bytes_done() const { return reader_ ? reader_->bytes_done() : 0; }
  void check_has(const std::string& key) const { find_columns(names_, {key}, file()); }

  void open(const std::vector<std::string>& wanted) {
    request_.columns.clear();
    for (const int place : find_columns(names_, wanted, file())) request_.columns.push_back(typed_[size_t(place)]);
    reader_ = std::make_unique<DelimitedReader>(request_, options_);
  }
  bool next(RawBatch& batch) {
    if (!reader_->next(batch)) return false;
    drop_types(batch);
    return true;
  }
  bool next_unparsed(Reader::Unparsed& batch) { return reader_->next_unparsed(batch); }
  static void drop_types(RawBatch& batch) {
    for (auto& column : batch.columns) column.name = without_type(column.name);
  }

 private:
  ReadRequest request_;
  DelimitedOptions options_;
  std::vector<std::string> typed_, names_;
  std::unique_ptr<DelimitedReader> reader_;
};

/// Users or items by their key.
class Side {
 public:
  Side(AtomicFiles files, std::string key) : files_(std::move(files)), table_(std::move(key)) {
    files_.check_has(table_.key());
  }
  const AtomicFiles& files() const { return files_; }
  const std::string& key() const { return table_.key(); }

  void load(std::vector<std::string> wanted, BadRows& bad_rows) {
    const auto columns = wanted;
    wanted.push_back(key());
    files_.open(wanted);
    table_.load(
        columns, [&](RawBatch& batch) { return files_.next(batch); }, bad_rows);
  }
  void join(RawBatch& batch) const { table_.join(batch); }

 private:
  AtomicFiles files_;
  SideTable table_;
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

/// RecBole's atomic files: events (.inter), each joined with its user (.user) and its item (.item) where these lie
/// beside it. Rows are those of the events, and so are their line numbers.
class RecboleReader final : public Reader {
 public:
  using Options = RecboleOptions;

  RecboleReader(const ReadRequest& request, const Options& options)
      : bad_rows_(request.bad_rows ? request.bad_rows : std::make_shared<BadRows>()),
        events_(request.files, with_bad_rows(request), options.delimited()),
        names_(events_.names()) {
    for (const auto& [extension, key] : {std::pair(".user", options.user_field), {".item", options.item_field}}) {
      auto files = siblings(request.files, extension);
      if (files.empty()) continue;
      events_.check_has(key);
      add_side(Side(AtomicFiles(std::move(files), with_bad_rows(request), options.delimited()), key));
    }
    wanted_ = request.columns.empty() ? names_ : request.columns;
    find_columns(names_, wanted_, events_.file());
    open();
  }

  std::vector<std::string> columns() const override { return names_; }
  int64_t bytes_total() const override { return events_.bytes_total(); }
  int64_t bytes_done() const override { return events_.bytes_done(); }

  bool next(RawBatch& batch) override {
    Unparsed unparsed;
    do {
      if (!next_unparsed(unparsed)) return false;
      batch = unparsed(*bad_rows_);
    } while (batch.rows == 0);
    return true;
  }

  bool next_unparsed(Unparsed& batch) override {
    Unparsed events;
    if (!events_.next_unparsed(events)) return false;
    batch = [this, events](BadRows& bad_rows) {
      RawBatch joined = events(bad_rows);
      if (joined.rows == 0) return joined;
      AtomicFiles::drop_types(joined);
      for (const auto& side : sides_) side.join(joined);
      std::vector<RawColumn> columns;
      for (const auto& name : wanted_) columns.push_back(joined.column(name));
      joined.columns = std::move(columns);
      return joined;
    };
    return true;
  }

 private:
  ReadRequest with_bad_rows(ReadRequest request) const {
    request.bad_rows = bad_rows_;
    return request;
  }

  void add_side(Side side) {
    for (const auto& name : side.files().names()) {
      if (name == side.key()) continue;
      INTERPLAY_CHECK_DATA(std::find(names_.begin(), names_.end(), name) == names_.end(),
                           "{}: column '{}' is also in another file of the set (columns: {}); rename one of them",
                           side.files().file().string(), name, fmt::join(names_, ", "));
      names_.push_back(name);
    }
    sides_.push_back(std::move(side));
  }

  /// Starts the events with the wanted columns and the keys; loads the sides that anything is wanted from.
  void open() {
    std::vector<std::string> of_events;
    const auto want = [&](const std::string& name) {
      if (std::find(of_events.begin(), of_events.end(), name) == of_events.end()) of_events.push_back(name);
    };
    for (const auto& name : wanted_) {
      if (events_.has(name)) want(name);
    }
    std::vector<Side> needed;
    for (auto& side : sides_) {
      std::vector<std::string> of_side;
      for (const auto& name : wanted_) {
        if (!events_.has(name) && side.files().has(name)) of_side.push_back(name);
      }
      if (of_side.empty()) continue;
      want(side.key());
      side.load(of_side, *bad_rows_);
      needed.push_back(std::move(side));
    }
    sides_ = std::move(needed);
    events_.open(of_events);
  }

  std::shared_ptr<BadRows> bad_rows_;
  AtomicFiles events_;
  std::vector<std::string> names_, wanted_;
  std::vector<Side> sides_;
};

INTERPLAY_REGISTER(readers(), "recbole", RecboleReader, "RecBole atomic files: .inter, joined with .user and .item");

}  // namespace
}  // namespace interplay
