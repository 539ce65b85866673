#pragma once

#include <cstdint>
#include <memory>

#include <interplay/data/loader.h>
#include <interplay/train/trainer.h>

namespace interplay {

/// Where fit() takes its batches from: passes over rows, or one pass over what comes.
class Batches {
 public:
  virtual ~Batches() = default;
  virtual void start(int64_t epoch, int64_t first_batch) = 0;
  virtual bool next(Batch& batch) = 0;  ///< false at the end of the pass
  /// Whether the batch handed out last, the `taken`th of its pass, was the last of it; false where nobody knows.
  virtual bool was_last(int64_t taken) const = 0;
  virtual int64_t steps(int64_t epochs) const = 0;  ///< in so many passes; 0: nobody knows
  virtual int64_t rows() const = 0;                 ///< of the pass; 0: nobody knows
  virtual bool once() const = 0;                    ///< there is one pass
};

std::unique_ptr<Batches> batches_of(const Dataset& rows, const TrainOptions& options, uint64_t seed);
std::unique_ptr<Batches> batches_of(const BatchStream& stream);

}  // namespace interplay
