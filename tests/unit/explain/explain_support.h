#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <interplay/core/model.h>
#include <interplay/data/dataset.h>

#include "support/toy_rows.h"

namespace interplay::testing {

/// Rows of categorical fields `a`, `b`, ... of `values` tokens each. ids: [rows][fields]
inline Dataset categorical_rows(const std::vector<std::vector<int32_t>>& ids, const std::vector<float>& label,
                                int64_t values) {
  std::vector<Field> fields;
  for (size_t f = 0; f < ids.front().size(); ++f)
    fields.push_back(make_field(std::string(1, char('a' + f)), FieldKind::categorical, values + 2));
  EncodedBatch batch;
  batch.rows = int64_t(ids.size());
  for (const auto& row : ids) batch.ids.insert(batch.ids.end(), row.begin(), row.end());
  batch.labels = label;
  return Dataset::from(Schema(fields, {"click"}), {batch});
}

/// Rows of numbers `a`, `b`, ...: values [rows][fields]
inline Dataset numeric_rows(const std::vector<std::vector<float>>& values, const std::vector<float>& label) {
  std::vector<Field> fields;
  for (size_t f = 0; f < values.front().size(); ++f)
    fields.push_back(make_field(std::string(1, char('a' + f)), FieldKind::numeric));
  EncodedBatch batch;
  batch.rows = int64_t(values.size());
  for (const auto& row : values) batch.dense.insert(batch.dense.end(), row.begin(), row.end());
  batch.labels = label;
  return Dataset::from(Schema(fields, {"click"}), {batch});
}

/// A model in eval mode, all of whose weights are 0.
inline std::shared_ptr<Model> blank_model(const std::string& config, const Schema& schema) {
  auto model = make_model(Config::parse(config), schema);
  model->eval();
  for (auto& [name, weight] : weights_of(*model)) weight.zero_();
  return model;
}

/// Sets one weight by name: the values in their order.
inline void set_weight(const Model& model, const std::string& name, const std::vector<float>& values) {
  const at::NoGradGuard no_grad;
  auto weight = weights_of(model).at(name);
  weight.copy_(at::tensor(values).view(weight.sizes()));
}

}  // namespace interplay::testing
