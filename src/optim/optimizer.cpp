#include <interplay/optim/optimizer.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>
#include <set>
#include <span>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <interplay/base/simd.h>
#include <interplay/base/stages.h>
#include <interplay/optim/schedule.h>

#include "nn/tasks.h"
#include "optim/resting_rows.h"

namespace interplay {
namespace {

struct Group {
  std::string name;
  GroupOptions options;
  std::shared_ptr<UpdateRule> rule;
  std::shared_ptr<RestingRows> resting;  // of tables that move every row at every step
};

struct DenseParameter {
  std::string name;
  at::Tensor weight;  // a leaf that requires grad
  at::Tensor state;   // [R, S]
  const Group* group;
  at::Tensor as_rows(const at::Tensor& t) const { return t.dim() >= 2 ? t.flatten(1) : t.reshape({1, -1}); }
};

struct TableParameter {
  std::string name;
  std::shared_ptr<nn::EmbeddingImpl> table;
  const Group* group;
  // Of the present step:
  nn::RowGradients gradients = {};  // on another device than the CPU
  std::vector<float> sums = {};     // [U, K], gradients of the touched rows, where their norm is needed first
  bool summed = false;
  // Of the weights, carried from one pass over a whole table to the next: |W|^2, and when that was.
  double weight_norm2 = -1;
  uint32_t version = 0;
};

/// Tables whose rows move together, one stretch of memory after another: they were read by the same ids, or share their
/// rows.
struct Together {
  std::vector<TableParameter*> tables;
  int64_t rows;  // touched, or all
};

const std::string kDense = "dense", kEmbedding = "embedding", kLinear = "linear";
const std::vector<std::string> kGroupKeys{"lr", "l1", "l2", "mode", "schedule"};

Config rule_config(const Config& group) {
  Config rest = group;
  for (const auto& key : kGroupKeys) rest.erase(key);
  return rest;
}

Config group_config(const Config& group) {
  Config out = group;  // what stays knows where it was written
  for (const auto& key : group.keys()) {
    if (std::find(kGroupKeys.begin(), kGroupKeys.end(), key) == kGroupKeys.end()) out.erase(key);
  }
  return out;
}

/// A key is read by the group or by its rule: what neither knows is told with the names of both.
void check_keys(const Config& group, const std::string& name) {
  std::vector<std::string> known = kGroupKeys;
  for (const auto& option : update_rules().find(group).options()) known.push_back(option.name);
  for (const auto& key : group.keys()) {
    if (key != "name" && std::find(known.begin(), known.end(), key) == known.end())
      detail::unknown_key(group, key, known, fmt::format("optimizer group '{}'", name));
  }
}

/// Parameter or table ("fields.item_id.weight") -> group, by the innermost module that names one; a table that none
/// names is in `embedding`.
void group_names(const torch::nn::Module& module, const std::string& prefix, const std::string& inherited,
                 std::map<std::string, std::string>& names) {
  const auto* const grouped = dynamic_cast<const nn::HasGroup*>(&module);
  const std::string group = grouped ? grouped->parameter_group() : inherited;
  for (const auto& p : module.named_parameters(false)) names[prefix + p.key()] = group;
  if (dynamic_cast<const nn::EmbeddingImpl*>(&module)) names[prefix + "weight"] = group == kDense ? kEmbedding : group;
  for (const auto& child : module.named_children())
    group_names(*child.value(), prefix + child.key() + ".", group, names);
}

/// g = or += l2 w + l1 sign(w) for rows of a table, g [count, width].
template <bool kAdd>
INTERPLAY_INLINE void penalty_rows(const float* w, int64_t stride, const int32_t* index, float* g, int64_t count,
                                   int64_t width, float l2, float l1) {
  for (int64_t r = 0; r < count; ++r, g += width) {
    const float* const row = w + (index ? index[r] : r) * stride;
    if (l1 == 0) {
      for (int64_t k = 0; k < width; ++k) g[k] = (kAdd ? g[k] : 0) + l2 * row[k];
    } else {
      for (int64_t k = 0; k < width; ++k)
        g[k] = (kAdd ? g[k] : 0) + l2 * row[k] + l1 * float((row[k] > 0) - (row[k] < 0));
    }
  }
}

INTERPLAY_CLONES void add_penalty(const float* w, int64_t stride, const int32_t* index, float* g, int64_t count,
                                  int64_t width, float l2, float l1) {
  penalty_rows<true>(w, stride, index, g, count, width, l2, l1);
}

/// The same into g, fetching the rows that follow on the way, their states too: `row_at` is where the first row begins.
INTERPLAY_CLONES void set_penalty(const float* w, const float* row_at, int64_t stride, float* g, int64_t count,
                                  int64_t width, float l2, float l1) {
  const auto bytes = stride * int64_t(sizeof(float));
  const char* next = reinterpret_cast<const char*>(row_at + count * stride);
  for (int64_t r = 0; r < count; ++r, w += stride, g += width, next += bytes) {
    for (int64_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch(next + byte, 1, 3);
    if (width == 16) {
      penalty_rows<false>(w, stride, nullptr, g, 1, 16, l2, l1);
    } else {
      penalty_rows<false>(w, stride, nullptr, g, 1, width, l2, l1);
    }
  }
}

/// Sum of squares of rows [count, width], `stride` apart.
INTERPLAY_CLONES double norm2(const float* w, int64_t stride, const int32_t* index, int64_t count, int64_t width) {
  using Eight = float __attribute__((vector_size(32), aligned(4), may_alias));
  using Doubles = double __attribute__((vector_size(64)));
  const auto at = [](const float* from) INTERPLAY_INLINE_LAMBDA {
    return __builtin_convertvector(*reinterpret_cast<const Eight*>(from), Doubles);
  };
  Doubles even{}, odd{};
  double rest = 0;
  for (int64_t r = 0; r < count; ++r) {
    const float* const row = w + (index ? index[r] : r) * stride;
    int64_t k = 0;
    for (; k + 16 <= width; k += 16) {
      const Doubles a = at(row + k), b = at(row + k + 8);
      even += a * a;
      odd += b * b;
    }
    for (; k < width; ++k) rest += double(row[k]) * double(row[k]);
  }
  const Doubles both = even + odd;
  for (int i = 0; i < 8; ++i) rest += both[i];
  return rest;
}

at::Tensor penalty_gradient(const at::Tensor& w, const GroupOptions& o) { return w * o.l2 + w.sign() * o.l1; }

/// Rules move weights through a pointer, row after row.
void check_movable(const std::string& name, const at::Tensor& weight) {
  INTERPLAY_CHECK(weight.scalar_type() == at::kFloat,
                  "parameter '{}' is of type {}; only parameters of type Float (f32) are trained: register it as such, "
                  "or without requires_grad",
                  name, toString(weight.scalar_type()));
  INTERPLAY_CHECK(weight.is_contiguous(),
                  "parameter '{}' is not contiguous (shape [{}], strides [{}]), as a transpose or a slice is not; "
                  "register weight.contiguous()",
                  name, fmt::join(weight.sizes(), ", "), fmt::join(weight.strides(), ", "));
}

bool has_penalty(const GroupOptions& o) { return o.l1 != 0 || o.l2 != 0; }

/// Whether every number is finite: a single infinity or NaN makes the sum a NaN, whatever the others are.
INTERPLAY_CLONES bool all_finite(const float* numbers, int64_t count) {
  constexpr int64_t kLanes = 16;
  float sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t k = 0; k < kLanes; ++k) sums[k] += 0 * numbers[i + k];
  }
  for (; i < count; ++i) sums[0] += 0 * numbers[i];
  return std::accumulate(sums, sums + kLanes, 0.0f) == 0;
}

int64_t first_not_finite(const float* numbers, int64_t count) {
  return std::find_if(numbers, numbers + count, [](float x) { return !std::isfinite(x); }) - numbers;
}

/// The first gradient of a step that is not finite, of those that many threads look at.
class NotFinite {
 public:
  /// `place`: its row in a table, its element in a parameter.
  void found(const std::string& name, int64_t place, bool is_table) {
    const std::lock_guard lock(mutex_);
    if (!name_.empty() && std::pair(name_, place_) <= std::pair(name, place)) return;  // the same one in every run
    name_ = name, place_ = place, is_table_ = is_table;
  }
  void check(int64_t step) const {
    if (name_.empty()) return;
    throw Error(fmt::format("step {}: the gradient of {} '{}' is not finite {} {}{}, though the loss is; lower the "
                            "learning rate, or keep what the model divides by away from 0",
                            step, is_table_ ? "embedding" : "parameter", name_, is_table_ ? "in its row" : "at element",
                            place_, is_table_ ? " (an id of that field)" : ""),
                ErrorKind::numeric);
  }

