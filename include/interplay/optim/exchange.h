#pragma once

#include <string>
#include <vector>

#include <interplay/nn/table_storage.h>

namespace interplay {

/// Where the gradients of other processes join a step, each of which has taken a part of the batch through a model of
/// equal weights. An Optimizer calls exchange() once a step, between knowing its own gradients and clipping them:
///
///     class Mean final : public Exchange {
///       void exchange(Gradients& own) override;  // all-reduce of own.dense, all-to-all of the rows of own.tables
///     };
///     optimizer.set_exchange(std::make_shared<Mean>(group));
///
/// Whether gradients are added or averaged is the exchange's to know: where each process has the mean loss of B rows of
/// its own, the mean over processes is the gradient of the mean loss of all rows; where their B differ, the mean that
/// weighs each by its B is. L1 and L2 join afterwards, once.
///
/// What has to hold for processes to stay equal, as tables that every process holds whole must: what comes back is the
/// same to the bit in each; and they take the same steps (configuration, rates, `only`), so that exchange() sees the
/// same parameters and tables in the same order everywhere. The rows of a table that comes back are the rows that move
/// here: all of them where it is held whole; where its rows are spread over processes, those that are this process's.
///
/// Errors: what exchange() throws leaves step() through; no weight has moved by then, and the gradients are gone.
/// Thread safety: called by the thread that steps; implementations wait for the other processes in it.
class INTERPLAY_API Exchange {
 public:
  struct Dense {
    std::string name;  ///< of the parameter
    at::Tensor grad;   ///< f32, of the parameter's shape. Undefined where this process's part did not use it; what
                       ///< stays undefined was used by nobody, and the parameter does not move
  };
  struct Table {
    std::string name;            ///< of the table's weights ("fields.item_id.weight")
    int64_t rows = 0;            ///< V: ids are 1 .. V - 1
    nn::RowGradients gradients;  ///< rows i64 [U], ascending and distinct, grad f32 [U, K]; U may be 0
  };
  struct Gradients {
    std::vector<Dense> dense;
    std::vector<Table> tables;
  };

  virtual ~Exchange();
  /// Replaces each gradient by that of all processes: a tensor of the same kind, shape and device that nobody else
  /// holds (the step adds to it), written anew or in place. Rows of a table may become more or fewer.
  virtual void exchange(Gradients& gradients) = 0;
  /// The squared norm of all tables' gradients, given that of the rows that move here: their sum over processes where
  /// rows are spread. By default what is given, as it is where every process holds every table whole.
  virtual double table_norm2(double here) { return here; }
};

/// Adds row gradients of one table up, equal rows in the order of `parts`, whatever the number of threads. Each part as
/// RowGradients are; at least one.
INTERPLAY_API nn::RowGradients sum_rows(const std::vector<nn::RowGradients>& parts);

}  // namespace interplay
