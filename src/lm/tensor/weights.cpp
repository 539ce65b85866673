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

StoredWeights::StoredWeights(const std::vector<std::filesystem::path>& files) {
  for (const auto& file : files) parts_.push_back({file.string(), nn::Safetensors(file)});
}

bool StoredWeights::has(const std::string& name) const {
  return std::any_of(parts_.begin(), parts_.end(), [&](const Part& part) { return part.tensors.has(name); });
}

const at::Tensor& StoredWeights::at(const std::string& name, at::IntArrayRef shape) const {
  const auto part = std::find_if(parts_.begin(), parts_.end(), [&](const Part& p) { return p.tensors.has(name); });
  if (part == parts_.end()) return parts_.back().tensors.at(name);  // which says that it is not there
  const at::Tensor& found = part->tensors.at(name);
  INTERPLAY_CHECK_DATA(found.sizes() == shape && at::isFloatingType(found.scalar_type()),
                       "{}: tensor '{}' is {} [{}]; config.json makes it floating-point [{}]", part->file, name,
                       toString(found.scalar_type()), fmt::join(found.sizes(), ", "), fmt::join(shape, ", "));
  return found;
}

}  // namespace interplay::lm