 private:
  std::mutex mutex_;
  std::string name_;
  int64_t place_ = 0;
  bool is_table_ = false;
};

constexpr int64_t kBlock = 32;          // rows whose gradients are built at a time: they stay in the first-level cache
constexpr int64_t kTouchedBlock = 128;  // touched rows likewise, those of the next block being on their way
constexpr int64_t kTouchedPerTask = 16 * kTouchedBlock, kRowsPerTask = 128 * kBlock, kDensePerTask = 16384;

}  // namespace

struct Optimizer::State {
  std::map<std::string, Group> groups;
  std::vector<DenseParameter> dense;
  std::vector<TableParameter> tables;
  int64_t steps = 0;

  const Group& group(const std::string& name) const {
    const auto it = groups.find(name);
    if (it == groups.end()) {
      std::vector<std::string> names;
      for (const auto& [known, group] : groups) names.push_back(known);
      throw Error(fmt::format("this model has no parameter group '{}' (groups: {})", name, fmt::join(names, ", ")));
    }
    return it->second;
  }

  /// A stretch of work on one table, or on several together.
  struct Stretch {
    const Together* tables;
    int64_t first, count;
  };
  static std::vector<Stretch> stretches(const std::vector<Together>& all, int64_t step) {
    std::vector<Stretch> out;
    for (const auto& t : all) {
      for (int64_t first = 0; first < t.rows; first += step) out.push_back({&t, first, std::min(step, t.rows - first)});
    }
    return out;
  }

