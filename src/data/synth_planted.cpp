#include <algorithm>
#include <cmath>
#include <set>

#include <interplay/base/error.h>
#include <interplay/base/files.h>

#include "data/synth_shapes.h"

namespace interplay::synth {
namespace {

enum Stream : uint64_t { kShare = 1 << 20, kValue = 2 << 20, kLinear = 3 << 20, kPair = 4 << 20, kNoise = 5 << 20 };

/// `0-1,2-5` as pairs of fields.
std::vector<std::pair<int64_t, int64_t>> parse_pairs(const SynthOptions& options) {
  std::vector<std::pair<int64_t, int64_t>> pairs;
  const auto fail = [&](const std::string& why) {
    throw Error(
        fmt::format("pairs: '{}' {}; write pairs of fields below {}, as 0-1,2-5", options.pairs, why, options.fields));
  };
  size_t at = 0;
  while (at < options.pairs.size()) {
    const size_t end = std::min(options.pairs.find(',', at), options.pairs.size());
    const std::string pair = options.pairs.substr(at, end - at);
    long long a = -1, b = -1;
    int used = 0;
    if (std::sscanf(pair.c_str(), " %lld - %lld %n", &a, &b, &used) != 2 || size_t(used) != pair.size()) {
      fail(fmt::format("holds '{}', which is no pair", pair));
    }
    if (a < 0 || b < 0 || a >= options.fields || b >= options.fields || a == b) {
      fail(fmt::format("holds {}-{}, which are not two of the fields", a, b));
    }
    pairs.emplace_back(std::min(a, b), std::max(a, b));
    at = end + 1;
  }
  if (std::set(pairs.begin(), pairs.end()).size() != pairs.size()) fail("names a pair twice");
  return pairs;
}

/// y = [ sum_i w(x_i) + sum_(i,j) planted v(x_i, x_j) + noise > median ], x_i from a fixed random distribution.
class Generator {
 public:
  explicit Generator(const SynthOptions& options)
      : options_(options), seed_(uint64_t(options.seed)), pairs_(parse_pairs(options)) {
    INTERPLAY_CHECK(options.categories >= 2 * options.fields, "categories: {} are too few for {} fields of two or more",
                    options.categories, options.fields);
    for (int64_t f = 0; f < options.fields; ++f) {
      const int64_t count = options.categories / options.fields + (f < options.categories % options.fields ? 1 : 0);
      auto& cumulative = cumulative_.emplace_back();
      double sum = 0;
      for (int64_t c = 0; c < count; ++c) {  // shares drawn between 0.5 and 1.5: every category is met
        cumulative.push_back(sum += 0.5 + random_unit(seed_, kShare + uint64_t(f), uint64_t(c)));
      }
    }
    values_.resize(size_t(options.fields));
    std::vector<double> sample;
    for (int64_t row = 0; row < 20001; ++row) sample.push_back(draw(row));
    std::nth_element(sample.begin(), sample.begin() + 10000, sample.end());
    threshold_ = sample[10000];
  }

  void append(fmt::memory_buffer& out, int64_t row) {
    out.push_back(draw(row) > threshold_ ? '1' : '0');
    for (size_t f = 0; f < values_.size(); ++f) fmt::format_to(fmt::appender(out), ",{}", values_[f]);
    out.push_back('\n');
  }

 private:
  double draw(int64_t row) {
    double sum = options_.noise * random_normal(seed_, kNoise, uint64_t(row));
    for (size_t f = 0; f < values_.size(); ++f) {
      const auto& cumulative = cumulative_[f];
      const double at = random_unit(seed_, kValue + f, uint64_t(row)) * cumulative.back();
      const auto place = std::upper_bound(cumulative.begin(), cumulative.end(), at) - cumulative.begin();
      values_[f] = std::min<int64_t>(place, int64_t(cumulative.size()) - 1);
      sum += options_.linear * random_normal(seed_, kLinear + f, uint64_t(values_[f]));
    }
    for (size_t p = 0; p < pairs_.size(); ++p) {
      const auto a = uint64_t(values_[size_t(pairs_[p].first)]), b = uint64_t(values_[size_t(pairs_[p].second)]);
      sum += random_normal(seed_, kPair + p, a << 31 | b);
    }
    return sum;
  }

  SynthOptions options_;
  uint64_t seed_;
  std::vector<std::pair<int64_t, int64_t>> pairs_;
  std::vector<std::vector<double>> cumulative_;  // a field's shares of categories, summed up
  std::vector<int64_t> values_;                  // of the present row
  double threshold_ = 0;
};

}  // namespace

void planted(const SynthOptions& options, const std::filesystem::path& directory) {
  Generator generator(options);
  std::string header = "label";
  for (int64_t f = 0; f < options.fields; ++f) header += fmt::format(",f{}", f);
  write_splits(options, directory, ".csv", header + "\n",
               [generator](fmt::memory_buffer& out, int64_t row) mutable { generator.append(out, row); });
  write_file(directory / "data.yaml",
             fmt::format("format: csv\n{}label: label\nfields:\n  - {{columns: [f0..f{}], kind: categorical}}\n",
                         files_line(options, ".csv"), options.fields - 1));
}

}  // namespace interplay::synth
