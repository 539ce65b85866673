#include "data/check/field_cells.h"

#include <cmath>

namespace interplay {

FieldCells::Shape FieldCells::shape(const RowParser& parser, size_t field) {
  const FieldKind kind = parser.schema().fields()[field].kind;
  if (kind == FieldKind::numeric || parser.makes_buckets(field)) return Shape::number;
  return kind == FieldKind::categorical || kind == FieldKind::sequence ? Shape::tokens : Shape::other;
}

FieldCells::FieldCells(const RowParser& parser, const RowValues& values) : parser_(parser), values_(values) {
  const auto& fields = parser.schema().fields();
  for (size_t f = 0; f < fields.size(); ++f) {
    const bool one = fields[f].kind == FieldKind::categorical && !parser.makes_buckets(f);
    columns_.push_back(one ? &values.raw.column(parser.encoding(f).column) : nullptr);
  }
}

bool FieldCells::missing(size_t field, int32_t row) const {
  if (shape(parser_, field) == Shape::number) return std::isnan(number(field, row));
  bool any = false;
  tokens(field, row, [&](std::string_view token) { any = any || !token.empty(); });
  return !any;
}

}  // namespace interplay
