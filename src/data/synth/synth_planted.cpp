#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <numeric>

#include <interplay/base/error.h>
#include <interplay/base/files.h>

#include "data/synth/synth_plan.h"
#include "data/synth/synth_shapes.h"

namespace interplay::synth {
namespace {

enum Stream : uint64_t {
  kShare = 1 << 20,
  kValue = 2 << 20,
  kLinear = 3 << 20,
  kTable = 4 << 20,
  kNoise = 5 << 20,
  kHidden = 6 << 20,
  kKernel = 7 << 20,
  kFactor = 8 << 20
};

/// A field's categories.
struct Field {
  std::vector<double> cumulative;  // shares, summed up
  std::vector<double> linear;      // effect of each category
  std::vector<double> hidden;      // [categories, width]
  int64_t width = 0;
};

/// A row's values, and the parts of its sum: noise, noise + linear, noise + linear + sets.
struct Row {
  std::vector<int64_t> values;
  double noise, with_linear, sum;
};

/// Immutable once made: any thread may draw any row.
class Generator {
 public:
  explicit Generator(const SynthOptions& options)
      : options_(options), seed_(uint64_t(options.seed)), plan_(plan_of(options)) {
    INTERPLAY_CHECK(options.categories >= 2 * options.fields, "categories: {} are too few for {} fields of two or more",
                    options.categories, options.fields);
    for (int64_t f = 0; f < options.fields; ++f) make_field(f);
    for (size_t s = 0; s < plan_.sets.size(); ++s) make_kernel(s);
    measure();
  }

  void append(fmt::memory_buffer& out, int64_t index, Row& row) const {
    draw(index, row);
    out.push_back(row.sum > threshold_ ? '1' : '0');
    for (const int64_t value : row.values) {
      out.push_back(',');
      out.append(fmt::format_int(value));
    }
    out.push_back('\n');
  }

  std::string truth_yaml() const {
    return fmt::format("# What decides the labels.\n{}oracle: {{auc: {:.4f}, linear_auc: {:.4f}}}\n", plan_yaml(plan_),
                       oracle_auc_, linear_auc_);
  }

 private:
  void make_field(int64_t f) {
    const int64_t count = options_.categories / options_.fields + (f < options_.categories % options_.fields ? 1 : 0);
    const bool decoy = std::binary_search(plan_.decoys.begin(), plan_.decoys.end(), f);
    Field field;
    double sum = 0;
    for (int64_t c = 0; c < count; ++c) {  // shares drawn between 0.5 and 1.5: every category is met
      field.cumulative.push_back(sum += 0.5 + random_unit(seed_, kShare + uint64_t(f), uint64_t(c)));
      field.linear.push_back((decoy ? options_.decoy : options_.linear) *
                             random_normal(seed_, kLinear + uint64_t(f), uint64_t(c)));
    }
    field.width = plan_.width(f);
    field.hidden.resize(size_t(count * field.width));
    for (size_t at = 0; at < field.hidden.size(); ++at) {
      field.hidden[at] = random_normal(seed_, kHidden + uint64_t(f), uint64_t(at));
    }
    for (int64_t d = 0; d < field.width; ++d) standardise(field, size_t(d));
    fields_.push_back(std::move(field));
  }

  /// Number d of the hidden vectors: mean 0 and mean square 1 over the field's values, so that no set of independent
  /// fields tells anything through fewer of them, and all have the same spread.
  static void standardise(Field& field, size_t d) {
    const size_t count = field.cumulative.size(), width = size_t(field.width);
    const auto share = [&](size_t c) {
      return (field.cumulative[c] - (c > 0 ? field.cumulative[c - 1] : 0)) / field.cumulative.back();
    };
    double mean = 0, square = 0;
    for (size_t c = 0; c < count; ++c) mean += share(c) * field.hidden[c * width + d];
    for (size_t c = 0; c < count; ++c) {
      double& h = field.hidden[c * width + d];
      h -= mean;
      square += share(c) * h * h;
    }
    for (size_t c = 0; c < count; ++c) field.hidden[c * width + d] /= std::sqrt(square);
  }

  void make_kernel(size_t s) {
    auto& weights = weights_.emplace_back(size_t(plan_.sets[s].width), 1.0);
    if (plan_.sets[s].function == "kernel") {
      for (size_t d = 0; d < weights.size(); ++d) weights[d] = random_normal(seed_, kKernel + s, d);
    }
    const double square = std::inner_product(weights.begin(), weights.end(), weights.begin(), 0.0);
    for (double& weight : weights) weight /= std::sqrt(square);
  }

