#include <interplay/core/predictions.h>

#include <cmath>

#include <interplay/base/error.h>

namespace interplay {

std::shared_ptr<const Predictions> Predictions::of_label(int64_t t) const {
  INTERPLAY_CHECK(label.size() == logit.size(), "evaluate: {} labels beside {} logits; give one of each a row",
                  label.size(), logit.size());
  const auto is_missing = [&](size_t i) { return std::isnan(label[i * size_t(labels) + size_t(t)]); };
  const size_t all = size_t(rows());
  bool missing = false;
  for (size_t i = 0; i < all && !missing; ++i) missing = is_missing(i);
  if (labels == 1 && !missing) return {std::shared_ptr<const void>(), this};
  auto out = std::make_shared<Predictions>();
  for (size_t i = 0; i < all; ++i) {
    if (is_missing(i)) continue;
    out->logit.push_back(logit[i * size_t(labels) + size_t(t)]);
    out->label.push_back(label[i * size_t(labels) + size_t(t)]);
    if (!weight.empty()) out->weight.push_back(weight[i]);
    if (!group.empty()) out->group.push_back(group[i]);
    if (missing) out->row.push_back(row.empty() ? int64_t(i) : row[i]);
  }
  if (!missing) out->row = row;
  return out;
}

Predictions Predictions::pick(const std::vector<int64_t>& places) const {
  Predictions out;
  out.labels = labels;
  for (const int64_t i : places) {
    for (int64_t t = 0; t < labels; ++t) {
      out.logit.push_back(logit[size_t(i * labels + t)]);
      out.label.push_back(label[size_t(i * labels + t)]);
    }
    if (!weight.empty()) out.weight.push_back(weight[size_t(i)]);
    if (!group.empty()) out.group.push_back(group[size_t(i)]);
    out.row.push_back(row.empty() ? i : row[size_t(i)]);
  }
  return out;
}

}  // namespace interplay
