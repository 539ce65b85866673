#include <interplay/bench/workload.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include <unistd.h>

#include <ATen/Parallel.h>

#include <interplay/base/abi.h>
#include <interplay/base/progress.h>

namespace interplay::bench {
namespace {

std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("model name")) return line.substr(std::min(line.find(": ") + 2, line.size()));
  }
  return "unknown";
}

std::string instructions() {
  std::ifstream in("/proc/cpuinfo");
  std::string flags;
  for (std::string line; flags.empty() && std::getline(in, line);) {
    if (line.starts_with("flags")) flags = line + " ";
  }
  std::vector<std::string> found;
  for (const char* flag : {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}) {
    if (flags.find(fmt::format(" {} ", flag)) != std::string::npos) found.emplace_back(flag);
  }
  return fmt::format("{}", fmt::join(found, " "));
}

Measure& measure(std::vector<Measure>& all, const std::string& name, const std::string& unit) {
  const auto it = std::find_if(all.begin(), all.end(), [&](const auto& m) { return m.name == name; });
  return it != all.end() ? *it : all.emplace_back(Measure{name, unit, {}});
}

}  // namespace

double Measure::median() const {
  auto sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const size_t n = sorted.size();
  return n == 0 ? 0 : (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}
double Measure::min() const { return values.empty() ? 0 : *std::min_element(values.begin(), values.end()); }
double Measure::max() const { return values.empty() ? 0 : *std::max_element(values.begin(), values.end()); }

void Findings::ratio(const std::string& name, double value) { measure(ratios, name, "").values.push_back(value); }
void Findings::figure(const std::string& name, const std::string& unit, double value) {
  measure(figures, name, unit).values.push_back(value);
}

Workload::~Workload() = default;

Registry<Workload>& workloads() {
  static auto* const all = new Registry<Workload>("workload");
  return *all;
}

std::vector<std::pair<std::string, std::string>> machine() {
  const double memory = double(::sysconf(_SC_PHYS_PAGES)) * double(::sysconf(_SC_PAGE_SIZE));
  return {{"cpu", cpu_name()},
          {"instructions", instructions()},
          {"cores", std::to_string(std::thread::hardware_concurrency())},
          {"threads", std::to_string(at::get_num_threads())},
          {"memory", human_bytes(memory)},
          {"interplay", INTERPLAY_VERSION},
          {"libtorch", INTERPLAY_TORCH_VERSION},
          {"torch kernels", at::get_cpu_capability()}};
}

}  // namespace interplay::bench
