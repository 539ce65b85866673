#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "data/schema/token_index.h"
#include "data/spec/number.h"

namespace interplay {

/// Rows in the order (user, time, ties in turn, row). A user or tie may be absent.
class EventOrder {
 public:
  static constexpr uint32_t kNobody = TokenIndex::kAbsent;

  explicit EventOrder(size_t ties) : ties_(ties) {}
  void add(uint32_t user, ExactTime time, std::span<const std::string_view> ties);
  size_t size() const { return time_.size(); }
  void finish();  ///< after the last add()

  const std::vector<uint32_t>& rows() const { return order_; }  ///< sorted
  uint32_t user(uint32_t row) const { return user_[row]; }
  bool same_time(uint32_t a, uint32_t b) const { return time(a) == time(b); }
  bool same_moment(uint32_t a, uint32_t b) const;          ///< the same time and the same ties
  uint32_t tie_token(uint32_t row, size_t tie = 0) const;  ///< kNobody where absent
  const TokenIndex& tokens(size_t tie = 0) const { return ties_[tie].tokens; }
  void clear();  ///< all but tokens()

 private:
  struct Tie {
    std::vector<uint32_t> of_row;  // token number + 1, after finish() its rank + 1; 0 = absent
    TokenIndex tokens;
    std::vector<uint32_t> token_of_rank;
  };
  bool before(uint32_t a, uint32_t b) const;
  ExactTime time(uint32_t row) const { return {time_[row], rest_.empty() ? 0.0f : rest_[row]}; }
  std::vector<uint32_t> user_;
  std::vector<double> time_;
  std::vector<float> rest_;  // beside time_, or empty: few times have one
  std::vector<Tie> ties_;
  std::vector<uint32_t> order_;
};

}  // namespace interplay
