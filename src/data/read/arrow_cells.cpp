#include "data/read/arrow_cells.h"

#include <cmath>
#include <limits>

#include <arrow/array.h>
#include <arrow/scalar.h>
#include <arrow/type.h>
#include <arrow/util/float16.h>

#include <interplay/base/error.h>

namespace interplay {
namespace {

struct PrintedCells {
  fmt::memory_buffer bytes;
  std::vector<int32_t> offsets = {0};
  std::vector<int32_t> list_offsets;
  std::shared_ptr<const void> items;  // list: what the entries live in

  void end_cell() {
    INTERPLAY_CHECK_DATA(bytes.size() <= size_t(std::numeric_limits<int32_t>::max()),
                         "a column holds more than 2 GiB in one batch; read fewer rows at a time");
    offsets.push_back(int32_t(bytes.size()));
  }
};

/// Whole numbers as whole numbers are, so that an id is one token whether its column is of integers or, since a value
/// is missing, of floats.
template <class Float>
void print_float(fmt::memory_buffer& out, Float value) {
  if (std::isnan(value)) return;
  if (std::trunc(value) == value && std::abs(double(value)) < 0x1p63) {
    fmt::format_to(fmt::appender(out), "{}", int64_t(value));
  } else if (std::trunc(value) == value && value > 0 && double(value) < 0x1p64) {
    fmt::format_to(fmt::appender(out), "{}", uint64_t(value));
  } else {
    fmt::format_to(fmt::appender(out), "{}", value);
  }
}

/// Seconds with the digits that the unit needs and no trailing zeros: 1699.25.
void print_seconds(fmt::memory_buffer& out, int64_t value, int64_t per_second) {
  if (value < 0) out.push_back('-');
  const uint64_t size = value < 0 ? 0 - uint64_t(value) : uint64_t(value);
  fmt::format_to(fmt::appender(out), "{}", size / uint64_t(per_second));
  if (const uint64_t rest = size % uint64_t(per_second)) {
    std::string digits = fmt::format("{}", uint64_t(per_second) + rest);  // a leading 1 keeps the zeros
    digits.erase(digits.find_last_not_of('0') + 1);
    fmt::format_to(fmt::appender(out), ".{}", std::string_view(digits).substr(1));
  }
}

int64_t per_second(arrow::TimeUnit::type unit) {
  switch (unit) {
    case arrow::TimeUnit::SECOND: return 1;
    case arrow::TimeUnit::MILLI: return 1000;
    case arrow::TimeUnit::MICRO: return 1000000;
    case arrow::TimeUnit::NANO: return 1000000000;
  }
  return 1;
}

RawColumn to_column(const std::string& name, int64_t rows, PrintedCells&& cells) {
  const auto owner = std::make_shared<const PrintedCells>(std::move(cells));
  RawColumn column;
  column.name = name;
  column.rows = rows;
  column.bytes = owner->bytes.data();
  column.offsets = owner->offsets.data();
  column.owner = owner;
  return column;
}

/// One cell per value of `array`, each written by print_value(buffer, i).
template <class Print>
RawColumn print_all(const std::string& name, const arrow::Array& array, Print&& print_value) {
  PrintedCells cells;
  cells.offsets.reserve(size_t(array.length()) + 1);
  for (int64_t i = 0; i < array.length(); ++i) {
    if (array.IsValid(i)) print_value(cells.bytes, i);
    cells.end_cell();
  }
  return to_column(name, array.length(), std::move(cells));
}

void append(fmt::memory_buffer& out, std::string_view text) { out.append(text.data(), text.data() + text.size()); }

RawColumn share_text(const std::string& name, const std::shared_ptr<arrow::Array>& array) {
  const auto& text = static_cast<const arrow::BinaryArray&>(*array);
  RawColumn column;
  column.name = name;
  column.rows = text.length();
  column.bytes = text.value_data() ? reinterpret_cast<const char*>(text.value_data()->data()) : "";
  column.offsets = text.raw_value_offsets();
  column.validity = text.null_count() > 0 ? text.null_bitmap_data() : nullptr;
  column.validity_offset = text.offset();
  column.owner = array;
  static constexpr int32_t kNone[] = {0};  // an array without values may come without offsets
  if (text.length() == 0) column.offsets = kNone;
  return column;
}

template <class ListArray>
RawColumn list_column(const std::string& name, const arrow::Array& array) {
  const auto& list = static_cast<const ListArray&>(array);
  auto flat = list.Flatten();
  INTERPLAY_CHECK_DATA(flat.ok(), "column '{}': {}", name, flat.status().message());
  RawColumn column = to_raw_column(name, *flat);
  INTERPLAY_CHECK_DATA(!column.is_list(), "column '{}': lists of lists cannot be read", name);
  PrintedCells cells;
  cells.items = column.owner;
  cells.list_offsets = {0};
  INTERPLAY_CHECK_DATA((*flat)->length() <= std::numeric_limits<int32_t>::max(),
                       "column '{}': the lists of one batch have more than 2^31 entries; read fewer rows at a time",
                       name);
  for (int64_t i = 0; i < list.length(); ++i) {
    const int64_t size = list.IsValid(i) ? int64_t(list.value_length(i)) : 0;
    cells.list_offsets.push_back(int32_t(cells.list_offsets.back() + size));
  }
  const auto owner = std::make_shared<const PrintedCells>(std::move(cells));
  column.rows = list.length();
  column.list_offsets = owner->list_offsets.data();
  column.owner = owner;
  return column;
}

RawColumn dictionary_column(const std::string& name, const arrow::Array& array) {
  const auto& coded = static_cast<const arrow::DictionaryArray&>(array);
  const RawColumn values = to_raw_column(name, coded.dictionary());
  INTERPLAY_CHECK_DATA(!values.is_list(), "column '{}': a dictionary of lists cannot be read", name);
  return print_all(name, array, [&](fmt::memory_buffer& out, int64_t i) {
    const int64_t code = coded.GetValueIndex(i);
    INTERPLAY_CHECK_DATA(code >= 0 && code < values.rows, "column '{}': a dictionary code is out of range", name);
    if (!values.missing(code)) append(out, values.cell(code));
  });
}

template <class ArrayType, class Print>
RawColumn print_values(const std::string& name, const arrow::Array& array, Print&& print_value) {
  const auto& values = static_cast<const ArrayType&>(array);
  return print_all(name, array, [&](fmt::memory_buffer& out, int64_t i) { print_value(out, values.Value(i)); });
}

template <class ArrayType>
RawColumn integers(const std::string& name, const arrow::Array& array) {
  return print_values<ArrayType>(name, array, [](auto& out, auto v) { fmt::format_to(fmt::appender(out), "{}", +v); });
}

template <class ArrayType>
RawColumn floats(const std::string& name, const arrow::Array& array) {
  return print_values<ArrayType>(name, array, [](auto& out, auto v) { print_float(out, v); });
}

template <class ArrayType>
RawColumn texts(const std::string& name, const arrow::Array& array) {
  const auto& values = static_cast<const ArrayType&>(array);
  return print_all(name, array, [&](auto& out, int64_t i) { append(out, values.GetView(i)); });
}

template <class ArrayType>
RawColumn seconds(const std::string& name, const arrow::Array& array, int64_t units, int64_t scale = 1) {
  return print_values<ArrayType>(name, array,
                                 [=](auto& out, auto v) { print_seconds(out, int64_t(v) * scale, units); });
}

RawColumn decimals(const std::string& name, const std::shared_ptr<arrow::Array>& array) {
  return print_all(name, *array, [&](auto& out, int64_t i) { append(out, (*array->GetScalar(i))->ToString()); });
}

}  // namespace

RawColumn to_raw_column(const std::string& name, const std::shared_ptr<arrow::Array>& array) {
  using arrow::Type;
  constexpr int64_t kDay = 86400;
  switch (array->type_id()) {
    case Type::NA: return print_all(name, *array, [](auto&, int64_t) {});
    case Type::BOOL:
      return print_values<arrow::BooleanArray>(name, *array, [](auto& out, bool v) { out.push_back(v ? '1' : '0'); });
    case Type::INT8: return integers<arrow::Int8Array>(name, *array);
    case Type::INT16: return integers<arrow::Int16Array>(name, *array);
    case Type::INT32: return integers<arrow::Int32Array>(name, *array);
    case Type::INT64: return integers<arrow::Int64Array>(name, *array);
    case Type::UINT8: return integers<arrow::UInt8Array>(name, *array);
    case Type::UINT16: return integers<arrow::UInt16Array>(name, *array);
    case Type::UINT32: return integers<arrow::UInt32Array>(name, *array);
    case Type::UINT64: return integers<arrow::UInt64Array>(name, *array);
    case Type::HALF_FLOAT:
      return print_values<arrow::HalfFloatArray>(name, *array, [](auto& out, uint16_t bits) {
        print_float(out, arrow::util::Float16::FromBits(bits).ToFloat());
      });
    case Type::FLOAT: return floats<arrow::FloatArray>(name, *array);
    case Type::DOUBLE: return floats<arrow::DoubleArray>(name, *array);
    case Type::DECIMAL128:
    case Type::DECIMAL256: return decimals(name, array);
    case Type::DATE32: return seconds<arrow::Date32Array>(name, *array, 1, kDay);
    case Type::DATE64: return seconds<arrow::Date64Array>(name, *array, 1000);
    case Type::TIMESTAMP:
      return seconds<arrow::TimestampArray>(
          name, *array, per_second(static_cast<const arrow::TimestampType&>(*array->type()).unit()));
    case Type::STRING:
    case Type::BINARY: return share_text(name, array);
    case Type::LARGE_STRING:
    case Type::LARGE_BINARY: return texts<arrow::LargeBinaryArray>(name, *array);
    case Type::STRING_VIEW:
    case Type::BINARY_VIEW: return texts<arrow::BinaryViewArray>(name, *array);
    case Type::FIXED_SIZE_BINARY: return texts<arrow::FixedSizeBinaryArray>(name, *array);
    case Type::DICTIONARY: return dictionary_column(name, *array);
    case Type::LIST: return list_column<arrow::ListArray>(name, *array);
    case Type::LARGE_LIST: return list_column<arrow::LargeListArray>(name, *array);
    case Type::FIXED_SIZE_LIST: return list_column<arrow::FixedSizeListArray>(name, *array);
    default: break;
  }
  throw Error(fmt::format("column '{}': values of type {} cannot be read; store text, numbers, times or lists of them",
                          name, array->type()->ToString()),
              ErrorKind::data);
}

}  // namespace interplay
