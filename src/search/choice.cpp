#include "search/choice.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include <ATen/ATen.h>

#include <interplay/base/progress.h>
#include <interplay/core/logistic_fit.h>
#include <interplay/data/loader.h>
#include <interplay/nn/interactions.h>

#include "search/gates.h"

namespace interplay {
namespace {

constexpr int64_t kRefitRows = 200000, kRefitBatches = 16;  // that statistics are taken from, the more of both

double log_loss(double z, double label) { return std::max(z, 0.0) - z * label + std::log1p(std::exp(-std::abs(z))); }

std::vector<nn::GatesImpl*> gates_of(torch::nn::Module& model, const std::string& group) {
  std::vector<nn::GatesImpl*> out;
  for (const auto& module : model.named_modules()) {
    auto* const gates = dynamic_cast<nn::GatesImpl*>(module.value().get());
    if (gates && gates->parameter_group() == group) out.push_back(gates);
  }
  return out;
}

/// |gate| times the deviation of what is behind it, gates of all modules one after the other.
std::vector<double> strengths(const std::vector<nn::GatesImpl*>& modules) {
  std::vector<double> out;
  for (const auto* m : modules) {
    const auto each = (m->gate.detach().abs() * m->spread()).cpu().contiguous();
    out.insert(out.end(), each.const_data_ptr<float>(), each.const_data_ptr<float>() + each.numel());
  }
  return out;
}

}  // namespace

std::vector<float> row_losses(const Predictions& rows) {
  std::vector<float> out(size_t(rows.rows()));
  for (size_t i = 0; i < out.size(); ++i) {
    double sum = 0;
    for (size_t t = i * size_t(rows.labels); t < (i + 1) * size_t(rows.labels); ++t) {
      if (std::isnan(rows.label[t])) continue;  // the row lacks the label
      sum += log_loss(rows.logit[t], rows.label[t]);
    }
    out[i] = float(sum / double(rows.labels));
  }
  return out;
}

namespace {

/// Rows of one label that have it.
struct Labelled {
  std::vector<double> z, label, weight;
  double total = 0, positive = 0;

