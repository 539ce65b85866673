#include <interplay/systems/graph.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/base/random.h>
#include <interplay/base/section.h>
#include <interplay/core/model.h>
#include <interplay/data/dataset.h>
#include <interplay/data/event_log.h>
#include <interplay/lm/cached_encoder.h>
#include <interplay/lm/encoder.h>
#include <interplay/lm/model_files.h>
#include <interplay/nn/safetensors.h>

#include "systems/autograph/graph_files.h"
#include "systems/autograph/graph_options.h"
#include "systems/autograph/graph_page.h"
#include "systems/autograph/node_texts.h"
#include "systems/lab/experiment_data.h"
#include "systems/lab/principal_components.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

using namespace autograph;

INTERPLAY_SECTION("graph", GraphOptions, "the experiment of `interplay graph build`, as configs/ml-1m/graph.yaml");
INTERPLAY_SECTION("taste", TasteOptions, "an entry of `users.taste` or `items.taste` of `interplay graph build`");

constexpr const char* kConfigFile = "config.yaml";

/// Vectors of the values of a field that have one.
struct NodeVectors {
  std::vector<std::string> keys, titles;
  std::vector<int64_t> ids;
  at::Tensor vectors;  // f32 [n, D]
};

/// Makes a graph, part by part.
class Build {
 public:
  Build(const Config& experiment, const fs::path& data, const GraphRun& run)
      : experiment_(experiment), data_(data), run_(run), train_(Dataset::open(data, "train")) {
    read_options(o_, experiment, "a graph's experiment");
    const auto& labels = train_.schema().labels();
    if (labels.empty()) throw Error(fmt::format("{}: has no label; clicks are its positive rows", data.string()));
    if (o_.label.empty()) o_.label = labels.front();
    if (std::find(labels.begin(), labels.end(), o_.label) == labels.end())
      experiment["label"].fail(fmt::format("there is no label '{}' (labels: {})", o_.label, fmt::join(labels, ", ")));
    for (const auto& [name, node] : {std::pair{"users", &o_.users}, {"items", &o_.items}}) check(name, *node);
    if (o_.users.field == o_.items.field)
      experiment["items"]["field"].fail("is the users' field, too; which field are the items of?");
    read_log();
  }

  GraphInfo run(const fs::path& out, const fs::path& from) {
    NewDirectory directory(out);
    GraphInfo info;
    info.seed = o_.seed;
    info.shuffled = run_.shuffle;
    info.neighbours = o_.neighbours;
    GraphPage page;
    page.items = side("items", o_.items, from, directory.path(), info.items);
    page.users = side("users", o_.users, from, directory.path(), info.users);
    const Clicks clicks = clicks_of(train_, o_.users.field, o_.items.field, o_.label);
    INTERPLAY_CHECK_DATA(!clicks.users.empty(), "{}: no positive row has a known user and item", train_.name());
    info.clicks = int64_t(clicks.users.size());
    write_clicks(directory.path() / kClicksFile, clicks);
    const Field& item = train_.schema().field(o_.items.field);
    write_neighbours(directory.path() / kNeighboursFile, clicks, tokens_of(data_, item), o_.neighbours,
                     uint64_t(o_.seed));
    save_info(directory.path(), info);
    Config saved = write_options(o_);
    saved.erase("data"), saved.erase("root");  // of other data, others
    write_file(directory.path() / kConfigFile, saved.yaml());
    page.info = info;
    write_file(directory.path() / "graph.html", graph_page(page, clicks));
    Manifest::describe(directory.path()).save(directory.path());
    directory.commit();
    return info;
  }

 private:
  void check(const std::string& name, NodeOptions& node) const {
    const Config at = experiment_[name];
    if (node.field.empty()) at["field"].fail("missing; whose values are the nodes?");
    const Field& f = train_.schema().field(node.field);
    INTERPLAY_CHECK(f.kind == FieldKind::categorical, "{}.field: '{}' is {}; expected a categorical field", name,
                    node.field, to_string(f.kind));
    if (node.text.empty() && !node.vectors)
      at["template"].fail("missing; expected a text of each, or `vectors`, a file with vectors by key");
  }

