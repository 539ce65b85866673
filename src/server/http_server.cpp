#include "server/http_server.h"

#include <chrono>
#include <optional>
#include <unordered_set>

#include <boost/asio.hpp>
#include <boost/beast.hpp>

#include <interplay/base/error.h>
#include <interplay/base/log.h>

#include "server/json_out.h"

namespace interplay::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

constexpr size_t kBuffer = 128 << 10;  // bytes read at once: a request of 200 rows
constexpr size_t kKeptBuffers = 16;    // of connections between two requests
constexpr size_t kReadAhead = 64;      // bytes behind a body
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

Clock::duration duration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

HttpResponse refusal(int status, std::string_view text) {
  HttpResponse out{.status = status, .body = "{\"error\":", .headers = {}};
  append_string(out.body, text);
  out.body += "}\n";
  return out;
}

/// 429 of too many requests, 503 of too many connections: to be tried again.
HttpResponse busy(int status, std::string_view text) {
  HttpResponse out = refusal(status, text);
  out.headers.emplace_back("Retry-After", "1");
  return out;
}

tcp::endpoint endpoint_of(const std::string& listen) {
  const auto colon = listen.rfind(':');
  std::string address = listen.substr(0, colon == std::string::npos ? 0 : colon);
  if (address.size() > 1 && address.front() == '[' && address.back() == ']')
    address = address.substr(1, address.size() - 2);
  const std::string port = listen.substr(colon == std::string::npos ? 0 : colon + 1);
  const bool number = !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string::npos;
  boost::system::error_code bad;
  const auto parsed = asio::ip::make_address(address == "localhost" ? "127.0.0.1" : address, bad);
  INTERPLAY_CHECK(number && std::stoi(port) < 65536 && !bad,
                  "listen '{}': expected an address and a port, as 127.0.0.1:8000, 0.0.0.0:8000 or [::1]:8000", listen);
  return {parsed, uint16_t(std::stoi(port))};
}

}  // namespace

int64_t now_ns() { return Clock::now().time_since_epoch() / std::chrono::nanoseconds(1); }

struct HttpServer::State : std::enable_shared_from_this<State> {
  class Session;

  State(const std::string& listen, int threads, HttpLimits l, HttpHandler h)
      : limits(l), handler(std::move(h)), acceptor(io), scoring(size_t(threads)), slow(1) {
    const tcp::endpoint endpoint = endpoint_of(listen);
    boost::system::error_code problem;
    const auto check = [&](const char* what) {
      INTERPLAY_CHECK(!problem,
                      "listen {}: cannot {}: {}; is another server running there? (port 0 takes any that is free)",
                      listen, what, problem.message());
    };
    acceptor.open(endpoint.protocol(), problem);
    check("open a socket");
    acceptor.set_option(tcp::acceptor::reuse_address(true), problem);
    acceptor.bind(endpoint, problem);
    check("bind");
    acceptor.listen(asio::socket_base::max_listen_connections, problem);
    check("listen");
    port = acceptor.local_endpoint().port();
  }

  void accept();
  void begin_to_stop();
  void end_if_drained();

  beast::flat_buffer take_buffer() {
    if (buffers.empty()) {
      beast::flat_buffer fresh;
      fresh.reserve(kBuffer);
      return fresh;
    }
    auto out = std::move(buffers.back());
    buffers.pop_back();
    return out;
  }
  void give_back(beast::flat_buffer&& buffer) {
    const bool usual = buffer.capacity() >= kBuffer && buffer.capacity() <= 2 * kBuffer;
    if (buffers.size() < kKeptBuffers && usual) {
      buffer.clear();
      buffers.push_back(std::move(buffer));
    }
  }

  const HttpLimits limits;
  const HttpHandler handler;
  asio::io_context io{1};
  tcp::acceptor acceptor;
  asio::steady_timer drain{io};
  asio::thread_pool scoring, slow;
  int port = 0;
  std::atomic<int64_t> waiting = 0, open = 0;
  // of the thread in run() alone
  std::unordered_set<Session*> sessions;
  std::vector<beast::flat_buffer> buffers;
  bool stopping = false;
};

