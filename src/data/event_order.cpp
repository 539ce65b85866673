#include "data/event_order.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include <interplay/base/error.h>

#include "data/row_values.h"

namespace interplay {
namespace {

/// Tokens as numbers, then those that are none by bytes; equal numbers written differently by bytes too.
std::vector<uint32_t> numeric_order(const TokenIndex& tokens) {
  std::vector<double> numbers(tokens.size(), 0);
  std::vector<uint8_t> textual(tokens.size(), 0);
  for (uint32_t i = 0; i < tokens.size(); ++i) textual[i] = parse_number(tokens.token(i), numbers[i]) ? 0 : 1;
  std::vector<uint32_t> order(tokens.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    if (textual[a] != textual[b]) return textual[a] < textual[b];
    if (!textual[a] && numbers[a] != numbers[b]) return numbers[a] < numbers[b];
    return tokens.token(a) < tokens.token(b);
  });
  return order;
}

}  // namespace

void EventOrder::add(uint32_t user, double time, std::string_view tie) {
  INTERPLAY_CHECK_DATA(time_.size() < UINT32_MAX - 1, "over 2^32 rows cannot be put in order; split the files by hand");
  user_.push_back(user);
  time_.push_back(time);
  tie_.push_back(tie.empty() ? 0 : ties_.insert(tie) + 1);
}

void EventOrder::finish() {
  token_of_rank_ = {kNobody};
  std::vector<uint32_t> rank(ties_.size() + 1, 0);
  for (const uint32_t token : numeric_order(ties_)) {
    rank[token + 1] = uint32_t(token_of_rank_.size());
    token_of_rank_.push_back(token);
  }
  for (uint32_t& tie : tie_) tie = rank[tie];
  order_.resize(time_.size());
  std::iota(order_.begin(), order_.end(), 0u);
  std::sort(order_.begin(), order_.end(), [&](uint32_t a, uint32_t b) {
    return std::tie(user_[a], time_[a], tie_[a], a) < std::tie(user_[b], time_[b], tie_[b], b);
  });
}

void EventOrder::clear() {
  user_ = {};
  time_ = {};
  tie_ = {};
  order_ = {};
  token_of_rank_ = {};
}

}  // namespace interplay
