#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <torch/nn/module.h>

#include <interplay/base/files.h>
#include <interplay/nn/safetensors.h>

namespace interplay::testing {

inline std::filesystem::path reference_file(const std::string& name) {
  return std::filesystem::path(INTERPLAY_TESTS_DIR) / "reference" / "data" / name;
}

inline nlohmann::ordered_json reference_json(const std::string& name) {
  return nlohmann::ordered_json::parse(read_file(reference_file(name)));
}

/// Numbers in lists in lists as f32.
inline at::Tensor json_tensor(const nlohmann::ordered_json& values) {
  std::vector<int64_t> shape;
  std::vector<float> flat;
  for (const auto* at = &values; at->is_array(); at = &at->front()) shape.push_back(int64_t(at->size()));
  const std::function<void(const nlohmann::ordered_json&)> add = [&](const auto& v) {
    if (!v.is_array()) return flat.push_back(v.template get<float>());
    for (const auto& item : v) add(item);
  };
  add(values);
  return at::tensor(flat).view(shape);
}

/// Gives a parameter the value that is stored for it.
inline void put(torch::nn::Module& module, const std::string& name, const at::Tensor& value) {
  const at::NoGradGuard no_grad;
  auto parameters = module.named_parameters();
  ASSERT_TRUE(parameters.contains(name)) << name;
  parameters[name].copy_(value);
}

/// The stored tensors `<group>/<name>` of one group. Remembers which were read, so that none is left out unnoticed.
class Stored {
 public:
  Stored(const std::string& file, const std::string& group) : file_(reference_file(file)), prefix_(group + "/") {}

  at::Tensor at(const std::string& name) {
    read_.insert(name);
    return file_.at(prefix_ + name);
  }
  bool has(const std::string& name) const { return file_.has(prefix_ + name); }
  /// What is stored under names that begin with `beginning`, without it.
  std::vector<std::string> names(const std::string& beginning = "") const {
    std::vector<std::string> out;
    for (const auto& [name, tensor] : file_.tensors()) {
      if (name.starts_with(prefix_ + beginning)) out.push_back(name.substr(prefix_.size() + beginning.size()));
    }
    return out;
  }
  std::vector<std::string> unread() const {
    std::vector<std::string> out;
    for (const auto& name : names()) {
      if (!read_.contains(name)) out.push_back(name);
    }
    return out;
  }

 private:
  nn::Safetensors file_;
  std::string prefix_;
  std::set<std::string> read_;
};

/// The largest difference between two tensors of one shape, as a share of the largest expected value or of 1.
inline void expect_near(const at::Tensor& found, const at::Tensor& expected, double tolerance,
                        const std::string& what) {
  ASSERT_TRUE(found.defined()) << what;
  ASSERT_EQ(found.sizes(), expected.sizes()) << what;
  if (expected.numel() == 0) return;
  const auto want = expected.detach().to(at::kDouble);
  const double scale = std::max(1.0, want.abs().max().item<double>());
  const double difference = (found.detach().to(at::kDouble) - want).abs().max().item<double>();
  EXPECT_LE(difference, tolerance * scale) << what << ": found\n" << found << "\nexpected\n" << expected;
}

}  // namespace interplay::testing
