#include "systems/lab/item_vectors.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <Eigen/Core>

#include <interplay/base/error.h>
#include <interplay/nn/safetensors.h>

namespace interplay {
namespace {

constexpr const char *kVectors = "item_vectors", *kNames = "item_names", *kEnds = "item_name_ends";

}  // namespace

ItemVectors::ItemVectors(const at::Tensor& vectors, std::vector<std::string> names)
    : vectors_(vectors.contiguous()), names_(std::move(names)) {
  INTERPLAY_ASSERT(vectors.dim() == 2 && vectors.size(0) == int64_t(names_.size()));
  for (size_t i = 0; i < names_.size(); ++i) places_.emplace(names_[i], int64_t(i));
}

int64_t ItemVectors::find(std::string_view name) const {
  const auto found = places_.find(name);
  return found == places_.end() ? -1 : found->second;
}

std::vector<uint32_t> ItemVectors::nearest(int64_t target, std::span<const int64_t> past, int64_t k) const {
  using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Rows> v(vectors_.const_data_ptr<float>(), vectors_.size(0), vectors_.size(1));
  std::vector<std::pair<float, uint32_t>> near;  // similarity, place
  for (size_t i = 0; i < past.size(); ++i) {
    const bool known = target >= 0 && past[i] >= 0;
    near.emplace_back(known ? v.row(target).dot(v.row(past[i])) : 0.0f, uint32_t(i));
  }
  const auto last = near.begin() + std::min<int64_t>(k, int64_t(near.size()));
  std::partial_sort(near.begin(), last, near.end(), std::greater<>());
  std::vector<uint32_t> out;
  for (auto it = near.begin(); it != last; ++it) out.push_back(it->second);
  return out;
}

bool ItemVectors::is_tensor(std::string_view name) { return name == kVectors || name == kNames || name == kEnds; }

std::vector<std::pair<std::string, at::Tensor>> ItemVectors::tensors() const {
  std::string bytes;
  std::vector<int64_t> ends;
  for (const auto& name : names_) {
    bytes += name;
    ends.push_back(int64_t(bytes.size()));
  }
  const auto text = at::empty({int64_t(bytes.size())}, at::kByte);
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(text.data_ptr<uint8_t>()));
  return {{kVectors, vectors_}, {kNames, text}, {kEnds, at::tensor(ends, at::kLong)}};
}

ItemVectors ItemVectors::load(const std::filesystem::path& file) {
  const nn::Safetensors stored(file);
  stored.check();
  at::Tensor vectors, text, ends;
  for (const auto& [name, tensor] : stored.tensors()) {
    if (name == kVectors) vectors = tensor.contiguous();
    if (name == kNames) text = tensor.contiguous();
    if (name == kEnds) ends = tensor.contiguous();
  }
  const auto check = [&](bool good) {
    INTERPLAY_CHECK_DATA(good, "{}: holds no vectors of items; make it with `interplay lm retrieve --out`",
                         file.string());
  };
  check(vectors.defined() && text.defined() && ends.defined());
  check(vectors.dim() == 2 && vectors.scalar_type() == at::kFloat && text.dim() == 1 &&
        text.scalar_type() == at::kByte && ends.dim() == 1 && ends.scalar_type() == at::kLong &&
        ends.size(0) == vectors.size(0));
  std::vector<std::string> names;
  const auto* const bytes = reinterpret_cast<const char*>(text.const_data_ptr<uint8_t>());
  int64_t begin = 0;
  for (int64_t i = 0; i < ends.size(0); ++i) {
    const int64_t end = ends.const_data_ptr<int64_t>()[i];
    check(end >= begin && end <= text.size(0));
    names.emplace_back(bytes + begin, bytes + end);
    begin = end;
  }
  return ItemVectors(vectors, std::move(names));
}

}  // namespace interplay
