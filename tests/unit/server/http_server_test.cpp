#include "server/http_server.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <boost/asio.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>

namespace interplay::server::http_server_test {
namespace {

namespace asio = boost::asio;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// Opened by somebody else.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    woken_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    woken_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable woken_;
  bool open_ = false;
};

/// A server that says what it was sent; POST /wait answers when the gate is open.
class Running {
 public:
  explicit Running(HttpLimits limits = {})
      : server_("127.0.0.1:0", 1, limits,
                {.lane = [](const HttpRequest& request) { return request.method == "GET" ? Lane::now : Lane::score; },
                 .answer =
                     [this](HttpRequest& request) {
                       if (request.target == "/wait") {
                         begun.open();
                         gate.wait();
                       }
                       if (request.target == "/throw") throw std::runtime_error("a \"fault\"");
                       return HttpResponse{.body = request.method + " " + request.target + " " + request.body,
                                           .headers = {}};
                     }}),
        thread_([this] { server_.run(); }) {}
  ~Running() {
    gate.open();
    stop();
    join();
  }
  void stop() { server_.stop(); }
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  HttpServer& server() { return server_; }

  Gate gate, begun;

 private:
  HttpServer server_;
  std::thread thread_;
};

class Client {
 public:
  explicit Client(Running& running) : socket_(io_) {
    socket_.connect({asio::ip::address_v4::loopback(), uint16_t(running.server().port())});
  }
  void send(const std::string& bytes) { asio::write(socket_, asio::buffer(bytes)); }
  /// The next answer: status line, header and body; "" where the connection ended.
  std::string next() {
    boost::system::error_code problem;
    const size_t head = asio::read_until(socket_, asio::dynamic_buffer(left_), "\r\n\r\n", problem);
    if (problem) return "";
    size_t length = 0;
    const auto at = left_.find("Content-Length: ");
    if (at < head) length = std::stoul(left_.substr(at + 16));
    if (left_.size() < head + length) {
      asio::read(socket_, asio::dynamic_buffer(left_), asio::transfer_exactly(head + length - left_.size()), problem);
    }
    const std::string out = left_.substr(0, head + length);
    left_.erase(0, head + length);
    return out;
  }
  bool ended() { return next().empty(); }
  /// Status line and header of the next answer, and nothing behind them.
  std::string header() {
    const size_t head = asio::read_until(socket_, asio::dynamic_buffer(left_), "\r\n\r\n");
    const std::string out = left_.substr(0, head);
    left_.erase(0, head);
    return out;
  }

