#include <interplay/data/prepare.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <optional>
#include <sstream>
#include <tuple>

#include <malloc.h>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/data/encoder.h>

#include "data/data_spec.h"
#include "data/dataset_writer.h"
#include "data/encoder_builder.h"
#include "data/encoder_state.h"
#include "data/history.h"
#include "data/read_ahead.h"
#include "data/split.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr int64_t kBatchRows = 16384;  // 4 MB of Criteo: several are in flight
constexpr const char* kSplits[] = {"train", "valid", "test"};

/// Files that are read as one; where a split plan exists its rows go to any split, otherwise to `split`.
struct Source {
  int split = 0;
  std::vector<fs::path> files;
  double bytes = 0;
};

/// Hands memory that was freed back to the system: the next phase needs the room.
void give_back_memory() { ::malloc_trim(0); }

/// A later pass may find bad rows in files before those of the first: the list is put in the order of files and lines.
void sort_rejected(const fs::path& file) {
  if (!fs::exists(file)) return;
  struct Row {
    std::string file;
    int64_t line;
    std::string text;
  };
  std::istringstream in(read_file(file));
  std::string header;
  std::getline(in, header);
  std::vector<Row> rows;
  for (std::string text; std::getline(in, text);) {
    const size_t tab = text.find('\t');
    rows.push_back({text.substr(0, tab), std::atoll(text.c_str() + tab + 1), text});
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return std::tie(a.file, a.line) < std::tie(b.file, b.line); });
  std::string out = header + "\n";
  for (const Row& row : rows) out += row.text + "\n";
  write_file(file, out);
}

class Preparation {
 public:
  Preparation(const Config& data, const fs::path& directory, const PrepareOptions& options)
      : directory_(directory), partial_(aside(directory)), spec_(DataSpec::parse(data)) {
    std::error_code failed;
    fs::remove_all(partial_, failed);
    if (!failed) fs::create_directories(partial_, failed);
    INTERPLAY_CHECK_DATA(!failed, "{}: cannot be made: {}", directory.string(), failed.message());
    bad_rows_ = std::make_shared<BadRows>(options.bad_rows, partial_ / "rejected.tsv");
    // A quarter for counting: what the batches in flight, Arrow and the finished vocabularies take comes on top.
    builder_.emplace(spec_, EncoderBuilder::Options{std::max<int64_t>(options.memory_bytes / 4, 4096),
                                                    partial_ / "counting", options.vocabulary_from});
    plain_.emplace(plain_schema(), spec_);
    for (const FieldOptions& field : spec_.options.fields) {
      if (field.kind == "history") histories_.emplace_back(field, *plain_);
    }
    if (spec_.options.split) split_.emplace(*spec_.options.split, *plain_);
    find_files();
  }

  ~Preparation() {
    std::error_code ignored;
    if (!done_) fs::remove_all(partial_, ignored);
  }

  PrepareReport run() {
    const auto begun = std::chrono::steady_clock::now();
    if (!histories_.empty() || (split_ && split_->needs_order())) order_rows();
    count_tokens();
    const Encoder encoder = builder_->build();
    builder_.reset();
    give_back_memory();
    write_splits(encoder);
    encoder.save(partial_);
    report_.rejected_rows = bad_rows_->count();
    bad_rows_.reset();
    sort_rejected(partial_ / "rejected.tsv");
    Manifest::describe(partial_, entries_).save(partial_);
    commit(directory_);
    done_ = true;
    report_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    summarise(encoder);
    return report_;
  }

 private:
  /// The fields that raw files hold, so all but histories. No history makes a row unusable.
  Schema plain_schema() const {
    std::vector<Field> fields;
    for (size_t f = 0; f < spec_.fields.size(); ++f) {
      if (spec_.field_options[f].kind != "history") fields.push_back(spec_.fields[f]);
    }
    return Schema(std::move(fields), spec_.label_names());
  }

  void find_files() {
    const auto expand = [&](const std::vector<std::string>& patterns) {
      std::vector<fs::path> files;
      for (const auto& pattern : patterns) {
        const fs::path path(pattern);
        for (auto& file : expand_glob(path.is_absolute() ? path : spec_.root / path)) files.push_back(std::move(file));
      }
      return files;
    };
    const FilesOptions files = split_ ? FilesOptions{spec_.options.file, {}, {}} : *spec_.options.files;
    int split = 0;
    for (const auto* patterns : {&files.train, &files.valid, &files.test}) {
      if (!patterns->empty()) sources_.push_back({split, expand(*patterns)});
      ++split;
    }
    for (Source& source : sources_) {
      for (const auto& file : source.files) source.bytes += double(fs::file_size(file));
    }
  }

