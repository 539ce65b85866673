#include "data/read_ahead.h"

namespace interplay {

ReadAhead::ReadAhead(std::shared_ptr<Reader> reader, const RowParser& parser, std::shared_ptr<BadRows> bad_rows)
    : reader_(std::move(reader)), parser_(parser), bad_rows_(std::move(bad_rows)), thread_([this] { run(); }) {}

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ReadAhead::run() {
  std::exception_ptr error;
  try {
    for (Item item; reader_->next(item.batch); item = Item()) {
      item.values = parser_.parse(item.batch, true, bad_rows_.get());
      const int64_t total = reader_->bytes_total();
      item.share_done = total > 0 ? double(reader_->bytes_done()) / double(total) : 0;
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stop_ || ready_.size() < kAhead; });
      if (stop_) return;
      ready_.push_back(std::move(item));
      changed_.notify_all();
    }
  } catch (...) {
    error = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  error_ = error;
  ended_ = true;
  changed_.notify_all();
}

bool ReadAhead::next(RawBatch& batch, RowValues& values) {
  values = RowValues();
  batch = RawBatch();  // its memory goes before the next batch comes
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ended_ || !ready_.empty(); });
  if (ready_.empty()) {
    if (error_) std::rethrow_exception(error_);
    return false;
  }
  batch = std::move(ready_.front().batch);
  values = std::move(ready_.front().values);
  share_done_ = ready_.front().share_done;
  ready_.pop_front();
  changed_.notify_all();
  return true;
}

double ReadAhead::share_done() const {
  const std::lock_guard lock(mutex_);
  return share_done_;
}

}  // namespace interplay
