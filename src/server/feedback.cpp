#include "server/feedback.h"

#include <algorithm>

#include <fmt/format.h>

#include <interplay/base/files.h>

namespace interplay::server {

void Feedback::forget_oldest() {
  const auto oldest = requests_.find(order_.front());
  order_.pop_front();
  if (oldest == requests_.end()) return;
  rows_ -= int64_t(oldest->second.p.size());
  requests_.erase(oldest);
}

void Feedback::remember(const std::string& id, std::shared_ptr<ServedVersion> version, std::span<const float> p) {
  const auto rows = int64_t(p.size());
  if (rows > most_) return;
  const std::lock_guard lock(mutex_);
  const auto [place, added] = requests_.try_emplace(id);
  if (added) {
    order_.push_back(id);
  } else {
    rows_ -= int64_t(place->second.p.size());
  }
  place->second = {std::move(version), nullptr, {p.begin(), p.end()}, {}, std::vector<bool>(p.size())};
  rows_ += rows;
  while (rows_ > most_ && order_.size() > 1) forget_oldest();
}

void Feedback::remember_shadow(const std::string& id, std::shared_ptr<ServedVersion> shadow, std::span<const float> p) {
  const std::lock_guard lock(mutex_);
  const auto place = requests_.find(id);
  if (place == requests_.end() || place->second.p.size() != p.size()) return;
  place->second.shadow = std::move(shadow);
  place->second.of_shadow.assign(p.begin(), p.end());
}

Feedback::Known Feedback::known(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto place = requests_.find(id);
  if (place == requests_.end()) return {};
  const auto& of = place->second;
  return {of.version->labels(), int64_t(of.p.size() / of.version->outputs().size())};
}

Feedback::Told Feedback::take(const std::string& id, int64_t row, const std::string& label, float value) {
  const std::lock_guard lock(mutex_);
  const Told told = judge(id, row, label, value);
  ++counts_[size_t(told)];
  return told;
}

Feedback::Told Feedback::judge(const std::string& id, int64_t row, const std::string& label, float value) {
  const auto place = requests_.find(id);
  if (place == requests_.end()) {
    const uint64_t told = hash64(fmt::format("{}\n{}\n{}", row, label, id));
    if (!strangers_.insert(told).second) return Told::repeated;
    strangers_order_.push_back(told);
    if (int64_t(strangers_order_.size()) > most_) {
      strangers_.erase(strangers_order_.front());
      strangers_order_.pop_front();
    }
    return Told::unknown;
  }
  Remembered& of = place->second;
  const auto& labels = of.version->labels();
  const auto which = size_t(std::find(labels.begin(), labels.end(), label) - labels.begin());
  const size_t i = size_t(row) * labels.size() + which;
  if (which >= labels.size() || i >= of.told.size()) return Told::unknown;  // another request took the id meanwhile
  if (of.told[i]) return Told::repeated;
  of.told[i] = true;
  of.version->stats().labelled[which].add({of.p[i], of.p[i], value});
  if (of.shadow) of.shadow->stats().labelled[which].add({of.of_shadow[i], of.p[i], value});
  return Told::taken;
}

int64_t Feedback::count(Told what) const {
  const std::lock_guard lock(mutex_);
  return counts_[size_t(what)];
}

}  // namespace interplay::server