  int64_t draw_value(size_t f, int64_t index) const {
    const auto& cumulative = fields_[f].cumulative;
    double at;
    if (plan_.factor.empty()) {
      at = random_unit(seed_, kValue + f, uint64_t(index));
    } else {
      const double shared = random_normal(seed_, kFactor + uint64_t(plan_.factor[f]), uint64_t(index));
      const double own = random_normal(seed_, kValue + f, uint64_t(index));
      const double both = std::sqrt(options_.correlation) * shared + std::sqrt(1 - options_.correlation) * own;
      at = 0.5 * std::erfc(-both / std::numbers::sqrt2);
    }
    const auto place = std::upper_bound(cumulative.begin(), cumulative.end(), at * cumulative.back());
    return std::min<int64_t>(place - cumulative.begin(), int64_t(cumulative.size()) - 1);
  }

  double set_effect(size_t s, const std::vector<int64_t>& values) const {
    const auto& set = plan_.sets[s];
    if (set.function == "table") {
      uint64_t cell = 0;
      for (size_t i = 0; i < set.fields.size(); ++i) {
        if (i > 1) cell = random_bits(seed_, kTable + s, cell);
        cell = cell << 31 | uint64_t(values[size_t(set.fields[i])]);
      }
      return random_normal(seed_, kTable + s, cell);
    }
    double sum = 0;
    for (size_t d = 0; d < size_t(set.width); ++d) {
      double product = weights_[s][d];
      for (const int64_t f : set.fields) {
        const Field& field = fields_[size_t(f)];
        product *= field.hidden[size_t(values[size_t(f)] * field.width) + d];
      }
      sum += product;
    }
    return sum;
  }

  void draw(int64_t index, Row& row) const {
    row.values.resize(fields_.size());
    double sum = row.noise = options_.noise * random_normal(seed_, kNoise, uint64_t(index));
    for (size_t f = 0; f < fields_.size(); ++f) {
      row.values[f] = draw_value(f, index);
      sum += fields_[f].linear[size_t(row.values[f])];
    }
    row.with_linear = sum;
    for (size_t s = 0; s < plan_.sets.size(); ++s) sum += set_effect(s, row.values);
    row.sum = sum;
  }

  /// The median of the sum, and what may be known of it, from the first rows.
  void measure() {
    constexpr int64_t kSample = 20001;
    std::vector<Row> rows(kSample);
    std::vector<double> sums;
    for (int64_t index = 0; index < kSample; ++index) {
      draw(index, rows[size_t(index)]);
      sums.push_back(rows[size_t(index)].sum);
    }
    std::nth_element(sums.begin(), sums.begin() + kSample / 2, sums.end());
    threshold_ = sums[kSample / 2];
    std::vector<std::pair<double, bool>> all, linear;
    for (const Row& row : rows) {
      all.emplace_back(row.sum - row.noise, row.sum > threshold_);
      linear.emplace_back(row.with_linear - row.noise, row.sum > threshold_);
    }
    oracle_auc_ = auc(all);
    linear_auc_ = auc(linear);
  }

  SynthOptions options_;
  uint64_t seed_;
  Plan plan_;
  std::vector<Field> fields_;
  std::vector<std::vector<double>> weights_;  // [sets][width], square sum 1; none for a table
  double threshold_ = 0, oracle_auc_ = 0, linear_auc_ = 0;
};

}  // namespace

double auc(std::vector<std::pair<double, bool>> scored) {
  std::sort(scored.begin(), scored.end());
  double wins = 0, zeros = 0, ones = 0;
  for (size_t at = 0; at < scored.size();) {
    double tied_zeros = 0, tied_ones = 0;
    for (const double score = scored[at].first; at < scored.size() && scored[at].first == score; ++at) {
      (scored[at].second ? tied_ones : tied_zeros) += 1;
    }
    wins += tied_ones * (zeros + tied_zeros / 2);
    zeros += tied_zeros;
    ones += tied_ones;
  }
  return zeros > 0 && ones > 0 ? wins / (zeros * ones) : 0.5;
}

void planted(const SynthOptions& options, const std::filesystem::path& directory) {
  const auto generator = std::make_shared<const Generator>(options);
  std::string header = "label";
  for (int64_t f = 0; f < options.fields; ++f) header += fmt::format(",f{}", f);
  write_splits(
      options, directory, ".csv", header + "\n",
      [generator, row = Row{}](fmt::memory_buffer& out, int64_t index) mutable { generator->append(out, index, row); });
  write_file(directory / "data.yaml",
             fmt::format("format: csv\n{}label: label\nfields:\n  - {{columns: [f0..f{}], kind: categorical}}\n",
                         files_line(options, ".csv"), options.fields - 1));
  write_file(directory / "truth.yaml", generator->truth_yaml());
}

}  // namespace interplay::synth
