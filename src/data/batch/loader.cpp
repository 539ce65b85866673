#include <interplay/data/loader.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <unordered_map>
#include <vector>

#include <interplay/base/error.h>
#include <interplay/base/random.h>
#include <interplay/data/no_group.h>
#include <interplay/data/row_facts.h>

namespace interplay {
namespace {

// Streams of random numbers drawn from one seed.
constexpr uint64_t kOrderStream = 1, kNegativeStream = 2, kBlockStream = 3, kWindowStream = 4;

/// The label whose negatives are sampled.
size_t sampled_label(const std::string& label, const std::vector<std::string>& labels) {
  if (label.empty() && labels.size() == 1) return 0;
  INTERPLAY_CHECK(!label.empty(),
                  "negative_rate: which of the labels {} has its negatives sampled? Name it: negative_label",
                  fmt::join(labels, ", "));
  const auto found = std::find(labels.begin(), labels.end(), label);
  INTERPLAY_CHECK(found != labels.end(), "negative_label: there is no label '{}' (labels: {})", label,
                  fmt::join(labels, ", "));
  return size_t(found - labels.begin());
}

/// The rows of one epoch and their order: a function of seed, epoch and data, never of threads or of what ran before.
class EpochOrder {
 public:
  EpochOrder(const Dataset& dataset, const LoaderOptions& options, int64_t epoch) : rows_(dataset.rows()) {
    if (options.negative_rate < 1.0) {
      draw(dataset, options, epoch);
      rows_ = int64_t(kept_->size());
    }
    if (options.keep_groups) {
      order_groups(dataset, options, epoch);
      return;
    }
    if (!options.shuffle) return;
    if (dataset.rows() > options.shuffle_window) {
      cut(dataset.blocks(), options, epoch);
    } else {
      permutation_.emplace(uint64_t(rows_), random_bits(options.seed, kOrderStream, uint64_t(epoch)));
    }
  }

  int64_t rows() const { return rows_; }
  bool consecutive() const { return !permutation_ && !kept_ && windows_.empty(); }
  int64_t at(int64_t position) const {
    const int64_t row = permutation_       ? int64_t(permutation_->at(uint64_t(position)))
                        : windows_.empty() ? position
                                           : in_window(position);
    return kept_ ? (*kept_)[size_t(row)] : row;
  }
  /// Calls read(block) for what will be needed once `positions` rows have been handed out and was not named before: the
  /// first window at once, then as much of the next one as this one is through.
  template <class Read>
  void read_ahead(int64_t positions, Read read) {
    if (windows_.empty()) return;
    const size_t now = window_of(std::min(positions, rows_ - 1));
    const Window& w = windows_[now];
    const int64_t next = now + 1 < windows_.size() ? int64_t(windows_[now + 1].blocks.size()) : 0;
    const int64_t through = w.rows == 0 ? next : next * (positions - w.first) / w.rows + 1;
    for (; asked_window_ <= now + 1 && asked_window_ < windows_.size(); ++asked_window_, asked_blocks_ = 0) {
      const auto& blocks = windows_[asked_window_].blocks;
      const auto stop = asked_window_ > now ? std::min(size_t(through), blocks.size()) : blocks.size();
      for (; asked_blocks_ < stop; ++asked_blocks_) read(blocks[asked_blocks_].stored);
      if (asked_blocks_ < blocks.size()) return;
    }
  }

 private:
  /// All rows whose label is positive or missing, and a share of the others.
  void draw(const Dataset& dataset, const LoaderOptions& options, int64_t epoch) {
    const auto& names = dataset.schema().labels();
    const Dataset labelled = dataset.select(Schema({}, {names[sampled_label(options.negative_label, names)]}));
    const uint64_t seed = random_bits(options.seed, kNegativeStream, uint64_t(epoch));
    const std::vector<float> labels = row_facts(labelled).label;
    auto& kept = kept_.emplace();
    for (int64_t i = 0; i < int64_t(labels.size()); ++i) {
      const bool negative = labels[size_t(i)] <= 0.5f;  // NaN is neither
      if (!negative || random_unit(seed, 0, uint64_t(i)) < options.negative_rate) kept.push_back(i);
    }
  }