  std::vector<std::string> columns() const {
    auto out = plain_->columns(true);
    const auto add = [&](const std::vector<std::string>& names) {
      for (const auto& name : names) {
        if (std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
      }
    };
    for (const auto& history : histories_) add(history.columns());
    if (split_) add(split_->columns());
    return out;
  }

  using Take = std::function<void(RawBatch& raw, const RowValues& values, int64_t first, int split)>;

  /// Reads every source from the first on, or the training files alone. `first` is the number of the first usable row.
  void pass(const std::string& title, bool train_only, const Take& take) {
    Progress progress(title, 0);
    double bytes = 0, bytes_before = 0;
    for (const Source& source : sources_) bytes += train_only && source.split != 0 ? 0 : source.bytes;
    int64_t first = 0, seen = 0;
    for (const Source& source : sources_) {
      if (train_only && source.split != 0) continue;
      const ReadRequest request{source.files, columns(), bad_rows_, kBatchRows};
      ReadAhead reader(readers().make(request, spec_.reader), *plain_, bad_rows_);
      RawBatch raw;
      for (RowValues values; reader.next(raw, values);) {
        take(raw, values, first, source.split);
        first += int64_t(values.rows.size());
        seen += raw.rows;
        const double done = bytes_before + reader.share_done() * source.bytes;
        if (done > 0) progress.total(int64_t(double(seen) * bytes / done));  // as if all rows were equally long
        progress.add(raw.rows);
      }
      bytes_before += source.bytes;
    }
    give_back_memory();
  }

  void order_rows() {
    pass("prepare: order", false, [&](RawBatch& raw, const RowValues& values, int64_t, int) {
      if (split_ && split_->needs_order()) split_->add(raw, values, *plain_);
      for (auto& history : histories_) history.add(raw, values, *plain_);
    });
    if (split_ && split_->needs_order()) split_->finish();
    for (auto& history : histories_) history.finish();
    give_back_memory();
  }

  /// The values that the full parser sees: plain cells and the histories that belong to them.
  RowValues with_histories(const RowParser& parser, RawBatch& raw, const RowValues& plain, int64_t first) const {
    for (const auto& history : histories_) history.append(raw, plain.rows, first);
    BadRows told(INT64_MAX);  // plain_ has reported them
    RowValues values = parser.parse(raw, true, &told);
    values.rows = plain.rows;
    return values;
  }

  /// The usable rows of a batch that go to `split`.
  std::vector<int32_t> rows_of(int split, const RowValues& values, int64_t first, int source) const {
    if (!split_) return split == source ? values.rows : std::vector<int32_t>();
    std::vector<int32_t> rows;
    for (size_t i = 0; i < values.rows.size(); ++i) {
      if (split_->of(first + int64_t(i)) == split) rows.push_back(values.rows[i]);
    }
    return rows;
  }

  void count_tokens() {
    pass("prepare: count", true, [&](RawBatch& raw, const RowValues& plain, int64_t first, int source) {
      const auto rows = rows_of(0, plain, first, source);
      report_.train_rows += int64_t(rows.size());
      if (histories_.empty()) {
        builder_->count(raw, plain, rows);
      } else {
        builder_->count(raw, with_histories(builder_->parser(), raw, plain, first), rows);
      }
    });
    INTERPLAY_CHECK_DATA(report_.train_rows > 0, "{}: there are no training rows; nothing can be fitted",
                         sources_[0].files.empty() ? "" : sources_[0].files[0].string());
    if (builder_->runs() > 0)
      log::info("prepare: counting went through {} sorted files to stay within its memory", builder_->runs());
  }

  void write_splits(const Encoder& encoder) {
    const auto& state = EncoderBuilder::state(encoder);
    std::array<std::unique_ptr<DatasetWriter>, 3> writers;
    for (int s = 0; s < 3; ++s) {
      const bool wanted =
          split_ ? s == 0 || size_t(s) < spec_.options.split->ratios.size()
                 : std::any_of(sources_.begin(), sources_.end(), [&](const Source& x) { return x.split == s; });
      if (!wanted) continue;
      writers[size_t(s)] =
          std::make_unique<DatasetWriter>(partial_, kSplits[s], encoder.schema(), !spec_.options.weight.empty(),
                                          !spec_.options.group.empty(), !spec_.options.time.empty());
    }
    pass("prepare: encode", false, [&](RawBatch& raw, const RowValues& plain, int64_t first, int source) {
      std::optional<RowValues> full;
      if (!histories_.empty()) full = with_histories(state.parser, raw, plain, first);
      for (int s = 0; s < 3; ++s) {
        if (!writers[size_t(s)]) continue;
        const auto rows = rows_of(s, plain, first, source);
        if (!rows.empty()) writers[size_t(s)]->write(state.encode(raw, full ? *full : plain, rows, true));
      }
    });
    int64_t* const counts[] = {&report_.train_rows, &report_.valid_rows, &report_.test_rows};
    for (size_t s = 0; s < 3; ++s) {
      if (!writers[s]) continue;
      *counts[s] = writers[s]->finish();
      for (auto& entry : writers[s]->entries()) entries_.push_back(std::move(entry));
    }
  }

  void summarise(const Encoder& encoder) {
    report_.fields = int64_t(encoder.schema().fields().size());
    for (const Table& table : encoder.schema().tables()) report_.ids += table.rows, ++report_.tables;
  }

  fs::path directory_, partial_;
  DataSpec spec_;
  std::shared_ptr<BadRows> bad_rows_;
  std::optional<EncoderBuilder> builder_;
  std::optional<RowParser> plain_;
  std::vector<HistoryIndex> histories_;
  std::optional<SplitPlan> split_;
  std::vector<Source> sources_;
  std::vector<Manifest::Entry> entries_;
  PrepareReport report_;
  bool done_ = false;
};

}  // namespace

PrepareReport prepare(const Config& data, const std::filesystem::path& directory, const PrepareOptions& options) {
  return Preparation(data, directory, options).run();
}

}  // namespace interplay
