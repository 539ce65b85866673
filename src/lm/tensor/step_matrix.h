#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>
#include <interplay/lm/gguf.h>

namespace interplay::lm {

/// A frozen matrix W [out, in] as it is held, and its products with a few rows, which are what a step of decoding
/// consists of. Dense rows are multiplied as they are. Quantised blocks keep the file's numbers exactly, and are
/// multiplied by x rounded to 16 bits, with a scale for each 32 numbers (quantised_rows.h).
///
/// Each number of a product is summed in one order, whatever the number of rows, so that no row depends on the others.
class INTERPLAY_API StepMatrix {
 public:
  StepMatrix() = default;
  /// f32 or bf16 [out, in], contiguous; shared, not copied.
  explicit StepMatrix(const at::Tensor& weight);
  /// Appends the rows of a quantised tensor of a file. `head_dim` not 0: numbers i and i + head_dim / 2 of each head
  /// lie side by side there, as llama.cpp rotates them.
  void append(const Gguf& file, const Gguf::Tensor& tensor, int64_t head_dim = 0);
  static bool is_packed(const Gguf::Tensor& tensor);  ///< whether append() takes it

  int64_t out() const;
  int64_t in() const { return in_; }
  /// x f32 [N, in] -> f32 [N, out]
  at::Tensor product(const at::Tensor& x) const;

 private:
  enum class Storage : uint8_t { f32, bf16, q4, q8 };
  struct Part {
    at::Tensor held;  // its bytes, row by row
    int64_t rows = 0, row_bytes = 0;
    Storage storage = Storage::f32;
  };

  int64_t in_ = 0;
  std::vector<Part> parts_;
};

}  // namespace interplay::lm
