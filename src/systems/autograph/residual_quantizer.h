#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/options.h>
#include <interplay/nn/mlp.h>

namespace interplay::autograph {

struct QuantizerOptions {
  int64_t books = 3, codes = 256, width = 32;
  std::vector<int64_t> hidden = {128};
  int64_t epochs = 200, batch_size = 512, kmeans_steps = 50;
  double lr = 1e-3, weight_decay = 1e-3, decay = 0.8, commitment = 0.25, dead_below = 0;
  int64_t seed = 42;
  void visit(auto&& field) {
    field("books", books, "codebooks, each of what those before it leave", Range{1, 16});
    field("codes", codes, "of each book", Range{1, 65536});
    field("width", width, "numbers of a code", Range{1, 4096});
    field("hidden", hidden, "widths of the encoder's hidden layers; the decoder has them the other way round",
          Range{1, 1e6});
    field("epochs", epochs, "passes over the vectors", Range{0, 1e6});
    field("batch_size", batch_size, "vectors a step", Range{1, 1e9});
    field("kmeans_steps", kmeans_steps, "of k-means, from which the codes start", Range{0, 1e6});
    field("lr", lr, "learning rate (AdamW)", Range{0, 10});
    field("weight_decay", weight_decay, "of AdamW", Range{0, 10});
    field("decay", decay, "memory of the codes' moving means", Range{0, 1});
    field("commitment", commitment, "weight of what holds the encoder to its codes", Range{0, 100});
    field("dead_below", dead_below,
          "codes that were chosen less often than this, in the moving mean, begin again at "
          "a vector of the batch; 0: none do",
          Range{0, 1e9});
    field("seed", seed, "of weights, order and k-means");
  }
};

/// Codebooks, each of which quantises what those before it leave (residual vector quantisation; Lee et al. 2022,
/// arXiv:2203.01941, sec. 3.1): r_0 = z, c_k = argmin_c |r_{k-1} - e_kc|^2, the lowest of equally near ones, r_k =
/// r_{k-1} - e_{k c_k}. Codes are moving means of what chose them.
class INTERPLAY_API CodebooksImpl : public torch::nn::Module {
 public:
  CodebooksImpl(int64_t books, int64_t codes, int64_t width);

  struct Result {
    at::Tensor codes;       ///< i64 [N, M]
    at::Tensor quantised;   ///< f32 [N, W]: the sum of the codes, with the gradient of z as it is (straight-through)
    at::Tensor commitment;  ///< f32 [M]: of each book the mean over rows and numbers of (r_{k-1} - sg(e))^2
    std::vector<at::Tensor> residuals;  ///< M + 1 of f32 [N, W], r_0 .. r_M, without gradient
  };
  Result forward(const at::Tensor& z);  ///< f32 [N, W]
  /// Lloyd's k-means of each book on what those before it leave, from rows drawn by seed. Throws Error where there are
  /// fewer rows than codes.
  void start(const at::Tensor& z, int64_t steps, uint64_t seed);
  /// Moves the codes: counts and sums by `decay`, Laplace-smoothed counts. A code whose count is then below
  /// `dead_below` begins again at a row of the batch, drawn by `seed`.
  void move(const Result& result, double decay, double dead_below, uint64_t seed);

  at::Tensor books;   ///< f32 [M, C, W]
  at::Tensor counts;  ///< f32 [M, C]: moving mean of how many rows of a batch chose a code
  at::Tensor sums;    ///< f32 [M, C, W]: of their residuals
};
TORCH_MODULE(Codebooks);

/// Vectors to codes by an auto-encoder around codebooks, trained on |x - x'| + commitment: what AutoGraph makes of what
/// a language model knows. The same vectors and seed give the same codes, on one machine.
///
///     ResidualQuantizer quantizer(128, options);
///     quantizer->fit(vectors);                         // f32 [N, 128]
///     const at::Tensor codes = quantizer->codes(new_ones);   // i64 [n, M]: without training again
///
/// One thread uses it.
class INTERPLAY_API ResidualQuantizerImpl : public torch::nn::Module {
 public:
  ResidualQuantizerImpl(int64_t in, const QuantizerOptions& options);

  struct Result {
    at::Tensor loss, l1, reconstruction;  ///< scalars, and f32 [N, in]
    CodebooksImpl::Result quantised;
  };
  Result forward(const at::Tensor& x);
  using Progress = std::function<void(int64_t epoch, double loss)>;
  void fit(const at::Tensor& x, const Progress& progress = {});
  at::Tensor codes(const at::Tensor& x);  ///< i64 [N, M], each of its own book: 0 .. C - 1
  const QuantizerOptions& options() const { return options_; }

  Codebooks codebooks{nullptr};

 private:
  QuantizerOptions options_;
  nn::Mlp encoder_{nullptr}, decoder_{nullptr};
};
TORCH_MODULE(ResidualQuantizer);

/// k C + c: the factor node of code c of book k. i64 [N, M] -> i64 [N, M]
INTERPLAY_API at::Tensor factor_nodes(const at::Tensor& codes, int64_t codes_per_book);

}  // namespace interplay::autograph
