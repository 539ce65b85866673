#include <interplay/data/row_facts.h>

#include <ATen/ATen.h>

namespace interplay {
namespace {

constexpr int64_t kRowsAtOnce = 65536;

template <class T>
void append(std::vector<T>& to, const at::Tensor& from) {
  if (!from.defined()) return;
  const auto flat = from.to(at::kCPU).contiguous();
  to.insert(to.end(), flat.const_data_ptr<T>(), flat.const_data_ptr<T>() + flat.numel());
}

}  // namespace

void RowFacts::add(const Batch& batch) {
  append(label, batch.labels);
  append(weight, batch.weight);
  append(group, batch.group);
}

RowFacts row_facts(const Dataset& rows) {
  const Dataset alone = rows.select(Schema({}, rows.schema().labels()));
  RowFacts out;
  for (int64_t first = 0; first < alone.rows(); first += kRowsAtOnce)
    out.add(alone.slice(first, std::min(kRowsAtOnce, alone.rows() - first)));
  return out;
}

}  // namespace interplay
