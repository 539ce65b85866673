#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <interplay/base/once.h>
#include <interplay/data/encoder.h>

#include "data/encode/token_ids.h"
#include "data/schema/vocabulary.h"
#include "data/spec/data_spec.h"
#include "data/spec/row_parser.h"

namespace interplay {

using Vocabularies = std::map<std::string, std::shared_ptr<const Vocabulary>>;  // by table; hashed tables have none

/// A fitted encoder. Immutable.
struct Encoder::State {
  State(Schema fitted, DataSpec data, Vocabularies tables);

  void check() const;  ///< once
  EncodedBatch encode(const RowValues& values, std::span<const int32_t> rows, bool labels) const;

  bool encode_ids(size_t field, const std::string_view* cells, int64_t stride, int64_t rows, int32_t* out,
                  int64_t out_stride) const;
  bool encode_numbers(size_t field, const std::string_view* cells, int64_t stride, int64_t rows, float* out,
                      int64_t out_stride) const;

  Schema schema;
  DataSpec spec;
  Vocabularies vocabularies;
  RowParser parser;

 private:
  mutable Once checked_;
  void encode_categorical(const RowValues& values, std::span<const int32_t> rows, EncodedBatch& out) const;
  void encode_dense(const RowValues& values, std::span<const int32_t> rows, EncodedBatch& out) const;
  void encode_sequence(size_t field, const RowValues& values, std::span<const int32_t> rows,
                       EncodedBatch::Sequence& out) const;
  int32_t bucket_id(size_t field, double number) const;

  // Beside schema.fields():
  std::vector<TokenIds> ids_;
  std::vector<std::vector<int32_t>> bucket_ids_;  // of a transform that makes buckets: ids from kFirstBucket on
  size_t ids_width_ = 0, dense_width_ = 0;
};

}  // namespace interplay