/// A connection. All of its members belong to the thread in run(), but for a request while it is answered.
class HttpServer::State::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(std::shared_ptr<State> server, tcp::socket socket)
      : server_(std::move(server)), stream_(std::move(socket)), idle_(stream_.get_executor()) {
    boost::system::error_code ignored;
    stream_.socket().set_option(tcp::no_delay(true), ignored);
    server_->sessions.insert(this);
    server_->open.fetch_add(1);
  }
  ~Session() {
    server_->sessions.erase(this);
    server_->open.fetch_sub(1);
    server_->end_if_drained();
  }

  /// Waits for the first byte of a request, without memory for it.
  void wait() {
    if (server_->stopping) return close();
    if (buffer_.size() > 0) return read();  // sent before the answer to the one before
    server_->give_back(std::move(buffer_));
    buffer_ = {};
    waiting_ = true;
    idle_.expires_after(duration(server_->limits.idle_seconds));
    idle_.async_wait([self = this->shared_from_this()](beast::error_code stopped) {
      if (!stopped && self->waiting_) self->close();
    });
    stream_.socket().async_wait(tcp::socket::wait_read, [self = this->shared_from_this()](beast::error_code problem) {
      self->waiting_ = false;
      self->idle_.cancel();
      if (!problem && self->stream_.socket().is_open()) self->read();
    });
  }
  void end_if_idle() {
    if (waiting_) close();
  }
  void refuse(const HttpResponse& response) {
    last_ = true;
    write(response);
  }
  void close() {
    waiting_ = false;
    idle_.cancel();
    boost::system::error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    stream_.socket().close(ignored);
  }

 private:
  void read() {
    if (buffer_.capacity() == 0) buffer_ = server_->take_buffer();
    parser_.emplace();
    parser_->header_limit(uint32_t(server_->limits.header));
    parser_->body_limit(server_->limits.body);
    // a timer of our own: one of the stream's closes it, and nothing could be said
    late_ = false;
    idle_.expires_after(duration(server_->limits.request_seconds));
    idle_.async_wait([self = this->shared_from_this(), request = requests_](beast::error_code stopped) {
      if (stopped || self->requests_ != request) return;
      self->late_ = true;
      self->stream_.cancel();
    });
    http::async_read_header(stream_, buffer_, *parser_,
                            [self = this->shared_from_this()](beast::error_code problem, size_t) {
                              if (problem) return self->failed(problem);
                              self->read_body();
                            });
  }

  void read_body() {
    if (beast::iequals(parser_->get()[http::field::expect], "100-continue") && !parser_->is_done()) {
      asio::async_write(stream_, asio::buffer(kContinue),
                        [self = this->shared_from_this()](beast::error_code problem, size_t) {
                          if (!problem) self->read_rest();
                        });
    } else {
      read_rest();
    }
  }

  void read_rest() {
    http::async_read(stream_, buffer_, *parser_, [self = this->shared_from_this()](beast::error_code problem, size_t) {
      if (problem) return self->failed(problem);
      self->answer();
    });
  }

  void failed(beast::error_code problem) {
    end_of_reading();
    const HttpLimits& limits = server_->limits;
    if (problem == http::error::body_limit) {
      refuse(refusal(413, fmt::format("the body has more than {} bytes, the most that is taken", limits.body)));
    } else if (problem == http::error::header_limit) {
      refuse(refusal(431, fmt::format("the header has more than {} bytes, the most that is taken", limits.header)));
    } else if (late_) {
      refuse(refusal(408, fmt::format("the request did not come within {} s", limits.request_seconds)));
    } else if (problem.category() == make_error_code(http::error::bad_method).category() &&
               problem != http::error::end_of_stream && problem != http::error::partial_message) {
      refuse(refusal(400, fmt::format("not a request of HTTP/1.1: {}", problem.message())));
    } else {
      close();
    }
  }

  void end_of_reading() {
    ++requests_;
    idle_.cancel();
  }

  void answer() {
    end_of_reading();
    auto message = std::make_shared<http::request<http::string_body>>(parser_->release());
    parser_.reset();
    last_ = !message->keep_alive();
    head_ = message->method() == http::verb::head;
    auto request = std::make_shared<HttpRequest>();
    request->method = std::string(message->method_string());
    request->target = std::string(message->target());
    request->body = std::move(message->body());
    request->body.reserve(request->body.size() + kReadAhead);
    request->header = [message](std::string_view name) -> std::string_view {
      const auto found = (*message)[beast::string_view(name.data(), name.size())];
      return {found.data(), found.size()};
    };
    request->arrived_ns = now_ns();
    const Lane lane = server_->handler.lane(*request);
    if (lane == Lane::now) return write(answer_to(*request));
    if (server_->waiting.load() >= int64_t(server_->limits.queue))
      return write(busy(429, "too many requests wait already; try again"));
    server_->waiting.fetch_add(1);
    auto& pool = lane == Lane::score ? server_->scoring : server_->slow;
    asio::post(pool, [self = this->shared_from_this(), request]() mutable {
      self->server_->waiting.fetch_sub(1);
      auto response = self->answer_to(*request);
      auto& io = self->server_->io;
      asio::post(io, [self = std::move(self), response = std::move(response)] { self->write(response); });
    });
  }

  HttpResponse answer_to(HttpRequest& request) const {
    try {
      return server_->handler.answer(request);
    } catch (const std::exception& error) {
      log::warning("{} {}: {}", request.method, request.target, error.what());
      return refusal(500, error.what());
    }
  }

  void write(HttpResponse response) {
    response_ = {http::status(response.status), 11};
    response_.set(http::field::server, "interplay");
    response_.set(http::field::content_type, response.content_type);
    for (const auto& [name, value] : response.headers) response_.set(name, value);
    last_ = last_ || server_->stopping;
    response_.keep_alive(!last_);
    response_.body() = std::move(response.body);
    response_.prepare_payload();
    stream_.expires_after(duration(server_->limits.request_seconds));
    auto written = [self = this->shared_from_this()](beast::error_code problem, size_t) {
      self->stream_.expires_never();
      if (problem || self->last_) return self->close();
      self->response_ = {};
      self->wait();
    };
    if (!head_) return http::async_write(stream_, response_, std::move(written));
    serializer_.emplace(response_);  // the header alone, with the length of the body that GET has
    http::async_write_header(stream_, *serializer_, std::move(written));
  }

  const std::shared_ptr<State> server_;
  beast::tcp_stream stream_;
  asio::steady_timer idle_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
  bool head_ = false;
  int64_t requests_ = 0;                 // read so far
  bool waiting_ = false, last_ = false;  // last_: the connection ends with this answer
  bool late_ = false;                    // the request takes longer than it may
};