  /// Puts a table with those before it that have the same key.
  template <class Key>
  static void put_together(std::map<Key, size_t>& known, const Key& key, TableParameter* t, int64_t rows,
                           std::vector<Together>& all) {
    const auto [it, fresh] = known.try_emplace(key, all.size());
    if (fresh) all.push_back({{}, rows});
    all[it->second].tables.push_back(t);
  }

  static std::string module_of(const std::string& table) { return table.substr(0, table.rfind('.')); }

  static float* room(size_t floats) {
    thread_local std::vector<float> memory;
    if (memory.size() < floats) memory.resize(floats);
    return memory.data();
  }

  /// Gradients of rows first .. first + rows of a whole table, those of absent rows being the penalty's: g [rows, K].
  static void gradients_of_rows(const TableParameter& t, int64_t first, int64_t rows, float* g, float* sums) {
    const auto& table = t.table->table();
    const int64_t width = table.width();
    const auto& options = t.group->options;
    set_penalty(table.data() + first * table.stride(), table.row_data() + first * table.stride(), table.stride(), g,
                rows, width, float(options.l2), float(options.l1));
    const auto touched = table.touched_rows();
    const auto begin = std::lower_bound(touched.begin(), touched.end(), first) - touched.begin();
    const auto end = std::lower_bound(touched.begin() + begin, touched.end(), first + rows) - touched.begin();
    if (begin == end) return;
    const float* sum = sums;
    if (t.summed) {
      sum = t.sums.data() + begin * width;
    } else {
      table.sum_gradients(begin, end - begin, sums);
    }
    for (int64_t u = begin; u < end; ++u, sum += width) {
      float* const to = g + (touched[size_t(u)] - first) * width;
      for (int64_t k = 0; k < width; ++k) to[k] += sum[k];
    }
  }

  /// Sums the gradients of every touched row, for a norm has to be known before they move. Returns the squares' sum.
  double sum_gradients(const std::vector<TableParameter*>& tables) {
    std::vector<Together> all;
    for (auto* t : tables) {
      const auto& table = t->table->table();
      t->sums.resize(table.touched_rows().size() * size_t(table.width()));
      t->summed = true;
      all.push_back({{t}, int64_t(table.touched_rows().size())});
    }
    const auto work = stretches(all, kTouchedPerTask);
    std::vector<double> partial(work.size());  // by place, so that the sum has one order
    run_tasks(int64_t(work.size()), [&](int64_t i) {
      TableParameter& t = *work[size_t(i)].tables->tables.front();
      const auto& table = t.table->table();
      const int64_t first = work[size_t(i)].first, count = work[size_t(i)].count, width = table.width();
      const auto& options = t.group->options;
      const int32_t* const rows = table.touched_rows().data() + first;
      float* const g = t.sums.data() + first * width;
      table.sum_gradients(first, count, g);
      if (options.mode == "lazy") {
        if (has_penalty(options))
          add_penalty(table.data(), table.stride(), rows, g, count, width, float(options.l2), float(options.l1));
        partial[size_t(i)] = norm2(g, width, nullptr, count, width);
      } else if (!has_penalty(options)) {
        partial[size_t(i)] = norm2(g, width, nullptr, count, width);
      } else if (options.l1 == 0) {  // what these rows add to the norm of l2 W
        float* const whole = room(size_t(count * width));
        std::copy_n(g, count * width, whole);
        add_penalty(table.data(), table.stride(), rows, whole, count, width, float(options.l2), 0);
        partial[size_t(i)] = norm2(whole, width, nullptr, count, width) -
                             options.l2 * options.l2 * norm2(table.data(), table.stride(), rows, count, width);
      }
    });
    double sum = 0;
    for (const double p : partial) sum += p;
    return sum;
  }

