#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <unordered_set>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/progress.h>

#include "data/synth/synth_shapes.h"

namespace interplay::synth {
namespace {

constexpr size_t kFactors = 8;
using Vector = std::array<double, kFactors>;

constexpr std::array<const char*, 18> kGenres = {
    "Action",    "Adventure", "Animation", "Children's", "Comedy",  "Crime",  "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror",    "Musical",   "Mystery",    "Romance", "Sci-Fi", "Thriller",    "War",   "Western"};
constexpr std::array<const char*, 12> kOccupations = {"artist",    "doctor",    "educator", "engineer",
                                                      "executive", "lawyer",    "other",    "programmer",
                                                      "retired",   "scientist", "salesman", "student"};
constexpr int64_t kFirstTime = 874724710, kLastTime = 893286638;  // of ml-100k
constexpr double kMeanRating = 3.6, kUserSpread = 0.4, kItemSpread = 0.4, kTaste = 0.9, kRatingNoise = 0.6;

enum Stream : uint64_t {
  kGenre = 1,
  kOccupation,
  kItemFactor,
  kItemGenre,
  kItemBias,
  kYear,
  kUserFactor,
  kUserLater,
  kUserBias,
  kUserTrait,
  kActivity,
  kProposal,
  kAccept,
  kRating,
  kStart,
  kGap,
  kOrder
};

struct Item {
  std::vector<int> genres;
  Vector factors;
  double bias;
  int64_t year;
};

struct User {
  size_t occupation;
  Vector early, late;  // taste at the first and at the last event
  double bias;
  int64_t events;
};

struct Event {
  uint32_t user, item;  // from 1
  int64_t time;
  int rating;
};

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (size_t k = 0; k < kFactors; ++k) sum += a[k] * b[k];
  return sum;
}

class World {
 public:
  explicit World(const SynthOptions& options) : seed_(uint64_t(options.seed)), rows_(options.rows) {
    const int64_t users = options.users > 0 ? options.users : std::max<int64_t>(10, options.rows / 106);
    const int64_t items =
        options.items > 0 ? options.items
                          : std::max(std::clamp<int64_t>(options.rows / 60, 20, 60000), 4 * (options.rows / users + 1));
    INTERPLAY_CHECK(options.rows <= users * items / 2 && options.rows >= users,
                    "rows: {} do not fit {} users and {} items: nobody rates an item twice, everybody rates one",
                    options.rows, users, items);
    make_items(items);
    make_users(users);
  }

  std::vector<Event> events() const {
    std::vector<Event> all;
    all.reserve(size_t(rows_));
    Progress progress("synth", rows_);
    for (size_t u = 0; u < users_.size(); ++u) {
      add_events(u, all);
      progress.add(users_[u].events);
    }
    return all;
  }
  const std::vector<Item>& items() const { return items_; }
  const std::vector<User>& users() const { return users_; }
  uint64_t seed() const { return seed_; }

 private:
  Vector vector(uint64_t stream, uint64_t index) const {
    Vector v;
    for (size_t k = 0; k < kFactors; ++k) v[k] = random_normal(seed_, stream, index * kFactors + k);
    return v;
  }
  double unit(uint64_t stream, uint64_t index) const { return random_unit(seed_, stream, index); }

  void make_items(int64_t count) {
    const Permutation rank(uint64_t(count), seed_);  // so that an id does not tell how well known its item is
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) {
      const auto index = uint64_t(i);
      Item& item = items_.emplace_back();
      const int genres = 1 + int(unit(kItemGenre, 4 * index) * 3);
      for (int g = 0; g < genres; ++g) {
        const int genre = int(unit(kItemGenre, 4 * index + 1 + uint64_t(g)) * double(kGenres.size()));
        if (std::find(item.genres.begin(), item.genres.end(), genre) == item.genres.end()) item.genres.push_back(genre);
      }
      std::sort(item.genres.begin(), item.genres.end());
      item.factors = vector(kItemFactor, index);
      for (size_t k = 0; k < kFactors; ++k) {
        item.factors[k] *= 0.5;
        for (const int g : item.genres)
          item.factors[k] += 0.85 * vector(kGenre, uint64_t(g))[k] / double(item.genres.size());
      }
      item.bias = kItemSpread * random_normal(seed_, kItemBias, index);
      item.year = 1998 - int64_t(-12 * std::log(1 - 0.99 * unit(kYear, index)));
      popularity_.push_back(sum += std::exp(0.5 * item.bias) / std::pow(double(rank.at(index)) + 10, 0.8));
    }
  }

