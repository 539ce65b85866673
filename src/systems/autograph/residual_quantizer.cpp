#include "systems/autograph/residual_quantizer.h"

#include <limits>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/optim/adamw.h>

#include <interplay/base/error.h>
#include <interplay/base/random.h>
#include <interplay/base/simd.h>
#include <interplay/core/generators.h>

namespace interplay::autograph {
namespace {

constexpr double kEpsilon = 1e-5;  // of the smoothing of counts

/// The nearest code of each row begin .. end, the lowest of equally near ones: differences are squared as they are, so
/// that ties are ties.
INTERPLAY_CLONES void nearest(const float* rows, const float* book, int64_t codes, int64_t width, int64_t begin,
                              int64_t end, int64_t* out) {
  for (int64_t r = begin; r < end; ++r) {
    float best = std::numeric_limits<float>::infinity();
    out[r] = 0;
    for (int64_t c = 0; c < codes; ++c) {
      const float *const a = rows + r * width, *const b = book + c * width;
      simd::Floats sum{};
      int64_t k = 0;
      for (; k + simd::kLanes <= width; k += simd::kLanes) {
        const auto d = simd::load(a + k) - simd::load(b + k);
        sum += d * d;
      }
      float rest = 0;
      for (; k < width; ++k) rest += (a[k] - b[k]) * (a[k] - b[k]);
      const float distance = simd::sum(sum) + rest;
      if (distance < best) best = distance, out[r] = c;
    }
  }
}

/// f32 [N, W], f32 [C, W] -> i64 [N]
at::Tensor nearest_codes(const at::Tensor& rows, const at::Tensor& book) {
  const auto x = rows.contiguous(), b = book.contiguous();
  auto out = at::empty({x.size(0)}, at::kLong);
  auto* const to = out.mutable_data_ptr<int64_t>();
  at::parallel_for(0, x.size(0), 64, [&](int64_t begin, int64_t end) {
    nearest(x.const_data_ptr<float>(), b.const_data_ptr<float>(), b.size(0), b.size(1), begin, end, to);
  });
  return out;
}

/// How many rows chose each code, and the sum of them: f32 [C], f32 [C, W]
std::pair<at::Tensor, at::Tensor> chosen(const at::Tensor& rows, const at::Tensor& codes, int64_t count) {
  return {at::zeros({count}).index_add(0, codes, at::ones({codes.size(0)})),
          at::zeros({count, rows.size(1)}).index_add(0, codes, rows)};
}

/// `n` distinct rows, drawn by seed.
at::Tensor drawn_rows(const at::Tensor& rows, int64_t n, uint64_t seed) {
  const Permutation order(uint64_t(rows.size(0)), seed);
  std::vector<int64_t> which;
  for (int64_t i = 0; i < n; ++i) which.push_back(int64_t(order.at(uint64_t(i))));
  return rows.index_select(0, at::tensor(which, at::kLong));
}

nn::MlpOptions layers(const std::vector<int64_t>& hidden, int64_t output) {
  return {.hidden = hidden, .output = output};
}

}  // namespace

CodebooksImpl::CodebooksImpl(int64_t n, int64_t codes, int64_t width) {
  books = register_buffer("books", at::zeros({n, codes, width}));
  counts = register_buffer("counts", at::zeros({n, codes}));
  sums = register_buffer("sums", at::zeros({n, codes, width}));
}

CodebooksImpl::Result CodebooksImpl::forward(const at::Tensor& z) {
  Result out;
  auto residual = z;
  std::vector<at::Tensor> codes, commitment;
  auto quantised = at::zeros_like(z);
  out.residuals.push_back(z.detach());
  for (int64_t k = 0; k < books.size(0); ++k) {
    codes.push_back(nearest_codes(residual.detach(), books[k]));
    const auto e = books[k].index_select(0, codes.back());  // a buffer: no gradient
    residual = residual - e;
    commitment.push_back(residual.square().mean());
    quantised = quantised + e;
    out.residuals.push_back(residual.detach());
  }
  out.codes = at::stack(codes, 1);
  out.commitment = at::stack(commitment);
  out.quantised = z + (quantised - z).detach();
  return out;
}

void CodebooksImpl::start(const at::Tensor& z, int64_t steps, uint64_t seed) {
  const at::NoGradGuard no_grad;
  const int64_t C = books.size(1);
  INTERPLAY_CHECK(z.size(0) >= C, "quantizer: {} vectors for {} codes a book; set quantizer.codes to {} or fewer",
                  z.size(0), C, z.size(0));
  auto residual = z.detach();
  for (int64_t k = 0; k < books.size(0); ++k) {
    books[k].copy_(drawn_rows(residual, C, seed + uint64_t(k)));
    at::Tensor codes, before;
    for (int64_t step = 0; step <= steps; ++step) {
      codes = nearest_codes(residual, books[k]);
      const bool settled = before.defined() && codes.equal(before);
      const auto [count, sum] = chosen(residual, codes, C);
      const auto empty = count.eq(0).unsqueeze(1);
      books[k].copy_(at::where(empty, books[k], sum / count.clamp_min(1).unsqueeze(1)));
      before = codes;
      if (settled) break;
    }
    codes = nearest_codes(residual, books[k]);
    const auto [count, sum] = chosen(residual, codes, C);
    counts[k].copy_(count);
    sums[k].copy_(sum);
    residual = residual - books[k].index_select(0, codes);
  }
}

void CodebooksImpl::move(const Result& result, double decay, double dead_below, uint64_t seed) {
  const at::NoGradGuard no_grad;
  const int64_t C = books.size(1);
  for (int64_t k = 0; k < books.size(0); ++k) {
    const auto& rows = result.residuals[size_t(k)];
    const auto [count, sum] = chosen(rows, result.codes.select(1, k), C);
    counts[k].mul_(decay).add_(count, 1 - decay);
    sums[k].mul_(decay).add_(sum, 1 - decay);
    const auto n = counts[k].sum();
    const auto smoothed = (counts[k] + kEpsilon) / (n + double(C) * kEpsilon) * n;
    books[k].copy_(sums[k] / smoothed.unsqueeze(1));
    const auto dead = counts[k].lt(dead_below).nonzero().squeeze(1);
    if (dead_below <= 0 || dead.numel() == 0) continue;
    const Permutation order(uint64_t(rows.size(0)), seed + uint64_t(k));
    for (int64_t i = 0; i < dead.numel(); ++i) {
      const auto code = dead[i].item<int64_t>();
      books[k][code].copy_(rows[int64_t(order.at(uint64_t(i % rows.size(0))))]);
      counts[k][code].fill_(dead_below);
      sums[k][code].copy_(books[k][code] * dead_below);
    }
  }
}

ResidualQuantizerImpl::ResidualQuantizerImpl(int64_t in, const QuantizerOptions& o) : options_(o) {
  const auto reversed = std::vector<int64_t>(o.hidden.rbegin(), o.hidden.rend());
  const KeptGenerators kept;
  at::manual_seed(uint64_t(o.seed));
  encoder_ = register_module("encoder", nn::Mlp(in, layers(o.hidden, o.width)));
  codebooks = register_module("codebooks", Codebooks(o.books, o.codes, o.width));
  decoder_ = register_module("decoder", nn::Mlp(o.width, layers(reversed, in)));
}

ResidualQuantizerImpl::Result ResidualQuantizerImpl::forward(const at::Tensor& x) {
  Result out;
  out.quantised = codebooks(encoder_(x));
  out.reconstruction = decoder_(out.quantised.quantised);
  out.l1 = (x - out.reconstruction).abs().mean();
  out.loss = out.l1 + options_.commitment * out.quantised.commitment.sum();
  return out;
}

void ResidualQuantizerImpl::fit(const at::Tensor& x, const Progress& progress) {
  const auto seed = uint64_t(options_.seed);
  {
    const at::NoGradGuard no_grad;
    codebooks->start(encoder_(x), options_.kmeans_steps, seed);
  }
  torch::optim::AdamW optimizer(parameters(),
                                torch::optim::AdamWOptions(options_.lr).weight_decay(options_.weight_decay));
  const int64_t N = x.size(0);
  uint64_t step = 0;
  for (int64_t epoch = 0; epoch < options_.epochs; ++epoch) {
    const auto shuffled = drawn_rows(x, N, random_bits(seed, 1, uint64_t(epoch)));
    double sum = 0;
    for (int64_t first = 0; first < N; first += options_.batch_size) {
      const auto batch = shuffled.narrow(0, first, std::min(options_.batch_size, N - first));
      optimizer.zero_grad();
      const auto result = forward(batch);
      result.loss.backward();
      optimizer.step();
      codebooks->move(result.quantised, options_.decay, options_.dead_below, random_bits(seed, 2, step++));
      sum += result.loss.item<double>() * double(batch.size(0));
    }
    if (progress) progress(epoch + 1, sum / double(N));
  }
}

at::Tensor ResidualQuantizerImpl::codes(const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  return codebooks(encoder_(x)).codes;
}

at::Tensor factor_nodes(const at::Tensor& codes, int64_t codes_per_book) {
  return codes + at::arange(codes.size(1), at::kLong) * codes_per_book;
}

}  // namespace interplay::autograph
