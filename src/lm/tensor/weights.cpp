#include <interplay/lm/weights.h>

#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <interplay/base/error.h>

namespace interplay::lm {

at::Tensor to_tensor(const Gguf& file, std::string_view name, at::ScalarType type) {
  INTERPLAY_CHECK(type == at::kFloat || type == at::kBFloat16,
                  "{}: tensor '{}': weights are read as Float or BFloat16, not as {}", file.path().string(), name,
                  toString(type));
  const Gguf::Tensor& stored = file.tensor(name);
  const int64_t rows = stored.rows(), columns = stored.columns();
  auto out = at::empty({rows, columns}, at::TensorOptions().dtype(type));
  constexpr int64_t kPart = 1 << 16;  // numbers, so that a part stays in a core's cache
  const int64_t part = std::max<int64_t>(1, kPart / columns);
  at::parallel_for(0, (rows + part - 1) / part, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> numbers;
    for (int64_t first = begin * part; first < std::min(rows, end * part); first += part) {
      const int64_t count = std::min(part, rows - first) * columns, at = first * columns;
      if (type == at::kFloat) {
        file.read(name, first, {out.mutable_data_ptr<float>() + at, size_t(count)});
        continue;
      }
      numbers.resize(size_t(count));
      file.read(name, first, numbers);
      std::copy(numbers.begin(), numbers.end(), out.mutable_data_ptr<at::BFloat16>() + at);
    }
  });
  return out.view(stored.shape);
}

}  // namespace interplay::lm
