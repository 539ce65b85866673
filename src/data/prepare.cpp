#include <interplay/data/prepare.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <optional>
#include <sstream>
#include <thread>
#include <tuple>

#include <malloc.h>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/data/encoder.h>

#include "data/bad_row.h"
#include "data/coded_rows.h"
#include "data/data_spec.h"
#include "data/dataset_writer.h"
#include "data/encoder_builder.h"
#include "data/history.h"
#include "data/in_order.h"
#include "data/split.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr int64_t kBatchRows = 16384;  // at most: text comes in pieces of LineSource::kReadBytes
constexpr const char* kSplits[] = {"train", "valid", "test"};

/// Files that are read as one; where a split plan exists its rows go to any split, otherwise to `split`.
struct Source {
  int split = 0;
  std::vector<fs::path> files;
  double bytes = 0;
};

/// Hands memory that was freed back to the system: the next phase needs the room.
void give_back_memory() { ::malloc_trim(0); }

/// A batch of rows on its way through a pass.
struct Batch {
  Reader::Unparsed unparsed;
  std::vector<BadRow> bad;
  RawBatch raw;
  RowValues values;
  int64_t number = 0;  ///< of all batches
  int64_t first = 0;   ///< number of its first usable row among all of them
  int split = 0;       ///< of the files that it comes from
  double share_done = 0;
  std::vector<uint8_t> splits;  ///< beside values.rows
};

/// The rows to be told of, in the order of their lines; those of other files, which a reader joins, come first.
void sort_bad_rows(std::vector<BadRow>& rows, const std::string& file) {
  std::stable_sort(rows.begin(), rows.end(), [&](const BadRow& a, const BadRow& b) {
    const auto key = [&](const BadRow& row) { return std::pair(row.file == file, row.file == file ? row.line : 0); };
    return key(a) < key(b);
  });
}

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

class Clock {
 public:
  double lap() {  ///< seconds since the last one
    const auto before = std::exchange(last_, std::chrono::steady_clock::now());
    return std::chrono::duration<double>(last_ - before).count();
  }
  double total() const { return std::chrono::duration<double>(last_ - begun_).count(); }

