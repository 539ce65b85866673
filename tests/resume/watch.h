#pragma once

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include <nlohmann/json.hpp>

namespace interplay::testing {

/// "" where there is none, yet.
inline std::string read(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Polls often: some of what it waits for is there for a millisecond alone.
inline bool wait_for(const std::function<bool()>& condition, const std::function<bool()>& alive, double seconds = 60) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < until) {
    if (condition()) return true;
    if (!alive()) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return false;
}

/// What takes how long differs from run to run.
inline nlohmann::ordered_json without_timings(nlohmann::ordered_json json) {
  if (json.is_object()) {
    for (const char* key : {"rows_per_s", "seconds", "profile", "stage_seconds", "stage_seconds_before"})
      json.erase(key);
  }
  if (json.is_structured()) {
    for (auto& item : json) item = without_timings(item);
  }
  return json;
}

}  // namespace interplay::testing