  /// Makes kept_ the order itself: groups by the place that a shuffle of all rows gives to their first row in it, the
  /// rows of a group in the order of that shuffle. (As stored where there is none.) 12 bytes a row.
  void order_groups(const Dataset& dataset, const LoaderOptions& options, int64_t epoch) {
    const std::vector<int64_t> group = row_facts(dataset.select(Schema({}, {}))).group;
    std::optional<Permutation> shuffle;
    if (options.shuffle) shuffle.emplace(uint64_t(rows_), random_bits(options.seed, kOrderStream, uint64_t(epoch)));
    std::unordered_map<int64_t, size_t> known;
    std::vector<std::vector<int64_t>> groups;  // rows, by first appearance; one that is nobody's is by itself
    for (int64_t i = 0; i < rows_; ++i) {
      const int64_t place = shuffle ? int64_t(shuffle->at(uint64_t(i))) : i,
                    row = kept_ ? (*kept_)[size_t(place)] : place;
      const int64_t of = group[size_t(row)];
      const size_t g = of == kNoGroup ? groups.size() : known.try_emplace(of, groups.size()).first->second;
      if (g == groups.size()) groups.emplace_back();
      groups[g].push_back(row);
    }
    std::vector<int64_t> rows;
    rows.reserve(size_t(rows_));
    for (const auto& some : groups) rows.insert(rows.end(), some.begin(), some.end());
    kept_ = std::move(rows);
  }

  struct Block {
    int64_t stored;  // which record batch
    int64_t first;   // its first row, of those that stay
    int64_t start;   // where it begins in its window
  };
  struct Window {
    int64_t first, rows;  // positions
    std::vector<Block> blocks;
    Permutation order;
  };

  /// The record batches in random order, in windows. `bounds` are their first rows, and the number of all.
  void cut(const std::vector<int64_t>& bounds, const LoaderOptions& options, int64_t epoch) {
    const uint64_t seed = random_bits(options.seed, kBlockStream, uint64_t(epoch));
    const Permutation order(bounds.size() - 1, seed);
    const auto kept = [&](int64_t row) {  // how many rows before `row` stay
      return kept_ ? int64_t(std::lower_bound(kept_->begin(), kept_->end(), row) - kept_->begin()) : row;
    };
    std::vector<Block> blocks;
    int64_t first = 0, rows = 0, stored_rows = 0;
    for (uint64_t i = 0; i < order.size(); ++i) {
      const auto stored = int64_t(order.at(i));
      const int64_t begin = kept(bounds[size_t(stored)]), end = kept(bounds[size_t(stored) + 1]);
      blocks.push_back({stored, begin, rows});
      rows += end - begin;
      stored_rows += bounds[size_t(stored) + 1] - bounds[size_t(stored)];
      if (stored_rows < options.shuffle_window && i + 1 < order.size()) continue;
      const uint64_t of_window = random_bits(seed, kWindowStream, windows_.size());
      windows_.push_back({first, rows, std::move(blocks), Permutation(uint64_t(rows), of_window)});
      first += rows;
      rows = stored_rows = 0;
      blocks.clear();
    }
  }
  size_t window_of(int64_t position) const {
    const auto behind = std::upper_bound(windows_.begin(), windows_.end(), position,
                                         [](int64_t p, const Window& w) { return p < w.first; });
    return size_t(behind - windows_.begin()) - 1;
  }
  int64_t in_window(int64_t position) const {
    const Window& w = windows_[window_of(position)];
    const auto place = int64_t(w.order.at(uint64_t(position - w.first)));
    const auto behind = std::upper_bound(w.blocks.begin(), w.blocks.end(), place,
                                         [](int64_t p, const Block& b) { return p < b.start; });
    const Block& block = *(behind - 1);
    return block.first + place - block.start;
  }

  int64_t rows_;
  std::optional<std::vector<int64_t>> kept_;  // rows that stay, rising; none = all
  std::optional<Permutation> permutation_;    // of all rows, or
  std::vector<Window> windows_;
  size_t asked_window_ = 0, asked_blocks_ = 0;
};

}  // namespace

struct Loader::State {
  State(Dataset data, const LoaderOptions& given) : dataset(std::move(data)), options(given) {}
  ~State() { stop(); }

  Dataset dataset;
  LoaderOptions options;
  std::optional<EpochOrder> order;
  int64_t batches = 0;

  std::mutex mutex;
  std::condition_variable_any changed;
  std::deque<Batch> ready;  // guarded by mutex, as the three below
  std::exception_ptr problem;
  bool finished = true;
  std::jthread thread;

