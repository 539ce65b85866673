#include <unordered_set>

#ifdef INTERPLAY_SNOWBALL
#include <libstemmer.h>
#endif

#include <interplay/base/error.h>
#include <interplay/systems/text_index.h>

namespace interplay {
namespace {

#ifdef INTERPLAY_SNOWBALL

class Stemmer {
 public:
  explicit Stemmer(const std::string& language) : stemmer_(sb_stemmer_new(language.c_str(), nullptr)) {
    if (stemmer_) return;
    std::vector<std::string> known;
    for (const char** name = sb_stemmer_list(); *name; ++name) known.emplace_back(*name);
    const std::string close = nearest(language, known);
    throw Error(fmt::format("stemmer: there is none of '{}'{} (stemmers: {})", language,
                            close.empty() ? "" : fmt::format("; did you mean {}?", close), fmt::join(known, ", ")));
  }
  ~Stemmer() { sb_stemmer_delete(stemmer_); }
  Stemmer(const Stemmer&) = delete;
  Stemmer& operator=(const Stemmer&) = delete;

  void stem(std::string& word) const {
    const auto* const out =
        sb_stemmer_stem(stemmer_, reinterpret_cast<const sb_symbol*>(word.data()), int(word.size()));
    if (!out) throw std::bad_alloc();
    word.assign(reinterpret_cast<const char*>(out), size_t(sb_stemmer_length(stemmer_)));
  }

 private:
  sb_stemmer* stemmer_;
};

#else

class Stemmer {
 public:
  explicit Stemmer(const std::string& language) {
    throw Error(
        fmt::format("stemmer: {}: this build is without libstemmer; install libstemmer-dev and build again", language));
  }
  void stem(std::string&) const {}
};

#endif

}  // namespace

struct Analyzer::Words {
  std::unordered_set<std::string> stop;
  std::unique_ptr<Stemmer> stemmer;
};

std::vector<std::string> AnalyzerOptions::default_stop_words() {
  return {"a",   "an",    "and",  "are",   "as",    "at",   "be",   "but", "by",  "for",  "if",
          "in",  "into",  "is",   "it",    "no",    "not",  "of",   "on",  "or",  "such", "that",
          "the", "their", "then", "there", "these", "they", "this", "to",  "was", "will", "with"};
}

Analyzer::Analyzer(AnalyzerOptions options) : options_(std::move(options)), words_(std::make_unique<Words>()) {
  words_->stop.insert(options_.stop_words.begin(), options_.stop_words.end());
  if (!options_.stemmer.empty()) words_->stemmer = std::make_unique<Stemmer>(options_.stemmer);
}

Analyzer::~Analyzer() = default;

std::vector<std::string> Analyzer::terms(std::string_view text) const {
  std::vector<std::string> out;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty() && !words_->stop.contains(word)) {
      if (words_->stemmer) words_->stemmer->stem(word);
      if (!word.empty()) out.push_back(word);
    }
    word.clear();
  };
  for (const char c : text) {
    if (c >= 'A' && c <= 'Z') {
      word += char(c - 'A' + 'a');
    } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      word += c;
    } else {
      end_word();
    }
  }
  end_word();
  return out;
}

}  // namespace interplay
