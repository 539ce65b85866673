#include <interplay/explain/attribution.h>

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <interplay/base/error.h>
#include <interplay/core/field_embedding.h>

namespace interplay {
namespace {

/// The outermost FieldEmbeddings of a model: what one reads from within another is a part of what that one gives.
void add_embeddings(torch::nn::Module& module, std::vector<FieldEmbeddingImpl*>& to) {
  if (auto* const fields = dynamic_cast<FieldEmbeddingImpl*>(&module)) {
    if (std::find(to.begin(), to.end(), fields) == to.end()) to.push_back(fields);
    return;
  }
  for (const auto& child : module.children()) add_embeddings(*child, to);
}

/// Has all vectors of a model go through `tap` while it lives.
class Tapped {
 public:
  Tapped(Model& model, const FieldTap& tap) {
    add_embeddings(model, fields_);
    for (auto* f : fields_) f->tap(tap);
  }
  ~Tapped() {
    for (auto* f : fields_) f->tap({});
  }
  Tapped(const Tapped&) = delete;
  Tapped& operator=(const Tapped&) = delete;

 private:
  std::vector<FieldEmbeddingImpl*> fields_;
};

/// The mean vector of each read of a forward pass.
class Means {
 public:
  void begin() { read_ = 0; }
  at::Tensor operator()(const FieldRead& read) {
    if (read_ == sums_.size()) sums_.push_back({read.field, at::zeros({read.vectors.size(1)}, at::kDouble), 0});
    Sum& sum = sums_[read_++];
    const auto counted = read.valid.defined() ? read.vectors.index({read.valid}) : read.vectors;
    sum.sum += counted.sum(0, /*keepdim=*/false, at::kDouble);
    sum.count += counted.size(0);
    return read.vectors;
  }
  std::vector<std::pair<std::string, at::Tensor>> finish() const {
    std::vector<std::pair<std::string, at::Tensor>> out;
    for (const auto& s : sums_)
      out.emplace_back(s.field, (s.sum / double(std::max<int64_t>(1, s.count))).to(at::kFloat));
    return out;
  }

 private:
  struct Sum {
    std::string field;
    at::Tensor sum;  // f64 [K]
    int64_t count;
  };
  std::vector<Sum> sums_;
  size_t read_ = 0;
};

/// What lies between the baseline (0) and the row itself (1): `place` f32 [B] says where each row of the batch is.
struct Path {
  const std::vector<std::pair<std::string, at::Tensor>>& baseline;
  at::Tensor place;
  struct Read {
    std::string field;
    at::Tensor vectors, step;  // f32 [n, K]: where the model is asked, and how far the whole path goes
  };
  std::vector<Read> reads = {};

  at::Tensor operator()(const FieldRead& read) {
    INTERPLAY_ASSERT(reads.size() < baseline.size() && baseline[reads.size()].first == read.field);
    auto step = read.vectors - baseline[reads.size()].second;
    if (read.valid.defined()) step = step * read.valid.unsqueeze(1);  // padding stays what it is
    const auto left = 1 - (read.row.defined() ? place.index_select(0, read.row) : place);
    const auto vectors = (read.vectors - left.unsqueeze(1) * step).detach().requires_grad_(true);
    reads.push_back({read.field, vectors, step});
    return vectors;
  }
};

}  // namespace

Attributor::Attributor(const LabelLogit& logit, const SampledRows& rows, const AttributionOptions& options)
    : logit_(logit), options_(options) {
  const at::NoGradGuard no_grad;
  Means means;
  const Tapped tapped(logit.model, [&](const FieldRead& read) { return means(read); });
  for (int64_t first = 0; first < rows.rows(); first += SampledRows::kBatchRows) {
    means.begin();
    logit(rows.take(at::arange(first, std::min(first + SampledRows::kBatchRows, rows.rows()))));
  }
  baseline_ = means.finish();
  INTERPLAY_CHECK(!baseline_.empty(),
                  "the model reads no field vectors (it has no FieldEmbedding), and attributions "
                  "are made of them; permutation importance needs none");
}

double Attributor::at_baseline(const Features& x) const {
  const at::NoGradGuard no_grad;
  Path path{baseline_, at::zeros({1})};
  const Tapped tapped(logit_.model, [&](const FieldRead& read) { return path(read); });
  return logit_(x).item<double>();
}

Attribution Attributor::integrate(const Features& row, int64_t steps) const {
  const at::AutoGradMode gradients(true);
  Path path{baseline_, (at::arange(steps, at::kFloat) + 0.5) / double(steps)};
  const Tapped tapped(logit_.model, [&](const FieldRead& read) { return path(read); });
  const at::Tensor sum = logit_(take_rows(row, at::zeros({steps}, at::kLong))).sum();
  torch::autograd::variable_list at;
  for (const auto& read : path.reads) at.push_back(read.vectors);
  const auto gradients_of = torch::autograd::grad({sum}, at, {}, /*retain_graph=*/false, false, /*allow_unused=*/true);
  Attribution out;
  out.steps = steps;
  for (size_t i = 0; i < path.reads.size(); ++i) {
    const std::string& name = path.reads[i].field;
    auto found = std::find_if(out.fields.begin(), out.fields.end(), [&](const auto& f) { return f.first == name; });
    if (found == out.fields.end()) found = out.fields.insert(found, {name, 0});
    if (!gradients_of[i].defined()) continue;
    found->second += (gradients_of[i] * path.reads[i].step).sum(at::kDouble).item<double>() / double(steps);
  }
  return out;
}

Attribution Attributor::operator()(const Features& row) const {
  INTERPLAY_CHECK(row.rows == 1, "attributions are of one row; found {} rows", row.rows);
  const double baseline = at_baseline(row);
  const double logit = [&] {
    const at::NoGradGuard no_grad;
    return logit_(row).item<double>();
  }();
  for (int64_t steps = options_.steps;; steps *= 2) {
    Attribution out = integrate(row, steps);
    out.logit = logit, out.baseline = baseline, out.error = baseline - logit;
    for (const auto& [name, value] : out.fields) out.error += value;
    out.complete = std::abs(out.error) <= options_.tolerance * std::max(1.0, std::abs(logit - baseline));
    if (out.complete || 2 * steps > options_.most_steps) return out;
  }
}

}  // namespace interplay
