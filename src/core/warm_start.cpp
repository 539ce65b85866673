#include <interplay/core/warm_start.h>

#include <algorithm>
#include <set>

#include <ATen/ATen.h>

#include <interplay/base/log.h>
#include <interplay/core/vector_table.h>
#include <interplay/nn/quantised_rows.h>
#include <interplay/nn/safetensors.h>

namespace fs = std::filesystem;

namespace interplay {
namespace {

std::string shape_of(const at::Tensor& t) {
  return t.dim() == 0 ? "1" : fmt::format("{}", fmt::join(t.sizes(), " x "));
}

/// The rows of a table that has grown: its last row, which stands for what is unseen, goes on standing for all that is
/// new.
at::Tensor grown(const at::Tensor& old, int64_t rows) {
  auto out = at::empty({rows, old.size(1)}, old.options());
  const int64_t known = old.size(0) - 1;
  out.narrow(0, 0, known).copy_(old.narrow(0, 0, known));
  out.narrow(0, known, rows - known).copy_(old.narrow(0, known, 1).expand({rows - known, -1}));
  return out;
}

/// The sub-modules of which a file has weights.
std::set<std::string> parts_of(const nn::Safetensors& saved) {
  std::set<std::string> out;
  for (const auto& [name, tensor] : saved.tensors()) {
    if (const size_t dot = name.find('.'); dot != name.npos) out.insert(name.substr(0, dot));
  }
  return out;
}

}  // namespace

RunPart RunPart::parse(const std::string& text) {
  const size_t colon = fs::exists(text) ? text.npos : text.rfind(':');
  return {text.substr(0, colon), colon == text.npos ? "" : text.substr(colon + 1)};
}

WarmStart::WarmStart(Model& model, Schema schema, fs::path prepared)
    : model_(model), schema_(std::move(schema)), prepared_(std::move(prepared)) {
  for (const auto& [name, weight] : weights_of(model_)) weights_.push_back({name, shape_of(weight)});
}

bool WarmStart::is_of_field(const std::string& weight) const {
  const auto tables = schema_.tables();
  return std::any_of(tables.begin(), tables.end(),
                     [&](const auto& table) { return weight.ends_with("." + table.name + ".weight"); });
}

void WarmStart::copy(const Bundle& from, const std::string& part, const std::string& part_of_run) {
  check_ids(from);
  const at::NoGradGuard no_grad;
  const fs::path file = from.directory() / Bundle::kWeights;
  const nn::Safetensors saved(file);
  const auto entries = nn::dequantised(saved.tensors(), file.string());
  const std::string below = part.empty() ? "" : part + ".", run = from.directory().string();
  const std::string of = part_of_run.empty() ? "" : part_of_run + ".";
  INTERPLAY_CHECK_DATA(std::any_of(saved.tensors().begin(), saved.tensors().end(),
                                   [&](const auto& t) { return t.first.starts_with(of); }),
                       "{}: the model of this run has no part '{}' (parts: {})", run, part_of_run,
                       fmt::join(parts_of(saved), ", "));
  auto own = weights_of(model_);
  std::set<std::string> by_key;  // vectors are those of the new data's values and file
  for (const auto& m : model_.named_modules()) {
    if (!dynamic_cast<const VectorTableImpl*>(m.value().get())) continue;
    for (const auto& b : m.value()->named_buffers()) by_key.insert(m.key() + "." + b.key());
  }
  int64_t copied = 0;
  for (auto& w : weights_) {
    if (!w.run.empty() || !w.name.starts_with(below)) continue;
    const std::string name = of + w.name.substr(below.size());
    at::Tensor& to = own.at(w.name);
    if (by_key.contains(w.name)) {
      w.note = "vectors by key, of this experiment's file";
      continue;
    }
    const auto entry = entries.find(name);
    if (entry == entries.end()) {
      w.note = fmt::format("{}{}{} has none", run, of.empty() ? "" : ":", part_of_run);
      continue;
    }
    at::Tensor given = entry->second;
    const bool grows = is_of_field(w.name) && given.dim() == 2 && to.dim() == 2 && given.size(1) == to.size(1) &&
                       given.size(0) > 0 && given.size(0) < to.size(0);
    if (grows) {
      w.note = fmt::format("{} new rows", to.size(0) - given.size(0));
      given = grown(given, to.size(0));
    }
    if (given.sizes() != to.sizes() || given.is_floating_point() != to.is_floating_point()) {
      w.note = fmt::format("{} in {}", shape_of(given), run);
      continue;
    }
    to.copy_(given);
    w.run = run;
    if (!grows) w.note.clear();
    ++copied;
  }
  INTERPLAY_CHECK_DATA(
      copied > 0,
      "{}: none of its weights fits this model{}: names or shapes differ (`interplay inspect {}` lists "
      "them)",
      file.string(), part.empty() ? "" : fmt::format("'s part '{}'", part), run);
}

void WarmStart::check_ids(const Bundle& from) const {
  const Encoder before = Encoder::load(from.directory()), after = Encoder::load(prepared_);
  const std::string run = from.directory().string(), data = prepared_.string();
  for (const auto& old : from.schema().tables()) {
    for (const auto& table : schema_.tables()) {
      if (table.name != old.name) continue;
      INTERPLAY_CHECK_DATA(table.rows >= old.rows, "{}: table '{}' has {} rows, {} had {}; it cannot shrink", data,
                           table.name, table.rows, run, old.rows);
      const bool hashed = !fs::exists(vocabulary_file(from.directory(), old.name));
      INTERPLAY_CHECK_DATA(!hashed || table.rows == old.rows,
                           "{}: table '{}' is hashed into {} rows, in {} into {}; another number of hash_buckets gives "
                           "every id another meaning",
                           data, table.name, table.rows, run, old.rows);
      for (int64_t id = 1; id + 1 < old.rows; ++id) {
        INTERPLAY_CHECK_DATA(before.token(old.name, id) == after.token(table.name, id),
                             "{}: id {} of table '{}' is '{}', but '{}' in {}; prepare with --vocabulary-from {}", data,
                             id, table.name, after.token(table.name, id), before.token(old.name, id), run, run);
      }
    }
  }
}

std::string WarmStart::table() const {
  size_t names = 0, shapes = 0;
  for (const auto& w : weights_) names = std::max(names, w.name.size()), shapes = std::max(shapes, w.shape.size());
  std::string out;
  for (const auto& w : weights_) {
    const std::string what = w.run.empty() ? "fresh" : "from " + w.run;
    out += fmt::format("{}  {:<{}}  {:>{}}  {}{}", out.empty() ? "" : "\n", w.name, names, w.shape, shapes, what,
                       w.note.empty() ? "" : ": " + w.note);
  }
  return out;
}

void WarmStart::copy_all(const Config& init) {
  for (const auto& key : init.keys()) {
    const RunPart from = RunPart::parse(key);
    copy(Bundle::open(from.run), init[key].as<std::string>(), from.part);
  }
}

void WarmStart::log() const {
  const auto copied = std::count_if(weights_.begin(), weights_.end(), [](const auto& w) { return !w.run.empty(); });
  interplay::log::info("begins with {} of {} weights of earlier runs\n{}", copied, weights_.size(), table());
}

Config resolve_init(const Config& init) {
  Config out;
  const auto add = [&](const std::string& run, const std::string& part) {
    out.set_key(run, Config::scalar(part, true));
  };
  if (init.is_scalar()) {
    add(init.as<std::string>(), "");
  } else if (init.is_map()) {
    for (const auto& run : init.keys()) add(run, init[run].as<std::string>());
  } else {
    init.fail("expected a run, or a map from run to a part of the model ('' for the whole)");
  }
  return out;
}

}  // namespace interplay
