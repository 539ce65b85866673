#include <interplay/train/term_means.h>

#include <algorithm>

#include <ATen/ATen.h>

#include "train/wanted_metrics.h"

namespace interplay {

void TermMeans::add(const Output& out, const Batch& given) {
  if (out.terms.empty()) return;
  const Batch b = device_.is_cpu() ? given : given.to(device_);
  for (const auto& part : objective_.terms(out, b)) {
    const std::string name = name_of_term(part.name);
    auto known = std::find_if(sums_.begin(), sums_.end(), [&](const auto& t) { return t.first.name == name; });
    if (known == sums_.end()) known = sums_.insert(known, {MetricValue{name, display_of(name), 0}, 0});
    known->first.value += double(b.rows()) * part.value.item<double>();
    known->second += double(b.rows());
  }
}

std::vector<MetricValue> TermMeans::values() const {
  std::vector<MetricValue> out;
  for (auto [mean, rows] : sums_) {
    mean.value /= rows;
    mean.merit = -mean.value;
    out.push_back(std::move(mean));
  }
  return out;
}

}  // namespace interplay
