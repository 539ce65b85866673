#include "train/batches.h"

#include <interplay/base/stages.h>

namespace interplay {
namespace {

class OfRows final : public Batches {
 public:
  OfRows(const Dataset& rows, const TrainOptions& options, uint64_t seed)
      : loader_(rows, {.batch_size = options.batch_size,
                       .shuffle = options.shuffle,
                       .seed = seed,
                       .keep_groups = options.keep_groups,
                       .negative_rate = options.negative_rate,
                       .negative_label = options.negative_label,
                       .shuffle_window = options.shuffle_window}) {}
  void start(int64_t epoch, int64_t first_batch) override { loader_.start(epoch, first_batch); }
  bool next(Batch& batch) override {
    const StageScope stage(Stage::load);
    return loader_.next(batch);
  }
  bool was_last(int64_t taken) const override { return taken == loader_.batches(); }
  int64_t steps(int64_t epochs) const override { return loader_.batches() * epochs; }
  int64_t rows() const override { return loader_.rows(); }
  bool once() const override { return false; }

 private:
  Loader loader_;
};

class OfStream final : public Batches {
 public:
  explicit OfStream(const BatchStream& stream) : stream_(stream) {}
  void start(int64_t, int64_t first_batch) override { taken_ = first_batch; }
  bool next(Batch& batch) override {
    const StageScope stage(Stage::load);
    auto given = stream_(taken_);
    if (!given) return false;
    ++taken_;
    batch = std::move(*given);
    return true;
  }
  bool was_last(int64_t) const override { return false; }
  int64_t steps(int64_t) const override { return 0; }
  int64_t rows() const override { return 0; }
  bool once() const override { return true; }

 private:
  const BatchStream& stream_;
  int64_t taken_ = 0;
};

}  // namespace

std::unique_ptr<Batches> batches_of(const Dataset& rows, const TrainOptions& options, uint64_t seed) {
  return std::make_unique<OfRows>(rows, options, seed);
}

std::unique_ptr<Batches> batches_of(const BatchStream& stream) { return std::make_unique<OfStream>(stream); }

}  // namespace interplay