  /// Raw rows are read where a text is asked for, or a title.
  void read_log() {
    std::vector<std::string> columns;
    for (const auto& [name, node] : {std::pair{"users", &o_.users}, {"items", &o_.items}}) {
      if (node->vectors && node->title.empty()) continue;
      for (const auto& column : NodeTexts::columns(*node, experiment_[name])) {
        if (std::find(columns.begin(), columns.end(), column) == columns.end()) columns.push_back(column);
      }
    }
    if (columns.empty()) return;
    const Schema& schema = train_.schema();
    std::string history;
    for (const Field* f : schema.of(FieldKind::sequence)) {
      if (history.empty() && !f->target.empty() && f->paired_with.empty()) history = f->name;
    }
    INTERPLAY_CHECK(!history.empty(), "{}: texts are made of data with a field of kind history; or give `vectors`",
                    data_.string());
    log_ = EventLog::read(raw_data(), columns, history, run_.threads, o_.bad_rows);
    INTERPLAY_CHECK_DATA(int64_t(log_->samples("train").size()) == train_.rows(),
                         "{}: has {} training rows, its raw files now give {}; prepare the data again", data_.string(),
                         train_.rows(), log_->samples("train").size());
  }

  Config raw_data() const {
    if (o_.data.empty()) experiment_["data"].fail("missing; texts are made of the rows of which data.yaml?");
    return load_experiment_data(experiment_, o_.data, o_.root);
  }

