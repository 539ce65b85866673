#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/api.h>

namespace interplay::nn {

class TableStorage;  // table_storage.h

/// An embedding table as a module. Its rows show up under the module's name in saved weights ("fields.item_id.weight").
///
///     Embedding items(/*rows=*/1683, /*width=*/16);
///     at::Tensor e = items(ids);   // i32 [...] -> f32 [..., 16], differentiable
///
/// Errors: forward() throws Error on an id outside 0 .. rows() - 1. Thread safety: concurrent forward() under
/// NoGradGuard is allowed.
class INTERPLAY_API EmbeddingImpl : public torch::nn::Module {
 public:
  /// Rows are drawn from N(0, init_std^2) by torch's default generator, the padding row is zero.
  EmbeddingImpl(int64_t rows, int64_t width, double init_std = 1e-4);
  ~EmbeddingImpl() override;

  at::Tensor forward(const at::Tensor& ids);  ///< i32 [...] -> f32 [..., K]
  TableStorage& table();
  at::Tensor weight() const;  ///< f32 [rows, K], a view; whoever writes it tells table().changed()
  c10::intrusive_ptr<TableStorage> storage() const;
  int64_t rows() const;
  int64_t width() const;  ///< K

 private:
  c10::intrusive_ptr<TableStorage> table_;
};
TORCH_MODULE(Embedding);

/// Column f of `ids` through table f, all in one node of the graph: i32 [B, F] -> f32 [B, F, K]. Tables may repeat.
/// K is `width`, by default that of the first table; rows of narrower tables are followed by zeros. For ids of the
/// data, which are checked where they come from: here only a step that trains refuses those outside their table.
INTERPLAY_API at::Tensor gather_fields(const at::Tensor& ids, const std::vector<Embedding>& tables, int64_t width = 0);

/// Every embedding table below `module`, with its dotted name.
struct NamedTable {
  std::string name;
  std::shared_ptr<EmbeddingImpl> table;
};
INTERPLAY_API std::vector<NamedTable> tables_of(const torch::nn::Module& module);

/// A module whose own parameters, and those of its modules that name none, belong to a parameter group other than
/// "dense": `optimizer: {NAME: {...}}` gives it a rule. Embedding tables are of "embedding" where none is named.
class INTERPLAY_API HasGroup {
 public:
  virtual ~HasGroup();
  virtual std::string parameter_group() const = 0;
};

}  // namespace interplay::nn
