#include <interplay/explain/attribution.h>

#include <bit>
#include <cmath>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>
#include <interplay/nn/embedding.h>

#include "explain_support.h"
#include "support/error_of.h"

namespace interplay::attribution_test {
namespace {

using testing::config_error;
using ::testing::HasSubstr;
using Vectors = std::vector<std::vector<double>>;  // a field: its weight in the linear term, then its numbers

constexpr int kFields = 5, kRows = 40, kValues = 6;

Dataset rows() {
  std::vector<std::vector<int32_t>> ids;
  std::vector<float> label;
  for (int r = 0; r < kRows; ++r) {
    auto& row = ids.emplace_back();
    for (int f = 0; f < kFields; ++f) row.push_back(1 + (r * (2 * f + 3) + f) % kValues);
    label.push_back(float(r % 2));
  }
  return testing::categorical_rows(ids, label, kValues);
}

/// Weights of no pattern, the padding row zero.
double weight(const std::string& table, int64_t row, int64_t column) {
  return row == 0 ? 0 : std::sin(12.9898 * double(table.back()) + 3.233 * double(row) + 1.77 * double(column));
}

std::shared_ptr<Model> model_of(const std::string& config, const Schema& schema) {
  auto model = testing::blank_model(config, schema);
  for (auto& [name, tensor] : weights_of(*model)) {
    if (tensor.dim() != 2) continue;
    const std::string table = name.substr(0, name.size() - std::string(".weight").size());
    std::vector<float> values;
    for (int64_t r = 0; r < tensor.size(0); ++r) {
      const bool linear = table.starts_with("linear");
      for (int64_t k = 0; k < tensor.size(1); ++k) values.push_back(float(weight(table, r, linear ? -1 : k)));
    }
    testing::set_weight(*model, name, values);
  }
  return model;
}

/// The vectors of a row's fields, and their means over all rows.
Vectors vectors_of(const Dataset& data, int64_t row, int64_t width) {
  Vectors out;
  const auto ids = data.slice(row, 1).features.ids;
  for (int f = 0; f < kFields; ++f) {
    const std::string table(1, char('a' + f));
    auto& v = out.emplace_back();
    for (int64_t k = -1; k < width; ++k) v.push_back(weight(table, ids[0][f].item<int64_t>(), k));
  }
  return out;
}
Vectors mean_vectors(const Dataset& data, int64_t width) {
  Vectors mean(kFields, std::vector<double>(size_t(width) + 1));
  for (int64_t r = 0; r < kRows; ++r) {
    const Vectors one = vectors_of(data, r, width);
    for (size_t f = 0; f < mean.size(); ++f)
      for (size_t k = 0; k < mean[f].size(); ++k) mean[f][k] += one[f][k] / kRows;
  }
  return mean;
}

using Logit = std::function<double(const Vectors&)>;

double linear(const Vectors& v) {
  double sum = 0;
  for (const auto& field : v) sum += field[0];
  return sum;
}
double fm(const Vectors& v) {
  double sum = linear(v);
  for (size_t i = 0; i < v.size(); ++i) {
    for (size_t j = i + 1; j < v.size(); ++j)
      for (size_t k = 1; k < v[i].size(); ++k) sum += v[i][k] * v[j][k];
  }
  return sum;
}
/// Of field i the numbers [j K, (j + 1) K) are those that it keeps for field j. Juan et al. 2016, eq. 4.
double ffm(const Vectors& v) {
  const size_t width = (v[0].size() - 1) / kFields;
  double sum = linear(v);
  for (size_t i = 0; i < v.size(); ++i) {
    for (size_t j = i + 1; j < v.size(); ++j)
      for (size_t k = 0; k < width; ++k) sum += v[i][1 + j * width + k] * v[j][1 + i * width + k];
  }
  return sum;
}

/// Shapley's values by their definition, over all sets of fields; those not in a set have the baseline's vectors.
std::vector<double> shapley(const Logit& logit, const Vectors& row, const Vectors& baseline) {
  const auto value = [&](unsigned set) {
    Vectors v = baseline;
    for (unsigned f = 0; f < kFields; ++f)
      if (set >> f & 1) v[f] = row[f];
    return logit(v);
  };
  std::vector<double> out(kFields);
  for (unsigned f = 0; f < kFields; ++f) {
    for (unsigned set = 0; set < 1u << kFields; ++set) {
      if (set >> f & 1) continue;
      const int size = std::popcount(set);
      out[f] += std::tgamma(size + 1) * std::tgamma(kFields - size) / std::tgamma(kFields + 1) *
                (value(set | 1u << f) - value(set));
    }
  }
  return out;
}

void expect_shapley(const std::string& config, const Logit& logit, int64_t width) {
  SCOPED_TRACE(config);
  const Dataset data = rows();
  const auto model = model_of(config, data.schema());
  const SampledRows sample(data);
  const Attributor attribute({*model}, sample);
  const Vectors baseline = mean_vectors(data, width);
  for (const int64_t row : {0, 7}) {
    const auto found = attribute(data.slice(row, 1).features);
    const Vectors own = vectors_of(data, row, width);
    EXPECT_NEAR(found.logit, logit(own), 1e-4);
    EXPECT_NEAR(found.baseline, logit(baseline), 1e-4);
    EXPECT_TRUE(found.complete);
    EXPECT_EQ(found.steps, 16);  // exact at once
    const auto expected = shapley(logit, own, baseline);
    ASSERT_EQ(found.fields.size(), size_t(kFields));
    for (size_t f = 0; f < kFields; ++f) EXPECT_NEAR(found.fields[f].second, expected[f], 1e-4) << f;
  }
}

TEST(Attribution, IsShapleysOnALinearModel) { expect_shapley("{name: lr}", linear, 0); }
TEST(Attribution, IsShapleysOnAnFm) { expect_shapley("{name: fm, embedding_dim: 3}", fm, 3); }
TEST(Attribution, IsShapleysOnAnFfm) { expect_shapley("{name: ffm, embedding_dim: 2}", ffm, 2 * kFields); }

TEST(Attribution, HalvesAProductOfTwoNumbers) {
  const Dataset data = testing::numeric_rows({{-1, -2}, {1, -2}, {-1, 2}, {1, 2}}, {0, 1, 0, 1});
  const auto model = testing::blank_model("{name: fm, embedding_dim: 1}", data.schema());
  testing::set_weight(*model, "fields.numeric", {1, 3});
  const auto found = Attributor({*model}, SampledRows(data))(data.slice(3, 1).features);
  EXPECT_NEAR(found.baseline, 0, 1e-6);
  EXPECT_NEAR(found.logit, 6, 1e-6);
  EXPECT_NEAR(found.fields[0].second, 3, 1e-5);
  EXPECT_NEAR(found.fields[1].second, 3, 1e-5);
}

/// A model as if it had learnt something.
std::shared_ptr<Model> learnt(const std::string& config, const Schema& schema) {
  const at::NoGradGuard no_grad;
  auto model = make_model(Config::parse(config), schema, 5);
  model->eval();
  at::manual_seed(3);
  for (const auto& t : nn::tables_of(*model)) t.table->weight().slice(0, 1).normal_(0, 0.5);
  return model;
}

TEST(Attribution, SaysWhereTheStepsDoNotSuffice) {
  const Dataset data = rows();
  const auto model = learnt("{name: dnn, embedding_dim: 3, hidden: [8]}", data.schema());
  const auto features = data.slice(7, 1).features;
  const SampledRows sample(data);
  const auto rough = Attributor({*model}, sample, {.steps = 1, .most_steps = 1, .tolerance = 1e-9})(features);
  EXPECT_FALSE(rough.complete);
  const auto fine = Attributor({*model}, sample, {.steps = 1, .most_steps = 4096, .tolerance = 1e-3})(features);
  EXPECT_TRUE(fine.complete);
  EXPECT_GT(fine.steps, 1);
  EXPECT_LE(std::abs(fine.error), 1e-3 * std::max(1.0, std::abs(fine.logit - fine.baseline)));
}

/// Of every model: what its fields are given adds up, histories, vectors and all; and it is left as it was.
class AttributionOf : public ::testing::TestWithParam<std::string> {};

TEST_P(AttributionOf, AddsUpToTheLogitLessTheBaselines) {
  const bool several = GetParam() == "esmm";  // has two labels by itself
  Schema schema = testing::toy_schema();
  auto batch = testing::toy_rows(0, 32, /*side_columns=*/false);
  for (float& v : batch.vectors[0]) v /= 32;
  for (float& v : batch.dense) v /= 16;
  if (!several) {
    schema = schema.with_labels({"click"});
    std::vector<float> clicks;
    for (size_t i = 0; i < batch.labels.size(); i += 2) clicks.push_back(batch.labels[i]);
    batch.labels = clicks;
  }
  const Dataset data = Dataset::from(schema, {batch});
  const auto model = learnt(fmt::format("{{name: {}}}", GetParam()), schema);
  const auto before = model->forward(data.slice(0, 32).features).logit;
  if (!before.defined()) GTEST_SKIP() << "has no logit";
  const SampledRows sample(data);
  const Attributor attribute({*model}, sample, {.tolerance = 2e-3});
  double most = 0;
  for (const int64_t row : {3, 4, 22}) {  // with a history, and without
    const auto found = attribute(data.slice(row, 1).features);
    EXPECT_TRUE(found.complete) << "off by " << found.error << " after " << found.steps << " steps";
    most = std::max(most, std::abs(found.logit - found.baseline));
  }
  EXPECT_GT(most, 0.01);  // else nothing was shown
  EXPECT_TRUE(at::equal(before, model->forward(data.slice(0, 32).features).logit));
}

INSTANTIATE_TEST_SUITE_P(Models, AttributionOf, ::testing::ValuesIn(models().names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace interplay::attribution_test
