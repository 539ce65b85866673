#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include <interplay/nn/table_storage.h>
#include <interplay/optim/update_rule.h>

namespace interplay {

/// The rows of one group's tables whose rule moves every row at every step (`mode: dense`), moved only when they are
/// read: rows that nobody reads move by the penalty alone, so their steps can wait, and cost no pass over the memory of
/// all tables each. What is read is the same as if they had not waited.
class RestingRows final : public nn::StaleRows {
 public:
  RestingRows(std::vector<nn::TableStorage*> tables, std::unique_ptr<UpdateRule::Rest> rest);

  /// The present step has moved the touched rows of these tables; all others are to take it later.
  void stepped(const StepInfo& step, const std::vector<nn::TableStorage*>& touched);
  void refresh_all();  ///< nothing waits afterwards

  void refresh(const nn::TableStorage& table, const int32_t* ids, int64_t stride, int64_t count) override;
  void refresh_all(const nn::TableStorage& table) override;

 private:
  struct Table {
    nn::TableStorage* storage;
    std::vector<int32_t> taken;  // of the kept steps, those that a row has taken
  };
  size_t find(const nn::TableStorage& table) const;
  void refresh_rows(Table& table, int64_t first, int64_t count);
  void refresh_tables(const std::vector<size_t>& which);

  std::vector<Table> tables_;
  std::vector<std::mutex> mutexes_;  // one a table
  std::map<const nn::TableStorage*, size_t> places_;
  std::unique_ptr<UpdateRule::Rest> rest_;
};

}  // namespace interplay
