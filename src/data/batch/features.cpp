#include <interplay/data/features.h>

#include <ATen/ATen.h>

namespace interplay {
namespace {

at::Tensor moved(const at::Tensor& tensor, at::Device device) { return tensor.defined() ? tensor.to(device) : tensor; }

}  // namespace

Features Features::to(at::Device device) const {
  Features x;
  x.ids = moved(ids, device);
  x.dense = moved(dense, device);
  for (size_t i = 0; i < sequences.size(); ++i) {
    const Sequence& from = sequences[i];
    Sequence sequence{moved(from.ids, device), {}, moved(from.weights, device)};
    for (size_t j = 0; j < i && !sequence.offsets.defined(); ++j) {
      if (sequences[j].offsets.is_same(from.offsets)) sequence.offsets = x.sequences[j].offsets;
    }
    if (!sequence.offsets.defined()) sequence.offsets = moved(from.offsets, device);
    x.sequences.push_back(std::move(sequence));
  }
  for (const auto& v : vectors) x.vectors.push_back(moved(v, device));
  for (const auto& t : tokens)
    x.tokens.push_back({moved(t.ids, device), moved(t.offsets, device), moved(t.columns, device)});
  x.rows = rows;
  return x;
}

Batch Batch::to(at::Device device) const {
  return {features.to(device), moved(labels, device), moved(weight, device), moved(group, device)};
}

}  // namespace interplay
