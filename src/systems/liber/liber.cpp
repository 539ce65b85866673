#include <interplay/systems/liber.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include <ATen/ATen.h>

#include <interplay/data/number.h>
#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/base/section.h>
#include <interplay/data/dataset.h>
#include <interplay/data/event_log.h>
#include <interplay/data/keyed_vectors.h>
#include <interplay/data/table_writer.h>
#include <interplay/lm/cached_encoder.h>
#include <interplay/lm/encoder.h>
#include <interplay/lm/model_files.h>

#include "systems/lab/experiment_data.h"
#include "systems/liber/tastes.h"

namespace fs = std::filesystem;

namespace interplay {

Summarizer::~Summarizer() = default;

Registry<Summarizer, const SummarizerContext&>& summarizers() {
  static auto* const registry = new Registry<Summarizer, const SummarizerContext&>("summarizer");
  return *registry;
}

namespace {

INTERPLAY_SECTION("summarize", LiberOptions, "`interplay lm summarize`, as configs/ml-1m/liber.yaml");

/// The entry of a data.yaml that declares the partitions.
Config entry_of(const Config& data, const std::string& name, const Config& experiment) {
  std::vector<std::string> names;
  std::optional<Config> found;
  for (const Config& entry : data["fields"].items()) {
    if (!entry.has("kind") || entry["kind"].as<std::string>() != "partitions") continue;
    names.push_back(entry["name"].as<std::string>());
    if (name.empty() || names.back() == name) found = entry;
  }
  if (names.empty())
    throw Error(
        "the data have no field of kind partitions; add one to their data.yaml, as configs/ml-1m/data_liber.yaml has, "
        "and prepare them again");
  if (!found || (name.empty() && names.size() > 1))
    experiment["partitions"].fail(
        fmt::format("expected the name of a field of kind partitions (there are: {})", fmt::join(names, ", ")));
  return *found;
}

/// The columns of whose and when, of a field of kind history.
std::pair<std::string, std::string> user_and_time(const Config& data, const std::string& history) {
  for (const Config& entry : data["fields"].items()) {
    if (entry.get<std::string>("name", "") == history)
      return {entry["user"].as<std::string>(), entry["time"].as<std::string>()};
  }
  throw Error(fmt::format("there is no history '{}'", history));
}

/// The data.yaml with a history that keeps all: what partitions are cut from.
Config with_whole_history(const Config& data, const std::string& history) {
  Config out = data;
  std::vector<Config> entries;
  for (Config entry : data["fields"].items()) {
    if (entry.get<std::string>("name", "") == history) entry.set("max_length", Config::scalar("0"));
    entries.push_back(entry);
  }
  out.set("fields", Config::sequence(std::move(entries)));
  return out;
}

double number_of(std::string_view cell) {
  double out = 0;
  return parse_number(cell, out) ? out : 0;
}

/// A partition, as the files have it.
struct Row {
  std::span<const uint32_t> timeline;  // of its user
  int64_t number, first;               // where in it the partition begins
  int64_t count;

  std::span<const uint32_t> events() const { return timeline.subspan(size_t(first), size_t(count)); }
};

class Summarizing {
 public:
  Summarizing(const Config& experiment, const fs::path& prepared, const fs::path& out, int threads) : out_(out) {
    read_options(o_, experiment, "LIBER's experiment");
    const Config data = load_experiment_data(experiment, o_.data, o_.root);
    const Config entry = entry_of(data, o_.partitions, experiment);
    read_options(rule_, rule_part(entry));
    make_directories(out_);
    const Config at = experiment.has("summarizer") ? experiment["summarizer"] : o_.summarizer;
    const Config tastes_at = experiment["tastes"];
    if (!o_.tastes.columns.empty()) tastes_.emplace(o_.tastes, tastes_at);
    summarizer_ = summarizers().make({out_ / "cache" / "texts", o_.tastes, at, tastes_at}, at);
    const auto history = entry["history"].as<std::string>();
    std::string time;
    std::tie(user_, time) = user_and_time(data, history);
    const auto columns = summarizer_->columns();
    std::vector<std::string> wanted = columns, further = {user_, time};
    if (tastes_) further.insert(further.end(), tastes_->columns().begin(), tastes_->columns().end());
    for (const auto& name : further) {
      if (std::find(wanted.begin(), wanted.end(), name) == wanted.end()) wanted.push_back(name);
    }
    events_ = EventLog::read(with_whole_history(data, history), wanted, history, threads, o_.bad_rows);
    check_prepared(prepared, entry);
    for (const auto& name : columns) places_.push_back(events_->column(name));
    if (tastes_)
      for (const auto& name : tastes_->columns()) taste_places_.push_back(events_->column(name));
    user_at_ = events_->column(user_), time_at_ = events_->column(time);
    choose_users();
    log_ =
        std::make_unique<PartitionLog>(out_ / "log", PartitionLog::Options{rule_,
                                                                           columns,
                                                                           {{"summarizer", summarizer_->identity()},
                                                                            {"cascade", o_.cascade ? "true" : "false"},
                                                                            {"shift", o_.shift ? "true" : "false"}}});
  }