 private:
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now(), last_ = begun_;
};

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
    threads_ = options.threads > 0 ? options.threads : std::max(1, int(std::thread::hardware_concurrency()));
    builder_.emplace(spec_, EncoderBuilder::Options{std::max<int64_t>(options.memory_bytes / 4, 4096), partial_,
                                                    options.vocabulary_from, threads_});
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
    Clock clock;
    if (!histories_.empty() || (split_ && split_->needs_order())) {
      order_rows();
      report_.order_seconds = clock.lap();
    }
    code_rows();
    report_.count_seconds = clock.lap();
    const Encoder encoder = builder_->build();
    give_back_memory();
    encoder.save(partial_);
    report_.fit_seconds = clock.lap();
    write_splits(encoder);
    builder_.reset();
    report_.encode_seconds = clock.lap();
    report_.rejected_rows = bad_rows_->count();
    bad_rows_.reset();
    sort_rejected(partial_ / "rejected.tsv");
    Manifest::describe(partial_, entries_).save(partial_);
    commit(directory_);
    done_ = true;
    report_.sync_seconds = clock.lap();
    report_.seconds = clock.total();
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

  /// What a pass does with each batch: the one in the order of rows, the other from any thread afterwards.
  struct Pass {
    std::string title;
    std::function<void(Batch&)> in_order, finish;
  };

  /// Reads every source. Rows are told of, and numbered, in the order of the files, whatever the threads.
  void run(const Pass& pass) {
    Progress progress(pass.title, 0);
    double bytes = 0, bytes_before = 0;
    int64_t batches = 0, first = 0, seen = 0;
    for (const Source& source : sources_) bytes += source.bytes;
    for (const Source& source : sources_) {
      const auto early = std::make_shared<CollectedBadRows>();  // what the reader tells when it reads
      const auto reader = readers().make({source.files, columns(), early, kBatchRows}, spec_.reader);
      struct Stages {
        std::function<bool(Batch&)> read;
        std::function<void(Batch&)> work, commit, finish;
      } stages;
      stages.read = [&](Batch& batch) {
        const bool there = reader->next_unparsed(batch.unparsed);
        batch.bad = early->take();
        const int64_t total = reader->bytes_total();
        batch.share_done = total > 0 ? double(reader->bytes_done()) / double(total) : 0;
        return there || !batch.bad.empty();
      };
      stages.work = [&](Batch& batch) {
        CollectedBadRows late;
        if (batch.unparsed) batch.raw = batch.unparsed(late);
        batch.unparsed = nullptr;
        if (batch.raw.rows > 0) batch.values = plain_->parse(batch.raw, true, &late);
        for (BadRow& row : late.take()) batch.bad.push_back(std::move(row));
        sort_bad_rows(batch.bad, batch.raw.file);
      };
      stages.commit = [&](Batch& batch) {
        report(batch.bad, *bad_rows_);
        if (batch.raw.rows == 0) return;
        batch.number = batches++;
        batch.first = first;
        batch.split = source.split;
        rows_ = first += int64_t(batch.values.rows.size());
        seen += batch.raw.rows;
        pass.in_order(batch);
        const double done = bytes_before + batch.share_done * source.bytes;
        if (done > 0) progress.total(int64_t(double(seen) * bytes / done));  // as if all rows were equally long
        progress.add(batch.raw.rows);
      };
      stages.finish = [&](Batch& batch) {
        if (pass.finish && batch.raw.rows > 0) pass.finish(batch);
      };
      run_in_order<Batch>(threads_, stages);
      bytes_before += source.bytes;
    }
    give_back_memory();
  }

  void order_rows() {
    run({"prepare: order",
         [&](Batch& batch) {
           if (split_ && split_->needs_order()) split_->add(batch.raw, batch.values, *plain_);
           for (auto& history : histories_) history.add(batch.raw, batch.values, *plain_);
         },
         nullptr});
    if (split_ && split_->needs_order()) split_->finish();
    for (auto& history : histories_) history.finish();
    give_back_memory();
  }

  /// The values that the full parser sees: plain cells and the histories that belong to them.
  RowValues with_histories(Batch& batch) const {
    for (const auto& history : histories_) history.append(batch.raw, batch.values.rows, batch.first);
    BadRows told(INT64_MAX);  // plain_ has reported them
    RowValues values = builder_->parser().parse(batch.raw, true, &told);
    values.rows = batch.values.rows;
    return values;
  }

  /// Reads all rows: fits on those of the training split, and keeps every row as codes.
  void code_rows() {
    coded_.emplace(partial_);
    run({"prepare: count",
         [&](Batch& batch) {
           batch.splits.assign(batch.values.rows.size(), uint8_t(batch.split));
           for (size_t i = 0; split_ && i < batch.splits.size(); ++i) {
             batch.splits[i] = uint8_t(split_->of(batch.first + int64_t(i)));
           }
           report_.train_rows += std::count(batch.splits.begin(), batch.splits.end(), 0);
           builder_->observe(batch.raw, batch.values, batch.splits);
         },
         [&](Batch& batch) {
           const RowValues values = histories_.empty() ? std::move(batch.values) : with_histories(batch);
           coded_->add(batch.number, builder_->code(batch.raw, values, std::move(batch.splits)));
         }});
    INTERPLAY_CHECK_DATA(report_.train_rows > 0, "{}: there are no training rows; nothing can be fitted",
                         sources_[0].files.empty() ? "" : sources_[0].files[0].string());
    if (builder_->runs() > 0)
      log::info("prepare: counting went through {} sorted files to stay within its memory", builder_->runs());
  }

  void write_splits(const Encoder& encoder) {
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
    struct Part {
      int64_t number = 0;
      std::array<EncodedBatch, 3> splits;
    };
    struct Stages {
      std::function<bool(Part&)> read;
      std::function<void(Part&)> work, commit, finish;
    } stages;
    int64_t next = 0;
    Progress progress("prepare: encode", rows_);
    stages.read = [&](Part& part) { return part.number = next++, part.number < coded_->size(); };
    stages.work = [&](Part& part) {
      const CodedRows rows = coded_->get(part.number);
      for (size_t s = 0; s < 3; ++s) {
        if (writers[s]) part.splits[s] = builder_->resolve(rows, int(s));
      }
    };
    stages.commit = [&](Part& part) {
      for (size_t s = 0; s < 3; ++s) {
        progress.add(part.splits[s].rows);
        if (part.splits[s].rows > 0) writers[s]->write(std::move(part.splits[s]));
      }
    };
    stages.finish = [](Part&) {};
    run_in_order<Part>(threads_, stages);
    int64_t* const counts[] = {&report_.train_rows, &report_.valid_rows, &report_.test_rows};
    for (size_t s = 0; s < 3; ++s) {
      if (!writers[s]) continue;
      *counts[s] = writers[s]->finish();
      for (auto& entry : writers[s]->entries()) entries_.push_back(std::move(entry));
    }
    coded_.reset();
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
  std::optional<CodedRowsFile> coded_;
  int64_t rows_ = 0;  // usable ones
  int threads_ = 1;
  std::vector<Manifest::Entry> entries_;
  PrepareReport report_;
  bool done_ = false;
};

}  // namespace

PrepareReport prepare(const Config& data, const std::filesystem::path& directory, const PrepareOptions& options) {
  return Preparation(data, directory, options).run();
}

}  // namespace interplay
