#pragma once

#include <memory>
#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/api.h>

namespace interplay::nn {

/// Gradients of distinct rows of one table, ready for an optimizer.
struct RowGradients {
  at::Tensor rows;  ///< i64 [U], ascending; never the padding row
  at::Tensor grad;  ///< f32 [U, K]
};

/// The memory of one embedding table: a row's weights and, behind them, its optimizer state, so that an update touches
/// one stretch of memory. Also the tape on which backward passes leave (ids, gradient) until a Trainer takes them.
///
/// Not a torch parameter: nothing here ever costs O(rows) in a step. Row 0 is padding: zero, and never trained.
class INTERPLAY_API TableStorage : public c10::intrusive_ptr_target {
 public:
  TableStorage(int64_t rows, int64_t width);
  ~TableStorage() override;

  int64_t rows() const { return rows_; }
  int64_t width() const { return width_; }  ///< K
  int64_t stride() const { return storage_.stride(0); }
  at::Tensor weight() const;          ///< f32 [rows, K], a view into the storage
  at::Tensor state() const;           ///< f32 [rows, S], a view; S = 0 until reserve_state()
  void reserve_state(int64_t width);  ///< makes room for S floats of state a row, zeroed; keeps weights
  void to(at::Device device);
  at::Device device() const { return storage_.device(); }

  /// Leaves a gradient on the tape: ids i32 [n] and grad f32 [n, K], which may be strided views.
  void record(at::Tensor ids, at::Tensor grad);
  bool touched() const { return !tape_.empty(); }
  void clear() { tape_.clear(); }
  /// Empties the tape: equal rows summed in the order recorded, whatever the number of threads.
  RowGradients take();

 private:
  int64_t rows_, width_;
  at::Tensor storage_;  // f32 [rows, K + S]
  std::vector<std::pair<at::Tensor, at::Tensor>> tape_;
};

/// An embedding table as a module. Its rows show up under the module's name in saved weights ("fields.item_id.weight").
///
///     Embedding items(/*rows=*/1683, /*width=*/16);
///     at::Tensor e = items(ids);   // i32 [...] -> f32 [..., 16], differentiable
///
/// Errors: ids are not checked here; the data layer has checked them. Thread safety: concurrent forward() under
/// NoGradGuard is allowed.
class INTERPLAY_API EmbeddingImpl : public torch::nn::Module {
 public:
  /// Rows are drawn from N(0, init_std^2) by torch's default generator, the padding row is zero.
  EmbeddingImpl(int64_t rows, int64_t width, double init_std = 1e-4);
  ~EmbeddingImpl() override;

  at::Tensor forward(const at::Tensor& ids);  ///< i32 [...] -> f32 [..., K]
  TableStorage& table() { return *table_; }
  c10::intrusive_ptr<TableStorage> storage() const { return table_; }
  int64_t rows() const { return table_->rows(); }
  int64_t width() const { return table_->width(); }

 private:
  c10::intrusive_ptr<TableStorage> table_;
};
TORCH_MODULE(Embedding);

/// Column f of `ids` through table f, all in one node of the graph: i32 [B, F] -> f32 [B, F, K]. Tables may repeat.
INTERPLAY_API at::Tensor gather_fields(const at::Tensor& ids, const std::vector<Embedding>& tables);

/// Every embedding table below `module`, with its dotted name.
struct NamedTable {
  std::string name;
  std::shared_ptr<EmbeddingImpl> table;
};
INTERPLAY_API std::vector<NamedTable> tables_of(const torch::nn::Module& module);

/// A module whose own parameters belong to a parameter group other than "dense". Embedding tables are "embedding".
class INTERPLAY_API ParameterGroup {
 public:
  virtual ~ParameterGroup();
  virtual std::string parameter_group() const = 0;
};

}  // namespace interplay::nn
