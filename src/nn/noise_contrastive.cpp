#include <interplay/nn/noise_contrastive.h>

#include <cmath>
#include <mutex>

#include <ATen/ATen.h>

#include <interplay/base/alias_table.h>
#include <interplay/base/error.h>
#include <interplay/nn/table_storage.h>

namespace interplay::nn {
namespace {

constexpr double kLeastShare = 1e-10;  // of a class among all

}  // namespace

/// What follows from the counts.
struct NoiseContrastiveImpl::Noise {
  at::Tensor keep, alias;  // f64, i64 [C]: an AliasTable
  at::Tensor log_q;        // f32 [C]
};

/// Counts are loaded into their buffer by whoever loads weights; each change gives it another version.
struct NoiseContrastiveImpl::Cache {
  std::mutex mutex;
  std::shared_ptr<const Noise> noise;  // guarded by the mutex
  uint32_t version = 0;
};

NoiseContrastiveImpl::NoiseContrastiveImpl(int64_t classes, int64_t width, int64_t noise)
    : classes_(classes), noise_(noise), cache_(std::make_unique<Cache>()) {
  INTERPLAY_CHECK(classes >= 1 && width >= 1 && noise >= 1,
                  "noise contrastive estimation: {} classes, width {}, {} noise classes; expected 1 or more of each",
                  classes, width, noise);
  output_ = register_module("output", Embedding(classes + 1, width, 1 / std::sqrt(3.0 * double(width))));
  bias_ = register_module("bias", Embedding(classes + 1, 1, 0));
  counts_ = register_buffer("counts", at::zeros({classes}, at::kLong));
}

NoiseContrastiveImpl::~NoiseContrastiveImpl() = default;

std::shared_ptr<const NoiseContrastiveImpl::Noise> NoiseContrastiveImpl::noise_of_counts() const {
  const std::lock_guard lock(cache_->mutex);
  if (cache_->noise && cache_->version == counts_._version()) return cache_->noise;
  const at::NoGradGuard no_grad;
  const auto counts = counts_.cpu().to(at::kDouble);
  auto q = (counts / counts.sum().clamp_min(1)).clamp_min(kLeastShare);
  q = (q / q.sum()).contiguous();
  const AliasTable table({q.const_data_ptr<double>(), size_t(classes_)});
  auto made = std::make_shared<Noise>();
  const auto device = counts_.device();
  made->keep = at::empty({classes_}, at::kDouble);
  made->alias = at::empty({classes_}, at::kLong);
  std::copy(table.keep().begin(), table.keep().end(), made->keep.mutable_data_ptr<double>());
  std::copy(table.alias().begin(), table.alias().end(), made->alias.mutable_data_ptr<int64_t>());
  made->keep = made->keep.to(device), made->alias = made->alias.to(device);
  made->log_q = q.log().to(at::kFloat).to(device);
  cache_->noise = made;
  cache_->version = counts_._version();
  return made;
}

void NoiseContrastiveImpl::set_counts(const at::Tensor& counts) {
  INTERPLAY_CHECK(counts.dim() == 1 && counts.size(0) == classes_,
                  "noise contrastive estimation: counts [{}] of {} classes", fmt::join(counts.sizes(), ", "), classes_);
  const at::NoGradGuard no_grad;
  counts_.copy_(counts);
  bias_->weight().slice(0, 1).select(1, 0).copy_(noise_of_counts()->log_q + std::log(double(classes_)));
  bias_->table().changed();
}

at::Tensor NoiseContrastiveImpl::forward(const at::Tensor& z, const at::Tensor& target, const at::Tensor& noise) {
  const int64_t rows = z.size(0);
  INTERPLAY_CHECK(z.dim() == 2 && z.size(1) == output_->width() && target.dim() == 1 && target.size(0) == rows &&
                      noise.dim() == 2 && noise.size(0) == rows,
                  "noise contrastive estimation: vectors [{}], targets [{}], noise [{}]; expected [N, {}], [N] and "
                  "[N, k]",
                  fmt::join(z.sizes(), ", "), fmt::join(target.sizes(), ", "), fmt::join(noise.sizes(), ", "),
                  output_->width());
  const auto classes = at::cat({target.unsqueeze(1), noise}, 1);                      // [N, 1 + k]
  const auto row = (classes + 1).to(at::kInt);                                        // of the tables
  const auto score = (z.unsqueeze(1) * output_(row)).sum(2) + bias_(row).squeeze(2);  // [N, 1 + k]
  const auto expected = noise_of_counts()->log_q.index_select(0, classes.flatten()).view(classes.sizes());
  const auto logit = score - (std::log(double(classes_)) + std::log(double(noise.size(1)))) - expected;
  auto is_target = at::zeros_like(logit);
  is_target.select(1, 0).fill_(1);
  return at::binary_cross_entropy_with_logits(logit, is_target, {}, {}, at::Reduction::None).sum(1);
}

at::Tensor NoiseContrastiveImpl::draw(int64_t rows) const {
  const auto options = at::TensorOptions().dtype(at::kDouble).device(counts_.device());
  const auto place = at::rand({rows, noise_}, options);
  return draw(place, at::rand({rows, noise_}, options));
}

at::Tensor NoiseContrastiveImpl::draw(const at::Tensor& place, const at::Tensor& coin) const {
  const auto noise = noise_of_counts();
  const auto at = (place * double(classes_)).floor().to(at::kLong);
  const auto of = [&](const at::Tensor& values) { return values.index_select(0, at.flatten()).view(at.sizes()); };
  return at::where(coin < of(noise->keep), at, of(noise->alias));
}

at::Tensor NoiseContrastiveImpl::scores(const at::Tensor& z, int64_t first, int64_t count) {
  INTERPLAY_CHECK(first >= 0 && count >= 0 && first + count <= classes_,
                  "noise contrastive estimation: classes {} to {} of {}", first, first + count, classes_);
  const auto rows = [&](Embedding& table) { return table->weight().narrow(0, first + 1, count); };
  return at::matmul(z, rows(output_).t()) + rows(bias_).squeeze(1);
}

}  // namespace interplay::nn
