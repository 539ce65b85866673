#include <interplay/serve/scorer.h>

#include <cmath>

#include <ATen/ATen.h>

#include <interplay/core/bundle.h>
#include <interplay/data/encoder.h>
#include <interplay/data/loader.h>

namespace interplay {
namespace {

/// In double: two logits that differ in the last bit must not end in the same float more often than they have to.
std::vector<float> sigmoid(std::vector<float> logits) {
  for (float& v : logits) v = float(1 / (1 + std::exp(-double(v))));
  return logits;
}

RawBatch to_columns(const std::vector<Scorer::Row>& rows, const std::vector<std::string>& columns) {
  RawBatch batch;
  batch.rows = int64_t(rows.size());
  for (const auto& name : columns) {
    std::vector<std::string> cells;
    bool present = rows.empty();
    for (const auto& row : rows) {
      const auto it = row.find(name);
      present = present || it != row.end();
      cells.push_back(it == row.end() ? "" : it->second);
    }
    if (present) batch.columns.push_back(make_raw_column(name, cells));
  }
  return batch;
}

}  // namespace

struct Scorer::State {
  Encoder encoder;
  std::shared_ptr<Model> model;
  double offset;

  std::vector<float> logits(const Features& x) const {
    const at::NoGradGuard no_grad;
    auto logit = model->forward(x).logit;
    if (offset != 0) logit = logit + offset;
    logit = logit.contiguous();
    return {logit.const_data_ptr<float>(), logit.const_data_ptr<float>() + logit.numel()};
  }
};

Scorer Scorer::load(const std::filesystem::path& run) {
  const Bundle bundle = Bundle::open(run);
  Scorer scorer;
  scorer.state_ = std::make_shared<const State>(State{Encoder::load(run), bundle.model(), bundle.logit_offset()});
  return scorer;
}

const Schema& Scorer::schema() const { return state_->encoder.schema(); }
std::vector<std::string> Scorer::columns() const { return state_->encoder.columns({.labels = false}); }

std::vector<float> Scorer::logits(const RawBatch& rows) const {
  if (rows.rows == 0) return {};
  return state_->logits(to_features(state_->encoder.encode(rows, {.labels = false}), schema()));
}

std::vector<float> Scorer::score(const RawBatch& rows) const { return sigmoid(logits(rows)); }
std::vector<float> Scorer::score(const std::vector<Row>& rows) const { return score(to_columns(rows, columns())); }

std::vector<float> Scorer::score(const Dataset& dataset, int64_t batch_size) const {
  std::vector<float> all;
  Loader loader(dataset.select(schema()), LoaderOptions{.batch_size = batch_size, .shuffle = false});
  loader.start(0, 0);
  for (Batch batch; loader.next(batch);) {
    const auto some = state_->logits(batch.features);
    all.insert(all.end(), some.begin(), some.end());
  }
  return sigmoid(std::move(all));
}

}  // namespace interplay
