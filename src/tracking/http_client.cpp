#include "tracking/http_client.h"

#include <boost/asio.hpp>
#include <boost/beast.hpp>

#include <interplay/base/error.h>

namespace interplay::tracking {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kMostBytes = 16 << 20;  // of an answer

/// What takes time, one thing after another, until a moment.
class Waiting {
 public:
  Waiting(const HttpUrl& url, Clock::time_point until) : url_(url), until_(until) {}
  asio::io_context& io() { return io_; }

  /// `start` begins something, and gives it what it is given as a handler.
  template <class Start>
  void operator()(const char* what, const Start& start) {
    beast::error_code problem;
    bool done = false;
    start([&](beast::error_code said, auto&&...) { problem = said, done = true; });
    io_.restart();
    io_.run_until(until_);
    if (!done) problem = asio::error::timed_out;
    if (problem) {
      throw Error(fmt::format("cannot {} {}:{}: {}", what, url_.host, url_.port, problem.message()), ErrorKind::data);
    }
  }

 private:
  const HttpUrl& url_;
  const Clock::time_point until_;
  asio::io_context io_{1};
};

http::request<http::string_body> request_of(const HttpUrl& url, const std::string& target, const std::string& body) {
  http::request<http::string_body> out{body.empty() ? http::verb::get : http::verb::post, url.path + target, 11};
  out.set(http::field::host, url.port == "80" ? url.host : fmt::format("{}:{}", url.host, url.port));
  out.set(http::field::user_agent, "interplay");
  out.set(http::field::accept, "application/json");
  if (!body.empty()) out.set(http::field::content_type, "application/json");
  out.keep_alive(false);
  out.body() = body;
  out.prepare_payload();
  return out;
}

}  // namespace

HttpUrl HttpUrl::parse(const std::string& text) {
  constexpr std::string_view kHttp = "http://";
  const auto check = [&](bool holds, const char* why) {
    INTERPLAY_CHECK(holds, "'{}': {}; expected an address as http://localhost:5000", text, why);
  };
  check(!text.starts_with("https://"), "https is not spoken; reach the server by http, or through a proxy that does");
  check(text.starts_with(kHttp), "is no address of http");
  check(text.find_first_of("@?# \t\r\n") == text.npos, "has a user, a query or a space");
  const std::string rest = text.substr(kHttp.size());
  const auto slash = std::min(rest.find('/'), rest.size());
  std::string authority = rest.substr(0, slash);
  HttpUrl out{.host = {}, .path = rest.substr(slash)};
  while (out.path.ends_with('/')) out.path.pop_back();
  const auto colon = authority.rfind(':');
  if (colon != authority.npos && authority.find(']', colon) == authority.npos) {
    out.port = authority.substr(colon + 1);
    authority.resize(colon);
  }
  const bool number =
      !out.port.empty() && out.port.size() <= 5 && out.port.find_first_not_of("0123456789") == out.port.npos;
  check(number && std::stoi(out.port) < 65536, "its port is none");
  if (authority.starts_with('[') && authority.ends_with(']')) authority = authority.substr(1, authority.size() - 2);
  check(!authority.empty(), "names no host");
  out.host = authority;
  return out;
}

HttpAnswer http_ask(const HttpUrl& url, const std::string& target, const std::string& body,
                    std::chrono::duration<double> patience) {
  Waiting wait(url, Clock::now() + std::chrono::duration_cast<Clock::duration>(patience));
  tcp::resolver resolver(wait.io());
  tcp::resolver::results_type found;
  wait("find", [&](auto handler) {
    resolver.async_resolve(url.host, url.port, [&found, handler](beast::error_code problem, auto results) mutable {
      found = results;
      handler(problem);
    });
  });
  tcp::socket socket(wait.io());
  wait("connect to", [&](auto handler) { asio::async_connect(socket, found, handler); });
  const auto request = request_of(url, target, body);
  wait("write to", [&](auto handler) { http::async_write(socket, request, handler); });
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMostBytes);
  wait("read from", [&](auto handler) { http::async_read(socket, buffer, parser, handler); });
  return {int(parser.get().result_int()), parser.get().body()};
}

}  // namespace interplay::tracking
