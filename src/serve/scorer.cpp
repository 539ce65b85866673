#include <interplay/serve/scorer.h>

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>

#include <interplay/base/log.h>
#include <interplay/base/random.h>
#include <interplay/core/bundle.h>
#include <interplay/data/loader.h>
#include <interplay/nn/embedding.h>
#include <interplay/nn/table_storage.h>

#include "serve/scorer_state.h"

namespace interplay {
namespace {

constexpr int64_t kProbeRows = 5, kCheckedRows = 37;  // neither a usual width nor a multiple of a vector
constexpr double kTolerance = 1e-6;                   // of p, as docs/design.md has it

std::vector<float> probabilities(std::vector<float> logits) {
  for (float& v : logits) v = to_probability(v);
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

/// How many entries a sequence has in a made-up row: none, a few, now and then many.
int64_t random_length(const Field& field, int64_t row, uint64_t seed) {
  constexpr int64_t kFew = 7, kMany = 70;
  const int64_t length = row % 8 == 5 ? kMany : int64_t(kFew * random_unit(seed, uint64_t(row), 0));
  return field.max_length > 0 ? std::min(length, field.max_length) : length;
}

/// Rows whose ids are drawn evenly from their tables, numbers from N(0, 1); columns of the user are those of the first
/// row. Texts have two tokens each.
EncodedBatch random_rows(const Schema& schema, int64_t rows, const UserColumns& user, uint64_t seed) {
  EncodedBatch batch;
  batch.rows = rows;
  for (int64_t r = 0; r < rows; ++r) {
    for (const Field* f : schema.of(FieldKind::categorical)) {
      const bool first = r == 0 || !user.ids[size_t(f->column)];
      const double u = random_unit(seed, uint64_t(f->column), uint64_t(r));
      batch.ids.push_back(first ? int32_t(u * double(f->rows)) : batch.ids[size_t(f->column)]);
    }
    for (const Field* f : schema.of(FieldKind::numeric)) {
      const bool first = r == 0 || !user.dense[size_t(f->column)];
      const double x = random_normal(seed + 1, uint64_t(f->column), uint64_t(r));
      batch.dense.push_back(first ? float(x) : batch.dense[size_t(f->column)]);
    }
  }
  for (const Field* f : schema.of(FieldKind::sequence)) {
    auto& sequence = batch.sequences.emplace_back();
    sequence.offsets.push_back(0);
    const Field& owner = f->paired_with.empty() ? *f : schema.field(f->paired_with);
    const auto stream = seed + 2 + uint64_t(owner.column);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t row = user.sequences[size_t(f->column)] ? 3 + 2 * int64_t(seed % 2) : r;  // a few, or many
      for (int64_t e = 0; e < random_length(owner, row, stream); ++e) {
        const double u = random_unit(stream, uint64_t(row), uint64_t(1000 * f->column + e + 1));
        sequence.ids.push_back(int32_t(std::min<int64_t>(1 + int64_t(u * double(f->rows - 1)), f->rows - 1)));
        if (f->weighted) sequence.weights.push_back(float(1 + u));
      }
      sequence.offsets.push_back(int64_t(sequence.ids.size()));
    }
  }
  for (const Field* f : schema.of(FieldKind::vector)) {
    auto& vectors = batch.vectors.emplace_back();
    for (int64_t r = 0; r < rows; ++r) {
      const auto row = uint64_t(user.vectors[size_t(f->column)] ? 0 : r);
      for (int64_t k = 0; k < f->dimension; ++k)
        vectors.push_back(float(random_normal(seed + 3 + uint64_t(f->column), row, uint64_t(k))));
    }
  }
  for (const Field* f : schema.of(FieldKind::text)) {
    auto& text = batch.texts.emplace_back();
    text.ids.assign(size_t(2 * rows), int32_t(std::min<int64_t>(1, f->rows - 1)));
    text.columns.assign(size_t(2 * rows), -1);
    for (int64_t r = 0; r <= rows; ++r) text.offsets.push_back(2 * r);
  }
  return batch;
}

/// Encoded rows of a request in which nothing is the user's alone; `sequences` and `vectors` hold what it points to.
ScoringPlan::Request request_of(const EncodedBatch& rows, std::vector<ScoringPlan::Sequence>& sequences,
                                std::vector<std::span<const float>>& vectors) {
  for (const auto& s : rows.sequences)
    sequences.push_back({s.ids.data(), s.offsets.data(), s.weights.empty() ? nullptr : s.weights.data()});
  vectors.assign(rows.vectors.begin(), rows.vectors.end());
  return {rows.ids.data(), rows.dense.data(), rows.ids.data(), rows.dense.data(), rows.rows, sequences,
          sequences,       vectors,           vectors};
}

}  // namespace

float to_probability(float logit) { return float(1 / (1 + std::exp(-double(logit)))); }

CompiledModel::Loan::Loan(const CompiledModel& owner) : owner_(owner) {
  {
    const std::lock_guard lock(owner.mutex_);
    if (!owner.idle_.empty()) {
      memory_ = std::move(owner.idle_.back());
      owner.idle_.pop_back();
      return;
    }
  }
  memory_ = std::make_unique<Memory>();
  memory_->workspace = owner.plan_.workspace();
}

CompiledModel::Loan::~Loan() {
  const std::lock_guard lock(owner_.mutex_);
  owner_.idle_.push_back(std::move(memory_));
}

Scorer::State::State(Encoder e, std::shared_ptr<Model> m, std::vector<double> logit_offsets,
                     std::shared_ptr<const Calibration> found,
                     const std::map<std::string, nn::QuantisedRows>& quantised)
    : encoder(std::move(e)),
      model(std::move(m)),
      offsets(std::move(logit_offsets)),
      calibration(std::move(found)),
      columns(encoder.columns({.labels = false})) {
  const Schema& schema = encoder.schema();
  if (const Field* field = calibration ? calibration->field(schema) : nullptr) slice_column = field->column;
  const UserColumns nobody = UserColumns::none(schema);
  try {
    const auto probe = to_features(random_rows(schema, kProbeRows, nobody, 1), schema);
    auto found = ForwardGraph::record(*model, probe, fallback_reason);
    if (found) graph = std::make_shared<const ForwardGraph>(std::move(*found));
    if (graph) whole = compile(nobody, fallback_reason);
  } catch (const std::exception& error) {  // it cannot read rows made up at random: real ones will tell
    fallback_reason = error.what();
  }
  if (!whole) graph = nullptr;
  if (graph && !quantised.empty()) read_packed(quantised);
  if (graph) {
    log::debug("scorer: the model runs compiled, {} steps", graph->nodes.size());
  } else {
    log::debug("scorer: the model runs through LibTorch: {}", fallback_reason);
  }
}

/// The compiled model was held against the model with its tables unpacked; from here on it reads them as they are.
void Scorer::State::read_packed(const std::map<std::string, nn::QuantisedRows>& quantised) {
  std::map<const float*, std::shared_ptr<const PackedRows>> by_rows;
  for (const auto& [name, table] : nn::tables_of(*model)) {
    const auto found = quantised.find(name + ".weight");
    if (found == quantised.end()) continue;
    const auto packed = std::make_shared<const PackedRows>(found->second);
    by_rows.emplace(table->table().data(), packed);
  }
  auto reads = std::make_shared<ForwardGraph>(*graph);
  reads->read_packed(by_rows);
  graph = std::move(reads);
  auto packed = compile(UserColumns::none(encoder.schema()), fallback_reason);
  INTERPLAY_ASSERT(packed);
  whole = std::move(packed);
  model = nullptr;
}

std::unique_ptr<const CompiledModel> Scorer::State::compile(const UserColumns& user, std::string& why) const {
  auto compiled = std::make_unique<const CompiledModel>(graph, user);
  const Schema& schema = encoder.schema();
  const CompiledModel::Loan memory(*compiled);
  for (uint64_t seed = 2; seed < 4; ++seed) {
    const EncodedBatch rows = random_rows(schema, kCheckedRows, user, seed);
    const auto expected = logits(to_features(rows, schema));
    std::vector<float> found(size_t(rows.rows * compiled->plan().labels()));
    if (found.size() != expected.size()) return why = "its steps give another number of logits", nullptr;
    memory->sequences.clear();
    compiled->plan().run(request_of(rows, memory->sequences, memory->vectors), memory->workspace, found.data());
    correct(found, rows.ids.data(), schema.count(FieldKind::categorical));
    for (size_t i = 0; i < found.size(); ++i) {
      const double p = to_probability(found[i]), q = to_probability(expected[i]);
      if (!(std::fabs(p - q) <= kTolerance))
        return why = fmt::format("its steps give p = {:.9f} where it gives {:.9f}", p, q), nullptr;
    }
  }
  return compiled;
}

void Scorer::State::correct(std::span<float> logits, const int32_t* ids, int64_t stride) const {
  for (size_t i = 0; !offsets.empty() && i < logits.size(); ++i) logits[i] += float(offsets[i % offsets.size()]);
  if (!calibration) return;
  calibration->apply(logits, {slice_column < 0 ? nullptr : ids + slice_column, stride});
}

std::vector<float> Scorer::State::logits(const Features& x) const {
  const at::NoGradGuard no_grad;
  if (!model) return run_whole(x);
  auto logit = model->forward(x).logit;
  INTERPLAY_CHECK(logit.defined(),
                  "the model gives no logits yet: it was pre-trained, and nothing can be scored by it");
  logit = logit.contiguous();
  std::vector<float> out(logit.const_data_ptr<float>(), logit.const_data_ptr<float>() + logit.numel());
  const at::Tensor ids = slice_column < 0 ? at::Tensor() : x.ids.contiguous();
  correct(out, ids.defined() ? ids.const_data_ptr<int32_t>() : nullptr, ids.defined() ? ids.size(1) : 0);
  return out;
}

std::vector<float> Scorer::State::logits(const EncodedBatch& rows) const {
  if (!whole || (model && rows.rows > kSmallBatch)) return logits(to_features(rows, encoder.schema()));
  std::vector<ScoringPlan::Sequence> sequences;
  std::vector<std::span<const float>> vectors;
  return run(request_of(rows, sequences, vectors));
}

std::vector<float> Scorer::State::run_whole(const Features& x) const {
  std::vector<at::Tensor> held;
  const auto numbers = [&](const at::Tensor& t) { return held.emplace_back(t.contiguous()).const_data_ptr<float>(); };
  std::vector<ScoringPlan::Sequence> sequences;
  std::vector<std::span<const float>> vectors;
  for (const Sequence& s : x.sequences) {
    sequences.push_back({s.ids.const_data_ptr<int32_t>(), s.offsets.const_data_ptr<int64_t>(),
                         s.weights.defined() ? s.weights.const_data_ptr<float>() : nullptr});
  }
  for (const at::Tensor& v : x.vectors) vectors.emplace_back(numbers(v), size_t(v.numel()));
  const at::Tensor ids = x.ids.contiguous();
  return run({.user_ids = nullptr,
              .user_dense = nullptr,
              .ids = ids.const_data_ptr<int32_t>(),
              .dense = numbers(x.dense),
              .rows = x.rows,
              .user_sequences = {},
              .sequences = sequences,
              .user_vectors = {},
              .vectors = vectors});
}

std::vector<float> Scorer::State::run(const ScoringPlan::Request& request) const {
  std::vector<float> out(size_t(request.rows * whole->plan().labels()));
  const CompiledModel::Loan memory(*whole);
  whole->plan().run(request, memory->workspace, out.data());
  correct(out, request.ids, encoder.schema().count(FieldKind::categorical));
  return out;
}

Scorer Scorer::load(const std::filesystem::path& run) { return of(Bundle::open(run)); }
Scorer Scorer::load_unread(const std::filesystem::path& run) { return of(Bundle::open_unread(run)); }

Scorer Scorer::of(const Bundle& bundle) {
  Scorer scorer;
  const Encoder encoder = Encoder::load(bundle.directory());
  encoder.check();
  scorer.state_ = std::make_shared<const State>(encoder, bundle.mapped_model(), bundle.logit_offsets(),
                                                bundle.calibration(), bundle.quantised());
  return scorer;
}

const Schema& Scorer::schema() const { return state_->encoder.schema(); }
std::vector<std::string> Scorer::columns() const { return state_->columns; }
bool Scorer::holds_whole_numbers(const std::string& column) const {
  return state_->encoder.holds_whole_numbers(column);
}

std::string Scorer::separator(const std::string& column) const { return state_->encoder.separator(column); }
const std::string& Scorer::fallback_reason() const { return state_->fallback_reason; }

std::vector<float> Scorer::logits(const RawBatch& rows) const {
  if (rows.rows == 0) return {};
  return state_->logits(state_->encoder.encode(rows, {.labels = false}));
}

std::vector<float> Scorer::logits(const RawBatch& rows, BadRows& bad_rows, std::vector<int64_t>& kept) const {
  kept.clear();
  if (rows.rows == 0) return {};
  const EncodedBatch encoded = state_->encoder.encode(rows, {.labels = false}, &bad_rows, &kept);
  return encoded.rows == 0 ? std::vector<float>() : state_->logits(encoded);
}

std::vector<float> Scorer::score(const RawBatch& rows, BadRows& bad_rows, std::vector<int64_t>& kept) const {
  return probabilities(logits(rows, bad_rows, kept));
}

std::vector<float> Scorer::score(const RawBatch& rows) const { return probabilities(logits(rows)); }
std::vector<float> Scorer::score(const std::vector<Row>& rows) const { return score(to_columns(rows, columns())); }

std::vector<FieldValues> Scorer::count_values(const RawBatch& rows) const {
  return interplay::count_values(to_features(state_->encoder.encode(rows, {.labels = false}), schema()), schema());
}

std::vector<float> Scorer::logits(const Dataset& dataset, int64_t batch_size) const {
  std::vector<float> all;
  Loader loader(dataset.select(schema()), LoaderOptions{.batch_size = batch_size, .shuffle = false});
  loader.start(0, 0);
  for (Batch batch; loader.next(batch);) {
    const auto some = state_->logits(batch.features);
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

std::vector<float> Scorer::score(const Dataset& dataset, int64_t batch_size) const {
  return probabilities(logits(dataset, batch_size));
}

}  // namespace interplay
