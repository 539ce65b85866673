#include <interplay/data/row_facts.h>

#include <ATen/ATen.h>

#include <interplay/base/error.h>

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

std::vector<int32_t> ids_of(const Dataset& rows, const std::string& field) {
  Field alone = rows.schema().field(field);
  INTERPLAY_CHECK(alone.kind == FieldKind::categorical, "field '{}' is {}; only a categorical one has an id a row",
                  field, to_string(alone.kind));
  const Dataset ids = rows.select(Schema({alone}, {}));
  std::vector<int32_t> out;
  for (int64_t first = 0; first < ids.rows(); first += kRowsAtOnce)
    append(out, ids.slice(first, std::min(kRowsAtOnce, ids.rows() - first)).features.ids);
  return out;
}

}  // namespace interplay
