#include <interplay/data/event_history.h>

#include <algorithm>
#include <numeric>

#include <interplay/data/open_raw.h>
#include <interplay/data/reader.h>

#include "data/order/history_index.h"
#include "data/spec/data_spec.h"

namespace interplay {

struct EventHistory::State {
  explicit State(const Schema& s) : schema(s), spec(DataSpec::parse(s.source)), parser(Schema({}, {}), spec) {
    for (const PastEvents& past : spec.past(schema)) histories.emplace_back(past, parser);
    if (spec.options.filter) parser.leave_out(*spec.options.filter);
    INTERPLAY_CHECK(!histories.empty(), "the model reads no history made of past events; leave the events away");
  }

  Schema schema;
  DataSpec spec;
  RowParser parser;  // of events
  std::vector<HistoryIndex> histories;
  std::vector<uint8_t> bad;  // of the rows, whether they are
  int64_t events = 0, appended = 0;
};

EventHistory::EventHistory(const Schema& schema) : state_(std::make_unique<State>(schema)) {}
EventHistory::~EventHistory() = default;

void EventHistory::add_events(const std::vector<std::filesystem::path>& files, std::shared_ptr<BadRows> bad_rows) {
  State& s = *state_;
  ReadRequest request;
  request.files = files;
  const auto add = [&](const std::vector<std::string>& names) {
    for (const auto& name : names) {
      if (std::find(request.columns.begin(), request.columns.end(), name) == request.columns.end())
        request.columns.push_back(name);
    }
  };
  for (const auto& history : s.histories) add(history.columns());
  add(s.parser.columns(false));
  request.bad_rows = bad_rows ? std::move(bad_rows) : std::make_shared<BadRows>();
  const auto reader = open_raw(s.schema, request);
  for (RawBatch batch; reader->next(batch);) {
    const RowValues values = s.parser.parse(batch, /*labels=*/false, request.bad_rows.get());
    for (auto& history : s.histories) history.add(batch, values, s.parser);
    s.events += int64_t(values.rows.size());
  }
}

void EventHistory::add_rows(const RawBatch& rows, BadRows* bad_rows) {
  BadRows strict;
  std::vector<uint8_t> bad(size_t(rows.rows), 0);
  for (auto& history : state_->histories) history.ask(rows, state_->parser, bad_rows ? *bad_rows : strict, bad);
  state_->bad.insert(state_->bad.end(), bad.begin(), bad.end());
}

void EventHistory::finish() {
  for (auto& history : state_->histories) history.finish();
}

void EventHistory::append(RawBatch& rows) {
  State& s = *state_;
  std::vector<int32_t> all(size_t(rows.rows));
  std::iota(all.begin(), all.end(), 0);
  for (const auto& history : s.histories) history.append(rows, all, s.events + s.appended);
  std::vector<int64_t> good;
  for (int64_t r = 0; r < rows.rows; ++r) {
    if (!s.bad[size_t(s.appended + r)]) good.push_back(r);
  }
  s.appended += rows.rows;
  if (int64_t(good.size()) < rows.rows) rows = take_rows(rows, good);
}

std::vector<std::string> EventHistory::lists(const Schema& schema) {
  if (schema.source.size() == 0) return {};
  std::vector<std::string> out;
  for (const PastEvents& past : DataSpec::parse(schema.source).past(schema)) {
    for (auto& name : past.lists()) out.push_back(std::move(name));
  }
  return out;
}

std::vector<std::string> EventHistory::row_columns() const {
  std::vector<std::string> out;
  for (const auto& history : state_->histories) {
    for (auto& name : history.row_columns()) {
      if (std::find(out.begin(), out.end(), name) == out.end()) out.push_back(std::move(name));
    }
  }
  return out;
}

}  // namespace interplay
