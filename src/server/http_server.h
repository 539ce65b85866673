#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace interplay::server {

/// Of the steady clock.
int64_t now_ns();

/// What a client may ask of a server's memory and time. What is beyond is refused with the status that says so.
struct HttpLimits {
  size_t body = 16 << 20;       ///< bytes: 413
  size_t header = 16 << 10;     ///< bytes of all header lines: 431
  size_t connections = 4096;    ///< at once: 503 to what comes beyond
  size_t queue = 256;           ///< requests that wait for a thread: 503 with Retry-After
  double request_seconds = 10;  ///< from a request's first byte to its last: 408, and the connection ends
  double idle_seconds = 300;    ///< between two requests of a connection
  double drain_seconds = 10;    ///< for requests under way when the server is stopped
};

struct HttpRequest {
  std::string method;                                        ///< GET, POST, ...
  std::string target;                                        ///< with the query, as it was sent
  std::string body;                                          ///< has room behind its end for a parser that reads ahead
  std::function<std::string_view(std::string_view)> header;  ///< "" where there is none
  int64_t arrived_ns = 0;                                    ///< when its last byte had come, of the steady clock
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

/// Where a request is answered: at once by the thread that reads and writes, by one of those that score, or by one that
/// may take minutes.
enum class Lane { now, score, slow };

struct HttpHandler {
  std::function<Lane(const HttpRequest&)> lane;
  std::function<HttpResponse(HttpRequest&)> answer;  ///< any thread; what it throws is a 500
};

/// HTTP/1.1 over TCP. One thread reads and writes, however many connections there are, so that none waits for another's
/// client; `threads` answer. A connection that waits for its next request has no buffers.
class HttpServer {
 public:
  /// Binds; throws Error where it cannot. `listen`: an address and a port, port 0 is any that is free.
  HttpServer(const std::string& listen, int threads, HttpLimits limits, HttpHandler handler);
  ~HttpServer();

  int port() const;
  /// Until stop(): then what is under way is answered, and no more is taken.
  void run();
  void stop();  ///< from any thread

  int64_t connections() const;
  int64_t waiting() const;  ///< requests that no thread has taken yet

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace interplay::server