  void make_users(int64_t count) {
    double sum = 0;
    std::vector<double> activity;
    for (int64_t u = 0; u < count; ++u) {
      const auto index = uint64_t(u);
      User& user = users_.emplace_back();
      user.occupation = size_t(unit(kOccupation, index) * double(kOccupations.size()));
      user.early = vector(kUserFactor, index);
      user.late = vector(kUserLater, index);
      const Vector shared = vector(kUserTrait, user.occupation);
      for (size_t k = 0; k < kFactors; ++k) {
        user.early[k] = 0.85 * user.early[k] + 0.5 * shared[k];
        user.late[k] = 0.85 * user.late[k] + 0.5 * shared[k];
      }
      user.bias = kUserSpread * random_normal(seed_, kUserBias, index);
      sum += activity.emplace_back(std::exp(0.9 * random_normal(seed_, kActivity, index)));
    }
    const auto most = int64_t(items_.size() * 6 / 10);
    int64_t left = rows_;
    for (size_t u = 0; u < users_.size(); ++u) {
      users_[u].events = std::clamp<int64_t>(int64_t(double(rows_) * activity[u] / sum), 1, most);
      left -= users_[u].events;
    }
    for (size_t u = 0; left != 0; u = (u + 1) % users_.size()) {  // the rounding, one event a user
      const int64_t step = left > 0 ? 1 : -1;
      if (users_[u].events + step < 1 || users_[u].events + step > most) continue;
      users_[u].events += step;
      left -= step;
    }
  }

  /// Taste turns from early to late over a user's events.
  Vector taste(const User& user, double life) const {
    const double angle = life * std::numbers::pi / 2;
    Vector now;
    for (size_t k = 0; k < kFactors; ++k) now[k] = std::cos(angle) * user.early[k] + std::sin(angle) * user.late[k];
    return now;
  }

  /// An unseen item, well known ones and ones to the taste first.
  uint32_t choose(uint64_t u, const Vector& now, std::unordered_set<uint32_t>& seen, uint64_t& draws) const {
    constexpr int kPatience = 50;  // then any unseen item does
    for (int attempt = 0;; ++attempt) {
      const uint64_t draw = u << 32 | draws++;
      uint32_t item;
      if (attempt < kPatience) {
        const double at = unit(kProposal, draw) * popularity_.back();
        item = uint32_t(std::upper_bound(popularity_.begin(), popularity_.end(), at) - popularity_.begin());
      } else {
        item = uint32_t(unit(kProposal, draw) * double(items_.size()));
      }
      item = std::min(item, uint32_t(items_.size() - 1));
      const double match = dot(now, items_[item].factors) / std::sqrt(double(kFactors));
      if (attempt < kPatience && unit(kAccept, draw) > 1 / (1 + std::exp(-match))) continue;
      if (seen.insert(item).second) return item;
    }
  }

