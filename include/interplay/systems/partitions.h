#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/api.h>
#include <interplay/base/options.h>

/// How LIBER (Zhu et al. 2024, "Lifelong User Behavior Modeling Based on Large Language Models", arXiv:2411.14713) cuts
/// a user's growing history into partitions, each of which a language model reads once (UBSP).
namespace interplay {

/// When a partition ends: with its K-th event, before an event that follows a long pause, or whichever comes first.
struct PartitionRule {
  int64_t count = 50;
  double pause = 0;
  void visit(auto&& field) {
    field("count", count, "events of a partition (K), which ends with the last of them; 0 = any number", Range{0, 1e9});
    field("pause", pause, "a longer time between two events ends a partition before the second; 0 = no time does",
          Range{0, 1e18});
  }
  /// Throws Error at `at` where nothing would ever end a partition.
  INTERPLAY_API void check(const Config& at) const;
  bool operator==(const PartitionRule&) const = default;
};

/// One user's events going by, oldest first: how many partitions are closed, and how many events wait in the cache for
/// the next one. What a row may see is what was closed by the events before it. O(1) an event; 24 bytes.
class PartitionCuts {
 public:
  struct Cut {
    bool before = false;  ///< the cache became a partition before the event came into it
    bool after = false;   ///< ... and did with it
  };
  Cut next(const PartitionRule& rule, double time) {
    Cut cut;
    cut.before = cached_ > 0 && rule.pause > 0 && time - last_ > rule.pause;
    if (cut.before) ++closed_, cached_ = 0;
    ++cached_;
    last_ = time;
    cut.after = rule.count > 0 && cached_ == rule.count;
    if (cut.after) ++closed_, cached_ = 0;
    return cut;
  }
  int64_t closed() const { return closed_; }
  int64_t cached() const { return cached_; }

 private:
  int64_t closed_ = 0, cached_ = 0;
  double last_ = 0;
};

/// By what partitions are named, in fields, files of vectors and files of texts: `USER:NUMBER`, numbers from 1.
INTERPLAY_API std::string partition_key(std::string_view user, int64_t number);

/// What is said of a partition.
struct PartitionTexts {
  std::string summary;  ///< of the user's tastes, up to and with it
  std::string shift;    ///< what changed by it; empty for the first one
  bool operator==(const PartitionTexts&) const = default;
};

/// The events of all users as they come, the partitions they make, and what has been said of each, in one file of a
/// directory that only grows. A process that dies at any moment loses at most what was written since the last sync();
/// opened again, the log knows what it knew: it replays its file. Events of different users may come in any order.
///
///     PartitionLog log("state", {.rule = {.count = 50}, .columns = {"title", "rating"}});
///     log.observe("6040", 978300760, {{"Toy Story (1995)", "5"}});
///     while (const auto pending = log.pending(1); !pending.empty()) {
///       const auto events = log.events(pending[0]);      // ask a language model about them
///       log.tell(pending[0], {summary, shift});
///     }
///     log.sync();
///
/// observe() is O(1): a look at the user, and one write. In memory: of a user 100 bytes or so and eight for each event
/// of the cache, eight for each partition. Other processes are kept out while it lives. One thread uses it.
class INTERPLAY_API PartitionLog {
 public:
  struct Options {
    PartitionRule rule;
    std::vector<std::string> columns;  ///< what the cells of an event are
    /// Who says what is said, and how: where it was another, its texts are refused by what differs.
    std::map<std::string, std::string> author;
  };
  struct Event {
    double time = 0;
    std::vector<std::string> cells;  ///< beside Options::columns
  };
  struct Partition {
    std::string user;
    int64_t number = 1;
    bool operator==(const Partition&) const = default;
  };
  /// What was observed of a user, so that who has all events again can tell whether they are the same.
  struct Past {
    int64_t events = 0;
    uint64_t checksum = 0;
  };

  /// Makes the directory, or goes on with what it holds. A record at the end that is not whole, as a crash leaves it,
  /// is dropped with a warning. Throws Error(config) where the directory was made with another rule, columns or author,
  /// naming the difference, Error(data) where the file is damaged in its middle or is none of these.
  PartitionLog(const std::filesystem::path& directory, Options options);
  ~PartitionLog();
  PartitionLog(const PartitionLog&) = delete;
  PartitionLog& operator=(const PartitionLog&) = delete;

  /// Throws Error(config) for another number of cells than there are columns, a user of over 64 KB, or an event that
  /// is earlier than the user's last.
  void observe(std::string_view user, double time, std::span<const std::string_view> cells);
  static uint64_t checksum(uint64_t before, double time, std::span<const std::string_view> cells);  ///< of Past
  Past past(std::string_view user) const;

  int64_t closed(std::string_view user) const;            ///< partitions
  std::vector<Event> cache(std::string_view user) const;  ///< the events behind the last partition
  std::vector<std::string> users() const;                 ///< as they came first
  int64_t partitions() const;                             ///< of all users
  int64_t untold() const;                                 ///< of these, those of which nothing has been said

  /// Partitions of which nothing has been said though all was of the user's earlier ones, one a user at most, in the
  /// order in which they were closed; at most `most`.
  std::vector<Partition> pending(int64_t most) const;
  std::vector<Event> events(const Partition& pending) const;  ///< of one that is pending
  /// Throws Error(config) unless it is the user's next one of which nothing has been said.
  void tell(const Partition& pending, const PartitionTexts& texts);
  std::optional<PartitionTexts> texts(std::string_view user, int64_t number) const;  ///< nothing: not said yet

  void sync();  ///< what was observed and told before survives a crash of the machine

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interplay