  LiberReport run() {
    observe();
    report_.partitions = log_->partitions();
    ask();
    write();
    return report_;
  }

 private:
  static Config rule_part(const Config& entry) {
    Config out;
    for (const char* key : {"count", "pause"}) {
      if (entry.has(key)) out.set(key, entry[key]);
    }
    return out;
  }

  /// That the prepared rows are the samples of this data.yaml, and know the same partitions.
  void check_prepared(const fs::path& prepared, const Config& entry) const {
    const Schema schema = Schema::load(prepared / "schema.yaml");
    const auto name = entry["name"].as<std::string>();
    for (const Config& theirs : schema.source["fields"].items()) {
      PartitionRule rule;
      if (theirs.get<std::string>("name", "") != name) continue;
      read_options(rule, rule_part(theirs));
      INTERPLAY_CHECK_DATA(rule == rule_ && theirs["history"].as<std::string>() == entry["history"].as<std::string>(),
                           "{}: its field '{}' has other partitions than the experiment's data.yaml; prepare that one "
                           "again",
                           prepared.string(), name);
    }
    INTERPLAY_CHECK_DATA(schema.find(name), "{}: has no field '{}'; prepare the experiment's data.yaml again",
                         prepared.string(), name);
    for (const char* split : {"train", "valid", "test"}) {
      const auto expected = int64_t(events_->samples(split).size());
      const int64_t rows = expected > 0 ? Dataset::open(prepared, split).rows() : 0;
      INTERPLAY_CHECK_DATA(rows == expected,
                           "{}: {} rows of {}, but the experiment's data.yaml gives {} samples; prepare that one again",
                           prepared.string(), rows, split, expected);
    }
  }

  /// Of those who have a partition, the first by a hash of their names: who is chosen is so whoever else is there.
  void choose_users() {
    timelines_ = events_->timelines();
    if (o_.users > 0) {
      std::erase_if(timelines_, [&](const auto& timeline) { return cut(timeline).empty(); });
      const auto place = [&](const auto& timeline) { return hash64(user_of(timeline), uint64_t(o_.seed)); };
      std::sort(timelines_.begin(), timelines_.end(),
                [&](const auto& a, const auto& b) { return place(a) < place(b); });
      if (int64_t(timelines_.size()) > o_.users) timelines_.resize(size_t(o_.users));
    }
    for (const auto& timeline : timelines_) report_.events += int64_t(timeline.size());
    report_.users = int64_t(timelines_.size());
  }

  /// The partitions of a user's events.
  std::vector<Row> cut(std::span<const uint32_t> timeline) const {
    std::vector<Row> out;
    PartitionCuts cuts;
    int64_t first = 0;
    const auto close = [&](int64_t end) {
      out.push_back({timeline, int64_t(out.size()) + 1, first, end - first});
      first = end;
    };
    for (int64_t i = 0; i < int64_t(timeline.size()); ++i) {
      const auto cut = cuts.next(rule_, time_of(timeline[size_t(i)]));
      if (cut.before) close(i);
      if (cut.after) close(i + 1);
    }
    return out;
  }

  std::string_view user_of(std::span<const uint32_t> timeline) const { return events_->cell(user_at_, timeline[0]); }
  double time_of(uint32_t event) const { return number_of(events_->cell(time_at_, event)); }
  std::vector<std::string_view> cells_of(uint32_t event) const {
    std::vector<std::string_view> out;
    for (const size_t place : places_) out.push_back(events_->cell(place, event));
    return out;
  }
  PartitionLog::Event taste_event(uint32_t event) const {
    PartitionLog::Event out{time_of(event), {}};
    for (const size_t place : taste_places_) out.cells.emplace_back(events_->cell(place, event));
    return out;
  }

