#include "systems/autograph/graph_files.h"

#include <algorithm>
#include <map>
#include <set>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/data/reader.h>
#include <interplay/data/table_writer.h>

#include "systems/autograph/row_edges.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr const char* kFormat = "interplay graph";
constexpr int kVersion = 1;

using Json = nlohmann::ordered_json;

Json json_of(const GraphSide& side) {
  return {{"field", side.field}, {"rows", side.rows}, {"coded", side.coded},   {"books", side.books},
          {"codes", side.codes}, {"used", side.used}, {"spread", side.spread}, {"error", side.error}};
}

/// Sizes decide how much memory a model takes: those that no experiment may ask for are refused.
void check_sizes(const GraphInfo& info, const fs::path& file) {
  const auto within = [&](const char* what, int64_t value, int64_t most) {
    INTERPLAY_CHECK_DATA(value >= 1 && value <= most, "{}: {} is {}; expected 1 to {}", file.string(), what, value,
                         most);
  };
  for (const auto& [name, side] : {std::pair{"users", &info.users}, {"items", &info.items}}) {
    within(fmt::format("{}.books", name).c_str(), side->books, 16);
    within(fmt::format("{}.codes", name).c_str(), side->codes, 65536);
  }
  within("neighbours", info.neighbours, 1000000);
}

GraphSide side_of(const Json& json) {
  GraphSide out;
  json.at("field").get_to(out.field);
  json.at("rows").get_to(out.rows);
  json.at("coded").get_to(out.coded);
  json.at("books").get_to(out.books);
  json.at("codes").get_to(out.codes);
  json.at("used").get_to(out.used);
  json.at("spread").get_to(out.spread);
  json.at("error").get_to(out.error);
  return out;
}

}  // namespace

GraphInfo GraphInfo::load(const fs::path& directory) {
  INTERPLAY_CHECK_DATA(fs::is_directory(directory), "{}: no such directory; `interplay graph build` makes one",
                       directory.string());
  const fs::path file = directory / "graph.json";
  INTERPLAY_CHECK_DATA(fs::exists(file) && fs::exists(directory / "manifest.json"),
                       "{}: has no graph.json and manifest.json; expected what `interplay graph build` writes",
                       directory.string());
  Manifest::load(directory).check(directory, /*contents=*/true);
  try {
    const Json json = Json::parse(read_file(file));
    INTERPLAY_CHECK_DATA(json.at("format") == kFormat && json.at("version") == kVersion,
                         "{}: format {} version {}; expected {} version {}: build the graph again", file.string(),
                         json.at("format").dump(), json.at("version").dump(), kFormat, kVersion);
    GraphInfo out{side_of(json.at("users")), side_of(json.at("items")), json.at("clicks"),
                  json.at("neighbours"),     json.at("seed"),           {}};
    if (!json.at("shuffled").is_null()) out.shuffled = json.at("shuffled").get<int64_t>();
    check_sizes(out, file);
    return out;
  } catch (const nlohmann::json::exception& problem) {
    throw Error(fmt::format("{}: {}; expected what `interplay graph build` writes", file.string(), problem.what()),
                ErrorKind::data);
  }
}

