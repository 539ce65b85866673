#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

/// The memory behind Embedding, for whoever reads or moves rows without autograd: kernels, the optimizer. A model's
/// author needs none of it.
namespace interplay::nn {

/// Gradients of distinct rows of one table, ready for an optimizer.
struct RowGradients {
  at::Tensor rows;  ///< i64 [U], ascending; never the padding row
  at::Tensor grad;  ///< f32 [U, K]
};

/// Some distinct rows of a table and the reads of each, for a RowGradient to add up.
struct ReadBlock {
  int64_t count = 0;               ///< distinct rows
  const int32_t* row = nullptr;    ///< [count] ascending
  const int32_t* begin = nullptr;  ///< [count + 1]: row u was read at position[begin[u]] .. position[begin[u + 1] - 1]
  const int32_t* position = nullptr;  ///< places among the recorded ids, ascending for each row
  const int32_t* target = nullptr;    ///< [count] which row of `sum` row u adds to; nullptr: row u
  int64_t first_target = 0;           ///< subtracted from it
  const float* weight = nullptr;      ///< of the table: row r lies at weight + r * stride
  int64_t stride = 0, width = 0;      ///< width: K
  float* sum = nullptr;               ///< [.., K]
  float* sum_of(int64_t u) const { return sum + (target ? target[u] - first_target : u) * width; }
};

/// What a backward pass leaves of the reads of one column of ids: the gradient of each read, in a form that need not be
/// written out. Immutable; used from many threads.
class INTERPLAY_API RowGradient {
 public:
  virtual ~RowGradient();
  virtual void add(const ReadBlock& block) const = 0;  ///< sum_of(u) += the gradients of row u's reads, in their order
  /// The plain twin, for any device: gradient of each read. ids i32 [n], weight [V, K] -> f32 [n, K]
  virtual at::Tensor each(const at::Tensor& ids, const at::Tensor& weight) const = 0;
};

struct SortedReads;
class TableStorage;

/// Who knows how to bring rows up to date whose weights are left behind until somebody reads them. For many threads.
class INTERPLAY_API StaleRows {
 public:
  virtual ~StaleRows();
  virtual void refresh(const TableStorage& table, const int32_t* ids, int64_t stride, int64_t count) = 0;
  virtual void refresh_all(const TableStorage& table) = 0;
};

/// The memory of one embedding table: a row's weights and its optimizer state, so that an update touches one stretch of
/// memory; tables that the same ids read may share their rows (arrange()). Also the tape on which backward passes leave
/// the gradients of reads until a Trainer takes them.
///
/// Not a torch parameter: nothing here ever costs O(rows) in a step. Row 0 is padding: zero, and never trained.
/// Large tables lie in huge pages where the system has them.
class INTERPLAY_API TableStorage : public c10::intrusive_ptr_target {
 public:
  TableStorage(int64_t rows, int64_t width);
  ~TableStorage() override;

  int64_t rows() const { return rows_; }
  int64_t width() const { return width_; }  ///< K
  int64_t stride() const { return stride_; }
  int64_t state_width() const { return state_width_; }  ///< S; 0 until there is room for state
  at::Tensor weight() const;  ///< f32 [rows, K], a view into the storage; brings stale rows up to date
  at::Tensor state() const;   ///< f32 [rows, S], a view likewise; S = 0 until reserve_state()
  /// Weights and state of row r on the CPU: data() + r * stride() and state_data() + r * stride(). Stale rows have to
  /// be brought up to date before, by refresh().
  float* data() const { return data_; }
  float* state_data() const { return data_ + (state_at_ - weight_at_); }
  /// The whole row, with whatever tables share it: row_data() + r * stride(), stride() floats.
  float* row_data() const { return data_ - weight_at_; }
  bool is_joint_with(const TableStorage& other) const { return data_ && row_data() == other.row_data(); }
  /// Grows with every change, by tensor operations or told by changed(), of this table or one that shares its rows.
  uint32_t version() const { return storage_._version(); }
  void changed() { storage_.unsafeGetTensorImpl()->bump_version(); }  ///< after writing through the pointers above
  /// From now on the rows are these, f32 [rows, K], in memory that the tensor keeps: a mapped file's, which processes
  /// share. For who only reads: nobody may write them. A wide load of the last ones may read 64 bytes past them.
  void borrow(const at::Tensor& rows);
  void reserve_state(int64_t width);  ///< makes room for S floats of state a row, zeroed; keeps weights
  void to(at::Device device);
  at::Device device() const { return storage_.device(); }

