#include "data/order/history_index.h"

#include <cmath>

#include <interplay/base/error.h>

namespace interplay {
namespace {

constexpr uint32_t kNothing = TokenIndex::kAbsent;

uint32_t number_of(TokenIndex& tokens, const RawColumn& column, int64_t row, const RowParser& parser) {
  return parser.missing(column, row) ? kNothing : tokens.insert(column.cell(row));
}

const RawColumn& one_a_row(const RawBatch& raw, const std::string& name) {
  const RawColumn& column = raw.column(name);
  INTERPLAY_CHECK_DATA(!column.is_list(),
                       "{}: column '{}' holds lists; a history is made of columns with one value a row", raw.place(0),
                       name);
  return column;
}

}  // namespace

HistoryIndex::HistoryIndex(const PastEvents& wanted, RowParser& parser)
    : options_(wanted), time_at_(parser.require_number(wanted.time, true)) {
  if (wanted.filter) filter_at_ = parser.require_number(wanted.filter->column, false);
  for (const auto& side : wanted.sides) sides_.push_back({side.column, side.list, {}, {}, {}});
}

std::vector<std::string> HistoryIndex::columns() const {
  std::vector<std::string> out = row_columns();
  if (options_.filter) out.push_back(options_.filter->column);
  for (const Side& side : sides_) out.push_back(side.column);
  return out;
}

std::vector<std::string> HistoryIndex::row_columns() const { return {options_.user, options_.item, options_.time}; }

void HistoryIndex::ask(const RawBatch& raw, const RowParser& parser, BadRows& bad_rows, std::vector<uint8_t>& bad) {
  const RawColumn& user = one_a_row(raw, options_.user);
  const RawColumn& item = one_a_row(raw, options_.item);
  const RawColumn& time = one_a_row(raw, options_.time);
  for (int64_t r = 0; r < raw.rows; ++r) {
    ExactTime when;
    const std::string_view cell = time.cell(r);
    const bool number = parse_number(cell, when.nearest);
    if (!number || !parse_rest(cell, when.nearest, when.rest)) {
      const int64_t line = raw.lines.empty() ? r + 1 : raw.lines[size_t(r)];
      bad_rows.report(
          raw.file, line, time.name, cell,
          number ? "has more digits than the 19 that rows can be ordered by"
                 : fmt::format("is not a number; the history '{}' is made of events before it", options_.name));
      bad[size_t(r)] = 1;
      when = {};
    }
    const std::string_view tie[] = {parser.missing(item, r) ? std::string_view() : item.cell(r)};
    order_.add(number_of(users_, user, r, parser), when, tie);
    passes_.push_back(0);
  }
  for (Side& side : sides_) side.of_row.resize(order_.size(), kNothing);
}

void HistoryIndex::add(const RawBatch& raw, const RowValues& values, const RowParser& parser) {
  const RawColumn& user = one_a_row(raw, options_.user);
  const RawColumn& item = one_a_row(raw, options_.item);
  for (const int32_t r : values.rows) {
    const std::string_view tie[] = {parser.missing(item, r) ? std::string_view() : item.cell(r)};
    order_.add(number_of(users_, user, r, parser), values.time_of(time_at_, r), tie);
    const bool passes = !options_.filter || options_.filter->passes(values.required[filter_at_][size_t(r)]);
    passes_.push_back(passes && !parser.missing(item, r) ? 1 : 0);  // a comparison with NaN is false
  }
  for (Side& side : sides_) {
    const RawColumn& column = one_a_row(raw, side.column);
    for (const int32_t r : values.rows) side.of_row.push_back(number_of(side.tokens, column, r, parser));
  }
}

void HistoryIndex::finish() {
  order_.finish();
  users_.clear();
  end_.assign(order_.size(), 0);
  length_.assign(order_.size(), 0);
  const auto shortest = uint64_t(options_.min_length);
  if (shortest > 0) too_short_.assign(order_.size(), true);  // so are those of nobody
  const uint64_t longest = options_.max_length > 0 ? uint64_t(options_.max_length) : UINT32_MAX;
  const auto& rows = order_.rows();
  uint64_t user_begin = 0;
  uint32_t last = 0;  // the row of the last event that is remembered
  for (size_t i = 0; i < rows.size();) {
    const uint32_t user = order_.user(rows[i]);
    if (user == EventOrder::kNobody) break;  // sorted last: their histories are empty
    if (i == 0 || order_.user(rows[i - 1]) != user) {
      user_begin = items_.size();
      if (keeps_events_ && i > 0) users_end_.push_back(user_begin);
    }
    const auto together = [&](uint32_t row) {
      return order_.user(row) == user &&
             (options_.ties == "order" ? order_.same_moment(row, rows[i]) : order_.same_time(row, rows[i]));
    };
    const bool knows_own_time = items_.size() > user_begin && order_.same_time(last, rows[i]);
    size_t same = i;  // events of one moment do not see each other
    for (; same < rows.size() && together(rows[same]); ++same) {
      end_[rows[same]] = items_.size();
      length_[rows[same]] = uint32_t(std::min<uint64_t>(longest, items_.size() - user_begin));
      if (shortest > 0) too_short_[rows[same]] = items_.size() - user_begin < shortest;
    }
    if (knows_own_time) rows_with_own_time_ += int64_t(same - i);
    for (; i < same; ++i) {
      if (!passes_[rows[i]]) continue;
      last = rows[i];
      items_.push_back(order_.tie_token(rows[i]));
      if (keeps_events_) events_.push_back(rows[i]);
      for (Side& side : sides_) side.remembered.push_back(side.of_row[rows[i]]);
    }
  }
  if (keeps_events_) users_end_.push_back(items_.size());
  order_.clear();
  passes_ = {};
  for (Side& side : sides_) side.of_row = {};
}

std::vector<std::span<const uint32_t>> HistoryIndex::timelines() const {
  std::vector<std::span<const uint32_t>> out;
  uint64_t begin = 0;
  for (const uint64_t end : users_end_) {
    if (end > begin) out.emplace_back(events_.data() + begin, end - begin);
    begin = end;
  }
  return out;
}

void HistoryIndex::append(RawBatch& raw, std::span<const int32_t> rows, int64_t first) const {
  raw.columns.push_back(list_column(options_.name, order_.tokens(), items_, raw, rows, first));
  for (const Side& side : sides_) {
    raw.columns.push_back(list_column(side.name, side.tokens, side.remembered, raw, rows, first));
  }
}

RawColumn HistoryIndex::list_column(const std::string& name, const TokenIndex& tokens,
                                    const std::vector<uint32_t>& remembered, const RawBatch& raw,
                                    std::span<const int32_t> rows, int64_t first) const {
  struct Buffers {
    std::string bytes;
    std::vector<int32_t> offsets = {0}, lists = {0};
  };
  const auto buffers = std::make_shared<Buffers>();
  size_t next = 0;
  for (int64_t r = 0; r < raw.rows; ++r) {
    if (next < rows.size() && rows[next] == r) {
      const auto row = size_t(first) + next++;
      for (uint64_t i = end_[row] - length_[row]; i < end_[row]; ++i) {
        if (remembered[i] != kNothing) buffers->bytes += tokens.token(remembered[i]);
        INTERPLAY_CHECK_DATA(buffers->bytes.size() < (size_t{1} << 31),
                             "the histories of {} rows at {} exceed 2 GB; set max_length", raw.rows, raw.place(0));
        buffers->offsets.push_back(int32_t(buffers->bytes.size()));
      }
    }
    buffers->lists.push_back(int32_t(buffers->offsets.size() - 1));
  }
  RawColumn column;
  column.name = name;
  column.rows = raw.rows;
  column.bytes = buffers->bytes.data();
  column.offsets = buffers->offsets.data();
  column.list_offsets = buffers->lists.data();
  column.owner = buffers;
  return column;
}

}  // namespace interplay
