#include "data/spec/row_parser.h"

#include <algorithm>

#include <interplay/data/no_group.h>

#include "data/schema/token_index.h"

namespace interplay {
void copy_rest(const RowParser& parser, const RowValues& values, std::span<const int32_t> rows, bool labels,
               EncodedBatch& out) {
  const Schema& schema = parser.schema();
  for (size_t f = 0; f < schema.fields().size(); ++f) {
    if (schema.fields()[f].kind == FieldKind::text) {
      auto& text = out.texts.emplace_back();
      text.offsets.push_back(0);
      parser.tokens(f, values, rows, text);
    }
    if (schema.fields()[f].kind != FieldKind::vector) continue;
    const int64_t width = schema.fields()[f].dimension;
    auto& vector = out.vectors.emplace_back();
    vector.reserve(rows.size() * size_t(width));
    for (const int32_t r : rows) {
      const auto begin = values.vectors[f].begin() + r * width;
      vector.insert(vector.end(), begin, begin + width);
    }
  }
  if (!labels) return;
  const size_t T = schema.labels().size();
  out.labels.reserve(rows.size() * T);
  for (const int32_t r : rows) {
    for (size_t t = 0; t < T; ++t) out.labels.push_back(values.labels[size_t(r) * T + t]);
    if (!values.weight.empty()) out.weight.push_back(values.weight[size_t(r)]);
    if (!values.group.empty()) out.group.push_back(values.group[size_t(r)]);
    if (!values.time.empty()) out.time.push_back(values.time[size_t(r)]);
  }
}

RowParser::RowParser(const Schema& schema, const DataSpec& spec)
    : schema_(schema),
      labels_(spec.labels),
      weight_(spec.options.weight),
      group_(spec.options.group),
      time_(spec.options.time),
      missing_tokens_(spec.options.missing_tokens) {
  const auto& fields = schema_.fields();
  for (size_t f = 0; f < fields.size(); ++f) {
    read_options(encodings_.emplace_back(), fields[f].encoding,
                 fmt::format("the encoding of field '{}'", fields[f].name));
    numbers_.emplace_back(encodings_.back().values);
    sources_.push_back(spec.source_of(fields[f].name));
    INTERPLAY_CHECK_DATA(sources_.back() || fields[f].kind != FieldKind::text,
                         "field '{}' is text, but the data.yaml that goes with it does not say what it is made of",
                         fields[f].name);
    leader_.push_back(f);
  }
  for (size_t f = 0; f < fields.size(); ++f) {
    for (size_t g = 0; g < fields.size(); ++g) {
      if (fields[f].paired_with == fields[g].name) leader_[f] = g;
    }
  }
}

size_t RowParser::require_number(const std::string& column, bool present) {
  for (size_t i = 0; i < required_numbers_.size(); ++i) {
    if (required_numbers_[i].column != column) continue;
    required_numbers_[i].present |= present;
    return i;
  }
  required_numbers_.push_back({column, present});
  return required_numbers_.size() - 1;
}

void RowParser::require_present(const std::string& column) { required_cells_.push_back(column); }

void RowParser::leave_out(const FilterOptions& unless) {
  filters_.emplace_back(unless, require_number(unless.column, false));
  for (const auto& other : unless.also) filters_.emplace_back(other, require_number(other.column, false));
}

std::vector<std::string> RowParser::columns(bool labels) const {
  std::vector<std::string> out;
  const auto add = [&](const std::string& name) {
    if (!name.empty() && std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
  };
  if (labels) {
    for (const auto& label : labels_) {
      add(label.column);
      if (label.only) add(label.only->column);
    }
    for (const auto& name : {weight_, group_, time_}) add(name);
  }
  for (size_t f = 0; f < encodings_.size(); ++f) {
    const std::vector<std::string> own = {encodings_[f].column, encodings_[f].weights};
    for (const auto& name : sources_[f] ? sources_[f]->columns(schema_.fields()[f]) : own) add(name);
  }
  for (const auto& required : required_numbers_) add(required.column);
  for (const auto& name : required_cells_) add(name);
  return out;
}

bool RowParser::is_missing_token(std::string_view text) const {
  return std::find(missing_tokens_.begin(), missing_tokens_.end(), text) != missing_tokens_.end();
}

bool RowParser::reads_cells(size_t field) const {
  if (!sources_[field]) return true;
  const auto columns = sources_[field]->columns(schema_.fields()[field]);
  return columns.size() == 1 && columns[0] == encodings_[field].column;
}

void RowParser::tokens(size_t field, const RowValues& values, std::span<const int32_t> rows,
                       EncodedBatch::Text& out) const {
  const Field& f = schema_.fields()[field];
  sources_[field]->tokens(f, values.raw, rows, out);
  INTERPLAY_CHECK(out.offsets.size() == rows.size() + 1 && out.columns.size() == out.ids.size() &&
                      out.offsets.back() == int64_t(out.ids.size()),
                  "field '{}': its kind gave {} offsets, {} ids and {} columns for {} rows", f.name, out.offsets.size(),
                  out.ids.size(), out.columns.size(), rows.size());
}

void RowParser::check_tokens() const {
  for (size_t f = 0; f < encodings_.size(); ++f) {
    const Field& field = schema_.fields()[f];
    const bool text = field.kind == FieldKind::text;
    const std::string& known = encodings_[f].values.tokens;
    if (!text && (field.kind != FieldKind::vector || known.empty())) continue;
    FieldSource::TokenSpace space;
    try {
      space = text ? sources_[f]->token_space() : sources_[f]->vector_space();
    } catch (const Error& problem) {  // what the user wrote is in order: it was prepared with
      throw Error(problem.what(), ErrorKind::data);
    }
    INTERPLAY_CHECK_DATA(
        !text || (space.size == field.rows && space.checksum == known),
        "field '{}': its tokenizer is not the one that the data were prepared with ({} tokens, checksum "
        "{}; expected {}, {}); put that one in its place",
        field.name, space.size, space.checksum, field.rows, known);
    INTERPLAY_CHECK_DATA(
        text || space.checksum == known,
        "field '{}': its file of vectors is not the one that the data were prepared with (checksum {}; "
        "expected {}); put that one in its place",
        field.name, space.checksum, known);
  }
}

}  // namespace interplay
