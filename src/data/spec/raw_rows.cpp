#include "data/spec/raw_rows.h"

#include <algorithm>
#include <map>
#include <memory>

#include <malloc.h>

#include <interplay/base/in_order.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>

#include "data/read/parsing_reader.h"
#include "data/spec/open_rows.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr int64_t kBatchRows = 16384;  // at most: text comes in pieces of LineSource::kReadBytes

constexpr const char* kSplits[] = {"train", "valid", "test"};

/// The rows to be told of, in the order of their lines; those of other files, which a reader joins, come first.
void sort_bad_rows(std::vector<BadRow>& rows, const std::string& file) {
  std::stable_sort(rows.begin(), rows.end(), [&](const BadRow& a, const BadRow& b) {
    const auto key = [&](const BadRow& row) { return std::pair(row.file == file, row.file == file ? row.line : 0); };
    return key(a) < key(b);
  });
}

}  // namespace

void give_back_memory() { ::malloc_trim(0); }

RawRows::RawRows(const DataSpec& spec, const RowParser& parser, const std::vector<std::string>& columns, int threads)
    : spec_(spec), parser_(parser), columns_(parser.columns(true)), threads_(threads) {
  for (const auto& name : columns) {
    if (std::find(columns_.begin(), columns_.end(), name) == columns_.end()) columns_.push_back(name);
  }
  find_files();
}

void RawRows::find_files() {
  const auto expand = [&](const std::vector<std::string>& patterns) {
    std::vector<fs::path> files;
    for (const auto& pattern : patterns) {
      const fs::path path(pattern);
      for (auto& file : expand_glob(path.is_absolute() ? path : spec_.root / path)) files.push_back(std::move(file));
    }
    return files;
  };
  const FilesOptions files = spec_.options.split ? FilesOptions{spec_.options.file, {}, {}} : *spec_.options.files;
  int split = 0;
  for (const auto* patterns : {&files.train, &files.valid, &files.test}) {
    if (!patterns->empty()) sources_.push_back({split, expand(*patterns)});
    ++split;
  }
  for (Source& source : sources_) {
    for (const auto& file : source.files) {
      check_file(file);
      source.bytes += double(fs::file_size(file));
    }
  }
  warn_of_repeated_files();
}

/// Rows that train and test share make the test say little; nobody means to read a file twice.
void RawRows::warn_of_repeated_files() const {
  std::map<fs::path, int> seen;  // the split that reads it
  for (const Source& source : sources_) {
    for (const auto& file : source.files) {
      const auto [known, fresh] = seen.emplace(fs::canonical(file), source.split);
      if (fresh) continue;
      if (known->second == source.split) {
        log::warning("{} is read twice for {}; its rows count double", file.string(), kSplits[size_t(source.split)]);
      } else {
        log::warning("{} is read for {} and for {}; figures of rows that were trained on say little", file.string(),
                     kSplits[size_t(known->second)], kSplits[size_t(source.split)]);
      }
    }
  }
}

bool RawRows::has_split(int split) const {
  return std::any_of(sources_.begin(), sources_.end(), [&](const Source& x) { return x.split == split; });
}

fs::path RawRows::first_file() const { return sources_[0].files.empty() ? fs::path() : sources_[0].files[0]; }

void RawRows::run(const Pass& pass, BadRows& bad_rows) {
  Progress progress(pass.title, 0);
  double bytes = 0, bytes_before = 0;
  int64_t batches = 0, first = 0, seen = 0;
  for (const Source& source : sources_) bytes += source.bytes;
  for (const Source& source : sources_) {
    const auto early = std::make_shared<CollectedBadRows>();  // what the reader tells when it reads
    const auto reader = open_rows(spec_, {source.files, columns_, early, kBatchRows});
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
      if (batch.raw.rows > 0) batch.values = parser_.parse(batch.raw, true, &late);
      for (BadRow& row : late.take()) batch.bad.push_back(std::move(row));
      sort_bad_rows(batch.bad, batch.raw.file);
    };
    stages.commit = [&](Batch& batch) {
      report(batch.bad, bad_rows);
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

}  // namespace interplay