 private:
  asio::io_context io_;
  asio::ip::tcp::socket socket_;
  std::string left_;
};

std::string get(const std::string& target) { return "GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n"; }
std::string post(const std::string& target, const std::string& body) {
  return "POST " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

TEST(HttpServer, AnswersManyRequestsOfOneConnectionInTheirOrder) {
  Running running;
  Client client(running);
  client.send(get("/a") + post("/b", "body") + get("/c"));  // before the first is answered
  EXPECT_THAT(client.next(), HasSubstr("GET /a "));
  EXPECT_THAT(client.next(), HasSubstr("POST /b body"));
  EXPECT_THAT(client.next(), HasSubstr("GET /c "));
  client.send(post("/d", ""));
  EXPECT_THAT(client.next(), HasSubstr("POST /d "));
}

TEST(HttpServer, HeadIsAnsweredWithoutABody) {
  Running running;
  Client client(running);
  client.send("HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n" + get("/b"));
  EXPECT_THAT(client.header(), HasSubstr("Content-Length: "));
  EXPECT_THAT(client.next(), StartsWith("HTTP/1.1 200"));  // and not what HEAD would have had
  client.send(get("/c"));
  EXPECT_THAT(client.next(), HasSubstr("GET /c "));
}

TEST(HttpServer, EndsAConnectionWhoseClientAsksForIt) {
  Running running;
  Client client(running);
  client.send("GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.next(), HasSubstr("Connection: close"));
  EXPECT_TRUE(client.ended());
}

TEST(HttpServer, RefusesWhatIsTooLargeOrNoHttp) {
  Running running({.body = 1000, .header = 2000});
  const auto answer = [&](const std::string& bytes) {
    Client client(running);
    client.send(bytes);
    return client.next();
  };
  EXPECT_THAT(answer(post("/a", std::string(1000, 'x'))), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer(post("/a", std::string(1001, 'x'))), StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(answer("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n600\r\n" + std::string(0x600, 'x') +
                     "\r\n0\r\n\r\n"),
              StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(answer("GET /a HTTP/1.1\r\nX: " + std::string(4000, 'x') + "\r\n\r\n"), StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(answer("nothing of the kind\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer("POST /a HTTP/1.1\r\nContent-Length: -3\r\n\r\n"), StartsWith("HTTP/1.1 400"));
}

TEST(HttpServer, AFaultIsToldAndTheNextRequestAnswered) {
  Running running;
  Client client(running);
  client.send(post("/throw", "") + post("/a", ""));
  const std::string told = client.next();
  EXPECT_THAT(told, StartsWith("HTTP/1.1 500"));
  EXPECT_THAT(told, HasSubstr(R"({"error":"a \"fault\""})"));
  EXPECT_THAT(client.next(), HasSubstr("POST /a "));
}

TEST(HttpServer, ASlowClientHoldsNobodyAndIsSentAway) {
  Running running({.request_seconds = .3});
  Client slow(running), quick(running);
  slow.send("POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf");
  quick.send(get("/b"));
  EXPECT_THAT(quick.next(), HasSubstr("GET /b "));
  EXPECT_THAT(slow.next(), StartsWith("HTTP/1.1 408"));
  EXPECT_TRUE(slow.ended());
}

TEST(HttpServer, AnIdleConnectionIsClosedInTheEnd) {
  Running running({.idle_seconds = .1});
  Client client(running);
  EXPECT_TRUE(client.ended());
}

TEST(HttpServer, AsksForABodyThatTheClientHoldsBack) {
  Running running;
  Client client(running);
  client.send("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  EXPECT_THAT(client.next(), StartsWith("HTTP/1.1 100"));
  client.send("body");
  EXPECT_THAT(client.next(), HasSubstr("POST /a body"));
}

// One thread answers: the first request has it, the second waits, the third is one too many; what needs no thread goes
// on.
TEST(HttpServer, AFullQueueSaysTryAgain) {
  Running running({.queue = 1});
  Client first(running), second(running), third(running), fourth(running);
  first.send(post("/wait", ""));
  running.begun.wait();
  second.send(post("/b", ""));
  while (running.server().waiting() < 1) std::this_thread::yield();
  third.send(post("/c", ""));
  const std::string refused = third.next();
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 429"));
  EXPECT_THAT(refused, HasSubstr("Retry-After: 1"));
  fourth.send(get("/d"));
  EXPECT_THAT(fourth.next(), HasSubstr("GET /d "));
  running.gate.open();
  EXPECT_THAT(first.next(), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(second.next(), HasSubstr("POST /b "));
  third.send(post("/c", ""));
  EXPECT_THAT(third.next(), HasSubstr("POST /c "));
}

TEST(HttpServer, OneConnectionTooManyIsToldSo) {
  Running running({.connections = 1});
  Client first(running);
  first.send(get("/a"));
  EXPECT_THAT(first.next(), HasSubstr("GET /a "));
  Client second(running);
  EXPECT_THAT(second.next(), ::testing::AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("Retry-After: 1")));
  EXPECT_TRUE(second.ended());
}

TEST(HttpServer, StoppedItAnswersWhatIsUnderWay) {
  Running running;
  Client busy(running), idle(running);
  busy.send(post("/wait", ""));
  running.begun.wait();
  running.stop();
  EXPECT_TRUE(idle.ended());
  running.gate.open();
  const std::string answer = busy.next();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("Connection: close"));
  EXPECT_TRUE(busy.ended());
  running.join();
  EXPECT_EQ(running.server().connections(), 0);
}

TEST(HttpServer, StoppedItWaitsNoLongerThanItMay) {
  Running running({.request_seconds = 100, .drain_seconds = .2});
  Client slow(running);
  slow.send("POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf");
  Client other(running);  // whose answer says that the first was read
  other.send(get("/b"));
  other.next();
  running.stop();
  running.join();
  EXPECT_TRUE(slow.ended());
}

TEST(HttpServer, AddressesThatAreNoneAreNamed) {
  const HttpHandler nobody{.lane = [](const HttpRequest&) { return Lane::now; },
                           .answer = [](HttpRequest&) { return HttpResponse(); }};
  for (const char* listen : {"", "8000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "nowhere:80", "127.0.0.1:80x"}) {
    EXPECT_THROW(HttpServer(listen, 1, {}, nobody), Error) << listen;
  }
  Running running;
  EXPECT_THROW(HttpServer("127.0.0.1:" + std::to_string(running.server().port()), 1, {}, nobody), Error);
}

}  // namespace
}  // namespace interplay::server::http_server_test
