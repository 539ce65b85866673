#include <interplay/data/split_counts.h>

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/base/files.h>

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace interplay {
namespace {

constexpr const char* kFile = "counts.json";

Json to_json(const SplitCounts& counts) {
  Json labels = Json::array(), fields = Json::array();
  for (const auto& l : counts.labels) labels.push_back({{"name", l.name}, {"rows", l.rows}, {"sum", l.sum}});
  for (const auto& f : counts.fields) {
    fields.push_back(
        {{"name", f.name}, {"values", f.values}, {"missing", f.missing}, {"unseen", f.unseen}, {"longest", f.longest}});
  }
  Json out{{"split", counts.split}, {"rows", counts.rows}, {"labels", labels}};
  if (std::isfinite(counts.first_time)) out["time"] = {{"first", counts.first_time}, {"last", counts.last_time}};
  out["fields"] = fields;
  return out;
}

SplitCounts from_json(const Json& json) {
  SplitCounts out;
  out.split = json.at("split"), out.rows = json.at("rows");
  for (const auto& l : json.at("labels")) out.labels.push_back({l.at("name"), l.at("rows"), l.at("sum")});
  if (json.contains("time")) out.first_time = json.at("time").at("first"), out.last_time = json.at("time").at("last");
  for (const auto& f : json.at("fields"))
    out.fields.push_back({f.at("name"), f.at("values"), f.at("missing"), f.at("unseen"), f.at("longest")});
  return out;
}

void add_entries(const EncodedBatch::Sequence& from, SplitCounts::Field& field) {
  field.values += int64_t(from.ids.size());
  for (size_t r = 0; r + 1 < from.offsets.size(); ++r) {
    const int64_t entries = from.offsets[r + 1] - from.offsets[r];
    field.missing += entries == 0;
    field.longest = std::max(field.longest, entries);
  }
}

}  // namespace

SplitCounts::SplitCounts(std::string split_name, const Schema& schema) : split(std::move(split_name)) {
  for (const auto& name : schema.labels()) labels.push_back({name});
  for (const auto& field : schema.fields()) fields.push_back({field.name});
}

void SplitCounts::add(const EncodedBatch& batch, const Schema& schema) {
  rows += batch.rows;
  for (size_t i = 0; i < batch.labels.size(); ++i) {
    Label& label = labels[i % labels.size()];
    if (std::isnan(batch.labels[i])) continue;
    ++label.rows;
    label.sum += double(batch.labels[i]);
  }
  for (const double t : batch.time) {
    first_time = std::fmin(first_time, t);  // of a NaN and a number, the number
    last_time = std::fmax(last_time, t);
  }
  for (size_t f = 0; f < fields.size(); ++f) {
    const interplay::Field& field = schema.fields()[f];
    if (field.kind == FieldKind::sequence) {
      add_entries(batch.sequences[size_t(field.column)], fields[f]);
    } else {
      fields[f].values += batch.rows;
    }
  }
}

const SplitCounts::Field* SplitCounts::field(const std::string& name) const {
  const auto found = std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.name == name; });
  return found == fields.end() ? nullptr : &*found;
}

void write_split_counts(const fs::path& directory, const std::vector<SplitCounts>& splits) {
  Json list = Json::array();
  for (const auto& counts : splits) list.push_back(to_json(counts));
  write_file(directory / kFile, Json{{"format", 1}, {"splits", list}}.dump(1) + "\n");
}

std::vector<SplitCounts> read_split_counts(const fs::path& directory) {
  const fs::path file = directory / kFile;
  std::vector<SplitCounts> out;
  if (!fs::exists(directory / "manifest.json")) return out;
  const Manifest manifest = Manifest::load(directory);
  const auto* const known = manifest.find(kFile);
  if (!known) return out;
  INTERPLAY_CHECK_DATA(
      hash64_file(file) == known->xxh3,
      "{}: its checksum differs from manifest.json; the file was changed after it was written, prepare "
      "the data again",
      file.string());
  try {
    const Json json = Json::parse(read_file(file));
    INTERPLAY_CHECK_DATA(json.at("format") == 1, "{}: format {}; this version reads 1", file.string(),
                         json.at("format").dump());
    for (const auto& counts : json.at("splits")) out.push_back(from_json(counts));
  } catch (const Json::exception& problem) {
    throw Error(fmt::format("{}: damaged ({}); prepare the data anew", file.string(), problem.what()), ErrorKind::data);
  }
  return out;
}

}  // namespace interplay
