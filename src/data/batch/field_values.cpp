#include <interplay/data/field_values.h>

#include <ATen/ATen.h>

#include <interplay/data/dataset.h>

namespace interplay {
namespace {

constexpr int64_t kStretch = 65536;

FieldValues count(const at::Tensor& ids, int64_t table_rows) {
  return {ids.numel(), ids.eq(table_rows - 1).sum().item<int64_t>()};
}

}  // namespace

std::vector<FieldValues> count_values(const Features& x, const Schema& schema) {
  std::vector<FieldValues> out;
  for (const Field& field : schema.fields()) {
    if (field.kind == FieldKind::categorical) {
      out.push_back(count(x.ids.select(1, field.column), field.rows));
    } else if (field.kind == FieldKind::sequence) {
      out.push_back(count(x.sequences[size_t(field.column)].ids, field.rows));
    } else {
      out.emplace_back();
    }
  }
  return out;
}

std::vector<FieldValues> count_values(const Dataset& rows, int64_t most) {
  const Schema& schema = rows.schema();
  std::vector<FieldValues> out(schema.fields().size());
  const int64_t stretches = std::max<int64_t>(1, std::min(most, rows.rows()) / kStretch);
  const int64_t stride = std::max(kStretch, rows.rows() / stretches);
  for (int64_t first = 0; first < rows.rows(); first += stride) {
    const Batch some = rows.slice(first, std::min(kStretch, rows.rows() - first));
    const auto counts = count_values(some.features, schema);
    for (size_t f = 0; f < counts.size(); ++f) out[f] += counts[f];
  }
  return out;
}

}  // namespace interplay
