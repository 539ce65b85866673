#include <interplay/nn/quantised_rows.h>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <interplay/base/error.h>

namespace interplay::nn {
namespace {

constexpr const char* kWeight = ".weight";
constexpr const char* kScale = ".scale";
constexpr double kMost = 127;

int64_t scales_of(const at::Tensor& rows) {
  return rows.size(1) < QuantisedRows::kNarrow
             ? (rows.size(0) + QuantisedRows::kRowsAScale - 1) / QuantisedRows::kRowsAScale
             : rows.size(0);
}

/// [scales] to [R, 1]
at::Tensor each_row(const at::Tensor& scale, int64_t rows) {
  const int64_t repeats = scale.size(0) == rows ? 1 : QuantisedRows::kRowsAScale;
  return scale.to(at::kFloat).repeat_interleave(repeats).narrow(0, 0, rows).unsqueeze(1);
}

QuantisedRows to_int8(const at::Tensor& rows) {
  const int64_t n = scales_of(rows), together = n == rows.size(0) ? 1 : QuantisedRows::kRowsAScale;
  const auto most = std::get<0>(rows.abs().max(1));
  const auto blocks = at::constant_pad_nd(most, {0, n * together - rows.size(0)}).view({n, together});
  // Up to the next of bf16, so that no number is beyond 127 of them.
  const auto wanted = std::get<0>(blocks.max(1)) / kMost;
  auto scale = wanted.to(at::kBFloat16);
  const auto next = (scale.view(at::kShort) + 1).view(at::kBFloat16);  // positive numbers rise with their bits
  scale = at::where(scale.to(at::kFloat).lt(wanted), next, scale);
  const auto of_row = each_row(scale, rows.size(0));
  const auto q = at::where(of_row.gt(0), rows / of_row, at::zeros_like(rows)).round().clamp(-kMost, kMost);
  return {q.to(at::kChar).contiguous(), scale.contiguous()};
}

}  // namespace

const std::vector<std::string>& quantised_types() {
  static const std::vector<std::string> names{"int8", "fp16", "bf16"};
  return names;
}

QuantisedRows quantise(const at::Tensor& rows, const std::string& type) {
  const at::NoGradGuard no_grad;
  INTERPLAY_CHECK(at::isfinite(rows).all().item<bool>(), "a table holds numbers that are not finite");
  if (type == "int8") return to_int8(rows);
  INTERPLAY_CHECK(type == "fp16" || type == "bf16", "'{}': expected one of {}", type,
                  fmt::join(quantised_types(), ", "));
  return {rows.to(type == "fp16" ? at::kHalf : at::kBFloat16), {}};
}

at::Tensor dequantise(const QuantisedRows& of) {
  const auto rows = of.rows.to(at::kFloat);
  return of.scale.defined() ? rows * each_row(of.scale, rows.size(0)) : rows;
}

std::map<std::string, QuantisedRows> quantised_of(const std::map<std::string, at::Tensor>& entries,
                                                  const std::string& from) {
  std::map<std::string, QuantisedRows> out;
  for (const auto& [name, rows] : entries) {
    const auto type = rows.scalar_type();
    if (!name.ends_with(kWeight) || rows.dim() != 2) continue;
    if (type == at::kHalf || type == at::kBFloat16) out[name] = {rows, {}};
    if (type != at::kChar) continue;
    const auto scale = entries.find(name + kScale);
    INTERPLAY_CHECK_DATA(scale != entries.end(), "{}: entry '{}' is int8, but there is no '{}{}'; the file is damaged",
                         from, name, name, kScale);
    const at::Tensor& s = scale->second;
    INTERPLAY_CHECK_DATA(s.dim() == 1 && s.scalar_type() == at::kBFloat16 && s.size(0) == scales_of(rows) &&
                             at::isfinite(s.to(at::kFloat)).all().item<bool>(),
                         "{}: entry '{}{}' does not fit: expected {} finite numbers in BF16; the file is damaged", from,
                         name, kScale, scales_of(rows));
    out[name] = {rows, s};
  }
  return out;
}

std::map<std::string, at::Tensor> dequantised(std::map<std::string, at::Tensor> entries, const std::string& from) {
  for (const auto& [name, rows] : quantised_of(entries, from)) {
    entries[name] = dequantise(rows);
    entries.erase(name + kScale);
  }
  return entries;
}

}  // namespace interplay::nn