  /// What rows that nobody read add to the squared norm: with L2 alone it is that of the weights, carried from the last
  /// pass where nothing has changed since (and sum_gradients() has made up for the rows that were read).
  double penalty_norm2(TableParameter& t) {
    auto& table = t.table->table();
    const auto& options = t.group->options;
    if (options.mode == "lazy" || !has_penalty(options)) return 0;
    if (options.l1 == 0 && t.weight_norm2 >= 0 && t.version == table.version())
      return options.l2 * options.l2 * t.weight_norm2;
    const std::vector<Together> all{{{&t}, table.rows() - 1}};
    const auto work = stretches(all, kRowsPerTask);
    std::vector<double> partial(work.size());
    run_tasks(int64_t(work.size()), [&](int64_t i) {
      const int64_t width = table.width(), end = 1 + work[size_t(i)].first + work[size_t(i)].count;
      float* const g = room(size_t(2 * kBlock * width));
      for (int64_t first = 1 + work[size_t(i)].first; first < end; first += kBlock) {
        const int64_t rows = std::min(kBlock, end - first);
        if (options.l1 == 0) {
          partial[size_t(i)] += norm2(table.data() + first * table.stride(), table.stride(), nullptr, rows, width);
        } else {
          gradients_of_rows(t, first, rows, g, g + kBlock * width);
          partial[size_t(i)] += norm2(g, width, nullptr, rows, width);
        }
      }
    });
    double sum = 0;
    for (const double p : partial) sum += p;
    return options.l1 == 0 ? options.l2 * options.l2 * sum : sum;
  }

  // On another device than the CPU, by the plain twins:

  static void take_gradients(TableParameter& t, NotFinite& bad) {
    auto& table = t.table->table();
    t.gradients = table.take();
    const auto finite = at::isfinite(t.gradients.grad).all(1);
    if (!finite.all().item<bool>())
      bad.found(module_of(t.name), t.gradients.rows.index({finite.logical_not()})[0].item<int64_t>(), true);
    if (t.group->options.mode == "lazy" && has_penalty(t.group->options))
      t.gradients.grad.add_(penalty_gradient(table.weight().index_select(0, t.gradients.rows), t.group->options));
  }

  static double table_norm2(TableParameter& t) {
    const bool is_lazy = t.group->options.mode == "lazy";
    return (is_lazy ? t.gradients.grad : full_gradient(t)).square().sum().item<double>();
  }

  static at::Tensor full_gradient(TableParameter& t) {  // [V, K]
    auto& table = t.table->table();
    auto g = penalty_gradient(table.weight(), t.group->options);
    g[0].zero_();
    return g.index_add_(0, t.gradients.rows, t.gradients.grad);
  }

  static void move_anywhere(TableParameter& t, const StepInfo& info, float scale) {
    auto& table = t.table->table();
    if (t.group->options.mode == "lazy") {
      auto w = table.weight().index_select(0, t.gradients.rows), s = table.state().index_select(0, t.gradients.rows);
      t.group->rule->update(w, t.gradients.grad * scale, s, info);
      table.weight().index_copy_(0, t.gradients.rows, w);
      table.state().index_copy_(0, t.gradients.rows, s);
    } else {
      t.group->rule->update(table.weight().slice(0, 1), full_gradient(t).slice(0, 1) * scale, table.state().slice(0, 1),
                            info);
    }
  }

