#include <algorithm>
#include <cmath>
#include <map>

#include "data/check/advice.h"
#include "data/check/field_cells.h"

namespace interplay {
namespace {

constexpr size_t kQuantiles = 10, kTopTokens = 20;

/// How often each bin of a field occurs in two splits.
struct Bins {
  std::vector<double> train, other;
  double train_total = 0, other_total = 0;

  /// Population stability index: sum of (q - p) ln(q / p) over the bins. An empty bin counts half a value.
  double psi() const {
    double sum = 0;
    for (size_t b = 0; b < train.size(); ++b) {
      if (train[b] == 0 && other[b] == 0) continue;
      const double p = std::max(train[b], 0.5) / train_total, q = std::max(other[b], 0.5) / other_total;
      sum += (q - p) * std::log(q / p);
    }
    return sum;
  }
  /// What chance alone exceeds once in 10,000 fields: without drift PSI / (1/n + 1/m) is about chi-squared with a
  /// degree of freedom less than bins (Yurdakul 2018); its quantile by Wilson and Hilferty.
  double chance() const {
    constexpr double kNormal = 3.719;
    size_t bins = 0;
    for (size_t b = 0; b < train.size(); ++b) bins += train[b] + other[b] > 0 ? 1 : 0;
    const double k = std::max<double>(1, double(bins) - 1);
    const double root = 1 - 2 / (9 * k) + kNormal * std::sqrt(2 / (9 * k));
    return k * root * root * root * (1 / train_total + 1 / other_total);
  }
  size_t most_moved() const {
    size_t most = 0;
    const auto moved = [&](size_t b) { return std::fabs(other[b] / other_total - train[b] / train_total); };
    for (size_t b = 1; b < train.size(); ++b) most = moved(b) > moved(most) ? b : most;
    return most;
  }
};

/// Into which bin of a field a value falls.
class Binning {
 public:
  Binning(const RowParser& parser, size_t field, const SampledRows& train) : parser_(parser), field_(field) {
    const FieldCells cells(parser, train.values);
    if (FieldCells::shape(parser, field) == FieldCells::Shape::number) {
      find_edges(cells, train);
    } else {
      find_tokens(cells, train);
    }
  }

  size_t size() const { return (is_number() ? edges_.size() + 1 : tokens_.size() + 1) + 1; }
  std::string name(size_t bin) const {
    if (bin + 1 == size()) return "missing values";
    if (!is_number()) return bin < tokens_.size() ? fmt::format("value '{}'", names_[bin]) : "all rarer values";
    if (edges_.empty()) return "all numbers";
    if (bin == 0) return fmt::format("numbers below {}", edges_[0]);
    if (bin == edges_.size()) return fmt::format("numbers from {} on", edges_.back());
    return fmt::format("numbers from {} to {}", edges_[bin - 1], edges_[bin]);
  }
  template <class Take>
  void bins_of(const FieldCells& cells, int32_t row, Take&& take) const {
    if (is_number()) {
      const double x = cells.number(field_, row);
      return take(std::isnan(x) ? size() - 1
                                : size_t(std::upper_bound(edges_.begin(), edges_.end(), x) - edges_.begin()));
    }
    cells.tokens(field_, row, [&](std::string_view token) {
      const auto found = tokens_.find(token);
      take(token.empty() ? size() - 1 : found == tokens_.end() ? tokens_.size() : found->second);
    });
  }
  void count(const SampledRows& rows, std::vector<double>& bins, double& total) const {
    bins.assign(size(), 0);
    if (rows.rows() == 0) return;
    const FieldCells cells(parser_, rows.values);
    for (int64_t i = 0; i < rows.rows(); ++i) bins_of(cells, int32_t(i), [&](size_t bin) { ++bins[bin], ++total; });
  }

 private:
  bool is_number() const { return FieldCells::shape(parser_, field_) == FieldCells::Shape::number; }

  void find_edges(const FieldCells& cells, const SampledRows& train) {
    std::vector<double> numbers;
    for (int64_t i = 0; i < train.rows(); ++i) {
      const double x = cells.number(field_, int32_t(i));
      if (!std::isnan(x)) numbers.push_back(x);
    }
    if (numbers.empty()) return;
    std::sort(numbers.begin(), numbers.end());
    for (size_t q = 1; q < kQuantiles; ++q) edges_.push_back(numbers[q * numbers.size() / kQuantiles]);
    edges_.erase(std::unique(edges_.begin(), edges_.end()), edges_.end());
  }

