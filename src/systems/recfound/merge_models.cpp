// interplay lm merge: checkpoints of tuned models to one.
#include <algorithm>
#include <map>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/core/bundle.h>
#include <interplay/nn/safetensors.h>
#include <interplay/systems/recfound.h>

#include "systems/recfound/merging.h"
#include "systems/recfound/tuned_run.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

using namespace recfound;
using Weights = std::map<std::string, at::Tensor>;

Weights load_snapshot(const fs::path& file) {
  const nn::Safetensors stored(file);
  stored.check();
  return stored.tensors();
}

/// A finished run of `lm tune`.
struct Source {
  fs::path folder;
  lm::TunedFolder tuned;
  std::vector<int64_t> steps;

  explicit Source(const fs::path& run) : folder(run) {
    const auto found = lm::TunedFolder::find(run);
    INTERPLAY_CHECK_DATA(found && !found->task, "{}: is no finished run of `interplay lm tune`", run.string());
    Manifest::load(run).check(run, /*contents=*/false);
    tuned = *found;
    steps = snapshots(run);
    INTERPLAY_CHECK_DATA(!steps.empty() && steps.front() == 0, "{}: has no {}, of what it began with; was it merged?",
                         run.string(), snapshot_file(run, 0).string());
  }
};

/// Throws where the second is not of the tasks, experts and model of the first.
void check_alike(const Source& a, const Source& b) {
  const auto differ = [&](const char* what) {
    throw Error(fmt::format("{} and {}: differ in {}; models of one kind can be merged", a.folder.string(),
                            b.folder.string(), what));
  };
  if (a.tuned.base != b.tuned.base) differ("the model that was tuned");
  if (a.tuned.experts != b.tuned.experts || a.tuned.router_width != b.tuned.router_width) differ("their experts");
  if (a.tuned.tasks.size() != b.tuned.tasks.size()) differ("their tasks");
  for (size_t t = 0; t < a.tuned.tasks.size(); ++t) {
    if (a.tuned.tasks[t].name != b.tuned.tasks[t].name || a.tuned.tasks[t].family != b.tuned.tasks[t].family)
      differ("their tasks");
  }
}

void check_shapes(const Weights& a, const Weights& b, const std::string& where) {
  bool same = a.size() == b.size();
  for (const auto& [name, w] : a) same = same && b.contains(name) && b.at(name).sizes() == w.sizes();
  INTERPLAY_CHECK_DATA(
      same, "{}: holds other tensors than those it is merged with; were their adapters declared alike?", where);
}

/// Along which dimension experts lie side by side; -1: the tensor is one.
int64_t expert_dimension(const std::string& name) {
  if (name.ends_with("lora_A.weight")) return 0;
  if (name.ends_with("lora_B.weight")) return 1;
  return -1;
}

/// The tensors that one entry holds: each expert has its own, each projection its router.
std::vector<at::Tensor> pieces(const std::string& name, const at::Tensor& w, int64_t experts) {
  if (expert_dimension(name) >= 0) return w.chunk(experts, expert_dimension(name));
  if (name == "router.weight" || name == "router.bias") return w.unbind(0);
  return {w};
}

at::Tensor together(const std::string& name, const std::vector<at::Tensor>& parts) {
  if (expert_dimension(name) >= 0) return at::cat(parts, expert_dimension(name));
  if (name == "router.weight" || name == "router.bias") return at::stack(parts);
  return parts[0];
}

class Merge {
 public:
  Merge(const std::vector<fs::path>& runs, const MergeOptions& options) : options_(options) {
    INTERPLAY_CHECK(!runs.empty(), "name one run, whose checkpoints are merged, or several");
    for (const auto& run : runs) sources_.emplace_back(run);
    for (const auto& source : sources_) check_alike(sources_[0], source);
    base_ = load_snapshot(snapshot_file(sources_[0].folder, 0));
    if (sources_.size() == 1) {
      of_one_run();
    } else {
      of_runs();
    }
    INTERPLAY_CHECK(options.method != "slerp" || models_.size() == 2, "slerp is between two; these are {} ({})",
                    models_.size(), fmt::join(names_, ", "));
    for (size_t i = 0; i < models_.size(); ++i) check_shapes(base_, models_[i], names_[i]);
  }