  NodeVectors vectors_of(const std::string& name, const NodeOptions& node) const {
    const auto tokens = tokens_of(data_, train_.schema().field(node.field));
    std::optional<NodeTexts> texts;
    if (log_ && (!node.vectors || !node.title.empty())) texts.emplace(*log_, node, experiment_[name]);
    std::unordered_map<std::string, size_t> place;
    for (size_t i = 0; texts && i < texts->keys().size(); ++i) place.emplace(texts->keys()[i], i);
    std::optional<KeyedVectors> file;
    if (node.vectors) file.emplace(KeyedVectors::load(*node.vectors));
    NodeVectors out;
    std::vector<std::string> said;
    std::vector<at::Tensor> rows;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const auto known = place.find(tokens[i]);
      const auto vector = file ? file->find(tokens[i]) : std::span<const float>();
      if (file ? vector.empty() : known == place.end()) continue;
      out.keys.push_back(tokens[i]);
      out.ids.push_back(int64_t(i) + 1);
      out.titles.push_back(known == place.end() ? tokens[i] : texts->titles()[known->second]);
      if (file) {
        rows.push_back(at::tensor(at::ArrayRef<float>(vector.data(), vector.size())));
      } else {
        said.push_back(texts->texts()[known->second]);
      }
    }
    INTERPLAY_CHECK_DATA(!out.keys.empty(), "{}: no value of '{}' has {}", name, node.field,
                         file ? "a vector in " + node.vectors->from : std::string("a training row"));
    out.vectors = file ? at::stack(rows) : encode(said, name);
    return out;
  }

  at::Tensor encode(const std::vector<std::string>& texts, const std::string& name) const {
    lm::EncoderOptions options;
    options.progress = "encode " + name;
    const auto encoder = lm::load_encoder(lm::find_model(o_.encoder), options);
    log::info("{}: {} texts, as '{}'", name, texts.size(), texts.front());
    if (run_.cache.empty()) return encoder->encode(texts);
    lm::CachedEncoder cached(*encoder, run_.cache);
    return cached.encode(texts);
  }

  /// Codes of one side, written to its files. `from`: a graph whose quantiser is taken as it is.
  GraphPage::Side side(const std::string& name, NodeOptions& node, const fs::path& from, const fs::path& to,
                       GraphSide& info) {
    NodeVectors v = vectors_of(name, node);
    const std::string file = name + ".safetensors";
    PrincipalBasis basis;
    std::map<std::string, at::Tensor> saved;
    if (!from.empty()) {
      const nn::Safetensors all(from / file);
      saved = all.tensors();
      if (o_.components > 0) basis = {all.at("pca.mean"), all.at("pca.directions")};
    } else if (o_.components > 0) {
      basis = principal_basis(v.vectors, o_.components);
    }
    if (basis.mean.defined()) {
      INTERPLAY_CHECK_DATA(basis.mean.size(1) == v.vectors.size(1),
                           "{}: vectors of {} numbers; the graph was built of vectors of {}", name, v.vectors.size(1),
                           basis.mean.size(1));
      v.vectors = basis.project(v.vectors);
    }
    if (from.empty() && node.quantizer.codes > v.vectors.size(0)) {
      log::warning("{}: {} vectors for {} codes a book; as many codes as vectors are made", name, v.vectors.size(0),
                   node.quantizer.codes);
      node.quantizer.codes = v.vectors.size(0);  // config.yaml says so, too
    }
    ResidualQuantizer quantizer(v.vectors.size(1), node.quantizer);
    if (!from.empty()) {
      saved.erase("pca.mean"), saved.erase("pca.directions");
      load_weights(*quantizer, saved, (from / file).string());
    } else {
      Progress progress("quantise " + name, node.quantizer.epochs, "epochs");
      quantizer->fit(v.vectors, [&](int64_t, double) { progress.add(1); });
    }
    auto weights = weights_of(*quantizer);
    if (basis.mean.defined())
      weights["pca.mean"] = basis.mean, weights["pca.directions"] = basis.directions.contiguous();
    nn::save_safetensors(to / file, weights);
    at::Tensor codes = quantizer->codes(v.vectors);
    if (run_.shuffle) codes = dealt_anew(codes, uint64_t(*run_.shuffle));
    write_codes(to / (name + ".parquet"), {v.keys, v.ids, codes});
    describe(node, codes, info);
    const at::NoGradGuard no_grad;
    info.error = quantizer->forward(v.vectors).l1.item<double>();
    return {v.titles, codes};
  }

  static at::Tensor dealt_anew(const at::Tensor& codes, uint64_t seed) {
    const Permutation order(uint64_t(codes.size(0)), seed);
    std::vector<int64_t> from;
    for (int64_t i = 0; i < codes.size(0); ++i) from.push_back(int64_t(order.at(uint64_t(i))));
    return codes.index_select(0, at::tensor(from, at::kLong));
  }

  void describe(const NodeOptions& node, const at::Tensor& codes, GraphSide& info) const {
    info.field = node.field;
    info.rows = train_.schema().field(node.field).rows;
    info.coded = codes.size(0);
    info.books = node.quantizer.books;
    info.codes = node.quantizer.codes;
    for (int64_t k = 0; k < info.books; ++k) {
      const auto count = at::bincount(codes.select(1, k), {}, info.codes).to(at::kDouble);
      const auto p = count.masked_select(count.gt(0)) / double(info.coded);
      info.used.push_back(count.gt(0).sum().item<int64_t>());
      info.spread.push_back(std::exp(-(p * p.log()).sum().item<double>()));
    }
  }

  Config experiment_;
  fs::path data_;
  GraphRun run_;
  GraphOptions o_;
  Dataset train_;
  std::optional<EventLog> log_;
};

}  // namespace

GraphInfo build_graph(const Config& experiment, const fs::path& data, const fs::path& out, const GraphRun& run) {
  return Build(experiment, data, run).run(out, {});
}

GraphInfo assign_graph(const fs::path& graph, const fs::path& data, const fs::path& out, const GraphRun& run) {
  const GraphInfo info = GraphInfo::load(graph);
  INTERPLAY_CHECK(!info.shuffled, "{}: its codes were shuffled, and say nothing of vectors; assign by the graph itself",
                  graph.string());
  Config experiment = Config::load(graph / kConfigFile);
  if (!run.data.empty()) experiment.set("data", Config::scalar(fs::absolute(run.data).string(), true));
  if (!run.root.empty()) experiment.set("root", Config::scalar(fs::absolute(run.root).string(), true));
  for (const auto& [name, file] : {std::pair{"users", run.users}, {"items", run.items}}) {
    if (file.empty()) continue;
    INTERPLAY_CHECK(!experiment[name]["vectors"].is_null(),
                    "--{} {}: the graph's {} were built of texts; vectors of another origin mean other things", name,
                    file, name);
    experiment.set(std::string(name) + ".vectors.from", Config::scalar(file, true));
  }
  return Build(experiment, data, run).run(out, graph);
}

}  // namespace interplay
