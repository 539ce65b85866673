#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/data/encoded_batch.h>
#include <interplay/data/raw_batch.h>
#include <interplay/data/reader.h>
#include <interplay/data/schema.h>

namespace interplay {

/// Raw values to ids and numbers: the same object when data are prepared and when a model is served. Fitted on training
/// rows only, by prepare(). Immutable: encode() may run from many threads.
///
///     const auto encoder = Encoder::load("prepared/criteo");
///     const EncodedBatch batch = encoder.encode(raw, {.labels = false});
///
/// Per categorical or sequence field: 0 = padding, 1..n by falling count then by bytes, last = unseen (which is also
/// what a missing categorical value becomes; in a sequence a missing entry is dropped).
class INTERPLAY_API Encoder {
 public:
  static Encoder load(const std::filesystem::path& directory);  ///< reads schema.yaml and vocabulary/
  const Schema& schema() const;
  /// Throws Error(data) where the tokenizer of a text is missing, or not the one that the data were prepared with. The
  /// first encode() of rows asks too; who encodes nothing needs none.
  void check() const;

  struct Want {
    bool labels = true;  ///< labels, weight and group; without them raw rows need no such columns
  };
  /// Throws Error(data), or tells `bad_rows`, naming file, line, column and value. Rejected rows are absent from the
  /// result; `kept`, where given, gets the row numbers of those that stayed.
  EncodedBatch encode(const RawBatch& raw, Want want, BadRows* bad_rows = nullptr,
                      std::vector<int64_t>* kept = nullptr) const;
  /// One categorical or numeric field of some rows, for a server: nothing is allocated. Cell i is cells[i * stride],
  /// its id or number goes to out[i * out_stride]. False where encode() would refuse a cell.
  bool encode_ids(size_t field, const std::string_view* cells, int64_t stride, int64_t rows, int32_t* out,
                  int64_t out_stride) const;
  bool encode_numbers(size_t field, const std::string_view* cells, int64_t stride, int64_t rows, float* out,
                      int64_t out_stride) const;
  /// The raw column whose cells a field of the schema reads; "" where it reads others, or what is derived of them: the
  /// two above are not for such a field.
  std::string column(size_t field) const;

  /// What parts the entries of a raw column's plain cells; "" where a cell is one value.
  std::string separator(const std::string& column) const;
  /// Whether the tokens of a raw column that are numbers are whole ones, written without a point, as far as the most
  /// frequent 1,000 of each of its fields tell. False where they are hashed, or where no tokens are made of it.
  bool holds_whole_numbers(const std::string& column) const;

  /// The raw columns that encode() reads.
  std::vector<std::string> columns(Want want) const;
  /// The token of an id ("" for padding and unseen; hashed fields have none).
  std::string token(const std::string& table, int64_t id) const;
  void save(const std::filesystem::path& directory) const;  ///< schema.yaml and vocabulary/
  /// The same for some of its fields (Schema::keep): what a model trained on fewer fields is served with.
  Encoder keep(const Schema& schema) const;

 private:
  friend class EncoderBuilder;
  Encoder() = default;
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace interplay
