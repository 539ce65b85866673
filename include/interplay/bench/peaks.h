#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>
#include <interplay/core/model.h>
#include <interplay/data/features.h>
#include <interplay/data/schema.h>

/// What the machine can do at best: the yardsticks of the workloads.
namespace interplay::bench {

template <class Work>
double seconds_of(const Work& work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

/// How often `work` runs in about `seconds`, once at least, as seconds of one run: for yardsticks.
template <class Work>
double seconds_each(double seconds, const Work& work) {
  int64_t times = 0;
  double passed = 0;
  for (; times == 0 || passed < seconds; ++times) passed += seconds_of(work);
  return passed / double(times);
}

/// The matrix products of one step, by at::mm on contiguous factors, and nothing else: for each matrix [out, in] that
/// a model applies once a row, X W^T, and when training also dY W and dY^T X.
class INTERPLAY_API MatrixProducts {
 public:
  enum class Passes { forward, training };
  struct Shape {
    int64_t in, out;
  };
  /// The matrices of a model's dense parameters: [out, in], or several as [layers, out, in].
  static std::vector<Shape> shapes(const torch::nn::Module& model);

  MatrixProducts(const std::vector<Shape>& shapes, int64_t rows, at::ScalarType type, Passes passes);
  void run() const;
  double flops() const { return flops_; }  ///< of one run(): two a multiplication
  bool empty() const { return products_.empty(); }
  int64_t rows() const { return rows_; }

 private:
  struct Product {
    at::Tensor left, right;
  };
  std::vector<Product> products_;
  int64_t rows_;
  double flops_ = 0;
};

/// The embedding rows of one training step, by plain loops and nothing else: each read of a row once, then each
/// distinct row with its optimizer state read and written once. Runs on the tables of a model, which it leaves as they
/// are.
class INTERPLAY_API RowTraffic {
 public:
  RowTraffic(const torch::nn::Module& model, const Schema& schema, const Features& x);
  void run() const;
  bool empty() const { return columns_.empty(); }

 private:
  struct Column {
    float* weight;
    int64_t stride, width;
    std::vector<int32_t> ids, distinct;
  };
  std::vector<Column> columns_;
};

/// Bytes a second. `bytes` a buffer; rows are of 64 bytes, at random.
struct MemoryPeak {
  double read = 0, copy = 0, random_read = 0, random_update = 0;
};
class INTERPLAY_API Memory {
 public:
  explicit Memory(int64_t bytes);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  MemoryPeak measure() const;

 private:
  int64_t rows_;
  float* buffer_;
  std::vector<int32_t> order_;
};

/// The largest RssAnon of this process while it lives, looked up every few milliseconds.
class INTERPLAY_API AnonymousMemory {
 public:
  AnonymousMemory();
  ~AnonymousMemory();
  int64_t peak_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interplay::bench
