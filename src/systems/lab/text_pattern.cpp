#include "systems/lab/text_pattern.h"

#include <unicode/regex.h>
#include <unicode/utext.h>

#include <interplay/base/error.h>

namespace interplay {
namespace {

constexpr int32_t kMostBytes = 32 << 20, kMostTime = 10000;  // time in ICU's steps, about a millisecond each

}  // namespace

struct TextPattern::Compiled {
  std::string source;
  std::unique_ptr<icu::RegexPattern> pattern;
};

TextPattern::TextPattern(const std::string& pattern) {
  UErrorCode status = U_ZERO_ERROR;
  auto compiled = std::make_shared<Compiled>();
  compiled->source = pattern;
  compiled->pattern.reset(icu::RegexPattern::compile(icu::UnicodeString::fromUTF8(pattern), 0, status));
  INTERPLAY_CHECK(U_SUCCESS(status), "'{}' is no regular expression (ICU's): {}", pattern, u_errorName(status));
  compiled_ = std::move(compiled);
}

TextPattern::TextPattern(const std::string& pattern, const Config& at) {
  try {
    *this = TextPattern(pattern);
  } catch (const Error& problem) {
    at.fail(problem.what());
  }
}

std::string TextPattern::without_matches(std::string_view text) const {
  UErrorCode status = U_ZERO_ERROR;
  UText whole = UTEXT_INITIALIZER;
  utext_openUTF8(&whole, text.data(), int64_t(text.size()), &status);
  std::string kept;
  {
    const std::unique_ptr<icu::RegexMatcher> matcher(compiled_->pattern->matcher(status));
    INTERPLAY_ASSERT(U_SUCCESS(status));
    matcher->setStackLimit(kMostBytes, status);
    matcher->setTimeLimit(kMostTime, status);
    matcher->reset(&whole);
    size_t end = 0;
    while (matcher->find(status) && U_SUCCESS(status)) {
      const auto begin = size_t(matcher->start64(status));
      kept += text.substr(end, begin - end);
      end = size_t(matcher->end64(status));
    }
    kept += text.substr(end);
  }
  utext_close(&whole);
  INTERPLAY_CHECK_DATA(U_SUCCESS(status),
                       "'{}' takes too long or too much memory in a text of {} bytes ({}): simplify it",
                       compiled_->source, text.size(), u_errorName(status));
  return kept;
}

}  // namespace interplay
