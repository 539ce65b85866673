#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/data/keyed_vectors.h>

#include "data/synth/synth_shapes.h"

namespace interplay::synth {
namespace {

enum Stream : uint64_t {
  kTopic = 1 << 20,
  kWord = 2 << 20,
  kTaste = 3 << 20,
  kUser = 4 << 20,
  kItem = 5 << 20,
  kNoise = 6 << 20,
  kBias = 7 << 20,
  kDirection = 8 << 20,
  kBlur = 9 << 20
};

constexpr size_t kTopics = 8, kWords = 8;
constexpr int64_t kWidth = 16;   // numbers of an item's vector
constexpr double kSpread = 0.2;  // of what a vector has beside its topics

/// What an item is about shows in the words of its title alone.
constexpr std::array<std::array<const char*, kWords>, kTopics> kVocabulary{{
    {"football", "stadium", "goalkeeper", "marathon", "tennis", "coach", "championship", "sprinter"},
    {"galaxy", "astronaut", "planet", "telescope", "rocket", "comet", "orbit", "spacecraft"},
    {"recipe", "bakery", "chef", "kitchen", "spices", "banquet", "noodles", "pastry"},
    {"orchestra", "violin", "guitar", "opera", "melody", "drummer", "concert", "pianist"},
    {"battlefield", "soldier", "general", "trench", "cavalry", "siege", "regiment", "artillery"},
    {"ocean", "sailor", "lighthouse", "whale", "harbour", "coral", "captain", "shipwreck"},
    {"ghost", "vampire", "graveyard", "haunting", "witch", "nightmare", "demon", "werewolf"},
    {"wedding", "sweetheart", "kiss", "romance", "valentine", "bride", "courtship", "proposal"},
}};

/// A row's user and item, and what decides its label.
struct Row {
  int64_t user, item;
  double score, sum;  // without and with noise
};

/// Immutable once made: any thread may draw any row.
class Generator {
 public:
  explicit Generator(const SynthOptions& options)
      : options_(options),
        seed_(uint64_t(options.seed)),
        users_(options.users > 0 ? options.users : 200),
        items_(options.items > 0 ? options.items : 400),
        cold_(int64_t(double(items_) * options.cold)),
        valid_from_(options.rows - int64_t(double(options.rows) * options.valid) -
                    int64_t(double(options.rows) * options.test)),
        test_from_(options.rows - int64_t(double(options.rows) * options.test)) {
    INTERPLAY_CHECK(cold_ >= 1 && cold_ < items_, "cold: {} of {} items leaves {} of them; expected both kinds",
                    options.cold, items_, cold_ < 1 ? "none to be new" : "none to learn from");
    std::vector<double> sums;
    for (int64_t index = 0; index < kSample; ++index) sums.push_back(draw(index).sum);
    std::nth_element(sums.begin(), sums.begin() + kSample / 2, sums.end());
    threshold_ = sums[kSample / 2];
  }

  bool is_cold(int64_t item) const { return item >= items_ - cold_; }
  int64_t items() const { return items_; }

  void append(fmt::memory_buffer& out, int64_t index) const {
    const Row row = draw(index);
    fmt::format_to(std::back_inserter(out), "{:d},u{},i{}\n", row.sum > threshold_, row.user, row.item);
  }

  std::string title(int64_t item) const {
    const auto [a, b] = topics(item);
    const auto word = [&](size_t topic, uint64_t nth) {
      const auto first = size_t(random_unit(seed_, kWord + topic, uint64_t(item)) * kWords);
      return kVocabulary[topic][(first + 3 * nth) % kWords];  // 3 and 8 share no factor: the words of a title differ
    };
    return fmt::format("{} and {}, {} and {}", word(a, 0), word(a, 1), word(b, 0), word(b, 1));
  }

  /// What an encoder of the title might give: the sum of its topics' directions, blurred.
  std::vector<float> vector(int64_t item) const {
    const auto [a, b] = topics(item);
    std::vector<float> out;
    for (uint64_t k = 0; k < uint64_t(kWidth); ++k) {
      out.push_back(float((random_normal(seed_, kDirection + a, k) + random_normal(seed_, kDirection + b, k)) / 2 +
                          kSpread * random_normal(seed_, kBlur + k, uint64_t(item))));
    }
    return out;
  }

  /// Of the score without noise, for rows of test.
  double oracle() const {
    std::vector<std::pair<double, bool>> scored;
    for (int64_t index = 0; index < kSample; ++index) {
      const Row row = draw(test_from_ + index);
      scored.emplace_back(row.score, row.sum > threshold_);
    }
    return auc(scored);
  }

 private:
  static constexpr int64_t kSample = 20000;

  std::pair<size_t, size_t> topics(int64_t item) const {
    const auto a = size_t(random_unit(seed_, kTopic, uint64_t(item)) * kTopics);
    const auto b = size_t(random_unit(seed_, kTopic + 1, uint64_t(item)) * (kTopics - 1));
    return {a, b < a ? b : b + 1};
  }

  double taste(int64_t user, size_t topic) const { return random_normal(seed_, kTaste + topic, uint64_t(user)); }

  /// Training rows are of items that are not cold, those of test of cold ones, those of valid of both.
  int64_t item(int64_t index) const {
    const double u = random_unit(seed_, kItem, uint64_t(index));
    const bool cold =
        index >= test_from_ || (index >= valid_from_ && random_unit(seed_, kItem + 1, uint64_t(index)) < 0.5);
    return cold ? items_ - cold_ + int64_t(u * double(cold_)) : int64_t(u * double(items_ - cold_));
  }

  Row draw(int64_t index) const {
    Row row{};
    row.user = int64_t(random_unit(seed_, kUser, uint64_t(index)) * double(users_));
    row.item = item(index);
    const auto [a, b] = topics(row.item);
    row.score = (taste(row.user, a) + taste(row.user, b)) / std::sqrt(2.0) +
                options_.linear * random_normal(seed_, kBias, uint64_t(row.user));
    row.sum = row.score + options_.noise * random_normal(seed_, kNoise, uint64_t(index));
    return row;
  }

  SynthOptions options_;
  uint64_t seed_;
  int64_t users_, items_, cold_, valid_from_, test_from_;
  double threshold_ = 0;
};

}  // namespace

void texts(const SynthOptions& options, const std::filesystem::path& directory) {
  const auto generator = std::make_shared<const Generator>(options);
  write_splits(options, directory, ".csv", "label,user,item\n",
               [generator](fmt::memory_buffer& out, int64_t index) { generator->append(out, index); });
  std::string table = "item,title,cold\n";
  std::vector<std::string> keys;
  std::vector<float> vectors;
  for (int64_t i = 0; i < generator->items(); ++i) {
    table += fmt::format("i{},\"{}\",{:d}\n", i, generator->title(i), generator->is_cold(i));
    keys.push_back(fmt::format("i{}", i));
    const auto v = generator->vector(i);
    vectors.insert(vectors.end(), v.begin(), v.end());
  }
  write_file(directory / "items.csv", table);
  VectorWriter writer(directory / "vectors.parquet", kWidth);
  writer.write(keys, vectors);
  writer.close();
  write_file(directory / "truth.yaml",
             fmt::format("oracle: {{auc: {:.4f}}}  # of test, by the score without noise\n", generator->oracle()));
  write_file(directory / "data.yaml", fmt::format("format: csv\n"
                                                  "{}"
                                                  "label: label\n"
                                                  "fields:\n"
                                                  "  - {{column: user}}\n"
                                                  "  - {{column: item, catalogue: items.csv}}\n",
                                                  files_line(options, ".csv")));
}

}  // namespace interplay::synth