  void add_events(size_t u, std::vector<Event>& all) const {
    const User& user = users_[u];
    std::unordered_set<uint32_t> seen;
    uint64_t draws = 0;
    int64_t time = kFirstTime + int64_t(unit(kStart, u) * double(kLastTime - kFirstTime));
    for (int64_t e = 0; e < user.events; ++e) {
      const uint64_t index = uint64_t(u) << 32 | uint64_t(e);
      const Vector now = taste(user, double(e) / double(user.events));
      const uint32_t item = choose(u, now, seen, draws);
      const double match = dot(now, items_[item].factors) / std::sqrt(double(kFactors));
      const double rating = kMeanRating + user.bias + items_[item].bias + kTaste * match +
                            kRatingNoise * random_normal(seed_, kRating, index);
      all.push_back({uint32_t(u + 1), item + 1, time, std::clamp(int(std::lround(rating)), 1, 5)});
      const double gap = unit(kGap, index);  // a sitting of about twenty ratings, then some days
      time += gap < 0.95 ? 5 + int64_t(gap * 60) : int64_t((gap - 0.95) * 20 * 6 * 86400);
    }
  }

  uint64_t seed_;
  int64_t rows_;
  std::vector<Item> items_;
  std::vector<double> popularity_;  // summed up
  std::vector<User> users_;
};

void write_users(const World& world, const std::filesystem::path& path) {
  TextFile file(path);
  fmt::format_to(fmt::appender(file.text()),
                 "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n");
  for (size_t u = 0; u < world.users().size(); ++u) {
    const uint64_t bits = random_bits(world.seed(), kUserTrait, 1000 + u);
    fmt::format_to(fmt::appender(file.text()), "{}\t{}\t{}\t{}\t{:05}\n", u + 1, 15 + bits % 50,
                   (bits >> 8) % 10 < 7 ? "M" : "F", kOccupations[world.users()[u].occupation],
                   (bits >> 16) % 1000 * 100);
    file.flush_if_full();
  }
  file.close();
}

void write_items(const World& world, const std::filesystem::path& path) {
  TextFile file(path);
  fmt::format_to(fmt::appender(file.text()),
                 "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n");
  for (size_t i = 0; i < world.items().size(); ++i) {
    const Item& item = world.items()[i];
    std::vector<const char*> genres;
    for (const int g : item.genres) genres.push_back(kGenres[size_t(g)]);
    fmt::format_to(fmt::appender(file.text()), "{}\tFilm {}\t{}\t{}\n", i + 1, i + 1, item.year,
                   fmt::join(genres, " "));
    file.flush_if_full();
  }
  file.close();
}

/// As configs/ml-100k/data.yaml has it.
void write_data_yaml(const std::filesystem::path& directory, const std::string& name) {
  write_file(directory / "data.yaml", fmt::format(R"(format: recbole
file: {}.inter
split: {{by: user_time, user: user_id, time: timestamp, tie: item_id, ratios: [0.8, 0.1, 0.1]}}
label: {{name: label, column: rating, at_least: 4}}
group: user_id
time: timestamp
fields:
  - columns: [user_id, item_id, age, gender, occupation, zip_code, release_year]
  - {{column: class, name: genres, kind: sequence}}
  - name: hist_item_ids
    kind: history
    user: user_id
    item: item_id
    time: timestamp
    ties: order
    filter: {{column: rating, at_least: 4}}
    max_length: 30
    side: [{{column: rating, name: hist_ratings}}]
)",
                                                  name));
}

}  // namespace

void movielens(const SynthOptions& options, const std::filesystem::path& directory, const std::string& name) {
  const World world(options);
  const auto events = world.events();
  TextFile file(directory / (name + ".inter"));
  fmt::format_to(fmt::appender(file.text()), "user_id:token\titem_id:token\trating:float\ttimestamp:float\n");
  const Permutation order(events.size(), world.seed() + kOrder);  // logs do not come sorted by user
  for (size_t e = 0; e < events.size(); ++e) {
    const Event& event = events[order.at(e)];
    fmt::format_to(fmt::appender(file.text()), "{}\t{}\t{}\t{}\n", event.user, event.item, event.rating, event.time);
    file.flush_if_full();
  }
  file.close();
  write_users(world, directory / (name + ".user"));
  write_items(world, directory / (name + ".item"));
  write_data_yaml(directory, name);
}

}  // namespace interplay::synth
