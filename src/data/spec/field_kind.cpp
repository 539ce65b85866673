#include <interplay/data/field_kind.h>

#include <algorithm>
#include <charconv>

#include <interplay/base/error.h>

namespace interplay {
namespace {

size_t digits_at_end(std::string_view text) {
  size_t n = 0;
  while (n < text.size() && text[text.size() - 1 - n] >= '0' && text[text.size() - 1 - n] <= '9') ++n;
  return n;
}

}  // namespace

FieldSource::~FieldSource() = default;

void FieldSource::link(std::span<const Field>, std::span<const PastEvents>) {}

std::vector<std::string> FieldSource::columns(const Field& field) const {
  FieldEncoding encoding;
  read_options(encoding, field.encoding, fmt::format("the encoding of field '{}'", field.name));
  std::vector<std::string> out = {encoding.column};
  if (!encoding.weights.empty()) out.push_back(encoding.weights);
  return out;
}

void FieldSource::derive(RawBatch&, const Refuse&) const {}

FieldSource::TokenSpace FieldSource::token_space() const {
  throw Error("this kind of field says it has text, but not which tokens that has");
}

void FieldSource::tokens(const Field&, const RawBatch&, std::span<const int32_t>, EncodedBatch::Text&) const {
  token_space();
}

Registry<FieldSource, const FieldContext&>& field_kinds() {
  static auto* const registry = new Registry<FieldSource, const FieldContext&>("kind");
  return *registry;
}

bool FieldContext::is_missing_token(std::string_view cell) const {
  return std::find(missing_tokens.begin(), missing_tokens.end(), cell) != missing_tokens.end();
}

void ThresholdOptions::check(const Config& at) const {
  if (column.empty() || !compares())
    at.fail("expected a column and at_least or above, as in {column: rating, at_least: 4}");
}

std::vector<std::string> PastEvents::lists() const {
  std::vector<std::string> out = {name};
  for (const Side& side : sides) out.push_back(side.list);
  return out;
}

void ColumnOptions::spell_out(const Config& at) {
  columns = expand_ranges(columns, at["columns"]);
  if (!column.empty()) columns.insert(columns.begin(), column);
  if (columns.empty() && !name.empty()) columns.push_back(name);
  if (columns.empty()) at.fail("names no column; add `column: NAME` or `columns: [NAME, ...]`");
  if (columns.size() > 1 && !name.empty())
    at["name"].fail("one name for several columns; leave it out or split the entry");
  column.clear();
}

DeclaredField ColumnOptions::declare(const std::string& of, FieldKind shape) const {
  DeclaredField out;
  out.field.name = name.empty() ? of : name;
  out.field.kind = shape;
  out.encoding.column = of;
  return out;
}

void TableOptions::declare(DeclaredField& field) const {
  field.encoding.values.hash_buckets = hash_buckets;
  field.share = share;
  field.min_count = min_count;
  field.catalogue = catalogue;
}

std::vector<std::string> expand_ranges(const std::vector<std::string>& names, const Config& at) {
  std::vector<std::string> out;
  for (const auto& name : names) {
    std::vector<std::string> expanded;
    try {
      expanded = expand_range(name);
    } catch (const Error& problem) {
      at.fail(problem.what());
    }
    for (auto& each : expanded) out.push_back(std::move(each));
  }
  return out;
}

std::vector<std::string> expand_range(const std::string& name) {
  const size_t dots = name.find("..");
  if (dots == std::string::npos) return {name};
  const std::string first = name.substr(0, dots), last = name.substr(dots + 2);
  const size_t first_digits = digits_at_end(first), last_digits = digits_at_end(last);
  if (first_digits == 0 && last_digits == 0) return {name};  // a column may be called a..b
  const std::string stem = first.substr(0, first.size() - first_digits);
  int64_t from = 0, to = -1;
  std::from_chars(first.data() + stem.size(), first.data() + first.size(), from);
  std::from_chars(last.data() + last.size() - last_digits, last.data() + last.size(), to);
  INTERPLAY_CHECK(
      first_digits > 0 && last_digits > 0 && last_digits < 10 && stem == last.substr(0, last.size() - last_digits) &&
          from <= to && to - from < 1000000,
      "'{}' is not a range of columns; expected two names that differ in the number at their end, as I1..I13", name);
  const size_t width = first[stem.size()] == '0' ? first_digits : 0;
  std::vector<std::string> out;
  for (int64_t i = from; i <= to; ++i) out.push_back(fmt::format("{}{:0{}}", stem, i, width));
  return out;
}

}  // namespace interplay
