#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <interplay/base/options.h>
#include <interplay/base/registry.h>
#include <interplay/data/field_kind.h>
#include <interplay/systems/partitions.h>

namespace interplay {

/// A column of events whose values are counted.
struct TasteColumn {
  std::string column, name, without, then;
  void visit(auto&& field) {
    field("column", column, "column of the events");
    field("name", name, "what it is called; the column's name by default");
    field("without", without, "a regular expression: what of its values is left out, as all of a title but its decade");
    field("then", then, "is written behind what is left of a value");
  }
};

/// What tells tastes apart.
struct TasteOptions {
  ThresholdOptions like;
  std::vector<TasteColumn> columns;
  int64_t values = 32;
  TasteOptions() { like.column = "rating", like.at_least = 4; }
  void visit(auto&& field) {
    field("like", like, "when an event was liked: a column with numbers, and from which on");
    field("columns", columns, "columns whose values are counted");
    field("values", values, "values of a column that statistics.parquet has, those that come up most", Range{1, 1e6});
  }
};

/// What a summary is made of.
struct SummaryTask {
  std::string earlier;  ///< the summary before this one; empty: there is none, or nobody is told
  std::vector<PartitionLog::Event> events;
};
/// ... and what a shift is.
struct ShiftTask {
  std::string before, now;  ///< two summaries of one user
};

/// Who says what a partition tells of its user (LIBER's UIL), by name: a language model, or plain counts as text. One
/// file and INTERPLAY_REGISTER(summarizers(), "name", Class, "what it is"); Class(const Options&, const
/// SummarizerContext&). Used by one thread.
class INTERPLAY_API Summarizer {
 public:
  virtual ~Summarizer();
  /// Columns of the events that it reads: its tasks' cells, in this order.
  virtual std::vector<std::string> columns() const = 0;
  virtual std::vector<std::string> summaries(std::span<const SummaryTask> tasks) = 0;  ///< one a task
  virtual std::vector<std::string> shifts(std::span<const ShiftTask> tasks) = 0;       ///< one a task
  /// Names all that decides the texts.
  virtual std::string identity() const = 0;

  struct Cost {
    int64_t calls = 0, tokens_read = 0, tokens_written = 0;  ///< of a language model, so far
    /// Of tokens_read: those of events' lines, and those of prompts that would say nothing of events and of the past.
    int64_t tokens_of_events = 0, tokens_of_frames = 0;
  };
  virtual Cost cost() const { return {}; }
};

struct SummarizerContext {
  std::filesystem::path cache;  ///< folder for what a language model has answered
  TasteOptions tastes;
  Config at, tastes_at;  ///< where its own options and those of tastes are written, for messages
};
INTERPLAY_API Registry<Summarizer, const SummarizerContext&>& summarizers();

/// `interplay lm summarize`: the texts and vectors of all closed partitions.
struct LiberOptions {
  std::string data, root, partitions, encoder = "minilm-l6";
  int64_t bad_rows = 0;
  Config summarizer = Config::scalar("statistics");
  TasteOptions tastes;
  bool cascade = true, shift = true;
  int64_t users = 0, seed = 1, at_once = 256;
  void visit(auto&& field) {
    field("data", data, "data.yaml, relative to this file");
    field("root", root, "folder of the raw files, in place of data.yaml's `root`; relative to this file");
    field("bad_rows", bad_rows, "bad rows that are left out at most, as by `prepare --bad-rows skip:N`",
          Range{0, 1e12});
    field("partitions", partitions, "field of kind partitions; by default the only one");
    field("summarizer", summarizer, "who says what a partition tells: a name, or a map with its name and options");
    field("tastes", tastes, "what statistics count, as text and as numbers");
    field("cascade", cascade, "a summary goes on from the one before; without, each partition is read by itself");
    field("shift", shift, "what changed since the summary before is said too");
    field("encoder", encoder, "makes vectors of the texts: a fetched name or a path; empty = none are made");
    field("users", users, "users of a partition or more that are asked about, drawn by seed; 0 = all", Range{0, 1e12});
    field("seed", seed, "of that draw: fewer users are some of more", Range{0, 1e15});
    field("at_once", at_once, "partitions that are asked about together, one a user", Range{1, 1e6});
  }
};

struct LiberReport {
  int64_t users = 0, events = 0, partitions = 0, shifts = 0;
  int64_t said_now = 0;  ///< partitions that this run asked about; the rest was known
  Summarizer::Cost cost;
  int64_t vector_width = 0;
  std::string example;  ///< texts of one partition
};

/// Reads the events of the experiment's data.yaml, from which `prepared` was made, in time, into the log of partitions
/// in `out`; asks about those of which nothing has been said; and writes, each whole or not at all,
///
/// - partitions.parquet: key (USER:NUMBER), user, number, events, first, last, summary, shift
/// - vectors.parquet: by key, the summary's vector and behind it the shift's, zeros for none
/// - statistics.parquet: by key, over all partitions of the user so far, of each value of tastes' columns the share of
///   events that had it, and of those that had it and were liked; where tastes name columns
/// - manifest.json, at the end.
///
/// Called again with more events, only what they have closed is asked about; called again after a crash, it goes on.
/// Throws Error(config) where `out` was made otherwise, or of events that are others now.
INTERPLAY_API LiberReport summarize_partitions(const Config& experiment, const std::filesystem::path& prepared,
                                               const std::filesystem::path& out, int threads = 0);

}  // namespace interplay
