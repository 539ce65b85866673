#include <interplay/data/event_log.h>

#include <algorithm>
#include <optional>
#include <thread>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/data/reader.h>

#include "data/order/sample_plan.h"
#include "data/schema/token_index.h"
#include "data/spec/raw_rows.h"

namespace interplay {
namespace {

constexpr const char* kSplits[] = {"train", "valid", "test"};

struct Column {
  std::string name, raw;
  FieldEncoding encoding;  // only first_of counts
  TokenIndex tokens;       // the first one is the missing cell
  std::vector<uint32_t> codes;
};

Column column_of(const std::string& name, const DataSpec& spec) {
  Column column{name, name, {}, {}, {}};
  for (const Field& field : spec.fields) {
    if (field.name != name || field.kind != FieldKind::categorical) continue;
    read_options(column.encoding, field.encoding);
    column.raw = column.encoding.column;
  }
  column.tokens.insert("");
  return column;
}

/// The column of the items of a history.
std::string item_of(const DataSpec& spec, const Config& data, const std::string& history) {
  std::vector<std::string> names;
  for (const PastEvents& past : spec.past()) {
    if (past.name == history) return past.item;
    names.push_back(past.name);
  }
  throw Error(fmt::format("'{}' is no history of {} (histories: {})", history,
                          data.source().empty() ? std::string("the data") : data.source(), fmt::join(names, ", ")));
}

}  // namespace

struct EventLog::State {
  std::vector<Column> columns;
  std::vector<float> labels;
  std::array<std::vector<uint32_t>, 3> samples;
  std::optional<SamplePlan> plan;
  const HistoryIndex* history = nullptr;
  uint64_t checksum = 0;

  void add(const RawRows::Batch& batch, const RowParser& parser, size_t labels_a_row) {
    for (Column& column : columns) {
      const RawColumn& cells = batch.raw.column(column.raw);
      INTERPLAY_CHECK_DATA(!cells.is_list(), "{}: column '{}' holds lists; one value a row is needed",
                           batch.raw.place(0), cells.name);
      for (const int32_t r : batch.values.rows) {
        const bool missing = parser.missing(cells, r);
        column.codes.push_back(missing ? 0 : column.tokens.insert(column.encoding.token(cells.cell(r))));
      }
    }
    for (const int32_t r : batch.values.rows) labels.push_back(batch.values.labels[size_t(r) * labels_a_row]);
  }
};

std::string EventLog::item_column(const Config& data, const std::string& history) {
  return item_of(DataSpec::parse(data), data, history);
}

EventLog EventLog::read(const Config& data, const std::vector<std::string>& columns, const std::string& history,
                        int threads, int64_t most_bad_rows) {
  const DataSpec spec = DataSpec::parse(data);
  item_of(spec, data, history);  // refuses an unknown one
  const auto state = std::make_shared<State>();
  RowParser parser(spec.plain_schema(), spec);
  SamplePlan& plan = state->plan.emplace(spec, parser);
  std::vector<std::string> wanted = plan.columns();
  for (const auto& name : columns) {
    state->columns.push_back(column_of(name, spec));
    wanted.push_back(state->columns.back().raw);
  }
  for (HistoryIndex& each : plan.histories()) {
    if (each.name() == history) state->history = &each, each.keep_events();
  }
  RawRows rows(spec, parser, wanted, threads > 0 ? threads : std::max(1, int(std::thread::hardware_concurrency())));
  std::vector<uint8_t> of_file;  // the split of the file of each event, where no split is made
  BadRows bad_rows(most_bad_rows, {}, "bad_rows: ");
  const auto in_order = [&](RawRows::Batch& batch) {
    plan.add(batch.raw, batch.values, parser);
    state->add(batch, parser, spec.labels.size());
    of_file.resize(of_file.size() + batch.values.rows.size(), uint8_t(batch.split));
  };
  rows.run({"events", in_order, nullptr}, bad_rows);
  plan.finish();
  for (uint32_t event = 0; event < of_file.size(); ++event) {
    const uint8_t split = plan.split_of(event, of_file[event]);
    if (split != SamplePlan::kNoSplit) state->samples[split].push_back(event);
  }
  uint64_t& sum = state->checksum;
  const auto add = [&](const auto& values) {
    const auto bytes = std::as_bytes(std::span(values));
    sum = hash64({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, sum);
  };
  for (const Column& column : state->columns) {
    add(column.codes);
    for (uint32_t i = 0; i < column.tokens.size(); ++i) add(column.tokens.token(i));
  }
  for (const auto& samples : state->samples) add(samples);
  for (uint32_t event = 0; event < of_file.size(); ++event) add(state->history->events(event));
  EventLog log;
  log.state_ = state;
  return log;
}

int64_t EventLog::events() const { return int64_t(state_->labels.size()); }

size_t EventLog::column(std::string_view name) const {
  std::vector<std::string> names;
  for (const Column& column : state_->columns) {
    if (column.name == name) return size_t(&column - state_->columns.data());
    names.push_back(column.name);
  }
  throw Error(fmt::format("there is no column '{}' among the events' (columns: {})", name, fmt::join(names, ", ")));
}

uint32_t EventLog::code(size_t column, uint32_t event) const { return state_->columns[column].codes[event]; }

int64_t EventLog::tokens(size_t column) const { return int64_t(state_->columns[column].tokens.size()); }

std::string_view EventLog::token(size_t column, uint32_t code) const {
  return state_->columns[column].tokens.token(code);
}

float EventLog::label(uint32_t event) const { return state_->labels[event]; }

std::span<const uint32_t> EventLog::samples(std::string_view split) const {
  for (size_t s = 0; s < 3; ++s) {
    if (split == kSplits[s]) return state_->samples[s];
  }
  throw Error(fmt::format("there is no split '{}' (splits: {})", split, fmt::join(kSplits, ", ")));
}

std::span<const uint32_t> EventLog::history(uint32_t event) const { return state_->history->events(event); }

std::vector<std::span<const uint32_t>> EventLog::timelines() const { return state_->history->timelines(); }

uint64_t EventLog::checksum() const { return state_->checksum; }

}  // namespace interplay
