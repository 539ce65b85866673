#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>

#include <interplay/data/encoder.h>

#include "data/data_spec.h"
#include "data/row_values.h"
#include "data/spill.h"
#include "data/vocabulary.h"

namespace interplay {

/// Fits an Encoder: counts tokens and gathers statistics of training rows, then builds. Used by one thread.
class EncoderBuilder {
 public:
  struct Options {
    int64_t memory_bytes = int64_t(1) << 30;  ///< for counting
    std::filesystem::path temporary;          ///< folder for what does not fit
    std::filesystem::path vocabulary_from;    ///< a directory whose ids and statistics are kept
  };
  EncoderBuilder(const DataSpec& spec, Options options);

  const RowParser& parser() const { return parser_; }
  void count(const RawBatch& raw, const RowValues& values, std::span<const int32_t> rows);
  int64_t runs() const { return counts_.runs(); }
  Encoder build();

  static const Encoder::State& state(const Encoder& encoder) { return *encoder.state_; }

 private:
  struct Statistics {  // of a numeric field's values that are there
    int64_t n = 0;
    double mean = 0, squares = 0, low = 0, high = 0;  // squares: sum of squared distances from the mean (Welford 1962)
    void add(double x);
  };
  void count_cells(size_t field, const RawBatch& raw, std::span<const int32_t> rows);
  void count_buckets(size_t field, const std::vector<double>& numbers, std::span<const int32_t> rows);
  void count_lists(size_t field, const RowValues::Lists& lists, std::span<const int32_t> rows);
  Vocabulary build_vocabulary(size_t table, int64_t min_count);
  void fit_numbers(FieldEncoding::Values& values, const Statistics& statistics);
  const Vocabulary* kept_vocabulary(const std::string& table) const;

  DataSpec spec_;
  RowParser parser_;
  std::vector<std::string> tables_;     // those with a vocabulary
  std::vector<size_t> table_of_;        // beside the fields: index in tables_, or npos
  std::vector<Statistics> statistics_;  // beside the fields
  TokenCounts counts_;
  std::optional<Encoder> base_;
};

}  // namespace interplay
