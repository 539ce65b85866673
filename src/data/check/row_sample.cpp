#include "data/check/row_sample.h"

#include <algorithm>

#include <fmt/format.h>

#include <interplay/base/random.h>

namespace interplay {
namespace {

constexpr uint64_t kSampleSeed = 1, kSampleStream = 0x73616d706c65;  // "sample"

}  // namespace

void RowSample::add(const RawBatch& raw, std::span<const int32_t> rows, std::span<const int64_t> numbers) {
  std::vector<int64_t> taken;
  for (size_t i = 0; i < rows.size(); ++i) {
    const uint64_t key = random_bits(kSampleSeed, kSampleStream, uint64_t(numbers[i]));
    if (key >= limit_) continue;
    if (files_.empty() || files_.back() != raw.file) files_.push_back(raw.file);
    drawn_.push_back({key, numbers[i], uint32_t(files_.size() - 1)});
    taken.push_back(rows[i]);
  }
  if (taken.empty()) return;
  parts_.push_back(take_rows(raw, taken));
  if (drawn_.size() > 2 * most_) keep_smallest();
}

void RowSample::keep_smallest() {
  if (drawn_.size() > most_) {
    std::vector<uint64_t> keys;
    for (const Drawn& row : drawn_) keys.push_back(row.key);
    std::nth_element(keys.begin(), keys.begin() + ptrdiff_t(most_), keys.end());
    limit_ = keys[most_];
  }
  std::vector<int64_t> kept;
  std::vector<Drawn> drawn;
  for (size_t i = 0; i < drawn_.size(); ++i) {
    if (drawn_[i].key >= limit_) continue;
    kept.push_back(int64_t(i));
    drawn.push_back(drawn_[i]);
  }
  RawBatch rows = take_rows(concatenate(parts_), kept);
  parts_.clear();
  parts_.push_back(std::move(rows));
  drawn_ = std::move(drawn);
}

SampledRows RowSample::finish(const RowParser& parser) {
  SampledRows out;
  if (drawn_.empty()) return out;
  keep_smallest();
  const RawBatch& raw = parts_.front();
  for (size_t i = 0; i < drawn_.size(); ++i) {
    out.numbers.push_back(drawn_[i].number);
    const std::string& file = files_[drawn_[i].file];
    out.places.push_back(raw.lines.empty() ? fmt::format("{}: row {}", file, drawn_[i].number + 1)
                                           : fmt::format("{}:{}", file, raw.lines[i]));
  }
  out.values = parser.parse(raw, true, nullptr);
  return out;
}

}  // namespace interplay