  Labelled(const Predictions& rows, size_t t) {
    for (size_t i = t; i < rows.logit.size(); i += size_t(rows.labels)) {
      if (std::isnan(rows.label[i]) || !std::isfinite(rows.logit[i])) continue;
      z.push_back(rows.logit[i]), label.push_back(rows.label[i]);
      weight.push_back(rows.weight_of(i / size_t(rows.labels)));
      total += weight.back(), positive += weight.back() * label.back();
    }
  }
  bool can_be_fitted() const {
    const auto differs = [this](double each) { return each != z.front(); };
    return positive > 0 && positive < total && std::any_of(z.begin(), z.end(), differs);
  }
  double log_odds() const { return std::log(positive / (total - positive)); }
};

}  // namespace

void recalibrate(Predictions& rows) {
  for (size_t t = 0; t < size_t(rows.labels); ++t) {
    const Labelled labelled(rows, t);
    if (!labelled.can_be_fitted()) continue;
    const LogisticFit fit = fit_logistic({{labelled.z}, labelled.label, labelled.weight});
    double slope = fit.slopes[0], shift = fit.shift;
    if (slope < 0) slope = 0, shift = labelled.log_odds();  // what says the contrary says nothing
    for (size_t i = t; i < rows.logit.size(); i += size_t(rows.labels))
      rows.logit[i] = float(slope * double(rows.logit[i]) + shift);
  }
}

std::vector<int64_t> tried_numbers(int64_t gates) {
  std::vector<int64_t> out;
  for (int64_t n = 0; n < gates; n += n < 32 ? 1 : n / 8) out.push_back(n);
  out.push_back(gates);
  return out;
}

KeptCurve curve_of(const std::vector<int64_t>& kept, const std::vector<std::vector<float>>& losses,
                   const std::vector<float>& weight) {
  INTERPLAY_ASSERT(!kept.empty() && kept.size() == losses.size());
  const auto weight_of = [&](size_t i) { return weight.empty() ? 1.0 : double(weight[i]); };
  const size_t rows = losses.front().size();
  double total = 0;
  for (size_t i = 0; i < rows; ++i) total += weight_of(i);
  KeptCurve curve;
  curve.rows = int64_t(rows);
  size_t best = 0;
  for (size_t n = 0; n < kept.size(); ++n) {
    double sum = 0;
    for (size_t i = 0; i < rows; ++i) sum += weight_of(i) * double(losses[n][i]);
    curve.points.push_back({.kept = kept[n], .loss = sum / total});
    if (curve.points[n].loss < curve.points[best].loss) best = n;
  }
  curve.best = kept[best];
  curve.chosen = curve.best;
  for (size_t n = kept.size(); n-- > 0;) {
    KeptPoint& p = curve.points[n];
    p.above = p.loss - curve.points[best].loss;
    double squares = 0;
    for (size_t i = 0; i < rows; ++i) {
      const double off = weight_of(i) * (double(losses[n][i]) - double(losses[best][i]) - p.above);
      squares += off * off;
    }
    p.standard_error = std::sqrt(squares) / total;
    if (p.above <= p.standard_error) curve.chosen = std::min(curve.chosen, p.kept);
  }
  return curve;
}

ValidChoice::ValidChoice(Trainer& trainer, const Dataset& train, const Dataset& valid)
    : trainer_(trainer), valid_(valid) {
  const at::NoGradGuard no_grad;
  for (const auto& b : trainer.model().named_buffers()) as_trained_[b.key()] = b.value().clone();
  for (const auto& module : trainer.model().named_modules()) {
    if (const auto* const gates = dynamic_cast<nn::GatesImpl*>(module.value().get()))
      as_trained_[module.key() + ".gate"] = gates->gate.clone();
  }
  refit_norms(train);
}

ValidChoice::~ValidChoice() {
  const at::NoGradGuard no_grad;
  for (auto& [name, weight] : weights_of(trainer_.model())) {
    if (const auto it = as_trained_.find(name); it != as_trained_.end()) weight.copy_(it->second);
  }
}

void ValidChoice::check_stop() const {
  if (trainer_.stop_asked())
    throw Error("interrupted after training, while the gates were weighed; go on with --resume",
                ErrorKind::interrupted);
}

void ValidChoice::refit_norms(const Dataset& train) {
  const at::NoGradGuard no_grad;
  const TrainOptions& t = trainer_.options();
  const nn::PrecisionGuard in_precision(nn::parse_precision(t.precision));
  Model& model = trainer_.model();
  std::vector<nn::RunningStatistics*> modules;
  std::vector<double> momentum;
  for (const auto& module : model.modules()) {
    if (auto* const statistics = dynamic_cast<nn::RunningStatistics*>(module.get())) modules.push_back(statistics);
  }
  for (const auto* m : modules) momentum.push_back(m->norm_momentum());
  const bool training = model.is_training();
  model.train();
  Loader loader(
      train,
      {.batch_size = t.batch_size, .seed = 1, .negative_rate = t.negative_rate, .shuffle_window = t.shuffle_window});
  loader.start(0, 0);
  const int64_t most = std::max(kRefitBatches, kRefitRows / t.batch_size);
  int64_t batches = 0;
  for (Batch b; batches < most && loader.next(b);) {
    check_stop();
    if (b.rows() < 2 || (batches > 0 && b.rows() < t.batch_size)) continue;  // a few rows at the end
    ++batches;
    for (auto* m : modules) m->set_norm_momentum(1.0 / double(batches));
    model.forward(b.features.to(at::Device(t.device)));
  }
  for (size_t i = 0; i < modules.size(); ++i) modules[i]->set_norm_momentum(momentum[i]);
  model.train(training);
}

std::vector<float> ValidChoice::losses(const std::string& progress) {
  const TrainOptions& t = trainer_.options();
  const auto offsets = negative_offsets(t.negative_rate, t.negative_label, valid_.schema().labels());
  Predictions rows = predict(trainer_.model(), valid_,
                             {t.eval_batch_size, at::Device(t.device), offsets, nn::parse_precision(t.precision),
                              progress, [this] { check_stop(); }});
  weight_ = rows.weight;
  recalibrate(rows);
  return row_losses(rows);
}

KeptCurve ValidChoice::choose(const std::string& group, const std::vector<std::string>& names,
                              const std::vector<bool>& among) {
  const at::NoGradGuard no_grad;
  const auto modules = gates_of(trainer_.model(), group);
  const auto strength = strengths(modules);
  INTERPLAY_ASSERT(strength.size() == names.size() && (among.empty() || among.size() == names.size()));
  std::vector<size_t> order;
  for (size_t i = 0; i < names.size(); ++i) {
    if (among.empty() || among[i]) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return strength[a] > strength[b]; });
  std::vector<float> trained(names.size());
  const auto mask = [&](int64_t kept) {
    std::vector<float> now(names.size(), 0.0f);
    for (int64_t n = 0; n < kept; ++n) now[order[size_t(n)]] = trained[order[size_t(n)]];
    int64_t first = 0;
    for (auto* m : modules) {
      m->gate.copy_(at::from_blob(now.data() + first, {m->gate.numel()}));
      first += m->gate.numel();
    }
  };
  int64_t first = 0;
  for (const auto* m : modules) {
    const auto gate = m->gate.cpu().contiguous();
    std::copy_n(gate.const_data_ptr<float>(), gate.numel(), trained.begin() + first);
    first += gate.numel();
  }
  const auto numbers = tried_numbers(int64_t(order.size()));
  std::vector<std::vector<float>> by_number;
  for (const int64_t kept : numbers) {
    mask(kept);
    by_number.push_back(losses(fmt::format("valid, {} of {} gates", kept, order.size())));
  }
  KeptCurve curve = curve_of(numbers, by_number, weight_);
  for (const size_t i : order) curve.ranking.push_back(names[i]), curve.strength.push_back(strength[i]);
  mask(curve.chosen);
  return curve;
}

Dataset open_split(const SearchRun& run, const char* split) {
  return Dataset::open(run.data(), split).select(run.schema());
}

bool has_valid_rows(const SearchRun& run) {
  return Dataset::exists(run.data(), "valid") && Dataset::open(run.data(), "valid").rows() > 0;
}

void check_valid(const SearchRun& run) {
  INTERPLAY_CHECK_DATA(has_valid_rows(run),
                       "{}: has no validation rows, which say how long to search and what to keep; prepare data with a "
                       "valid split, or say both (search.epochs, and search.keep or search.c)",
                       run.data().string());
}

void keep_chosen(std::vector<Interaction>& interactions, const KeptCurve& curve) {
  const std::set<std::string> chosen(curve.ranking.begin(), curve.ranking.begin() + curve.chosen);
  for (auto& i : interactions) i.kept = chosen.contains(interaction_name(i));
}

std::string curve_text(const KeptCurve& curve) {
  const auto at = std::find_if(curve.points.begin(), curve.points.end(),
                               [&](const KeptPoint& p) { return p.kept == curve.chosen; });
  return fmt::format("by {} valid rows: log loss {:.6f}, {:.2g} above the best, of {} (standard error {:.2g})",
                     curve.rows, at->loss, at->above, curve.best, at->standard_error);
}

}  // namespace interplay