namespace autograph {

Clicks clicks_of(const Dataset& train, const std::string& user, const std::string& item, const std::string& label) {
  const Schema& schema = train.schema();
  const Field &u = schema.field(user), &i = schema.field(item);
  const Dataset few = train.select(Schema({u, i}, {label}));
  std::set<std::pair<int64_t, int64_t>> pairs;
  constexpr int64_t kRows = 65536;
  for (int64_t first = 0; first < few.rows(); first += kRows) {
    const Batch b = few.slice(first, std::min(kRows, few.rows() - first));
    const auto ids = b.features.ids.contiguous(), labels = b.labels.contiguous();
    const auto* const id = ids.const_data_ptr<int32_t>();
    const auto* const y = labels.const_data_ptr<float>();
    for (int64_t r = 0; r < b.rows(); ++r) {
      const int64_t of_user = id[2 * r], of_item = id[2 * r + 1];
      const auto known = [](int64_t id, const Field& f) { return id > 0 && id < f.rows - 1; };
      if (y[r] >= 0.5f && known(of_user, u) && known(of_item, i)) pairs.emplace(of_user, of_item);
    }
  }
  Clicks out;
  for (const auto& [of_user, of_item] : pairs) out.users.push_back(of_user), out.items.push_back(of_item);
  return out;
}

std::vector<std::string> tokens_of(const fs::path& prepared, const Field& field) {
  const fs::path file = vocabulary_file(prepared, field.table);
  INTERPLAY_CHECK(fs::exists(file),
                  "field '{}' has no vocabulary, as its ids come by hash; prepare the data without its hash_buckets",
                  field.name);
  ReadRequest request;
  request.files = {file};
  request.columns = {"token"};
  const auto reader = readers().make(request, Config::scalar("parquet", true));
  std::vector<std::string> out;
  for (RawBatch batch; reader->next(batch);) {
    const RawColumn& token = batch.column("token");
    for (int64_t r = 0; r < batch.rows; ++r) out.emplace_back(token.cell(r));
  }
  return out;
}

void write_codes(const fs::path& file, const CodedValues& values) {
  const int64_t M = values.codes.size(1);
  VectorWriter out(file, M + 1);
  const auto ids = at::tensor(values.ids, at::kLong).unsqueeze(1);
  const auto numbers = at::cat({ids, values.codes}, 1).to(at::kFloat).contiguous();  // [n, 1 + M]
  out.write(values.keys, {numbers.const_data_ptr<float>(), size_t(numbers.numel())});
  out.close();
}

void write_neighbours(const fs::path& file, const Clicks& clicks, const std::vector<std::string>& items, int64_t most,
                      uint64_t seed) {
  std::map<int64_t, std::vector<int64_t>> of_item;
  for (size_t e = 0; e < clicks.users.size(); ++e) of_item[clicks.items[e]].push_back(clicks.users[e]);
  VectorWriter out(file, most);
  for (auto& [item, users] : of_item) {
    take_some(users, most, seed, uint64_t(item));
    std::sort(users.begin(), users.end());
    std::vector<float> row(users.begin(), users.end());
    row.resize(size_t(most));  // 0: no more
    out.write(std::span(&items.at(size_t(item - 1)), 1), row);
  }
  out.close();
}

void write_clicks(const fs::path& file, const Clicks& clicks) {
  TableWriter out(file, {{"user", TableWriter::Kind::int64}, {"item", TableWriter::Kind::int64}});
  out.write({std::span<const int64_t>(clicks.users), std::span<const int64_t>(clicks.items)});
  out.close();
}

void save_info(const fs::path& directory, const GraphInfo& info) {
  const Json json{{"format", kFormat},
                  {"version", kVersion},
                  {"users", json_of(info.users)},
                  {"items", json_of(info.items)},
                  {"clicks", info.clicks},
                  {"neighbours", info.neighbours},
                  {"seed", info.seed},
                  {"shuffled", info.shuffled ? Json(*info.shuffled) : Json()}};
  write_file(directory / "graph.json", json.dump(1) + "\n");
}

VectorSource GraphOption::source(const char* file) const { return {.from = (fs::path(sizes_.graph) / file).string()}; }

void GraphOption::read_option(const Config& from) {
  sizes_ = {};
  if (from.is_map()) return read_options(sizes_, from, "a graph");
  const auto directory = from.as<std::string>();
  if (directory.empty()) return;
  try {
    const GraphInfo info = GraphInfo::load(directory);
    sizes_ = {directory,
              {info.users.field, info.users.books, info.users.codes},
              {info.items.field, info.items.books, info.items.codes},
              info.neighbours};
  } catch (const Error& problem) {
    from.fail(problem.what());
  }
}

Config GraphOption::write_option() const { return given() ? write_options(sizes_) : Config::scalar("", true); }

}  // namespace autograph
}  // namespace interplay