  Batch assemble(int64_t index) const;
  void run(const std::stop_token& stop, int64_t first_batch);
  void stop();
};

Batch Loader::State::assemble(int64_t index) const {
  const int64_t first = index * options.batch_size;
  const int64_t count = std::min(options.batch_size, order->rows() - first);
  if (order->consecutive()) return dataset.slice(first, count);
  std::vector<int64_t> rows(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) rows[size_t(i)] = order->at(first + i);
  return dataset.gather(rows);
}

/// The prefetch thread: fills the queue and waits while it is full.
void Loader::State::run(const std::stop_token& stop, int64_t first_batch) {
  const auto room = size_t(std::max<int64_t>(options.prefetch, 1));
  try {
    for (int64_t index = first_batch; index < batches && !stop.stop_requested(); ++index) {
      order->read_ahead(index * options.batch_size, [&](int64_t block) { dataset.will_need(block); });
      Batch batch = assemble(index);
      std::unique_lock lock(mutex);
      if (!changed.wait(lock, stop, [&] { return ready.size() < room; })) return;
      ready.push_back(std::move(batch));
      changed.notify_all();
    }
  } catch (...) {
    const std::lock_guard lock(mutex);
    problem = std::current_exception();
  }
  const std::lock_guard lock(mutex);
  finished = true;
  changed.notify_all();
}

void Loader::State::stop() {
  if (!thread.joinable()) return;
  thread.request_stop();
  thread.join();
}

std::vector<double> negative_offsets(double rate, const std::string& label, const std::vector<std::string>& labels) {
  if (rate >= 1) return {};
  std::vector<double> offsets(std::max<size_t>(1, labels.size()), 0.0);
  offsets[labels.empty() ? 0 : sampled_label(label, labels)] = std::log(rate);
  return offsets;
}

Loader::Loader(Dataset dataset, LoaderOptions options) {
  INTERPLAY_CHECK(options.batch_size >= 1, "batch_size: {}, expected 1 or more", options.batch_size);
  INTERPLAY_CHECK(options.shuffle_window >= 1, "shuffle_window: {}, expected 1 or more", options.shuffle_window);
  INTERPLAY_CHECK(options.negative_rate > 0.0 && options.negative_rate <= 1.0,
                  "negative_rate: {}, expected above 0 and at most 1 (1 keeps every row)", options.negative_rate);
  INTERPLAY_CHECK(options.negative_rate == 1.0 || (dataset.has_labels() && !dataset.schema().labels().empty()),
                  "negative_rate: {}, but {} has no labels to tell negatives by", options.negative_rate,
                  dataset.name());
  if (options.negative_rate < 1.0) sampled_label(options.negative_label, dataset.schema().labels());
  INTERPLAY_CHECK(!options.keep_groups || dataset.has_group(),
                  "keep_groups: {} has no groups; name their column in data.yaml (group: user_id)", dataset.name());
  state_ = std::make_unique<State>(std::move(dataset), options);
}

Loader::~Loader() = default;

void Loader::start(int64_t epoch, int64_t first_batch) {
  State& s = *state_;
  s.stop();
  s.ready.clear();
  s.problem = nullptr;
  s.finished = true;
  s.order.emplace(s.dataset, s.options, epoch);
  const int64_t rows = s.order->rows(), size = s.options.batch_size;
  s.batches = s.options.drop_last ? rows / size : (rows + size - 1) / size;
  INTERPLAY_CHECK(first_batch >= 0 && first_batch <= s.batches,
                  "{}: epoch {} was asked to go on at batch {}, it has {} batches of {} rows", s.dataset.name(), epoch,
                  first_batch, s.batches, size);
  s.finished = false;
  s.thread = std::jthread([&s, first_batch](const std::stop_token& stop) { s.run(stop, first_batch); });
}

bool Loader::next(Batch& batch) {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  s.changed.wait(lock, [&] { return !s.ready.empty() || s.finished; });
  if (s.ready.empty()) {
    if (s.problem) std::rethrow_exception(s.problem);
    return false;
  }
  batch = std::move(s.ready.front());
  s.ready.pop_front();
  s.changed.notify_all();
  return true;
}

int64_t Loader::batches() const { return state_->batches; }
int64_t Loader::rows() const { return state_->order ? state_->order->rows() : 0; }

}  // namespace interplay