  /// What the log has not seen yet of each user's events; the rest has to be what it has seen.
  void observe() {
    Progress progress("lm summarize: events", report_.events, "events");
    for (const auto& timeline : timelines_) {
      const auto user = user_of(timeline);
      const PartitionLog::Past past = log_->past(user);
      uint64_t sum = 0;
      for (size_t i = 0; i < timeline.size(); ++i) {
        const auto cells = cells_of(timeline[i]);
        const double time = time_of(timeline[i]);
        if (int64_t(i) >= past.events) {
          log_->observe(user, time, cells);
        } else {
          sum = PartitionLog::checksum(sum, time, cells);
        }
        INTERPLAY_CHECK(int64_t(i) + 1 != past.events || sum == past.checksum,
                        "{}: knows other events of {} '{}' than the data have now; choose another --out", out_.string(),
                        user_, user);
      }
      INTERPLAY_CHECK(int64_t(timeline.size()) >= past.events,
                      "{}: knows {} events of {} '{}', the data have {} now; choose another --out", out_.string(),
                      past.events, user_, user, timeline.size());
      progress.add(int64_t(timeline.size()));
    }
    log_->sync();
  }

  void ask() {
    Progress progress("lm summarize: texts", log_->partitions(), "partitions");
    progress.skip(log_->partitions() - log_->untold());
    int64_t told_tokens = 0;
    for (auto some = log_->pending(o_.at_once); !some.empty(); some = log_->pending(o_.at_once)) {
      std::vector<SummaryTask> tasks;
      std::vector<std::string> before;
      for (const auto& partition : some) {
        const auto earlier = log_->texts(partition.user, partition.number - 1);
        before.push_back(earlier ? earlier->summary : "");
        tasks.push_back({o_.cascade ? before.back() : "", log_->events(partition)});
      }
      const auto summaries = summarizer_->summaries(tasks);
      std::vector<ShiftTask> changes;
      for (size_t i = 0; i < some.size(); ++i) {
        if (o_.shift && !before[i].empty()) changes.push_back({before[i], summaries[i]});
      }
      const auto shifts = summarizer_->shifts(changes);
      size_t next = 0;
      for (size_t i = 0; i < some.size(); ++i) {
        const bool has_shift = o_.shift && !before[i].empty();
        log_->tell(some[i], {summaries[i], has_shift ? shifts[next++] : ""});
      }
      log_->sync();
      report_.said_now += int64_t(some.size());
      report_.cost = summarizer_->cost();
      const int64_t tokens = report_.cost.tokens_read + report_.cost.tokens_written;
      progress.also(tokens - std::exchange(told_tokens, tokens), "tokens");
      progress.add(int64_t(some.size()), report_.cost.calls > 0 ? fmt::format("{} calls", report_.cost.calls) : "");
    }
  }

  void write() {
    std::vector<Row> all;
    for (const auto& timeline : timelines_) {
      for (Row& row : cut(timeline)) all.push_back(std::move(row));
    }
    std::vector<std::string> keys, summaries, shifts;
    for (const Row& row : all) {
      const auto user = user_of(row.timeline);
      const auto texts = log_->texts(user, row.number);
      keys.push_back(partition_key(user, row.number));
      summaries.push_back(texts->summary);
      shifts.push_back(texts->shift);
      if (!texts->shift.empty()) ++report_.shifts;
      if (!texts->shift.empty() && report_.example.empty())
        report_.example = fmt::format("{}\n{}\n\nwhat changed:\n{}", keys.back(), texts->summary, texts->shift);
    }
    write_texts(all, keys, summaries, shifts);
    if (tastes_) write_statistics(all, keys);
    if (!o_.encoder.empty() && !keys.empty()) write_vectors(keys, summaries, shifts);
    Manifest::describe(out_, {}, [](const std::string& file) { return file.ends_with(".parquet"); }).save(out_);
  }

  void write_texts(const std::vector<Row>& all, const std::vector<std::string>& keys,
                   const std::vector<std::string>& summaries, const std::vector<std::string>& shifts) const {
    using Kind = TableWriter::Kind;
    TableWriter file(out_ / "partitions.parquet", {{"key", Kind::text},
                                                   {"user", Kind::text},
                                                   {"number", Kind::int64},
                                                   {"events", Kind::int64},
                                                   {"first", Kind::float64},
                                                   {"last", Kind::float64},
                                                   {"summary", Kind::text},
                                                   {"shift", Kind::text}});
    std::vector<std::string> users;
    std::vector<int64_t> numbers, counts;
    std::vector<double> first, last;
    for (const Row& row : all) {
      users.emplace_back(user_of(row.timeline));
      numbers.push_back(row.number), counts.push_back(row.count);
      first.push_back(time_of(row.events().front()));
      last.push_back(time_of(row.events().back()));
    }
    const auto text = [](const char* name, const std::vector<std::string>& cells) {
      return make_raw_column(name, cells);
    };
    file.write({text("key", keys), text("user", users), std::span<const int64_t>(numbers),
                std::span<const int64_t>(counts), std::span<const double>(first), std::span<const double>(last),
                text("summary", summaries), text("shift", shifts)});
    file.close();
  }

