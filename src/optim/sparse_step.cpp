#include "optim/sparse_step.h"

#include <algorithm>
#include <span>

#include <interplay/base/tasks.h>
#include <interplay/nn/table_storage.h>

#include "optim/row_math.h"

namespace interplay {
namespace {

constexpr int64_t kBlock = 32;          // rows whose gradients are built at a time: they stay in the first-level cache
constexpr int64_t kTouchedBlock = 128;  // touched rows likewise, those of the next block being on their way
constexpr int64_t kTouchedPerTask = 16 * kTouchedBlock, kRowsPerTask = 128 * kBlock;

/// Tables whose rows move together, one stretch of memory after another: they were read by the same ids, or share their
/// rows.
struct Together {
  std::vector<TableParameter*> tables;
  int64_t rows;  // touched, or all
};

/// A stretch of work on one table, or on several together.
struct Stretch {
  const Together* tables;
  int64_t first, count;
};
std::vector<Stretch> stretches(const std::vector<Together>& all, int64_t step) {
  std::vector<Stretch> out;
  for (const auto& t : all) {
    for (int64_t first = 0; first < t.rows; first += step) out.push_back({&t, first, std::min(step, t.rows - first)});
  }
  return out;
}

/// Puts a table with those before it that have the same key.
template <class Key>
void put_together(std::map<Key, size_t>& known, const Key& key, TableParameter* t, int64_t rows,
                  std::vector<Together>& all) {
  const auto [it, fresh] = known.try_emplace(key, all.size());
  if (fresh) all.push_back({{}, rows});
  all[it->second].tables.push_back(t);
}

float* room(size_t floats) {
  thread_local std::vector<float> memory;
  if (memory.size() < floats) memory.resize(floats);
  return memory.data();
}

/// Gradients of rows first .. first + rows of a whole table, those of absent rows being the penalty's: g [rows, K].
void gradients_of_rows(const TableParameter& t, int64_t first, int64_t rows, float* g, float* sums) {
  const auto& table = t.storage();
  const int64_t width = table.width();
  const auto& options = t.group->options;
  set_penalty(table.data() + first * table.stride(), table.row_data() + first * table.stride(), table.stride(), g, rows,
              width, float(options.l2), float(options.l1));
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

/// Fetches the rows of a block, with all that lies beside them.
void prefetch(const Together& tables, std::span<const int32_t> rows) {
  const nn::TableStorage* last = nullptr;
  for (const auto* t : tables.tables) {
    const auto& table = t->storage();
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
void move_touched(const Stretch& work, StepState& step) {
  const auto& together = *work.tables;
  const auto touched = together.tables.front()->storage().touched_rows();
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
      auto& table = t->storage();
      const int64_t width = table.width(), stride = table.stride();
      const auto& options = t->group->options;
      float* g = t->sums.data() + first * width;
      if (!t->summed) {
        g = room(size_t(kTouchedBlock * width));
        table.sum_gradients(first, count, g);
        if (t->group->has_penalty())
          add_penalty(table.data(), stride, rows.data(), g, count, width, float(options.l2), float(options.l1));
      }
      if (!all_finite(g, count * width)) {
        step.bad.found(t->module_name(), rows[size_t(first_not_finite(g, count * width) / width)], true);
        continue;
      }
      for (int64_t k = 0; step.scale != 1 && k < count * width; ++k) g[k] *= step.scale;
      t->group->rule->update({table.data(), g, table.state_data(), count, width, stride, stride, rows.data()},
                             step.info(*t->group, true));
    }
  }
}

/// Some rows of dense tables, counted from the first after padding. Returns |w|^2 of each table's, after the move.
std::vector<double> move_rows(const Stretch& work, StepState& step) {
  const auto& together = *work.tables;
  std::vector<double> norms(together.tables.size());
  const int64_t end = 1 + work.first + work.count;
  for (int64_t first = 1 + work.first; first < end; first += kBlock) {
    const int64_t rows = std::min(kBlock, end - first);
    for (size_t i = 0; i < together.tables.size(); ++i) {
      TableParameter& t = *together.tables[i];
      auto& table = t.storage();
      const int64_t width = table.width(), stride = table.stride();
      float* const g = room(size_t(2 * kBlock * width));
      gradients_of_rows(t, first, rows, g, g + kBlock * width);
      if (!all_finite(g, rows * width)) {
        step.bad.found(t.module_name(), first + first_not_finite(g, rows * width) / width, true);
        continue;
      }
      for (int64_t k = 0; step.scale != 1 && k < rows * width; ++k) g[k] *= step.scale;
      float* const w = table.data() + first * stride;
      t.group->rule->update({w, g, table.state_data() + first * stride, rows, width, stride, stride},
                            step.info(*t.group, true));
      if (step.clips()) norms[i] += norm2(w, stride, nullptr, rows, width);
    }
  }
  return norms;
}

/// Rows that wait for steps have to take them before the present one; those read in this step have.
void refresh_touched(const std::vector<TableParameter*>& tables) {
  run_tasks(int64_t(tables.size()), [&](int64_t i) {
    const auto& t = *tables[size_t(i)];
    const auto rows = t.storage().touched_rows();
    if (t.group->resting) t.group->resting->refresh(t.storage(), rows.data(), 1, int64_t(rows.size()));
  });
}

at::Tensor full_gradient(const TableParameter& t) {  // [V, K]
  auto g = t.group->penalty(t.storage().weight());
  g[0].zero_();
  return g.index_add_(0, t.gradients.rows, t.gradients.grad);
}

}  // namespace

double sum_gradients(const std::vector<TableParameter*>& tables) {
  std::vector<Together> all;
  for (auto* t : tables) {
    const auto& table = t->storage();
    t->sums.resize(table.touched_rows().size() * size_t(table.width()));
    t->summed = true;
    all.push_back({{t}, int64_t(table.touched_rows().size())});
  }
  const auto work = stretches(all, kTouchedPerTask);
  std::vector<double> partial(work.size());  // by place, so that the sum has one order
  run_tasks(int64_t(work.size()), [&](int64_t i) {
    TableParameter& t = *work[size_t(i)].tables->tables.front();
    const auto& table = t.storage();
    const int64_t first = work[size_t(i)].first, count = work[size_t(i)].count, width = table.width();
    const auto& options = t.group->options;
    const int32_t* const rows = table.touched_rows().data() + first;
    float* const g = t.sums.data() + first * width;
    table.sum_gradients(first, count, g);
    if (t.group->is_lazy()) {
      if (t.group->has_penalty())
        add_penalty(table.data(), table.stride(), rows, g, count, width, float(options.l2), float(options.l1));
      partial[size_t(i)] = norm2(g, width, nullptr, count, width);
    } else if (!t.group->has_penalty()) {
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

double penalty_norm2(TableParameter& t) {
  auto& table = t.storage();
  const auto& options = t.group->options;
  if (t.group->is_lazy() || !t.group->has_penalty()) return 0;
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

void move_touched_rows(const std::vector<TableParameter*>& tables, StepState& step) {
  refresh_touched(tables);
  std::vector<Together> all;
  std::map<const void*, size_t> known;
  for (auto* t : tables) {
    const auto& table = t->storage();
    const void* const reads = table.common_reads();
    put_together(known, reads ? reads : t, t, int64_t(table.touched_rows().size()), all);
  }
  const auto work = stretches(all, kTouchedPerTask);
  run_tasks(int64_t(work.size()), [&](int64_t i) { move_touched(work[size_t(i)], step); });
}

void move_all_rows(const std::vector<TableParameter*>& tables, StepState& step) {
  std::vector<Together> all;
  std::map<const void*, size_t> known;
  for (auto* t : tables) {
    const auto& table = t->storage();
    put_together<const void*>(known, table.row_data(), t, table.rows() - 1, all);
  }
  const auto work = stretches(all, kRowsPerTask);
  std::vector<std::vector<double>> norms(work.size());
  run_tasks(int64_t(work.size()), [&](int64_t i) { norms[size_t(i)] = move_rows(work[size_t(i)], step); });
  for (auto* t : tables) t->weight_norm2 = step.clips() ? 0 : -1;
  for (size_t i = 0; i < work.size(); ++i) {  // in the order of the rows
    for (size_t k = 0; step.clips() && k < norms[i].size(); ++k) work[i].tables->tables[k]->weight_norm2 += norms[i][k];
  }
}

double norm2_elsewhere(const TableParameter& t) {
  return (t.group->is_lazy() ? t.gradients.grad : full_gradient(t)).square().sum().item<double>();
}

void move_elsewhere(const TableParameter& t, const StepInfo& info, float scale) {
  const auto& storage = t.storage();
  if (t.group->is_lazy()) {
    const auto& rows = t.gradients.rows;
    auto w = storage.weight().index_select(0, rows), s = storage.state().index_select(0, rows);
    t.group->rule->update(w, t.gradients.grad * scale, s, info);
    storage.weight().index_copy_(0, rows, w);
    storage.state().index_copy_(0, rows, s);
  } else {
    t.group->rule->update(storage.weight().slice(0, 1), full_gradient(t).slice(0, 1) * scale,
                          storage.state().slice(0, 1), info);
  }
}

}  // namespace interplay
