#include "server/feedback.h"

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

std::vector<std::string> Feedback::labels(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto place = requests_.find(id);
  return place == requests_.end() ? std::vector<std::string>() : place->second.version->labels();
}

bool Feedback::take(const std::string& id, int64_t row, size_t label, float value) {
  const std::lock_guard lock(mutex_);
  const bool known = judge(id, row, label, value);
  ++(known ? taken_ : unknown_);
  return known;
}

bool Feedback::judge(const std::string& id, int64_t row, size_t label, float value) {
  const auto place = requests_.find(id);
  if (place == requests_.end()) return false;
  Remembered& of = place->second;
  const size_t labels = of.version->outputs().size();
  if (row < 0 || row >= int64_t(of.p.size() / labels) || label >= labels) return false;
  const size_t i = size_t(row) * labels + label;
  if (of.told[i]) return false;
  of.told[i] = true;
  of.version->stats().labelled[label].add({of.p[i], of.p[i], value});
  if (of.shadow) of.shadow->stats().labelled[label].add({of.of_shadow[i], of.p[i], value});
  return true;
}

int64_t Feedback::taken() const {
  const std::lock_guard lock(mutex_);
  return taken_;
}

int64_t Feedback::unknown() const {
  const std::lock_guard lock(mutex_);
  return unknown_;
}

}  // namespace interplay::server
