#include "data/store/row_source.h"

#include <algorithm>
#include <set>
#include <utility>

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr const char* kSchemaFile = "schema.yaml";

/// The splits that a manifest lists: names that end in -NNNNN.arrow, without that.
std::set<std::string> splits_of(const Manifest& manifest) {
  const size_t ending = split_file_name("", 0).size();
  std::set<std::string> splits;
  for (const auto& entry : manifest.entries()) {
    if (entry.file.size() > ending && entry.file.ends_with(".arrow")) {
      splits.insert(entry.file.substr(0, entry.file.size() - ending));
    }
  }
  return splits;
}

Schema load_schema(const fs::path& directory, const Manifest& manifest) {
  const fs::path file = directory / kSchemaFile;
  const auto* const known = manifest.find(kSchemaFile);
  INTERPLAY_CHECK_DATA(known != nullptr,
                       "{}: manifest.json does not list {}; is this a directory that `interplay "
                       "prepare` made?",
                       directory.string(), kSchemaFile);
  INTERPLAY_CHECK_DATA(
      hash64_file(file) == known->xxh3,
      "{}: its checksum differs from manifest.json; the file was changed after it was written, prepare "
      "the data again",
      file.string());
  try {
    return Schema::load(file);
  } catch (const Error& error) {  // what the user wrote is elsewhere; here it is a damaged file
    throw Error(error.what(), ErrorKind::data);
  }
}

}  // namespace

std::shared_ptr<const RowSource> RowSource::open(const fs::path& directory, const std::string& split) {
  INTERPLAY_CHECK_DATA(fs::is_directory(directory), "{}: no such directory; make it with `interplay prepare`",
                       directory.string());
  const auto manifest = Manifest::load(directory);
  manifest.check(directory, /*contents=*/false);
  const std::shared_ptr<RowSource> source(
      new RowSource(load_schema(directory, manifest), (directory / split).string()));
  for (size_t i = 0; manifest.find(split_file_name(split, i)) != nullptr; ++i) {
    source->add_file(directory / split_file_name(split, i), manifest);
  }
  INTERPLAY_CHECK_DATA(!source->files_.empty(), "{}: it has no split '{}' (splits: {})", directory.string(), split,
                       fmt::join(splits_of(manifest), ", "));
  return source;
}

void RowSource::add_file(const fs::path& path, const Manifest& manifest) {
  const Manifest::Entry& known = *manifest.find(path.filename().string());
  files_.emplace_back(path, schema_, known);
  checksum_ = hash64(fmt::format("{:016x}", known.xxh3), checksum_);
  const ArrowFile& file = files_.back();
  if (files_.size() == 1) columns_ = file.columns();
  INTERPLAY_CHECK_DATA(file.columns() == columns_,
                       "{}: it has not the same label, weight, group and time columns as the first file of its split; "
                       "prepare the data again",
                       path.string());
  for (int64_t batch = 0; batch < file.batches(); ++batch) {
    Slot& slot = slots_.emplace_back();
    slot.file = files_.size() - 1;
    slot.batch = batch;
    starts_.push_back(starts_.back() + file.rows(batch));
  }
}

std::shared_ptr<const RowSource> RowSource::from(const Schema& schema, std::vector<EncodedBatch> batches) {
  const std::shared_ptr<RowSource> source(new RowSource(schema, "rows in memory"));
  bool first = true;
  for (auto& batch : batches) {
    if (batch.rows == 0) continue;
    const std::string place = fmt::format("{}: batch {}", source->name_, source->slots_.size());
    const RowColumns columns = columns_of(batch);
    if (std::exchange(first, false)) source->columns_ = columns;
    INTERPLAY_CHECK_DATA(columns == source->columns_,
                         "{}: it has not the same label, weight, group and time columns as the first", place);
    Slot& slot = source->slots_.emplace_back();
    source->starts_.push_back(source->starts_.back() + batch.rows);
    slot.read([&] { slot.block = interplay::block_of(std::move(batch), schema, place); });
  }
  return source;
}

int64_t RowSource::block_of_row(int64_t row) const {
  INTERPLAY_ASSERT(row >= 0 && row < rows());
  const int64_t guess = row / starts_[1];  // right in all that DatasetWriter writes: blocks of one size but the last
  if (guess < blocks() && starts_[size_t(guess)] <= row && row < starts_[size_t(guess) + 1]) return guess;
  return std::upper_bound(starts_.begin(), starts_.end(), row) - starts_.begin() - 1;
}

void RowSource::will_need(int64_t block) const {
  const Slot& slot = slots_[size_t(block)];
  if (!files_.empty()) files_[slot.file].will_need(slot.batch);
}

const RowBlock& RowSource::block(int64_t index) const {
  Slot& slot = slots_[size_t(index)];
  slot.read([&] { slot.block = files_[slot.file].read(slot.batch); });
  return slot.block;
}

}  // namespace interplay