  /// Fetches the rows of a block, with all that lies beside them.
  static void prefetch(const Together& tables, std::span<const int32_t> rows) {
    const nn::TableStorage* last = nullptr;
    for (const auto* t : tables.tables) {
      const auto& table = t->table->table();
      if (last && table.is_joint_with(*last)) continue;
      last = &table;
      const auto bytes = table.stride() * int64_t(sizeof(float));
      const char* const from = reinterpret_cast<const char*>(table.row_data());
      for (const int64_t r : rows) {
        const char* const row = from + r * bytes;
        for (int64_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch(row + byte, 0, 3);
        __builtin_prefetch(row + bytes - 1, 0, 3);
      }
    }
  }

  /// Some touched rows: sums their gradients, unless that is done, and moves them.
  template <class Info>
  static void move_touched(const Stretch& work, const Info& info, float scale, NotFinite& bad) {
    const auto& together = *work.tables;
    const auto touched = together.tables.front()->table->table().touched_rows();
    const int64_t end = work.first + work.count;
    const auto block = [&](int64_t first) {
      return touched.subspan(size_t(first), size_t(std::max<int64_t>(0, std::min(kTouchedBlock, end - first))));
    };
    prefetch(together, block(work.first));
    for (int64_t first = work.first; first < end; first += kTouchedBlock) {
      const auto rows = block(first);
      const auto count = int64_t(rows.size());
      if (first + kTouchedBlock < end) prefetch(together, block(first + kTouchedBlock));
      for (auto* const t : together.tables) {
        auto& table = t->table->table();
        const int64_t width = table.width(), stride = table.stride();
        const auto& options = t->group->options;
        float* g = t->sums.data() + first * width;
        if (!t->summed) {
          g = room(size_t(kTouchedBlock * width));
          table.sum_gradients(first, count, g);
          if (has_penalty(options))
            add_penalty(table.data(), stride, rows.data(), g, count, width, float(options.l2), float(options.l1));
        }
        if (!all_finite(g, count * width)) {
          bad.found(module_of(t->name), rows[size_t(first_not_finite(g, count * width) / width)], true);
          continue;
        }
        for (int64_t k = 0; scale != 1 && k < count * width; ++k) g[k] *= scale;
        t->group->rule->update({table.data(), g, table.state_data(), count, width, stride, stride, rows.data()},
                               info(t->group));
      }
    }
  }

  /// Some rows of dense tables, counted from the first after padding. Returns |w|^2 of each table's, after the move.
  template <class Info>
  static std::vector<double> move_rows(const Stretch& work, const Info& info, float scale, bool with_norm,
                                       NotFinite& bad) {
    const auto& together = *work.tables;
    std::vector<double> norms(together.tables.size());
    const int64_t end = 1 + work.first + work.count;
    for (int64_t first = 1 + work.first; first < end; first += kBlock) {
      const int64_t rows = std::min(kBlock, end - first);
      for (size_t i = 0; i < together.tables.size(); ++i) {
        TableParameter& t = *together.tables[i];
        auto& table = t.table->table();
        const int64_t width = table.width(), stride = table.stride();
        float* const g = room(size_t(2 * kBlock * width));
        gradients_of_rows(t, first, rows, g, g + kBlock * width);
        if (!all_finite(g, rows * width)) {
          bad.found(module_of(t.name), first + first_not_finite(g, rows * width) / width, true);
          continue;
        }
        for (int64_t k = 0; scale != 1 && k < rows * width; ++k) g[k] *= scale;
        float* const w = table.data() + first * stride;
        t.group->rule->update({w, g, table.state_data() + first * stride, rows, width, stride, stride}, info(t.group));
        if (with_norm) norms[i] += norm2(w, stride, nullptr, rows, width);
      }
    }
    return norms;
  }

  /// Rows that wait for steps have to take them before the present one; those read in this step have.
  static void refresh_touched(const std::vector<TableParameter*>& tables) {
    run_tasks(int64_t(tables.size()), [&](int64_t i) {
      const auto& t = *tables[size_t(i)];
      const auto rows = t.table->table().touched_rows();
      if (t.group->resting) t.group->resting->refresh(t.table->table(), rows.data(), 1, int64_t(rows.size()));
    });
  }

  static std::vector<nn::TableStorage*> storages_of(const std::vector<TableParameter*>& tables, const Group& group) {
    std::vector<nn::TableStorage*> out;
    for (auto* t : tables) {
      if (t->group == &group) out.push_back(&t->table->table());
    }
    return out;
  }

  /// Touched rows, those that the same ids have read together.
  template <class Info>
  static void move_touched_rows(const std::vector<TableParameter*>& tables, const Info& info, float scale,
                                NotFinite& bad) {
    std::vector<Together> all;
    std::map<const void*, size_t> known;
    for (auto* t : tables) {
      const auto& table = t->table->table();
      const void* const reads = table.common_reads();
      put_together(known, reads ? reads : t, t, int64_t(table.touched_rows().size()), all);
    }
    const auto work = stretches(all, kTouchedPerTask);
    run_tasks(int64_t(work.size()), [&](int64_t i) { move_touched(work[size_t(i)], info, scale, bad); });
  }

  /// Every row of dense tables, those that share rows together.
  template <class Info>
  static void move_all_rows(const std::vector<TableParameter*>& tables, const Info& info, float scale, bool with_norm,
                            NotFinite& bad) {
    std::vector<Together> all;
    std::map<const void*, size_t> known;
    for (auto* t : tables) {
      const auto& table = t->table->table();
      put_together<const void*>(known, table.row_data(), t, table.rows() - 1, all);
    }
    const auto work = stretches(all, kRowsPerTask);
    std::vector<std::vector<double>> norms(work.size());
    run_tasks(int64_t(work.size()),
              [&](int64_t i) { norms[size_t(i)] = move_rows(work[size_t(i)], info, scale, with_norm, bad); });
    for (auto* t : tables) t->weight_norm2 = with_norm ? 0 : -1;
    for (size_t i = 0; i < work.size(); ++i) {  // in the order of the rows
      for (size_t k = 0; with_norm && k < norms[i].size(); ++k) work[i].tables->tables[k]->weight_norm2 += norms[i][k];
    }
  }

  /// Dense parameters, in pieces of about as many numbers.
  template <class Info>
  static void move_dense(const std::vector<DenseParameter*>& parameters, const Info& info, float scale,
                         NotFinite& bad) {
    struct Piece {
      DenseParameter* parameter;
      const float* gradients;
      int64_t first, count;
    };
    std::vector<Piece> pieces;
    std::vector<at::Tensor> kept;
    for (auto* p : parameters) {
      auto w = p->as_rows(p->weight), g = p->as_rows(p->weight.grad());
      if (!w.device().is_cpu() && !at::isfinite(g).all().item<bool>()) {
        bad.found(p->name, at::isfinite(g).logical_not().flatten().nonzero()[0].item<int64_t>(), false);
        continue;
      }
      if (scale != 1) g = g * scale;
      if (!w.device().is_cpu()) {
        p->group->rule->update(w, g, p->state, info(p->group));
        continue;
      }
      p->weight.unsafeGetTensorImpl()->bump_version();  // for who keeps copies of weights
      kept.push_back(g.contiguous());
      const int64_t rows = w.size(0), step = std::max<int64_t>(1, kDensePerTask / std::max<int64_t>(1, w.size(1)));
      for (int64_t first = 0; first < rows; first += step)
        pieces.push_back({p, kept.back().const_data_ptr<float>(), first, std::min(step, rows - first)});
    }
    run_tasks(int64_t(pieces.size()), [&](int64_t i) {
      const Piece& piece = pieces[size_t(i)];
      DenseParameter& p = *piece.parameter;
      const int64_t state_width = p.state.size(1), width = p.weight.numel() / p.state.size(0);
      const float* const g = piece.gradients + piece.first * width;
      if (!all_finite(g, piece.count * width))
        return bad.found(p.name, piece.first * width + first_not_finite(g, piece.count * width), false);
      p.group->rule->update(
          {static_cast<float*>(p.weight.data_ptr()) + piece.first * width, g,
           static_cast<float*>(p.state.data_ptr()) + piece.first * state_width, piece.count, width, width, state_width},
          info(p.group));
    });
  }
};

namespace {

/// The tables' places in memory: those of one field ("fields.item_id", "linear.weights.item_id") share their rows,
/// since the same ids read them. But a row that fills cache lines exactly stays alone: beside another it would lie
/// across one line more.
std::vector<std::vector<nn::TableStorage::Place>> places_of(std::vector<TableParameter>& tables) {
  constexpr int64_t kLine = 16;  // floats
  std::vector<std::vector<nn::TableStorage::Place>> joint;
  std::map<std::pair<std::string, int64_t>, size_t> known;
  for (auto& t : tables) {
    auto& table = t.table->table();
    const std::string module = t.name.substr(0, t.name.rfind('.'));
    const std::string field = module.substr(module.rfind('.') + 1);
    const int64_t state_width = t.group->rule->state_width(table.width());
    if ((table.width() + state_width) % kLine == 0) {
      joint.push_back({{&table, state_width}});
      continue;
    }
    const auto [it, fresh] = known.try_emplace({field, table.rows()}, joint.size());
    if (fresh) joint.emplace_back();
    joint[it->second].push_back({&table, state_width});
  }
  return joint;
}

}  // namespace

Optimizer::Optimizer(const torch::nn::Module& module, const Config& config) : state_(std::make_unique<State>()) {
  const Config resolved = resolve(config);
  std::map<std::string, std::string> names;
  group_names(module, "", kDense, names);
  std::set<std::string> present{kDense, kEmbedding};
  for (const auto& [parameter, group] : names) present.insert(group);
  for (const auto& name : resolved.keys()) {
    if (!present.contains(name)) {
      config[name].fail(
          fmt::format("this model has no parameter group '{}' (groups: {})", name, fmt::join(present, ", ")));
    }
  }
  for (const auto& name : present) {
    const auto& otherwise = name == kLinear ? kEmbedding : kDense;  // a first-order weight is a row of width one
    const Config own = resolved[resolved.has(name) ? name : otherwise];
    Group group{name, {}, nullptr, nullptr};
    read_options(group.options, group_config(own));
    group.rule = update_rules().make(rule_config(own));
    state_->groups.emplace(name, std::move(group));
  }
  const at::NoGradGuard no_grad;
  std::set<const void*> seen;  // a module may stand in two places: its parameters are still one
  for (const auto& p : module.named_parameters()) {
    if (!p.value().requires_grad() || p.value().numel() == 0) continue;
    if (!seen.insert(p.value().unsafeGetTensorImpl()).second) continue;
    check_movable(p.key(), p.value());
    DenseParameter parameter{p.key(), p.value(), {}, &state_->group(names.at(p.key()))};
    const auto rows = parameter.as_rows(p.value());
    parameter.state = at::zeros({rows.size(0), parameter.group->rule->state_width(rows.size(1))}, rows.options());
    parameter.group->rule->start(rows, parameter.state);
    state_->dense.push_back(std::move(parameter));
  }
  for (const auto& t : nn::tables_of(module)) {
    state_->tables.push_back({t.name + ".weight", t.table, &state_->group(names.at(t.name + ".weight"))});
  }
  nn::TableStorage::arrange(places_of(state_->tables));
  for (auto& t : state_->tables) t.group->rule->start(t.table->table().weight(), t.table->table().state());
  for (auto& [name, group] : state_->groups) {
    if (group.options.mode == "lazy") continue;
    std::vector<nn::TableStorage*> tables;
    for (auto& t : state_->tables) {
      if (t.group == &group) tables.push_back(&t.table->table());
    }
    if (tables.empty()) continue;
    group.resting = std::make_shared<RestingRows>(tables, group.rule->rest(group.options.l2, group.options.l1));
    for (auto* t : tables) t->set_stale(group.resting);
  }
}

Optimizer::~Optimizer() {
  for (auto& [name, group] : state_->groups) {
    if (group.resting) group.resting->refresh_all();
  }
  for (auto& t : state_->tables) {
    if (t.group->resting) t.table->table().set_stale(nullptr);
  }
}

Config Optimizer::resolve(const Config& config) {
  Config given = config;
  if (!given.has("dense")) given.set("dense", Config::parse("{name: adam}"));
  if (!given.has("embedding")) {  // as dense, unless said otherwise
    given.set("embedding", given["dense"]);
  }
  Config out;
  for (const auto& name : given.keys()) {
    Config group = given[name];
    if (group.is_scalar()) {
      Config named;
      named.set("name", group);
      group = named;
    }
    if (!group.has("name")) group.set("name", Config::scalar("adam", true));
    check_keys(group, name);
    GroupOptions options;
    read_options(options, group_config(group));
    if (!options.schedule.is_null()) options.schedule = schedules().resolve(options.schedule);
    Config resolved;
    const Config rule = update_rules().resolve(rule_config(group));
    resolved.set("name", rule["name"]);
    const Config common = write_options(options);
    for (const auto& key : common.keys()) resolved.set(key, common[key]);
    for (const auto& key : rule.keys()) resolved.set(key, rule[key]);
    out.set(name, resolved);
  }
  return out;
}

double Optimizer::step(const Step& step) {
  const at::NoGradGuard no_grad;
  const StageScope stage(Stage::row_update);
  State& s = *state_;
  for (const auto& name : step.only) s.group(name);
  const auto moves = [&](const Group* group) {
    return step.only.empty() || std::find(step.only.begin(), step.only.end(), group->name) != step.only.end();
  };
  const bool may_rest = step.clip_norm <= 0;  // a norm over all rows needs them now
  for (auto& [name, group] : s.groups) {
    if (group.resting && !may_rest) group.resting->refresh_all();
  }
  std::vector<TableParameter*> touched, whole, elsewhere;
  for (auto& t : s.tables) {
    auto& table = t.table->table();
    const bool is_lazy = t.group->options.mode == "lazy";
    if (!moves(t.group)) {
      table.clear();
    } else if (!table.device().is_cpu()) {
      if (!is_lazy || table.touched()) elsewhere.push_back(&t);
    } else if (!is_lazy && !may_rest) {
      whole.push_back(&t);
    } else if (table.touched()) {
      touched.push_back(&t);
    }
  }
  std::vector<nn::TableStorage*> storages;
  std::vector<TableParameter*> here;
  for (const auto* list : {&touched, &whole}) here.insert(here.end(), list->begin(), list->end());
  for (auto* t : here) storages.push_back(&t->table->table());
  nn::TableStorage::sort(storages);
  NotFinite bad;
  for (auto* t : elsewhere) s.take_gradients(*t, bad);
  std::vector<DenseParameter*> dense;
  for (auto& p : s.dense) {
    if (!moves(p.group)) {
      p.weight.mutable_grad().reset();
      continue;
    }
    if (!p.weight.grad().defined()) {  // unused in this step: only a penalty moves it
      if (!has_penalty(p.group->options)) continue;
      p.weight.mutable_grad() = at::zeros_like(p.weight);
    }
    if (has_penalty(p.group->options)) p.weight.mutable_grad().add_(penalty_gradient(p.weight, p.group->options));
    dense.push_back(&p);
  }

  double norm = 0, scale = 1;
  if (step.clip_norm > 0) {
    double sum = s.sum_gradients(here);
    for (auto* t : whole) sum += s.penalty_norm2(*t);
    for (auto* t : elsewhere) sum += s.table_norm2(*t);
    for (auto* p : dense) sum += p->weight.grad().square().sum(at::kDouble).item<double>();
    norm = std::sqrt(sum);
    scale = std::min(1.0, step.clip_norm / (norm + 1e-6));  // as torch.nn.utils.clip_grad_norm_
  }

  if (!step.same_number) ++s.steps;
  const auto info = [&](const Group* group, bool rows) {
    const auto own = step.own_lr_factors.find(group->name);
    const double factor = own == step.own_lr_factors.end() ? step.lr_factor : own->second;
    return StepInfo{s.steps, group->options.lr * factor, rows && group->options.mode == "lazy"};
  };
  const auto of_rows = [&](const Group* group) { return info(group, true); };
  State::refresh_touched(touched);
  State::move_touched_rows(touched, of_rows, float(scale), bad);
  for (auto& [name, group] : s.groups) {
    if (group.resting && may_rest && moves(&group))
      group.resting->stepped(of_rows(&group), State::storages_of(touched, group));
  }
  for (auto& t : s.tables) {
    if (t.group->resting && may_rest) t.weight_norm2 = -1;
  }
  State::move_all_rows(whole, of_rows, float(scale), step.clip_norm > 0, bad);
  for (auto* t : elsewhere) {
    s.move_anywhere(*t, of_rows(t->group), float(scale));
    t->gradients = {};
  }
  for (auto* t : here) {
    t->table->table().changed();
    t->table->table().clear();
    t->summed = false;
  }
  for (auto* t : whole) t->version = t->table->table().version();  // after every change to rows that tables share
  const StageScope dense_stage(Stage::dense_update);
  State::move_dense(
      dense, [&](const Group* group) { return info(group, false); }, float(scale), bad);
  for (auto* p : dense) p->weight.mutable_grad().reset();
  bad.check(s.steps);
  return norm;
}

void Optimizer::clear_gradients() {
  for (auto& t : state_->tables) t.table->table().clear();
  for (auto& p : state_->dense) p.weight.mutable_grad().reset();
}

int64_t Optimizer::steps() const { return state_->steps; }
void Optimizer::restore(int64_t steps) { state_->steps = steps; }
double Optimizer::lr(const std::string& group) const { return state_->group(group).options.lr; }
Config Optimizer::schedule(const std::string& group) const { return state_->group(group).options.schedule; }

std::vector<std::string> Optimizer::groups() const {
  std::vector<std::string> names;
  for (const auto& [name, group] : state_->groups) names.push_back(name);
  return names;
}

double Optimizer::penalty() const {
  const at::NoGradGuard no_grad;
  double sum = 0;
  const auto add = [&](const at::Tensor& w, const GroupOptions& o) {
    if (o.l2 != 0) sum += 0.5 * o.l2 * w.square().sum(at::kDouble).item<double>();
    if (o.l1 != 0) sum += o.l1 * w.abs().sum(at::kDouble).item<double>();
  };
  for (const auto& p : state_->dense) add(p.weight, p.group->options);
  for (const auto& t : state_->tables) {
    if (t.group->options.mode == "dense") add(t.table->table().weight(), t.group->options);
  }
  return sum;
}

std::map<std::string, at::Tensor> Optimizer::state() const {
  std::map<std::string, at::Tensor> out;
  for (const auto& p : state_->dense) {
    if (p.state.numel() > 0) out[p.name] = p.state;
  }
  for (const auto& t : state_->tables) {
    if (const auto s = t.table->table().state(); s.numel() > 0) out[t.name] = s;
  }
  return out;
}

}  // namespace interplay
