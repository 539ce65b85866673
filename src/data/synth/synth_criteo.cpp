#include <algorithm>
#include <array>
#include <cmath>

#include <interplay/base/files.h>

#include "data/synth/synth_shapes.h"

namespace interplay::synth {
namespace {

constexpr size_t kIntegers = 13, kTokens = 26;

// Distinct tokens and shares of gaps of Criteo's display-advertising log, rounded, the largest fields cut to 2 million.
constexpr std::array<int64_t, kTokens> kCardinality = {1460,  583,  2000000, 500000, 305, 24,     12517,   633,   3,
                                                       93145, 5683, 1500000, 3194,   27,  14992,  1200000, 10,    5652,
                                                       2173,  4,    1400000, 18,     15,  286181, 105,     142572};
constexpr std::array<double, kIntegers> kIntegerGaps = {.45, 0, .2, .2, .02, .2, .04, 0, .04, .45, .04, .77, .2};
constexpr std::array<double, kTokens> kTokenGaps = {0, 0, .03, .03, 0, .12, 0,   0,   0,   0, 0,   .03, 0,
                                                    0, 0, .03, 0,   0, .44, .44, .03, .76, 0, .03, .44, .44};
constexpr std::array<std::pair<size_t, size_t>, 6> kPairs = {{{0, 1}, {2, 7}, {5, 12}, {4, 22}, {6, 16}, {10, 13}}};
constexpr double kTokenEffect = 0.25, kPairEffect = 0.42, kIntegerEffect = 0.05;  // standard deviations
constexpr double kBias = -1.25;  // with the effects above: about a quarter of clicks

// Streams of random numbers; every one is indexed by the row or by the token.
enum Stream : uint64_t {
  kIntegerValue = 0,
  kTokenValue = 100,
  kLinear = 200,
  kPairLeft = 300,
  kPairRight = 400,
  kLabel = 500,
  kIntegerWeight = 600,
  kSpelling = 700
};

/// About N(0, 1) from the bits of one draw: the sum of eight bytes, centred, scaled (Irwin-Hall).
double rough_normal(uint64_t bits) {
  int sum = 0;
  for (int i = 0; i < 8; ++i, bits >>= 8) sum += int(bits & 0xff);
  return (sum - 1020) / 209.02;  // 8 * 127.5; sqrt(8 * (256^2 - 1) / 12)
}

/// u . v / sqrt(8) for two vectors of eight coordinates, each vector the bytes of one draw: mean 0, variance 1.
double match(uint64_t u, uint64_t v) {
  int sum = 0;  // of (2u - 255)(2v - 255): odd numbers stay whole
  for (int i = 0; i < 8; ++i, u >>= 8, v >>= 8) sum += (2 * int(u & 0xff) - 255) * (2 * int(v & 0xff) - 255);
  return sum / (4 * 5461.25 * std::sqrt(8.0));  // variance of a byte: (256^2 - 1) / 12
}

class Generator {
 public:
  explicit Generator(const SynthOptions& options) : seed_(uint64_t(options.seed)) {
    for (size_t j = 0; j < kTokens; ++j) {
      cardinality_[j] = std::min(kCardinality[j], std::max<int64_t>(3, options.rows / 4));
      log_cardinality_[j] = std::log(double(cardinality_[j]));
    }
    for (size_t j = 0; j < kIntegers; ++j) {
      integer_weight_[j] = kIntegerEffect * random_normal(seed_, kIntegerWeight, j);
    }
    double sum = 0;  // the commonest tokens shift the mean: measure it, so that the share of clicks does not wander
    constexpr int64_t kSample = 4096;
    for (int64_t row = 0; row < kSample; ++row) sum += draw(row);
    bias_ = kBias - sum / kSample;
  }

  void append(fmt::memory_buffer& out, int64_t row) {
    const double logit = draw(row) + bias_;
    out.push_back(random_unit(seed_, kLabel, uint64_t(row)) < 1 / (1 + std::exp(-logit)) ? '1' : '0');
    for (const int64_t value : integers_) {
      out.push_back('\t');
      if (value >= 0) out.append(fmt::format_int(value));
    }
    for (size_t j = 0; j < kTokens; ++j) {
      out.push_back('\t');
      if (tokens_[j] >= 0) append_token(out, j);
    }
    out.push_back('\n');
  }

 private:
  /// Draws the row's values and returns its logit without the bias.
  double draw(int64_t row) {
    double logit = 0;
    for (size_t j = 0; j < kIntegers; ++j) {
      const uint64_t bits = random_bits(seed_, kIntegerValue + j, uint64_t(row));
      const double value = std::floor(std::exp(1.5 + 1.8 * rough_normal(bits)));
      const bool gap = unit(bits * 0x9e3779b97f4a7c15ULL) < kIntegerGaps[j];
      integers_[j] = gap ? -1 : int64_t(value);
      if (!gap) logit += integer_weight_[j] * std::log1p(value);
    }
    for (size_t j = 0; j < kTokens; ++j) {
      const uint64_t bits = random_bits(seed_, kTokenValue + j, uint64_t(row));
      // log-uniform: the token of rank r comes up about 1 / (r log n) of the time
      const auto rank = int64_t(std::exp(unit(bits) * log_cardinality_[j])) - 1;
      const bool gap = unit(bits * 0x9e3779b97f4a7c15ULL) < kTokenGaps[j];
      tokens_[j] = gap ? -1 : std::clamp<int64_t>(rank, 0, cardinality_[j] - 1);
      logit += kTokenEffect * rough_normal(random_bits(seed_, kLinear + j, uint64_t(tokens_[j])));
    }
    for (size_t p = 0; p < kPairs.size(); ++p) {
      const auto [a, b] = kPairs[p];
      logit += kPairEffect * match(random_bits(seed_, kPairLeft + p, uint64_t(tokens_[a])),
                                   random_bits(seed_, kPairRight + p, uint64_t(tokens_[b])));
    }
    return logit;
  }

  static double unit(uint64_t bits) { return double(bits >> 11) * 0x1.0p-53; }

  /// Eight hex digits: an odd multiplier makes them distinct within a field.
  void append_token(fmt::memory_buffer& out, size_t field) const {
    static constexpr char kDigits[] = "0123456789abcdef";
    const auto spelled = uint32_t(uint64_t(tokens_[field]) * 2654435761U + random_bits(seed_, kSpelling, field));
    char text[8];
    for (int i = 0; i < 8; ++i) text[i] = kDigits[spelled >> (28 - 4 * i) & 15];
    out.append(text, text + 8);
  }

  uint64_t seed_;
  double bias_ = 0;
  std::array<int64_t, kTokens> cardinality_;
  std::array<double, kTokens> log_cardinality_;
  std::array<double, kIntegers> integer_weight_;
  std::array<int64_t, kIntegers> integers_;  // of the present row; -1 = gap
  std::array<int64_t, kTokens> tokens_;
};

}  // namespace

void criteo(const SynthOptions& options, const std::filesystem::path& directory) {
  Generator generator(options);
  write_splits(options, directory, ".txt", "",
               [generator](fmt::memory_buffer& out, int64_t row) mutable { generator.append(out, row); });
  write_file(directory / "data.yaml", "format: tsv\nheader: [label, I1..I13, C1..C26]\n" + files_line(options, ".txt") +
                                          "label: label\nmin_count: 2\nfields:\n"
                                          "  - {columns: [I1..I13], kind: numeric, transform: log_square_bucket}\n"
                                          "  - {columns: [C1..C26], kind: categorical}\n");
}

}  // namespace interplay::synth
