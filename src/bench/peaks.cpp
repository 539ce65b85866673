#include <interplay/bench/peaks.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <stop_token>
#include <thread>

#include <sys/mman.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <interplay/base/error.h>
#include <interplay/base/random.h>
#include <interplay/base/simd.h>
#include <interplay/nn/embedding.h>
#include <interplay/nn/table_storage.h>

namespace interplay::bench {
namespace {

constexpr int64_t kRowsPerTask = 4096, kAhead = 24;  // rows on their way while one is worked on
constexpr int64_t kRowFloats = 16;                   // 64 bytes

volatile float sink;       // what is computed has to be used
volatile float one = 1.f;  // what is written has to look as if it could differ

void add_matrices(const torch::nn::Module& module, std::vector<MatrixProducts::Shape>& found) {
  const auto* const grouped = dynamic_cast<const nn::HasGroup*>(&module);
  if (!grouped || grouped->parameter_group() == "dense") {
    for (const auto& p : module.named_parameters(false)) {
      const auto& w = p.value();
      if (p.key() == "bias") continue;  // of several layers, one a row
      if (w.dim() == 2 && w.size(1) > 1) found.push_back({w.size(1), w.size(0)});
      for (int64_t layer = 0; w.dim() == 3 && layer < w.size(0); ++layer) found.push_back({w.size(2), w.size(1)});
    }
  }
  for (const auto& child : module.named_children()) add_matrices(*child.value(), found);
}

INTERPLAY_CLONES float read_rows(const float* weight, int64_t stride, int64_t width, const int32_t* ids, int64_t begin,
                                 int64_t end) {
  simd::Floats all{};
  float rest = 0;
  for (int64_t i = begin; i < end; ++i) {
    if (i + kAhead < end) {
      const float* const row = weight + int64_t(ids[i + kAhead]) * stride;
      for (int64_t k = 0; k < width; k += kRowFloats) __builtin_prefetch(row + k, 0, 0);
    }
    const float* const row = weight + int64_t(ids[i]) * stride;
    int64_t k = 0;
    for (; k + simd::kLanes <= width; k += simd::kLanes) all += simd::load(row + k);
    for (; k < width; ++k) rest += row[k];
  }
  return simd::sum(all) + rest;
}

INTERPLAY_CLONES void update_rows(float* weight, int64_t stride, const int32_t* ids, int64_t begin, int64_t end,
                                  float scale) {
  for (int64_t i = begin; i < end; ++i) {
    if (i + kAhead < end) {
      const float* const row = weight + int64_t(ids[i + kAhead]) * stride;
      for (int64_t k = 0; k < stride; k += kRowFloats) __builtin_prefetch(row + k, 1, 0);
    }
    float* const row = weight + int64_t(ids[i]) * stride;
    int64_t k = 0;
    for (; k + simd::kLanes <= stride; k += simd::kLanes) simd::store(row + k, simd::load(row + k) * scale);
    for (; k < stride; ++k) row[k] *= scale;
  }
}

INTERPLAY_CLONES float read_all(const float* from, int64_t begin, int64_t end) {
  simd::Floats a{}, b{}, c{}, d{};
  for (int64_t i = begin; i + 64 <= end; i += 64) {
    a += simd::load(from + i);
    b += simd::load(from + i + 16);
    c += simd::load(from + i + 32);
    d += simd::load(from + i + 48);
  }
  return simd::sum(a + b + c + d);
}

int64_t anonymous_bytes() {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("RssAnon:")) return std::atoll(line.c_str() + 8) * 1024;
  }
  return 0;
}

}  // namespace

std::vector<MatrixProducts::Shape> MatrixProducts::shapes(const torch::nn::Module& model) {
  std::vector<Shape> found;
  add_matrices(model, found);
  return found;
}

MatrixProducts::MatrixProducts(const std::vector<Shape>& shapes, int64_t rows, at::ScalarType type, Passes passes)
    : rows_(rows) {
  const auto random = [&](int64_t m, int64_t n) { return at::randn({m, n}).to(type); };
  for (const auto& [in, out] : shapes) {
    const auto add = [&](int64_t m, int64_t k, int64_t n) {
      products_.push_back({random(m, k), random(k, n)});
      flops_ += 2.0 * double(m) * double(k) * double(n);
    };
    add(rows, in, out);
    if (passes == Passes::forward) continue;
    add(rows, out, in);
    add(out, rows, in);
  }
}

void MatrixProducts::run() const {
  const at::NoGradGuard no_grad;
  for (const auto& p : products_) at::mm(p.left, p.right);
}

