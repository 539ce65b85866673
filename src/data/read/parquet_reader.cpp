#include <algorithm>

#include <arrow/record_batch.h>

#include <interplay/base/error.h>
#include <interplay/base/with_place.h>

#include "data/read/arrow_cells.h"
#include "data/read/parquet_file.h"
#include "data/read/parsing_reader.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

/// Rows of Parquet files, one row group after another; a row's number counts from 1 in its file. Files may have their
/// columns in any order, and columns that others have not.
class ParquetReader final : public Reader {
 public:
  struct Options {
    void visit(auto&&) {}
  };

  ParquetReader(const ReadRequest& request, const Options&)
      : request_(request), bytes_total_(total_bytes(request.files)) {
    if (!request_.bad_rows) request_.bad_rows = std::make_shared<BadRows>();
    INTERPLAY_CHECK(request_.batch_rows > 0, "batch_rows: {} is not a number of rows", request_.batch_rows);
    std::vector<std::vector<std::string>> names;
    for (const auto& file : request_.files) {
      names.push_back(column_names(*open_parquet(file, request_.batch_rows)));
      const auto named = named_once(names.back());
      if (names.size() == 1) columns_ = named;
      std::erase_if(columns_, [&](const auto& c) { return std::find(named.begin(), named.end(), c) == named.end(); });
    }
    wanted_ = request_.columns.empty() ? columns_ : request_.columns;
    for (size_t i = 0; i < names.size(); ++i) find(names[i], request_.files[i]);
  }

  std::vector<std::string> columns() const override { return columns_; }
  int64_t bytes_total() const override { return bytes_total_; }
  int64_t bytes_done() const override {
    return bytes_before_ +
           (rows_total_ > 0 ? int64_t(double(file_bytes_) * double(rows_done_) / double(rows_total_)) : 0);
  }

  bool next(RawBatch& batch) override {
    while (true) {
      const auto rows = next_rows();
      if (!rows) return false;
      if (rows->num_rows() == 0) continue;
      fill(batch, *rows);
      if (batch.rows > 0) return true;
    }
  }

 private:
  const fs::path& file() const { return request_.files[opened_ - 1]; }

  /// Where a file has the columns that are asked for: they are found by name, whatever their order.
  std::vector<int> find(const std::vector<std::string>& names, const fs::path& file) const {
    return wanted_.empty() ? std::vector<int>() : find_columns(names, wanted_, file);
  }

  bool open_next() {
    bytes_before_ += file_bytes_;
    file_bytes_ = rows_done_ = rows_total_ = 0;
    if (opened_ == request_.files.size()) return false;
    ++opened_;
    reader_ = open_parquet(file(), request_.batch_rows);
    leaves_.clear();
    for (const int place : find(column_names(*reader_), file()))
      add_leaves(reader_->manifest().schema_fields[size_t(place)], leaves_);
    group_ = 0;
    file_bytes_ = int64_t(fs::file_size(file()));
    rows_total_ = reader_->parquet_reader()->metadata()->num_rows();
    return true;
  }

  /// The next record batch of the present row group, or of what follows; nullptr at the end of the last file.
  std::shared_ptr<arrow::RecordBatch> next_rows() {
    while (reader_ || open_next()) {
      auto rows = guarded_parquet(file(), [&]() -> std::shared_ptr<arrow::RecordBatch> {
        if (!rows_ && group_ < reader_->num_row_groups()) {
          rows_ = check_arrow(reader_->GetRecordBatchReader({group_++}, leaves_), file());
        }
        return rows_ ? check_arrow(rows_->Next(), file()) : nullptr;
      });
      if (rows) return rows;
      if (rows_) {
        rows_.reset();
      } else {
        reader_.reset();
      }
    }
    return nullptr;
  }

  void fill(RawBatch& batch, const arrow::RecordBatch& rows) {
    batch.rows = rows.num_rows();
    batch.file = file().string();
    batch.columns.clear();
    guarded_parquet(file(), [&] {
      check_arrow(rows.ValidateFull(), file());
      for (const auto& name : wanted_) {
        const auto array = rows.GetColumnByName(name);
        INTERPLAY_CHECK_DATA(array, "{}: was changed while it was read", file().string());
        batch.columns.push_back(with_place(file().string(), [&] { return to_raw_column(name, array); }));
      }
    });
    batch.lines.clear();
    for (int64_t row = 0; row < batch.rows; ++row) batch.lines.push_back(++rows_done_);
    drop_bad_text(batch, *request_.bad_rows);
  }

  ReadRequest request_;
  std::vector<std::string> columns_, wanted_;
  std::vector<int> leaves_;
  size_t opened_ = 0;  // files opened so far; reader_ reads the last of them
  std::unique_ptr<parquet::arrow::FileReader> reader_;
  std::unique_ptr<arrow::RecordBatchReader> rows_;  // of one row group, before reader_ dies
  int group_ = 0;
  int64_t bytes_total_ = 0, bytes_before_ = 0, file_bytes_ = 0, rows_done_ = 0, rows_total_ = 0;
};

INTERPLAY_REGISTER(readers(), "parquet", ParquetReader, "Apache Parquet; lists are sequences");

}  // namespace
}  // namespace interplay
