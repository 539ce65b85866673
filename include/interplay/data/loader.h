#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <interplay/data/dataset.h>

namespace interplay {

/// How the order of an epoch is drawn. Data of up to `shuffle_window` rows are shuffled as a whole: any order of the
/// rows may come. Of larger data the order is made in two steps, so that disks are read in stretches: the record
/// batches as stored (65,536 rows) are put in a random order and cut into windows of about `shuffle_window` rows; then
/// the rows of a window are shuffled among each other. While a window is handed out, the next one is read from the
/// disk: the memory that the system needs to keep them at hand is that of two windows (Criteo: 160 bytes a row).
struct LoaderOptions {
  int64_t batch_size = 4096;
  bool shuffle = true;
  bool drop_last = false;
  uint64_t seed = 1;             ///< the order of epoch e is a function of (seed, e), the number of rows and, beyond
                                 ///< shuffle_window, how they are stored
  bool keep_groups = false;      ///< rows of one group lie side by side, in random order, and so do the groups
  double negative_rate = 1.0;    ///< share of negatives kept, drawn by (seed, epoch, row); 1 = all
  std::string negative_label{};  ///< whose negatives; may be empty where there is one label. Rows without it are kept
  int64_t shuffle_window = int64_t{1} << 25;  ///< rows; part of what the order depends on
  int64_t prefetch = 4;                       ///< batches assembled ahead by one thread
};

/// What has to be added to the logits of each label after training on a share `rate` of the negatives of `label`, so
/// that they are calibrated to all rows: log(rate) for that label (He et al. 2014, "Practical lessons from predicting
/// clicks on ads", sec. 6.3), 0 for the others; nothing at rate 1. Throws Error where there are several labels and
/// `label` names none of them.
INTERPLAY_API std::vector<double> negative_offsets(double rate, const std::string& label,
                                                   const std::vector<std::string>& labels);

/// Hands out the batches of one epoch after another, assembled ahead of the caller. One thread calls it.
///
///     Loader loader(train, {.batch_size = 4096, .seed = 2021});
///     loader.start(epoch, 0);
///     for (Batch batch; loader.next(batch);) step(batch);
class INTERPLAY_API Loader {
 public:
  Loader(Dataset dataset, LoaderOptions options);
  ~Loader();
  void start(int64_t epoch, int64_t first_batch);  ///< first_batch > 0: go on where a stopped run was
  bool next(Batch& batch);                         ///< false at the end of the epoch; rethrows the reader's Error
  int64_t batches() const;                         ///< of the started epoch
  int64_t rows() const;                            ///< of the started epoch, after negative sampling

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interplay
