#include "train/stretch.h"

#include <algorithm>
#include <cmath>

namespace interplay {

void Stretch::add(const StepReport& step) {
  loss_sum_ += step.loss;
  ++steps_;
  rows_ += step.rows;
  tokens_ += step.tokens;
  for (const auto& part : step.terms) {
    auto known = std::find_if(terms_.begin(), terms_.end(), [&](const auto& t) { return t.name == part.first; });
    if (known == terms_.end()) known = terms_.insert(known, {part.first});
    known->sum += part.second;
    ++known->steps;
  }
}

void Stretch::add(const StageSeconds& passed) {
  for (size_t i = 0; i < kStages; ++i) stages_[i] += passed[i];
}

void Stretch::tell(EpochReport& r) const {
  r.train_loss = steps_ > 0 ? loss_sum_ / double(steps_) : NAN;
  for (const auto& t : terms_) r.terms.emplace_back(t.name, t.sum / double(t.steps));
  r.rows = rows_ - rows_before_;
  for (size_t i = 0; i < kStages; ++i) r.stages[i] = stages_[i] - stages_before_[i];
  r.seconds = total(r.stages);
  r.rows_per_s = r.seconds > 0 ? double(r.rows) / r.seconds : 0;
}

void Stretch::begin() {
  loss_sum_ = 0, steps_ = 0, rows_before_ = rows_, stages_before_ = stages_;
  terms_.clear();
}

nlohmann::ordered_json Stretch::state() const {
  auto terms = nlohmann::ordered_json::array();
  for (const auto& t : terms_) terms.push_back({{"name", t.name}, {"sum", t.sum}, {"steps", t.steps}});
  nlohmann::ordered_json out{{"loss_sum", loss_sum_},
                             {"loss_steps", steps_},
                             {"terms", terms},
                             {"rows", rows_},
                             {"rows_before", rows_before_},
                             {"stage_seconds", stages_},
                             {"stage_seconds_before", stages_before_}};
  if (tokens_ > 0) out["tokens"] = tokens_;
  return out;
}

void Stretch::restore(const nlohmann::ordered_json& s) {
  loss_sum_ = s.at("loss_sum"), steps_ = s.at("loss_steps"), rows_ = s.at("rows"), rows_before_ = s.at("rows_before");
  terms_.clear();
  for (const auto& t : s.at("terms")) terms_.push_back({t.at("name"), t.at("sum"), t.at("steps")});
  stages_ = s.at("stage_seconds"), stages_before_ = s.at("stage_seconds_before");
}

}  // namespace interplay