  /// From now on rows may be stale; nullptr: none is. Rows that another was to bring up to date are, before.
  void set_stale(std::shared_ptr<StaleRows> stale);
  const StaleRows* stale() const { return stale_.get(); }
  /// Brings the rows up to date that column f of ids reads of table f: i32 [n, F], F tables.
  static void refresh(const at::Tensor& ids, std::span<const TableStorage* const> tables);

  struct Place {
    TableStorage* table;
    int64_t state_width;
  };
  /// Lays tables out anew with room for state, zeroed: each inner list holds tables of equal rows() that share their
  /// rows, first the weights of all, then their states. All of them in one stretch of memory; weights stay, views taken
  /// before see the old memory. Tables that lie on another device stay apart.
  static void arrange(const std::vector<std::vector<Place>>& joint);

  /// Leaves gradients on the tape: ids i32 [n] with the gradient of each read, f32 [n, K]; both may be strided views.
  void record(at::Tensor ids, at::Tensor grad);
  void record(at::Tensor ids, std::shared_ptr<const RowGradient> gradient);
  /// As record(ids.select(1, column), gradient), of ids i32 [n, F].
  void record(const at::Tensor& ids, int64_t column, std::shared_ptr<const RowGradient> gradient);
  bool touched() const { return !tape_.empty(); }
  void clear();

  /// Finds the distinct rows of the tapes of many tables at once; columns of ids that several tables read are sorted
  /// once. CPU only. Called by take() where it was not called before. Throws Error on an id that lies outside its
  /// table.
  static void sort(const std::vector<TableStorage*>& tables);
  /// After sort(): the rows on the tape, ascending.
  std::span<const int32_t> touched_rows() const;
  /// After sort(): the one column of ids that all of the tape has read; nullptr where there are several.
  const SortedReads* common_reads() const;
  /// After sort(): summed gradients of touched_rows() first .. first + count -> f32 [count, K]. Equal rows are summed
  /// in the order recorded, whatever the number of threads. May run from many threads.
  void sum_gradients(int64_t first, int64_t count, float* sum) const;
  /// All of them; empties the tape.
  RowGradients take();

 private:
  struct Entry {
    at::Tensor ids;  // [n], or the matrix that the column is of
    int64_t column;  // -1: ids has one dimension
    const int32_t* data;
    int64_t stride, count;
    std::shared_ptr<const RowGradient> gradient;
    std::shared_ptr<const SortedReads> reads;
    std::vector<int32_t> target;  // place of each of its rows among merged_; empty: the same place
    at::Tensor column_ids() const { return column < 0 ? ids : ids.select(1, column); }
  };
  RowGradients take_anywhere();
  void place(at::Tensor storage, int64_t weight_at, int64_t state_at, int64_t state_width);
  void merge_entries();
  bool has_common_reads() const;

  int64_t rows_, width_, stride_ = 0;
  int64_t weight_at_ = 0, state_at_ = 0, state_width_ = 0;  // columns of storage_
  at::Tensor storage_;                                      // f32 [rows, stride]
  float* data_ = nullptr;                                   // of the first weight; nullptr on another device
  std::vector<Entry> tape_;
  std::vector<int32_t> merged_;  // rows of all entries, where they differ
  std::shared_ptr<StaleRows> stale_;
};

/// Input of every node that reads tables: empty, but it requires a gradient, so that autograd calls the node's
/// backward.
INTERPLAY_API at::Tensor gradient_anchor();

}  // namespace interplay::nn
