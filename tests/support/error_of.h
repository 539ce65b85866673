#pragma once

#include <functional>
#include <string>

#include <gtest/gtest.h>

#include <interplay/base/error.h>

namespace interplay::testing {

/// The message of the Error that `action` ends in, which has to be of this kind; "no error" where it ends without one.
inline std::string error_of(ErrorKind kind, const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  return "no error";
}

inline std::string config_error(const std::function<void()>& action) { return error_of(ErrorKind::config, action); }
inline std::string data_error(const std::function<void()>& action) { return error_of(ErrorKind::data, action); }
inline std::string numeric_error(const std::function<void()>& action) { return error_of(ErrorKind::numeric, action); }

}  // namespace interplay::testing