  MergeReport run(const fs::path& out) {
    const int64_t experts = sources_[0].tuned.experts ? sources_[0].tuned.experts->total() : 1;
    Weights merged;
    double agreed = 0, numbers = 0;
    for (const auto& [name, base] : base_) {
      const auto begun = pieces(name, base, experts);
      std::vector<std::vector<at::Tensor>> parts;
      for (const auto& model : models_) parts.push_back(pieces(name, model.at(name), experts));
      std::vector<at::Tensor> made;
      for (size_t p = 0; p < begun.size(); ++p) {
        std::vector<at::Tensor> some;
        for (const auto& of_model : parts) some.push_back(of_model[p]);
        agreed += agreement(begun[p], some) * double(begun[p].numel()), numbers += double(begun[p].numel());
        made.push_back(merge(begun[p], some));
      }
      merged[name] = together(name, made);
    }
    write(out, merged);
    return {int64_t(models_.size()), int64_t(base_.size()), agreed / numbers};
  }

 private:
  void of_one_run() {
    auto steps = sources_[0].steps;
    steps.erase(steps.begin());  // what it began with
    const auto count = int64_t(steps.size());
    INTERPLAY_CHECK(options_.last <= count, "--last {}: the run has {} checkpoints", options_.last, count);
    const int64_t wanted = options_.method == "slerp" && options_.last == 0 ? 2 : options_.last;
    if (wanted > 0) steps.erase(steps.begin(), steps.end() - std::min(wanted, count));
    for (const int64_t step : steps) add(sources_[0].folder, step);
  }

  void of_runs() {
    INTERPLAY_CHECK(options_.last == 0, "--last is of the checkpoints of one run; these are {}", sources_.size());
    for (const auto& source : sources_) {
      add(source.folder, source.steps.back());
      if (options_.method != "ties") continue;
      const Weights begun = load_snapshot(snapshot_file(source.folder, 0));
      check_shapes(base_, begun, source.folder.string());
      for (const auto& [name, w] : begun) {
        INTERPLAY_CHECK(
            at::equal(w, base_.at(name)),
            "{} and {}: began with other weights (seeds?); ties needs one beginning, linear and slerp do not",
            sources_[0].folder.string(), source.folder.string());
      }
    }
  }

  void add(const fs::path& run, int64_t step) {
    models_.push_back(load_snapshot(snapshot_file(run, step)));
    names_.push_back(snapshot_file(run, step).string());
  }

  at::Tensor merge(const at::Tensor& base, const std::vector<at::Tensor>& tensors) const {
    if (options_.method == "ties") return ties(base, tensors, options_.density);
    if (options_.method == "linear") return linear_mean(tensors);
    return slerp(tensors[0], tensors[1], options_.at);
  }

  void write(const fs::path& out, const Weights& merged) const {
    NewDirectory made(out);
    lm::TunedFolder folder = sources_[0].tuned;
    // The first run's own files say all but the numbers.
    lm::AdapterFile adapters = lm::AdapterFile::load(folder.folder / lm::TunedFolder::kAdapters);
    Weights router;
    for (const auto& [name, w] : merged) {
      if (name.starts_with("router.")) {
        router[name.substr(7)] = w;
      } else {
        adapters.weights[name] = w;
      }
    }
    adapters.save(made.path() / lm::TunedFolder::kAdapters);
    if (!router.empty()) {
      const nn::Safetensors first(folder.folder / lm::TunedFolder::kRouter);
      nn::save_safetensors(made.path() / lm::TunedFolder::kRouter, router, first.metadata());
    }
    fs::copy_file(folder.folder / Bundle::kConfig, made.path() / Bundle::kConfig);
    folder.folder = made.path();
    folder.save();
    nlohmann::ordered_json json{{"method", options_.method}, {"from", names_}};
    if (options_.method == "ties") json["density"] = options_.density;
    if (options_.method == "slerp") json["at"] = options_.at;
    write_file(made.path() / "merge.json", json.dump(1) + "\n");
    finish_bundle(made.path());
    made.commit();
  }

  MergeOptions options_;
  std::vector<Source> sources_;
  Weights base_;
  std::vector<Weights> models_;
  std::vector<std::string> names_;
};

}  // namespace

MergeReport merge_models(const std::vector<fs::path>& runs, const MergeOptions& options, const fs::path& out) {
  INTERPLAY_CHECK(options.method == "ties" || options.method == "linear" || options.method == "slerp",
                  "'{}' is no way to merge; expected ties, linear or slerp", options.method);
  INTERPLAY_CHECK(options.density > 0 && options.density <= 1, "density {}; expected 0 < density <= 1",
                  options.density);
  INTERPLAY_CHECK(options.at >= 0 && options.at <= 1, "at {}; expected 0 to 1", options.at);
  const at::NoGradGuard off;
  return Merge(runs, options).run(out);
}

}  // namespace interplay