  void find_tokens(const FieldCells& cells, const SampledRows& train) {
    std::map<std::string_view, int64_t> counts;
    for (int64_t i = 0; i < train.rows(); ++i)
      cells.tokens(field_, int32_t(i), [&](std::string_view token) { ++counts[token]; });
    counts.erase("");
    std::vector<std::pair<int64_t, std::string_view>> ranked;
    for (const auto& [token, count] : counts) ranked.emplace_back(-count, token);
    std::sort(ranked.begin(), ranked.end());
    ranked.resize(std::min(ranked.size(), kTopTokens));
    for (const auto& [count, token] : ranked) tokens_.emplace(token, names_.size()), names_.push_back(token);
  }

  const RowParser& parser_;
  size_t field_;
  std::vector<double> edges_;
  std::map<std::string_view, size_t> tokens_;  // views into the training rows
  std::vector<std::string_view> names_;
};

/// How far the values of a split are from those of the training rows.
class Drift final : public Check {
 public:
  using Options = NoOptions;
  Drift(const CheckedData&, const Options&) {}

  void judge(const CheckFacts& facts, CheckReport& report) const override {
    const RowParser& parser = facts.data.parser;
    for (size_t f = 0; facts.rows[0] > 0 && f < parser.schema().fields().size(); ++f) {
      if (FieldCells::shape(parser, f) == FieldCells::Shape::other) continue;
      const Binning binning(parser, f, facts.sample[0]);
      std::vector<Moved> moved;
      for (size_t s = 1; s < 3; ++s) {
        if (facts.rows[s] == 0) continue;
        Bins bins;
        binning.count(facts.sample[0], bins.train, bins.train_total);
        binning.count(facts.sample[s], bins.other, bins.other_total);
        const double psi = bins.psi();
        figures_of(report, facts, f)
            .figures.push_back({fmt::format("PSI {}", kCheckedSplits[s]), psi, CheckReport::Unit::number});
        if (psi >= kNote && psi > bins.chance()) moved.push_back({s, psi, std::move(bins)});
      }
      if (!moved.empty()) tell(facts, f, binning, moved, report);
    }
  }

 private:
  static constexpr double kNote = 0.1, kWarning = 0.25;
  struct Moved {
    size_t split;
    double psi;
    Bins bins;
  };

  static void tell(const CheckFacts& facts, size_t f, const Binning& binning, const std::vector<Moved>& moved,
                   CheckReport& report) {
    const RowParser& parser = facts.data.parser;
    Finding& finding = report.findings.emplace_back();
    finding.field = parser.schema().fields()[f].name;
    for (const Moved& m : moved) {
      const size_t bin = m.bins.most_moved();
      finding.severity =
          std::max(finding.severity, m.psi < kWarning ? Finding::Severity::note : Finding::Severity::warning);
      finding.text += fmt::format(
          "{}{} differs from training: PSI {:.3f} over {} bins, most of it in {}, {} against {}",
          finding.text.empty() ? "" : "; ", kCheckedSplits[m.split], m.psi, binning.size(), binning.name(bin),
          percent(m.bins.other[bin] / m.bins.other_total), percent(m.bins.train[bin] / m.bins.train_total));
      show(facts, f, binning, m.split, bin, finding);
    }
    finding.remedy =
        "see that it means the same in all files; where the world has moved, later rows will be scored "
        "worse than these.";
    finding.yaml = fields_without(facts.data, f);
    finding.remedy +=
        finding.yaml.empty() ? " To try without it, leave its entry in `fields` out." : " To try without it:";
  }

  /// Rows of a split whose value is in this bin.
  static void show(const CheckFacts& facts, size_t f, const Binning& binning, size_t split, size_t bin,
                   Finding& finding) {
    const SampledRows& rows = facts.sample[split];
    const FieldCells cells(facts.data.parser, rows.values);
    for (int64_t i = 0; i < rows.rows() && finding.rows.size() < kShownRows; ++i) {
      bool shown = false;
      binning.bins_of(cells, int32_t(i), [&](size_t b) { shown = shown || b == bin; });
      if (shown) finding.rows.push_back(shown_row(facts, rows, i, {facts.data.parser.encoding(f).column}));
    }
  }
};

INTERPLAY_REGISTER(checks(), "drift", Drift, "fields whose values in valid or test are spread otherwise than in train");

}  // namespace
}  // namespace interplay
