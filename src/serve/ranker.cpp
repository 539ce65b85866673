#include <algorithm>

#include <interplay/base/error.h>

#include "serve/scorer_state.h"

namespace interplay {
namespace {

using Cells = std::span<const std::string_view>;

constexpr size_t kMostLayouts = 64;  // kept; a program that asks for more makes them again

int64_t place_of(const std::string& name, const std::vector<std::string>& names) {
  return std::find(names.begin(), names.end(), name) - names.begin();
}
bool contains(const std::vector<std::string>& names, const std::string& name) {
  return place_of(name, names) < int64_t(names.size());
}

RawBatch to_raw(const RequestLayout& layout, Cells user, Cells candidates, int64_t rows) {
  RawBatch batch;
  batch.rows = rows;
  for (size_t c = 0; c < layout.user_columns.size(); ++c) {
    batch.columns.push_back(
        make_raw_column(layout.user_columns[c], std::vector<std::string>(size_t(rows), std::string(user[c]))));
  }
  const size_t width = layout.candidate_columns.size();
  for (size_t c = 0; c < width; ++c) {
    std::vector<std::string> cells;
    for (size_t i = c; i < candidates.size(); i += width) cells.emplace_back(candidates[i]);
    batch.columns.push_back(make_raw_column(layout.candidate_columns[c], cells));
  }
  return batch;
}

}  // namespace

std::shared_ptr<const RequestLayout> Scorer::State::layout(const std::vector<std::string>& user_columns) const {
  const std::lock_guard lock(mutex_);
  const auto known = layouts_.find(user_columns);
  if (known != layouts_.end()) return known->second;
  if (layouts_.size() >= kMostLayouts) layouts_.clear();
  return layouts_.emplace(user_columns, make_layout(user_columns)).first->second;
}

std::shared_ptr<RequestLayout> Scorer::State::make_layout(const std::vector<std::string>& user_columns) const {
  auto layout = std::make_shared<RequestLayout>();
  layout->user_columns = user_columns;
  for (const auto& name : user_columns) {
    INTERPLAY_CHECK(contains(columns, name), "user column '{}': the model reads no such column (columns: {})", name,
                    fmt::join(columns, ", "));
    INTERPLAY_CHECK(std::count(user_columns.begin(), user_columns.end(), name) == 1, "user column '{}' is given twice",
                    name);
  }
  for (const auto& name : columns) {
    if (!contains(user_columns, name)) layout->candidate_columns.push_back(name);
  }
  if (!graph) return layout;
  const Schema& schema = encoder.schema();
  UserColumns& of_user = layout->user = UserColumns::none(schema);
  for (size_t f = 0; f < schema.fields().size(); ++f) {
    const Field& field = schema.fields()[f];
    if (field.kind != FieldKind::categorical && field.kind != FieldKind::numeric) continue;
    const bool numeric = field.kind == FieldKind::numeric;
    const std::string column = encoder.column(f);
    if (column.empty()) return layout;  // derived of whole rows
    const bool user = contains(user_columns, column);
    (numeric ? of_user.dense : of_user.ids)[size_t(field.column)] = user;
    layout->sources.push_back(
        {f, numeric, field.column, user, place_of(column, user ? user_columns : layout->candidate_columns)});
  }
  if (!place_rest(*layout)) return layout;
  std::string why;  // rounding that differs by more than it may: the model runs as it is
  layout->compiled = compile(of_user, why);
  return layout;
}

/// Sequences and vectors: of the user, or of the candidates; false where raw columns of both make one.
bool Scorer::State::place_rest(RequestLayout& layout) const {
  const Schema& schema = encoder.schema();
  std::vector<std::string> of_user, of_candidates;
  for (const Field& field : schema.fields()) {
    if ((field.kind != FieldKind::sequence && field.kind != FieldKind::vector) || !field.paired_with.empty()) continue;
    std::vector<std::string> names{field.name};
    for (const Field& other : schema.fields())
      if (other.paired_with == field.name) names.push_back(other.name);
    size_t users = 0;
    const auto read = encoder.keep(schema.keep(names)).columns({.labels = false});
    for (const auto& column : read) users += contains(layout.user_columns, column);
    if (users != 0 && users != read.size()) return false;
    auto& side = users > 0 ? of_user : of_candidates;
    side.insert(side.end(), names.begin(), names.end());
    for (const auto& name : names) {
      const Field& one = schema.field(name);
      (one.kind == FieldKind::sequence ? layout.user.sequences : layout.user.vectors)[size_t(one.column)] = users > 0;
    }
  }
  for (const bool user : {true, false}) {
    const auto& names = user ? of_user : of_candidates;
    if (names.empty()) continue;
    RequestLayout::Rest& rest = user ? layout.user_rest : layout.candidate_rest;
    rest.encoder = encoder.keep(schema.keep(names));
    rest.columns = rest.encoder->columns({.labels = false});
    for (const auto& column : rest.columns)
      rest.cells.push_back(place_of(column, user ? layout.user_columns : layout.candidate_columns));
    for (const Field& field : rest.encoder->schema().fields())
      (field.kind == FieldKind::sequence ? rest.sequences : rest.vectors).push_back(schema.field(field.name).column);
  }
  return true;
}

EncodedBatch RequestLayout::Rest::encode(std::span<const std::string_view> from, int64_t width, int64_t rows) const {
  if (!encoder) return {};
  RawBatch batch;
  batch.rows = rows;
  std::vector<std::string> texts;
  for (size_t c = 0; c < columns.size(); ++c) {
    texts.clear();
    for (int64_t r = 0; r < rows; ++r) texts.emplace_back(from[size_t(r * width + cells[c])]);
    batch.columns.push_back(make_raw_column(columns[c], texts));
  }
  return encoder->encode(batch, {.labels = false});
}

namespace {

/// What was encoded, where the model has it.
void point_to(const EncodedBatch& encoded, const RequestLayout::Rest& rest, const Schema& schema,
              std::vector<ScoringPlan::Sequence>& sequences, std::vector<std::span<const float>>& vectors) {
  sequences.resize(size_t(schema.count(FieldKind::sequence)));
  vectors.resize(size_t(schema.count(FieldKind::vector)));
  for (size_t i = 0; i < rest.sequences.size(); ++i) {
    const auto& s = encoded.sequences[i];
    sequences[size_t(rest.sequences[i])] = {s.ids.data(), s.offsets.data(),
                                            s.weights.empty() ? nullptr : s.weights.data()};
  }
  for (size_t i = 0; i < rest.vectors.size(); ++i) vectors[size_t(rest.vectors[i])] = encoded.vectors[i];
}

}  // namespace

/// False where a cell is one that the encoder refuses.
bool Scorer::State::score_compiled(const RequestLayout& layout, Cells user, Cells candidates, int64_t rows,
                                   std::span<float> p) const {
  const CompiledModel::Loan loan(*layout.compiled);
  CompiledModel::Memory& m = *loan;
  const auto F = graph->ids, D = graph->dense, width = int64_t(layout.candidate_columns.size());
  m.user_ids.resize(size_t(F));
  m.user_dense.resize(size_t(D));
  if (int64_t(m.ids.size()) < rows * F) m.ids.resize(size_t(rows * F));
  if (int64_t(m.dense.size()) < rows * D) m.dense.resize(size_t(rows * D));
  for (const auto& s : layout.sources) {
    const std::string_view* const cells = (s.user ? user : candidates).data() + s.cell;
    const int64_t count = s.user ? 1 : rows;
    const bool fine = s.numeric ? encoder.encode_numbers(s.field, cells, width, count,
                                                         (s.user ? m.user_dense : m.dense).data() + s.column, D)
                                : encoder.encode_ids(s.field, cells, width, count,
                                                     (s.user ? m.user_ids : m.ids).data() + s.column, F);
    if (!fine) return false;
  }
  const EncodedBatch of_user = layout.user_rest.encode(user, int64_t(user.size()), 1);
  const EncodedBatch of_rows = layout.candidate_rest.encode(candidates, width, rows);
  point_to(of_user, layout.user_rest, encoder.schema(), m.user_sequences, m.user_vectors);
  point_to(of_rows, layout.candidate_rest, encoder.schema(), m.sequences, m.vectors);
  layout.compiled->plan().run({m.user_ids.data(), m.user_dense.data(), m.ids.data(), m.dense.data(), rows,
                               m.user_sequences, m.sequences, m.user_vectors, m.vectors},
                              m.workspace, p.data());
  const bool users_slice = slice_column >= 0 && layout.user.ids[size_t(slice_column)];
  correct(p, (users_slice ? m.user_ids : m.ids).data(), users_slice ? 0 : F);
  for (float& v : p) v = to_probability(v);
  return true;
}

void Scorer::State::score(const RequestLayout& layout, Cells user, Cells candidates, std::span<float> p) const {
  INTERPLAY_CHECK(user.size() == layout.user_columns.size(), "{} cells of the user, expected {}: {}", user.size(),
                  layout.user_columns.size(), fmt::join(layout.user_columns, ", "));
  const size_t T = std::max<size_t>(1, encoder.schema().labels().size()), width = layout.candidate_columns.size();
  const size_t rows = p.size() / T;
  INTERPLAY_CHECK(p.size() % T == 0 && candidates.size() == rows * width,
                  "{} cells of candidates and room for {} results: expected {} cells a candidate ({}) and {} results",
                  candidates.size(), p.size(), width, fmt::join(layout.candidate_columns, ", "), T);
  if (rows == 0) return;
  if (layout.compiled && score_compiled(layout, user, candidates, int64_t(rows), p)) return;
  const auto encoded = encoder.encode(to_raw(layout, user, candidates, int64_t(rows)), {.labels = false});
  const auto some = logits(to_features(encoded, encoder.schema()));
  std::transform(some.begin(), some.end(), p.begin(), to_probability);
}

struct Ranker::State {
  std::shared_ptr<const Scorer::State> scorer;
  std::shared_ptr<const RequestLayout> layout;
};

Ranker Scorer::ranker(const std::vector<std::string>& user_columns) const {
  Ranker ranker;
  ranker.state_ = std::make_shared<const Ranker::State>(Ranker::State{state_, state_->layout(user_columns)});
  return ranker;
}

const std::vector<std::string>& Ranker::user_columns() const { return state_->layout->user_columns; }
const std::vector<std::string>& Ranker::candidate_columns() const { return state_->layout->candidate_columns; }

void Ranker::score(Cells user, Cells candidates, std::span<float> p) const {
  state_->scorer->score(*state_->layout, user, candidates, p);
}

std::vector<float> Ranker::score(Cells user, Cells candidates) const {
  const size_t width = std::max<size_t>(1, candidate_columns().size());
  const size_t T = std::max<size_t>(1, state_->scorer->encoder.schema().labels().size());
  std::vector<float> p(candidates.size() / width * T);
  score(user, candidates, p);
  return p;
}

std::vector<float> Scorer::score(const Row& user, const std::vector<Row>& candidates) const {
  std::vector<std::string> user_columns;
  std::vector<std::string_view> user_cells, cells;
  for (const auto& name : state_->columns) {
    const auto it = user.find(name);
    if (it == user.end()) continue;
    user_columns.push_back(name);
    user_cells.push_back(it->second);
  }
  const auto layout = state_->layout(user_columns);
  const auto& wanted = layout->candidate_columns;
  std::vector<bool> present(wanted.size());
  cells.reserve(candidates.size() * wanted.size());
  for (const Row& row : candidates) {
    for (size_t c = 0; c < wanted.size(); ++c) {
      const auto it = row.find(wanted[c]);
      present[c] = present[c] || it != row.end();
      cells.push_back(it == row.end() ? std::string_view() : it->second);
    }
  }
  const auto absent = std::find(present.begin(), present.end(), false);
  if (absent != present.end() && !candidates.empty()) {  // named as score(rows) names it
    auto rows = candidates;
    for (Row& row : rows) row.insert(user.begin(), user.end());
    return score(rows);
  }
  std::vector<float> p(candidates.size() * std::max<size_t>(1, schema().labels().size()));
  state_->score(*layout, user_cells, cells, p);
  return p;
}

}  // namespace interplay
