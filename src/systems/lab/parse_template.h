#pragma once

#include <string>

#include <interplay/base/config.h>
#include <interplay/base/error.h>
#include <interplay/lm/prompt_template.h>

namespace interplay {

/// The template that an option holds. Throws Error at `at`, where it is written, unless it is one.
inline lm::PromptTemplate parse_template(const Config& at, const std::string& text) {
  try {
    return lm::PromptTemplate(text);
  } catch (const Error& problem) {
    at.fail(problem.what());
  }
}

}  // namespace interplay