void HttpServer::State::accept() {
  acceptor.async_accept([self = shared_from_this()](beast::error_code problem, tcp::socket socket) {
    if (self->stopping || problem == asio::error::operation_aborted) return;
    if (!problem) {
      const bool full = self->sessions.size() >= self->limits.connections;
      const auto session = std::make_shared<Session>(self, std::move(socket));
      if (full) {
        session->refuse(busy(503, "too many connections are open; try again"));
      } else {
        session->wait();
      }
      return self->accept();
    }
    // out of file descriptors, as a rule: some close in the meantime
    log::warning("cannot accept a connection: {}", problem.message());
    const auto pause = std::make_shared<asio::steady_timer>(self->io, std::chrono::milliseconds(50));
    pause->async_wait([self, pause](beast::error_code) { self->accept(); });
  });
}

void HttpServer::State::begin_to_stop() {
  if (stopping) return;
  stopping = true;
  boost::system::error_code ignored;
  acceptor.close(ignored);
  std::vector<std::shared_ptr<Session>> all;  // an idle one goes when it is closed
  for (Session* session : sessions) all.push_back(session->shared_from_this());
  for (const auto& session : all) session->end_if_idle();
  drain.expires_after(duration(limits.drain_seconds));
  drain.async_wait([self = shared_from_this()](beast::error_code early) {
    if (early) return;
    log::warning("{} connections are cut: they took more than {} s to end", self->sessions.size(),
                 self->limits.drain_seconds);
    std::vector<std::shared_ptr<Session>> left;
    for (Session* session : self->sessions) left.push_back(session->shared_from_this());
    for (const auto& session : left) session->close();
  });
  all.clear();
  end_if_drained();
}

/// run() returns when nothing is left to wait for.
void HttpServer::State::end_if_drained() {
  if (stopping && sessions.empty()) drain.cancel();
}

HttpServer::HttpServer(const std::string& listen, int threads, HttpLimits limits, HttpHandler handler)
    : state_(std::make_shared<State>(listen, threads, limits, std::move(handler))) {}

HttpServer::~HttpServer() {
  state_->scoring.join();
  state_->slow.join();
}

int HttpServer::port() const { return state_->port; }
int64_t HttpServer::connections() const { return state_->open.load(); }
int64_t HttpServer::waiting() const { return state_->waiting.load(); }

void HttpServer::run() {
  state_->accept();
  state_->io.run();
  state_->scoring.join();
  state_->slow.join();
  state_->io.restart();
  state_->io.poll();  // answers that came too late let go of their connections
}

void HttpServer::stop() {
  asio::post(state_->io, [state = state_] { state->begin_to_stop(); });
}

}  // namespace interplay::server
