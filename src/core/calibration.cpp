#include <interplay/core/calibration.h>

#include <algorithm>
#include <cmath>

#include <interplay/data/loader.h>
#include <interplay/data/row_facts.h>

namespace interplay {
namespace {

/// Rows of one label that have it and count; `places`: where they are among all.
struct LabelledRows {
  CalibrationRows rows;
  std::vector<size_t> places;

  LabelledRows(const Predictions& p, size_t label, double shift) {
    for (size_t i = 0; i < size_t(p.rows()); ++i) {
      const size_t at = i * size_t(p.labels) + label;
      if (std::isnan(p.label[at]) || p.weight_of(i) <= 0) continue;
      rows.logit.push_back(double(p.logit[at]) + shift), rows.label.push_back(p.label[at]);
      rows.weight.push_back(p.weight_of(i)), places.push_back(i);
    }
  }
  CalibrationRows pick(const std::vector<size_t>& which) const {
    CalibrationRows out;
    for (const size_t i : which) {
      out.logit.push_back(rows.logit[i]), out.label.push_back(rows.label[i]), out.weight.push_back(rows.weight[i]);
    }
    return out;
  }
};

bool has_both_classes(const CalibrationRows& rows) {
  const auto [least, most] = std::minmax_element(rows.label.begin(), rows.label.end());
  return !rows.label.empty() && *least < 0.5 && *most >= 0.5;
}

/// Made anew of its parameters: what is used is what a file can say.
std::shared_ptr<const Calibrator> fitted(const std::string& method, const CalibrationRows& rows) {
  const Config name = Config::scalar(method, true);
  Config config = calibrators().make(name)->fit(rows)->parameters();
  config.set_key("name", name);
  return calibrators().make(config);
}

void check_rows(const Predictions& p) {
  INTERPLAY_CHECK(p.label.size() == p.logit.size(), "calibrate: {} labels beside {} logits; give one of each a row",
                  p.label.size(), p.logit.size());
  for (size_t i = 0; i < p.logit.size(); ++i) {
    if (std::isfinite(p.logit[i])) continue;
    throw Error(
        fmt::format("calibrate: the logit of row {} is {}; expected finite numbers", i / size_t(p.labels), p.logit[i]),
        ErrorKind::numeric);
  }
}

}  // namespace

Calibration Calibration::fit(const Predictions& p, std::span<const int32_t> ids, const Schema& schema,
                             const CalibrateOptions& options) {
  check_rows(p);
  INTERPLAY_CHECK(options.by.empty() || ids.size() == size_t(p.rows()), "calibrate: {} ids of '{}' for {} rows",
                  ids.size(), options.by, p.rows());
  Calibration out;
  out.options_ = options;
  const auto shifts = negative_offsets(options.sampled, options.sampled_label, schema.labels());
  for (size_t t = 0; t < schema.labels().size(); ++t) {
    OfLabel& maps = out.labels_.emplace_back();
    maps.name = schema.labels()[t];
    maps.shift = shifts.empty() ? 0 : shifts[t];
    const LabelledRows all(p, t, maps.shift);
    INTERPLAY_CHECK_DATA(has_both_classes(all.rows),
                         "calibrate: the {} labels '{}' of {} are all of one class; a map needs both",
                         all.places.size(), maps.name, options.split);
    maps.rows = int64_t(all.places.size());
    maps.shared = fitted(options.method, all.rows);
    if (options.by.empty()) continue;
    std::map<int32_t, std::vector<size_t>> by_id;
    for (size_t i = 0; i < all.places.size(); ++i) by_id[ids[all.places[i]]].push_back(i);
    for (const auto& [id, which] : by_id) {
      const CalibrationRows some = all.pick(which);
      if (int64_t(which.size()) < options.min_rows || !has_both_classes(some)) continue;
      maps.slices[id] = {int64_t(which.size()), fitted(options.method, some)};
    }
  }
  return out;
}

const Field* Calibration::field(const Schema& schema) const {
  return options_.by.empty() ? nullptr : &schema.field(options_.by);
}

void Calibration::apply(std::span<float> logits, SliceIds ids) const {
  const size_t labels = labels_.size();
  for (size_t i = 0; i < logits.size(); ++i) {
    const int32_t id = ids.first ? ids.first[int64_t(i / labels) * ids.stride] : 0;
    logits[i] = float(logit(i % labels, id, logits[i]));
  }
}

void Calibration::apply(Predictions& predictions, const Dataset& dataset) const {
  std::vector<int32_t> ids;
  if (!options_.by.empty()) ids = ids_of(dataset, options_.by);
  apply(predictions.logit, {ids.empty() ? nullptr : ids.data()});
}

void undo_sampling(Predictions& predictions, double rate, const std::string& label, const Schema& schema) {
  const auto offsets = negative_offsets(rate, label, schema.labels());
  if (offsets.empty()) return;
  const auto sampled =
      size_t(std::find_if(offsets.begin(), offsets.end(), [](double o) { return o != 0; }) - offsets.begin());
  if (predictions.weight.empty()) predictions.weight.assign(size_t(predictions.rows()), 1.f);
  for (size_t i = 0; i < predictions.weight.size(); ++i) {
    const float y = predictions.label[i * size_t(predictions.labels) + sampled];
    if (y <= 0.5f) predictions.weight[i] /= float(rate);  // NaN is neither, as Loader has it
  }
}

}  // namespace interplay
