#pragma once

#include <string>
#include <vector>

#include <fmt/format.h>

#include <interplay/base/random.h>

namespace interplay::testing {

/// A collection whose relevant documents say a query's word by a synonym, which the documents that the query finds
/// state once, beside words that come up more often and a statement about something else.
struct SynonymTask {
  std::vector<std::string> documents, queries;
  std::vector<std::vector<int64_t>> relevant;  ///< of each query: places of documents
  std::vector<std::string> synonym;            ///< of each query

  explicit SynonymTask(int64_t n) {
    constexpr int64_t kNoise = 600, kOften = 8;
    uint64_t drawn = 0;
    const auto draw = [&](int64_t below) { return int64_t(random_bits(11, 0, drawn++) % uint64_t(below)); };
    const auto noise = [&] { return fmt::format("noise{}", draw(kNoise)); };
    for (int64_t q = 0; q < n; ++q) {
      const std::string topic = fmt::format("topic{}", q);
      synonym.push_back(fmt::format("synonym{}", q));
      queries.push_back(fmt::format("what is {}", topic));
      std::vector<std::string> often;
      for (int64_t i = 0; i < kOften; ++i) often.push_back(noise());
      auto& of = relevant.emplace_back();
      for (int64_t d = 0; d < 3; ++d) {
        std::vector<std::string> words{topic};
        for (int64_t i = 0; i < 2; ++i) words.insert(words.end(), often.begin(), often.end());
        for (size_t i = 1; i < words.size(); ++i)
          std::swap(words[i], words[size_t(1 + draw(int64_t(words.size()) - 1))]);
        words.insert(words.begin() + 3 + draw(12), fmt::format("{} , also called {} ,", topic, synonym.back()));
        words.insert(words.begin() + 3 + draw(12), fmt::format("{} , also called other{} ,", noise(), draw(1000000)));
        add(words);
      }
      for (int64_t d = 0; d < 3; ++d) {  // what is wanted, and what shares no more than the noise
        std::vector<std::string> words{synonym.back(), synonym.back()}, other;
        for (int64_t i = 0; i < 10; ++i) words.push_back(noise());
        of.push_back(int64_t(documents.size()));
        add(words);
        for (int64_t i = 0; i < kOften; ++i) other.push_back(often[size_t(i)]), other.push_back(noise());
        add(other);
      }
    }
  }

 private:
  void add(const std::vector<std::string>& words) { documents.push_back(fmt::format("{}", fmt::join(words, " "))); }
};

}  // namespace interplay::testing
