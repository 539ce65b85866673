#pragma once

#include <chrono>
#include <string>

namespace interplay::tracking {

/// `http://host:port/path`, without a slash at its end.
struct HttpUrl {
  std::string host, port = "80", path;

  /// Throws Error where `text` is none: https, a user's name, a query, a port that is no number.
  static HttpUrl parse(const std::string& text);
};

struct HttpAnswer {
  int status = 0;
  std::string body;
};

/// One request over a connection of its own: a GET where `body` is empty, else a POST of JSON. `target` goes behind the
/// path. Throws Error(data) where no answer has come within `patience`. Safe to call from any thread.
HttpAnswer http_ask(const HttpUrl& url, const std::string& target, const std::string& body,
                    std::chrono::duration<double> patience);

}  // namespace interplay::tracking
