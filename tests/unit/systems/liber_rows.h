#pragma once

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <interplay/base/config.h>
#include <interplay/systems/liber.h>

#include "support/temp_dir.h"
#include "support/tiny_bert.h"

namespace interplay::testing {

/// Users with a taste that only their first events show. Of the 40 events of each user the first `early` are of films
/// of any genre, of which the user likes those of one genre alone; of the later ones, which are the samples, too: their
/// label. What a sample's row says is its film's genre, and nothing of its user's latest events tells the taste: all of
/// these were liked or none by the toss of a coin.
struct LateTastes {
  static constexpr int kGenres = 6, kEarly = 20, kEvents = 40;
  int users = 144;

  static std::vector<std::string> words() {
    std::vector<std::string> out{"genre", "loves", "likes", "is", "unsure", "of", "dislikes", ":",      ";", "new",
                                 "liked", "more",  "less",  "no", "longer", ",",  "nothing",  "changed"};
    for (int g = 0; g < kGenres; ++g) out.push_back(fmt::format("g{}", g));
    for (int n = 0; n <= kEvents; ++n) out.push_back(std::to_string(n));
    return out;
  }

  /// Files of events and films, the same for equal seeds, and their data.yaml with partitions of `count` events.
  std::filesystem::path write(const TempDir& dir, const std::string& partitions, unsigned seed = 1) const {
    std::mt19937 draw(seed);
    std::string events = "user,film,stars,liked,time\n", films = "film,genre\n";
    for (int f = 0; f < 60; ++f) films += fmt::format("f{},g{}\n", f, f % kGenres);
    for (int u = 0; u < users; ++u) {
      const int taste = u % kGenres;
      for (int e = 0; e < kEvents; ++e) {
        const bool early = e < kEarly;
        const int genre = early || draw() % 2 == 0 ? taste : int(draw() % kGenres);
        const int film = genre + kGenres * int(draw() % (60 / kGenres));
        const bool liked = genre == taste;
        const bool shown = early || draw() % 2 == 0;
        events += fmt::format("u{},f{},{},{},{}\n", u, film, shown ? 5 : 2, liked ? 1 : 0, 100 * e + u);
      }
    }
    dir.write("events.csv", events);
    dir.write("films.csv", films);
    return dir.write("data.yaml", fmt::format("file: events.csv\njoin: [{{file: films.csv, key: film}}]\n"
                                              "split: {{by: time, time: time, ratios: [0.7, 0.1, 0.2]}}\n"
                                              "label: liked\ntime: time\nfields:\n"
                                              "  - {{columns: [genre, film]}}\n"
                                              "  - {{name: past, kind: history, user: user, item: film, time: time, "
                                              "max_length: 5, min_length: {}}}\n{}",
                                              int(kEarly), partitions));
  }

  static Config experiment(const std::filesystem::path& folder, const std::string& bert, const std::string& more = "") {
    return Config::parse(
        fmt::format("data: data.yaml\ntastes: {{like: {{column: stars, at_least: 4}}, columns: [{{column: genre}}]}}\n"
                    "encoder: '{}'\n{}",
                    bert, more),
        (folder / "liber.yaml").string());
  }
};

}  // namespace interplay::testing
