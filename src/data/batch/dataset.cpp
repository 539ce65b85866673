#include <interplay/data/dataset.h>

#include <algorithm>

#include <interplay/base/error.h>

#include "data/batch/gather.h"
#include "data/store/row_source.h"

namespace interplay {

struct Dataset::State {
  std::shared_ptr<const RowSource> source;
  Projection projection;
};

Dataset Dataset::open(const std::filesystem::path& directory, const std::string& split) {
  const auto source = RowSource::open(directory, split);
  return Dataset(std::make_shared<State>(State{source, Projection(source->schema())}));
}

Dataset Dataset::from(const Schema& schema, std::vector<EncodedBatch> batches) {
  const auto source = RowSource::from(schema, std::move(batches));
  return Dataset(std::make_shared<State>(State{source, Projection(schema)}));
}

bool Dataset::exists(const std::filesystem::path& directory, const std::string& split) {
  return std::filesystem::is_regular_file(directory / split_file_name(split, 0));
}

Dataset Dataset::select(const Schema& schema) const {
  return Dataset(std::make_shared<State>(State{state_->source, Projection(state_->source->schema(), schema)}));
}

const Schema& Dataset::schema() const { return state_->projection.schema; }
int64_t Dataset::rows() const { return state_->source->rows(); }
bool Dataset::has_labels() const { return state_->source->columns().labels; }
bool Dataset::has_weight() const { return state_->source->columns().weight; }
bool Dataset::has_group() const { return state_->source->columns().group; }
std::string Dataset::name() const { return state_->source->name(); }
uint64_t Dataset::checksum() const { return state_->source->checksum(); }

Batch Dataset::slice(int64_t first, int64_t count) const {
  const RowSource& source = *state_->source;
  INTERPLAY_CHECK(first >= 0 && count >= 0 && first <= rows() - count, "{}: rows {} to {} were asked for, it has {}",
                  name(), first, first + count, rows());
  std::vector<RowAt> places;
  places.reserve(size_t(count));
  for (int64_t row = first; row < first + count;) {
    const int64_t index = source.block_of_row(row), begin = source.first_row(index);
    const RowBlock& block = source.block(index);
    const int64_t end = std::min(begin + block.rows, first + count);
    for (; row < end; ++row) places.push_back({&block, row - begin});
  }
  return gather_rows(places, state_->projection, source.columns());
}

Batch Dataset::gather(std::span<const int64_t> rows) const {
  const RowSource& source = *state_->source;
  std::vector<RowAt> places;
  places.reserve(rows.size());
  for (const int64_t row : rows) {
    INTERPLAY_CHECK(row >= 0 && row < source.rows(), "{}: row {} was asked for, it has {}", name(), row, source.rows());
    const int64_t index = source.block_of_row(row);
    places.push_back({&source.block(index), row - source.first_row(index)});
  }
  return gather_rows(places, state_->projection, source.columns());
}

std::vector<int64_t> Dataset::blocks() const {
  std::vector<int64_t> first;
  for (int64_t i = 0; i <= state_->source->blocks(); ++i) first.push_back(state_->source->first_row(i));
  return first;
}

void Dataset::will_need(int64_t block) const { state_->source->will_need(block); }

void Dataset::verify() const {
  for (int64_t i = 0; i < state_->source->blocks(); ++i) state_->source->block(i);
}

}  // namespace interplay
