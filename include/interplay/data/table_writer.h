#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include <interplay/data/raw_batch.h>

namespace interplay {

/// Writes a table of named columns, batch after batch, to `.csv`, `.tsv` or `.parquet`: what predict() gives. The file
/// appears under its name, whole, when close() returns; without close() nothing appears. One thread uses it.
///
///     TableWriter out("scores.csv", {{"user_id", TableWriter::Kind::text}, {"p", TableWriter::Kind::float32}});
///     out.write({raw.column("user_id"), std::span<const float>(p)});
///     out.close();
///
/// Floats are written shortest, so that reading them gives the same bits. A missing text cell is empty (in Parquet:
/// null); a list is written with `|` between its cells. CSV quotes where it must; TSV cannot hold a tab or line break.
class INTERPLAY_API TableWriter {
 public:
  enum class Kind { text, float32, float64, int64 };
  struct Column {
    std::string name;
    Kind kind;
  };
  using Values = std::variant<RawColumn, std::span<const float>, std::span<const double>, std::span<const int64_t>>;

  /// Throws Error(config) on another extension or a repeated name, Error(data) where the file cannot be made.
  TableWriter(std::filesystem::path file, std::vector<Column> columns);
  ~TableWriter();
  TableWriter(const TableWriter&) = delete;
  TableWriter& operator=(const TableWriter&) = delete;

  void write(const std::vector<Values>& batch);  ///< one entry a column, of its kind, all of the same length
  void close();
  int64_t rows() const;

  class Format;  ///< private

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interplay
