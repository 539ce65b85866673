#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "data/token_index.h"

namespace interplay {

/// Rows in the order (user, time, tie, row). A user or tie may be absent.
class EventOrder {
 public:
  static constexpr uint32_t kNobody = TokenIndex::kAbsent;

  void add(uint32_t user, double time, std::string_view tie);
  size_t size() const { return time_.size(); }
  void finish();  ///< after the last add()

  const std::vector<uint32_t>& rows() const { return order_; }  ///< sorted
  uint32_t user(uint32_t row) const { return user_[row]; }
  bool same_moment(uint32_t a, uint32_t b) const { return time_[a] == time_[b] && tie_[a] == tie_[b]; }
  uint32_t tie_token(uint32_t row) const { return token_of_rank_[tie_[row]]; }  ///< kNobody where absent
  const TokenIndex& ties() const { return ties_; }
  void clear();  ///< all but ties()

 private:
  std::vector<uint32_t> user_;
  std::vector<double> time_;
  std::vector<uint32_t> tie_;  // token number, after finish() its rank; 0 = absent
  TokenIndex ties_;
  std::vector<uint32_t> token_of_rank_;
  std::vector<uint32_t> order_;
};

}  // namespace interplay
