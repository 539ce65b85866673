#include <interplay/core/frozen_run.h>

#include <ATen/ATen.h>

#include <interplay/base/files.h>
#include <interplay/data/field_encoding.h>

namespace fs = std::filesystem;

namespace interplay {
namespace {

/// What decides the meaning of a field's ids and numbers.
std::string meaning(const Field& field) {
  FieldEncoding encoding;
  read_options(encoding, field.encoding);
  return fmt::format("{} of {} rows in table '{}'\n{}", to_string(field.kind), field.rows, field.table,
                     write_options(encoding.values).yaml());
}

/// These columns of f32 or i32 [B, N].
at::Tensor take(const at::Tensor& all, const std::vector<int64_t>& columns) {
  if (!all.defined()) return all;
  bool same = int64_t(columns.size()) == all.size(1);
  for (size_t i = 0; i < columns.size(); ++i) same = same && columns[i] == int64_t(i);
  return same ? all : all.index_select(1, at::tensor(columns, at::kLong).to(all.device()));
}

template <class Value>
std::vector<Value> take(const std::vector<Value>& all, const std::vector<int64_t>& columns) {
  std::vector<Value> out;
  out.reserve(columns.size());
  for (const int64_t c : columns) out.push_back(all[size_t(c)]);
  return out;
}

}  // namespace

void RunOption::read_option(const Config& from) {
  const auto given = from.as<std::string>();
  path_ = given.empty() ? fs::path() : fs::absolute(given).lexically_normal();
}

Config RunOption::write_option() const { return Config::scalar(path_.string(), true); }

FrozenRun::FrozenRun(const RunOption& run, const Schema& schema) {
  const auto bundle = Bundle::open(run.path());
  schema_ = bundle.schema();
  const std::string place = run.path().string();
  for (const Field& own : schema_.fields()) {
    const Field* const given = schema.find(own.name);
    INTERPLAY_CHECK(given,
                    "{}: this run reads field '{}', which the experiment's rows have not; prepare the data with it, or "
                    "leave it in `fields:`",
                    place, own.name);
    INTERPLAY_CHECK_DATA(meaning(*given) == meaning(own),
                         "{}: field '{}' is encoded otherwise in the experiment's data, so that its values mean other "
                         "things; train that run on data with these vocabularies (prepare --vocabulary-from)",
                         place, own.name);
    auto& columns = own.kind == FieldKind::categorical ? ids_
                    : own.kind == FieldKind::numeric   ? dense_
                    : own.kind == FieldKind::sequence  ? sequences_
                    : own.kind == FieldKind::vector    ? vectors_
                                                       : tokens_;
    columns.push_back(given->column);
  }
  model_ = bundle.model();
  for (auto& p : model_->parameters()) p.set_requires_grad(false);
  checksum_ = hash64_file(run.path() / Bundle::kWeights);
}

Features FrozenRun::features(const Features& x) const {
  Features out;
  out.rows = x.rows;
  out.ids = take(x.ids, ids_);
  out.dense = take(x.dense, dense_);
  out.sequences = take(x.sequences, sequences_);
  out.vectors = take(x.vectors, vectors_);
  out.tokens = take(x.tokens, tokens_);
  return out;
}

}  // namespace interplay
