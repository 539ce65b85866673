#include "systems/qa4prf/reader_training.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <torch/nn/utils/clip_grad.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/random.h>
#include <interplay/core/model.h>
#include <interplay/nn/safetensors.h>

namespace fs = std::filesystem;

namespace interplay::qa4prf {
namespace {

using Tensors = std::map<std::string, at::Tensor>;
using Json = nlohmann::ordered_json;

constexpr const char* kWeightsFile = "model.safetensors";
constexpr const char* kBestFile = "best.safetensors";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kStateFile = "state.json";

/// Adam's moments, by parameter.
Tensors state_of(torch::optim::Adam& adam, const torch::nn::Module& of) {
  Tensors out;
  for (const auto& p : of.named_parameters()) {
    const auto found = adam.state().find(p.value().unsafeGetTensorImpl());
    if (found == adam.state().end()) continue;
    const auto& state = static_cast<const torch::optim::AdamParamState&>(*found->second);
    out[p.key() + ".mean"] = state.exp_avg();
    out[p.key() + ".square"] = state.exp_avg_sq();
    out[p.key() + ".step"] = at::full({1}, state.step(), at::kLong);
  }
  return out;
}

void restore(torch::optim::Adam& adam, const torch::nn::Module& of, const nn::Safetensors& from) {
  for (const auto& p : of.named_parameters()) {
    if (!from.has(p.key() + ".step")) continue;
    auto state = std::make_unique<torch::optim::AdamParamState>();
    state->step(from.at(p.key() + ".step").item<int64_t>());
    state->exp_avg(from.at(p.key() + ".mean").clone());
    state->exp_avg_sq(from.at(p.key() + ".square").clone());
    INTERPLAY_CHECK_DATA(
        state->exp_avg().sizes() == p.value().sizes() && state->exp_avg_sq().sizes() == p.value().sizes(),
        "{}: state of '{}' has another shape; it belongs to another run", kOptimizerFile, p.key());
    adam.state()[p.value().unsafeGetTensorImpl()] = std::move(state);
  }
}

}  // namespace

std::vector<double> map_by_beta(const std::vector<Learnable>& queries,
                                const std::vector<std::vector<TermWeight>>& expansions, const Training& t) {
  const auto& betas = t.options.betas;
  std::vector<double> out(betas.size()), scores;
  for (size_t i = 0; i < queries.size(); ++i) {
    const Question& q = queries[i].readable->question;
    // A score is linear in the query's weights: one retrieval of each part does for all betas.
    const auto own = likelihood_scores(t.index, q.terms, t.options.feedback.mu);
    const auto added =
        likelihood_scores(t.index, mixed_query(q.terms, expansions[i], 1, q.length), t.options.feedback.mu);
    scores.resize(own.size());
    for (size_t b = 0; b < betas.size(); ++b) {
      for (size_t d = 0; d < own.size(); ++d) scores[d] = (1 - betas[b]) * own[d] + betas[b] * added[d];
      out[b] += average_precision_of(scores, queries[i].relevant) / double(queries.size());
    }
  }
  return out;
}

ReaderTraining::ReaderTraining(TermReader& reader, Networks& networks, const FoldData& data, const Training& t)
    : reader_(reader),
      networks_(networks),
      data_(data),
      t_(t),
      o_(t.options.network),
      adam_(reader->parameters(), torch::optim::AdamOptions(o_.lr)) {
  for (const auto& query : data.train) add_pairs(query);
}

void ReaderTraining::run(FoldReport& report) {
  if (!load(report)) report = {};
  while (int64_t(report.passes.size()) < o_.epochs && !pairs_.empty() && !lost_patience(report)) {
    const auto pass = int64_t(report.passes.size());
    const double loss = learn(random_bits(uint64_t(t_.options.seed), uint64_t(data_.fold) + 1, uint64_t(pass)), pass);
    const double map = held_out_map();
    report.passes.push_back({loss, map});
    const bool better = report.best < 0 || map > report.passes[size_t(report.best)].map;
    if (better) {
      report.best = pass;
      best_.clear();
      for (const auto& [name, weight] : weights_of(*reader_)) best_[name] = weight.clone();
    }
    log::info("fold {}, pass {}: loss {:.4f}, MAP of the held-out queries {:.4f}{}", data_.fold + 1, pass + 1, loss,
              map, better ? ", the best" : "");
    save(report);
  }
  if (!best_.empty()) load_weights(*reader_, best_, "the best pass");
}

void ReaderTraining::add_pairs(const Learnable& query) {
  const int64_t K = t_.words.candidates;
  for (const auto& reading : query.readable->readings) {
    Reading& pair = pairs_.emplace_back(reading);
    pair.gains.assign(size_t(K), 0);
    for (const int64_t slot : pair.slots) {
      if (slot < K && query.lesson->grades[size_t(slot)] > 0)
        pair.gains[size_t(slot)] = float(query.lesson->gains[size_t(slot)]);
    }
  }
}

bool ReaderTraining::lost_patience(const FoldReport& report) const {
  return o_.patience > 0 && report.best >= 0 && int64_t(report.passes.size()) - 1 - report.best >= o_.patience;
}

/// The order is drawn, stretches of it are sorted by length and cut, and the batches dealt out anew.
std::vector<ReaderTraining::Batch> ReaderTraining::batches(uint64_t seed) const {
  constexpr int64_t kSortedBatches = 32;
  const auto n = int64_t(pairs_.size());
  const Permutation order(uint64_t(n), seed);
  Batch drawn;
  for (int64_t i = 0; i < n; ++i) drawn.push_back(&pairs_[size_t(order.at(uint64_t(i)))]);
  std::vector<Batch> cut;
  for (int64_t first = 0; first < n; first += kSortedBatches * o_.batch_size) {
    const int64_t last = std::min(n, first + kSortedBatches * o_.batch_size);
    std::stable_sort(drawn.begin() + first, drawn.begin() + last,
                     [](const Reading* a, const Reading* b) { return a->document.size() < b->document.size(); });
    for (int64_t at = first; at < last; at += o_.batch_size)
      cut.emplace_back(drawn.begin() + at, drawn.begin() + std::min(last, at + o_.batch_size));
  }
  const Permutation dealt(cut.size(), seed + 1);
  std::vector<Batch> out;
  for (size_t i = 0; i < cut.size(); ++i) out.push_back(std::move(cut[size_t(dealt.at(i))]));
  return out;
}

double ReaderTraining::learn(uint64_t seed, int64_t pass) {
  at::manual_seed(seed);  // of dropout: a pass that is begun anew is the same
  reader_->train();
  double sum = 0;
  for (const auto& batch : batches(seed)) {
    if (t_.stopped && t_.stopped())
      throw Error(fmt::format("interrupted in fold {}, pass {}; what was finished is kept, go on with --resume",
                              data_.fold + 1, pass + 1),
                  ErrorKind::interrupted);
    adam_.zero_grad();
    const auto loss = reader_(t_.words, batch).loss.mean();
    const auto value = loss.item<double>();
    if (!std::isfinite(value))
      throw Error(fmt::format("fold {}, pass {}: the loss is {}; lower network.lr or network.clip", data_.fold + 1,
                              pass + 1, value),
                  ErrorKind::numeric);
    loss.backward();
    if (o_.clip > 0) torch::nn::utils::clip_grad_norm_(reader_->parameters(), o_.clip);
    adam_.step();
    sum += value * double(batch.size());
    if (t_.read) t_.read(int64_t(batch.size()));
  }
  return sum / double(pairs_.size());
}

double ReaderTraining::held_out_map() {
  if (data_.held_out.empty()) return 0;
  std::vector<std::vector<TermWeight>> expansions;
  for (const auto& query : data_.held_out) {
    const Said said = networks_->read(t_.words, *query.readable);
    std::vector<double> scores;
    for (const double mass : said.mass) scores.push_back(log_mass(mass));
    expansions.push_back(expansion_of(query.readable->question, scores, t_.options.terms));
  }
  const auto maps = map_by_beta(data_.held_out, expansions, t_);
  return *std::max_element(maps.begin(), maps.end());
}

bool ReaderTraining::load(FoldReport& report) {
  const fs::path directory = t_.run / kCheckpoint;
  if (!fs::exists(directory)) return false;
  Manifest::load(directory).check(directory, /*contents=*/true);
  try {
    const Json state = Json::parse(read_file(directory / kStateFile));
    if (state.at("fold").get<int64_t>() != data_.fold) return false;
    report = report_of(state.at("report"));
  } catch (const nlohmann::json::exception& problem) {
    throw Error(fmt::format("{}: not the state of a run ({})", (directory / kStateFile).string(), problem.what()),
                ErrorKind::data);
  }
  const nn::Safetensors weights(directory / kWeightsFile), best(directory / kBestFile);
  load_weights(*reader_, weights.tensors(), (directory / kWeightsFile).string());
  for (const auto& [name, tensor] : best.tensors()) best_[name] = tensor.clone();
  restore(adam_, *reader_, nn::Safetensors(directory / kOptimizerFile));
  return true;
}

void ReaderTraining::save(const FoldReport& report) const {
  NewDirectory directory(t_.run / kCheckpoint);
  nn::save_safetensors(directory.path() / kWeightsFile, weights_of(*reader_));
  nn::save_safetensors(directory.path() / kBestFile, best_);
  nn::save_safetensors(directory.path() / kOptimizerFile, state_of(const_cast<torch::optim::Adam&>(adam_), *reader_));
  write_file(directory.path() / kStateFile, Json{{"fold", data_.fold}, {"report", json_of(report)}}.dump(1) + "\n");
  Manifest::describe(directory.path()).save(directory.path());
  directory.commit();
}

}  // namespace interplay::qa4prf
