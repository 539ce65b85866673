#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <interplay/data/encoder.h>

#include "data/encode/coded_rows.h"
#include "data/encode/encoder_state.h"
#include "data/encode/token_counts.h"
#include "data/schema/vocabulary.h"
#include "data/spec/data_spec.h"
#include "data/spec/row_parser.h"

namespace interplay {

/// Fits an Encoder on training rows, and keeps every row in a form that the fitted encoder can finish without the text:
/// observe() each batch in order, code() each in any order and from any thread, then build(), then resolve() what
/// code() gave.
class EncoderBuilder {
 public:
  struct Options {
    int64_t memory_bytes = int64_t(1) << 30;  ///< for counting
    std::filesystem::path temporary;          ///< folder for what does not fit
    std::filesystem::path vocabulary_from;    ///< a directory whose ids and statistics are kept
    bool new_tokens = true;                   ///< beside those; false: its tables stay as they are
    int threads = 1;                          ///< for build()
  };
  EncoderBuilder(const DataSpec& spec, Options options);
  ~EncoderBuilder();

  const RowParser& parser() const { return parser_; }
  /// `splits`: that of each of values.rows; 0 is the training split, and the rest is not fitted on.
  void observe(const RowValues& values, std::span<const uint8_t> splits);
  CodedRows code(const RowValues& values, std::vector<uint8_t> splits);
  int64_t runs() const { return counts_.runs(); }
  Encoder build();
  /// How many ids of a field are there, missing values left out, how many of those no vocabulary holds, and how many
  /// values are missing.
  struct Unseen {
    int64_t present = 0, unseen = 0;  ///< 0 for fields without a vocabulary
    int64_t missing = 0;              ///< of categorical and numeric fields
  };
  /// The rows of one split as the built encoder encodes them. From any thread. `unseen`: one a field of the schema.
  EncodedBatch resolve(const CodedRows& rows, int split, std::vector<Unseen>& unseen) const;

 private:
  static constexpr size_t kNone = SIZE_MAX;  // no table
  /// Of a numeric field's values that are there.
  struct Statistics {
    int64_t n = 0;
    double mean = 0, squares = 0, low = 0, high = 0;  // squares: sum of squared distances from the mean (Welford 1962)
    void add(double x);
    NumberStatistics result() const;
  };
  struct KnownBuckets {  // of one field, so that a bucket is looked up once an epoch
    int64_t epoch = -1;
    std::vector<uint32_t> codes;
  };
  using Ids = std::shared_ptr<const std::vector<int32_t>>;  // by code, 0 being the unseen one
  struct IdCache {
    std::mutex mutex;
    std::vector<std::pair<int64_t, Ids>> epochs;  // those used last
  };

  void code_hashed(size_t field, const RowValues& values, CodedRows& out) const;
  void code_table(TokenCounts::Lease& tokens, size_t table, const RowValues& values, CodedRows& out);
  void code_cells(TokenCounts::Lease& tokens, size_t field, const RawColumn& column, std::span<const int32_t> rows,
                  std::span<const uint8_t> splits, std::vector<uint32_t>& codes) const;
  void code_buckets(TokenCounts::Lease& tokens, size_t field, const RowValues& values, std::span<const uint8_t> splits,
                    std::vector<uint32_t>& codes);
  void code_lists(TokenCounts::Lease& tokens, const RowValues::Lists& lists, std::span<const int32_t> rows,
                  std::span<const uint8_t> splits, std::vector<uint32_t>& codes) const;
  Vocabulary build_vocabulary(size_t table, int64_t min_count);
  void fit_numbers(size_t field, FieldEncoding::Values& values) const;
  void fit(size_t field, const Vocabularies& vocabularies, Field& out) const;
  const Vocabulary* kept_vocabulary(const std::string& table) const;
  Ids ids_of(size_t table, int64_t epoch) const;
  size_t table_of(const Field& field) const { return table_of_[size_t(&field - built_->schema.fields().data())]; }
  void resolve_categorical(const CodedRows& rows, std::span<const uint32_t> picked, EncodedBatch& out,
                           std::vector<Unseen>& unseen) const;
  void resolve_sequence(const CodedRows::Codes& codes, const EncodedBatch::Sequence& from, const Field& field,
                        std::span<const uint32_t> picked, EncodedBatch::Sequence& out, Unseen& unseen) const;

  DataSpec spec_;
  RowParser parser_;
  int threads_;
  std::vector<std::string> tables_;          // those with a vocabulary
  std::vector<std::string> checksums_;       // beside them, once built
  std::vector<size_t> table_of_;             // beside the fields: index in tables_, or kNone
  std::vector<Statistics> statistics_;       // beside the fields
  std::vector<KnownBuckets> known_buckets_;  // beside the fields; used by who has leased the table
  TokenCounts counts_;
  std::atomic<size_t> first_table_ = 0;  // where the next code() begins, so that threads rarely meet
  std::optional<Encoder> base_;
  bool new_tokens_;
  std::shared_ptr<const Encoder::State> built_;
  std::unique_ptr<IdCache[]> ids_;  // beside the tables
};

}  // namespace interplay
