#include "data/order/event_order.h"

#include <algorithm>
#include <numeric>

#include <interplay/base/error.h>

namespace interplay {
namespace {

/// Tokens as numbers, then those that are none by bytes; equal numbers written differently by bytes too.
std::vector<uint32_t> numeric_order(const TokenIndex& tokens) {
  std::vector<ExactTime> numbers(tokens.size());
  std::vector<uint8_t> textual(tokens.size(), 0);
  for (uint32_t i = 0; i < tokens.size(); ++i) {
    const bool number = parse_number(tokens.token(i), numbers[i].nearest);
    textual[i] = number ? 0 : 1;
    if (number) parse_rest(tokens.token(i), numbers[i].nearest, numbers[i].rest);
  }
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

void EventOrder::add(uint32_t user, ExactTime time, std::span<const std::string_view> ties) {
  INTERPLAY_CHECK_DATA(time_.size() < UINT32_MAX - 1, "over 2^32 rows cannot be put in order; split the files by hand");
  INTERPLAY_ASSERT(ties.size() == ties_.size());
  user_.push_back(user);
  if (time.rest != 0) rest_.resize(time_.size(), 0.0f);
  time_.push_back(time.nearest);
  if (time.rest != 0 || !rest_.empty()) rest_.push_back(time.rest);
  for (size_t t = 0; t < ties.size(); ++t) {
    ties_[t].of_row.push_back(ties[t].empty() ? 0 : ties_[t].tokens.insert(ties[t]) + 1);
  }
}

bool EventOrder::before(uint32_t a, uint32_t b) const {
  if (user_[a] != user_[b]) return user_[a] < user_[b];
  if (!same_time(a, b)) return time(a) < time(b);
  for (const Tie& tie : ties_) {
    if (tie.of_row[a] != tie.of_row[b]) return tie.of_row[a] < tie.of_row[b];
  }
  return a < b;
}

void EventOrder::finish() {
  for (Tie& tie : ties_) {
    tie.token_of_rank = {kNobody};
    std::vector<uint32_t> rank(tie.tokens.size() + 1, 0);
    for (const uint32_t token : numeric_order(tie.tokens)) {
      rank[token + 1] = uint32_t(tie.token_of_rank.size());
      tie.token_of_rank.push_back(token);
    }
    for (uint32_t& of_row : tie.of_row) of_row = rank[of_row];
  }
  order_.resize(time_.size());
  std::iota(order_.begin(), order_.end(), 0u);
  std::sort(order_.begin(), order_.end(), [&](uint32_t a, uint32_t b) { return before(a, b); });
}

bool EventOrder::same_moment(uint32_t a, uint32_t b) const {
  return same_time(a, b) &&
         std::all_of(ties_.begin(), ties_.end(), [&](const Tie& tie) { return tie.of_row[a] == tie.of_row[b]; });
}

uint32_t EventOrder::tie_token(uint32_t row, size_t tie) const {
  return ties_[tie].token_of_rank[ties_[tie].of_row[row]];
}

void EventOrder::clear() {
  user_ = {};
  time_ = {};
  rest_ = {};
  order_ = {};
  for (Tie& tie : ties_) tie.of_row = {}, tie.token_of_rank = {};
}

}  // namespace interplay