  /// The values of each column that come up most.
  std::vector<std::vector<std::string>> common_values(const std::vector<Tastes>& of_rows) const {
    std::vector<std::vector<std::string>> out;
    for (size_t c = 0; c < o_.tastes.columns.size(); ++c) {
      std::map<std::string, int64_t> seen;
      for (const Tastes& tastes : of_rows)
        for (const auto& [value, taste] : tastes[c]) seen[value] += taste.seen;
      std::vector<std::pair<std::string, int64_t>> order(seen.begin(), seen.end());
      std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
      if (int64_t(order.size()) > o_.tastes.values) order.resize(size_t(o_.tastes.values));
      auto& values = out.emplace_back();
      for (const auto& [value, count] : order) values.push_back(value);
    }
    return out;
  }

  void write_statistics(const std::vector<Row>& all, const std::vector<std::string>& keys) const {
    std::vector<Tastes> of_rows;
    for (const Row& row : all) {
      std::vector<PartitionLog::Event> events;
      for (const uint32_t event : row.events()) events.push_back(taste_event(event));
      tastes_->count(events, of_rows.emplace_back());
    }
    const auto values = common_values(of_rows);
    std::vector<float> numbers;
    for (const auto& column : values) numbers.resize(numbers.size() + 2 * column.size());
    if (numbers.empty()) return;
    VectorWriter file(out_ / "statistics.parquet", int64_t(numbers.size()));
    Tastes sum;
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i].number == 1) sum.assign(values.size(), {});
      const auto events = double(all[i].first + all[i].count);
      auto* out = numbers.data();
      for (size_t c = 0; c < values.size(); ++c) {
        for (const auto& [value, taste] : of_rows[i][c]) sum[c][value] += taste;
        for (const auto& value : values[c]) {
          const auto taste = sum[c].find(value);
          *out++ = taste == sum[c].end() ? 0.f : float(double(taste->second.seen) / events);
          *out++ = taste == sum[c].end() ? 0.f : float(double(taste->second.liked) / events);
        }
      }
      file.write(std::span(keys).subspan(i, 1), numbers);
    }
    file.close();
  }

  void write_vectors(const std::vector<std::string>& keys, const std::vector<std::string>& summaries,
                     const std::vector<std::string>& shifts) {
    lm::EncoderOptions options;
    options.progress = "lm summarize: vectors";
    const auto encoder = lm::load_encoder(lm::find_model(o_.encoder), options);
    lm::CachedEncoder cached(*encoder, out_ / "cache" / "vectors");
    std::vector<std::string> distinct;  // a text once
    std::map<std::string_view, int64_t> places;
    for (const auto* const texts : {&summaries, &shifts}) {
      for (const auto& text : *texts) {
        if (!text.empty() && places.emplace(text, int64_t(distinct.size())).second) distinct.push_back(text);
      }
    }
    const at::Tensor vectors = cached.encode(distinct).contiguous();
    const int64_t D = encoder->width();
    report_.vector_width = 2 * D;
    VectorWriter file(out_ / "vectors.parquet", 2 * D);
    std::vector<float> both(size_t(2 * D));
    const auto* const values = vectors.const_data_ptr<float>();
    const auto put = [&](const std::string& text, size_t at) {
      const auto place = places.find(text);
      if (place == places.end())
        std::fill_n(both.begin() + int64_t(at), D, 0.f);
      else
        std::copy_n(values + place->second * D, D, both.begin() + int64_t(at));
    };
    for (size_t i = 0; i < keys.size(); ++i) {
      put(summaries[i], 0), put(shifts[i], size_t(D));
      file.write(std::span(keys).subspan(i, 1), both);
    }
    file.close();
  }

  LiberOptions o_;
  fs::path out_;
  PartitionRule rule_;
  std::optional<TasteCounter> tastes_;
  std::shared_ptr<Summarizer> summarizer_;
  std::string user_;  // column of whose an event is
  std::optional<EventLog> events_;
  std::vector<size_t> places_, taste_places_;  // in events_: of what summarizer_ reads and tastes_ counts
  size_t user_at_ = 0, time_at_ = 0;
  std::vector<std::span<const uint32_t>> timelines_;
  std::unique_ptr<PartitionLog> log_;
  LiberReport report_;
};

}  // namespace

LiberReport summarize_partitions(const Config& experiment, const fs::path& prepared, const fs::path& out, int threads) {
  return Summarizing(experiment, prepared, out, threads).run();
}

}  // namespace interplay