RowTraffic::RowTraffic(const torch::nn::Module& model, const Schema& schema, const Features& x) {
  if (!x.ids.defined()) return;
  std::set<std::pair<const float*, int64_t>> known;  // tables that share rows are one
  for (const auto& named : nn::tables_of(model)) {
    auto& table = named.table->table();
    const std::string name = named.name.substr(named.name.rfind('.') + 1);
    for (const auto* field : schema.of(FieldKind::categorical)) {
      if (field->table != name || !known.emplace(table.row_data(), field->column).second) continue;
      const auto ids = x.ids.select(1, field->column).contiguous();
      Column c{table.row_data(), table.stride(), table.width(), {}, {}};
      c.ids.assign(ids.const_data_ptr<int32_t>(), ids.const_data_ptr<int32_t>() + ids.numel());
      c.distinct = c.ids;
      std::sort(c.distinct.begin(), c.distinct.end());
      c.distinct.erase(std::unique(c.distinct.begin(), c.distinct.end()), c.distinct.end());
      if (!c.distinct.empty() && c.distinct.front() == 0) c.distinct.erase(c.distinct.begin());  // padding
      columns_.push_back(std::move(c));
    }
  }
}

void RowTraffic::run() const {
  const float scale = one;
  at::parallel_for(0, int64_t(columns_.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const auto& [weight, stride, width, ids, distinct] = columns_[size_t(c)];
      sink = read_rows(weight, stride, width, ids.data(), 0, int64_t(ids.size()));
    }
  });
  at::parallel_for(0, int64_t(columns_.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const auto& column = columns_[size_t(c)];
      update_rows(column.weight, column.stride, column.distinct.data(), 0, int64_t(column.distinct.size()), scale);
    }
  });
}

Memory::Memory(int64_t bytes) : rows_(bytes / 2 / 64) {
  INTERPLAY_CHECK(rows_ >= 1 && rows_ < int64_t(1) << 31, "memory: {} bytes cannot be measured; take 1 KB to 256 GB",
                  bytes);
  void* const memory =
      ::mmap(nullptr, size_t(2 * rows_ * 64), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  INTERPLAY_CHECK(memory != MAP_FAILED, "memory: {} bytes could not be had", bytes);
  ::madvise(memory, size_t(2 * rows_ * 64), MADV_HUGEPAGE);
  buffer_ = static_cast<float*>(memory);
  at::parallel_for(0, 2 * rows_, kRowsPerTask, [&](int64_t begin, int64_t end) {
    std::memset(buffer_ + begin * kRowFloats, 1, size_t(end - begin) * 64);
  });
  order_.resize(size_t(std::min<int64_t>(rows_, int64_t(1) << 22)));
  for (size_t i = 0; i < order_.size(); ++i) order_[i] = int32_t(random_bits(1, 0, i) % uint64_t(rows_));
}

Memory::~Memory() { ::munmap(buffer_, size_t(2 * rows_ * 64)); }

MemoryPeak Memory::measure() const {
  const double bytes = double(rows_) * 64, random_bytes = double(order_.size()) * 64;
  const float scale = one;
  MemoryPeak out;
  const auto in_parallel = [](int64_t n, const auto& work) {
    return seconds_of([&] { at::parallel_for(0, n, kRowsPerTask, work); });
  };
  out.read = bytes / in_parallel(rows_, [&](int64_t begin, int64_t end) {
               sink = read_all(buffer_, begin * kRowFloats, end * kRowFloats);
             });
  out.copy =
      2 * bytes / in_parallel(rows_, [&](int64_t begin, int64_t end) {
        std::memcpy(buffer_ + (rows_ + begin) * kRowFloats, buffer_ + begin * kRowFloats, size_t(end - begin) * 64);
      });
  out.random_read = random_bytes / in_parallel(int64_t(order_.size()), [&](int64_t begin, int64_t end) {
                      sink = read_rows(buffer_, kRowFloats, kRowFloats, order_.data(), begin, end);
                    });
  out.random_update =
      random_bytes / in_parallel(int64_t(order_.size()), [&](int64_t begin, int64_t end) {
        update_rows(buffer_, kRowFloats, order_.data(), begin, end, scale);  // a row drawn twice may lose an update
      });
  return out;
}

struct AnonymousMemory::State {
  std::atomic<int64_t> peak{anonymous_bytes()};
  std::jthread thread{[this](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      peak = std::max(peak.load(), anonymous_bytes());
    }
  }};
};

AnonymousMemory::AnonymousMemory() : state_(std::make_unique<State>()) {}
AnonymousMemory::~AnonymousMemory() = default;
int64_t AnonymousMemory::peak_bytes() const { return std::max(state_->peak.load(), anonymous_bytes()); }

}  // namespace interplay::bench
