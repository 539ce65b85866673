#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <interplay/data/reader.h>

#include "data/read/bad_row.h"
#include "data/spec/data_spec.h"
#include "data/spec/row_parser.h"

namespace interplay {

/// The rows of a data.yaml's files, read as often as needed. Rows are told of, and numbered, in the order of the files,
/// whatever the threads.
class RawRows {
 public:
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
  /// What a pass does with each batch: the one in the order of rows, the other from any thread afterwards.
  struct Pass {
    std::string title;
    std::function<void(Batch&)> in_order, finish;
  };

  /// Finds the files. `parser`, which stays the caller's, says which rows are usable; `columns` are read beside its
  /// own.
  RawRows(const DataSpec& spec, const RowParser& parser, const std::vector<std::string>& columns, int threads);

  void run(const Pass& pass, BadRows& bad_rows);
  int64_t rows() const { return rows_; }     ///< usable ones, after a pass
  bool has_split(int split) const;           ///< whether there are files of it
  std::filesystem::path first_file() const;  ///< of all; empty where there is none

 private:
  /// Files that are read as one; where a split plan exists its rows go to any split, otherwise to `split`.
  struct Source {
    int split = 0;
    std::vector<std::filesystem::path> files;
    double bytes = 0;
  };
  void find_files();
  void warn_of_repeated_files() const;

  const DataSpec& spec_;
  const RowParser& parser_;
  std::vector<std::string> columns_;
  std::vector<Source> sources_;
  int threads_;
  int64_t rows_ = 0;
};

/// Hands memory that was freed back to the system: the next phase needs the room.
void give_back_memory();

}  // namespace interplay
