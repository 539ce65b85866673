#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include <ATen/Parallel.h>
#include <boost/asio.hpp>
#include <boost/beast.hpp>

#include <interplay/base/error.h>
#include <interplay/bench/criteo.h>
#include <interplay/server/server.h>

#include "server/json_out.h"

namespace interplay::server {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
namespace http = boost::beast::http;
using bench::CriteoRequest;
using Clock = std::chrono::steady_clock;

struct ServeBenchOptions {
  std::string model = "deepfm", form = "plain";
  int64_t candidates = 200, user_columns = 20, rows = 500000, connections = 8, scoring_threads = 2, idle = 0, swaps = 0;
  double seconds = 10, rate = 0;
  void visit(auto&& field) {
    field("model", model, "model that scores, by name; its weights are as drawn");
    field("form", form, "of a request: user and candidates (plain), tensors in JSON (v2) or as bytes (binary)",
          OneOf{{"plain", "v2", "binary"}});
    field("candidates", candidates, "rows a request", Range{1, 1e6});
    field("user_columns", user_columns, "of Criteo's 39 columns, those that all candidates of a request share",
          Range{0, 38});
    field("rows", rows, "made-up rows, which decide how large the tables are", Range{100, 1e12});
    field("connections", connections, "that requests come by, each with one at a time", Range{1, 1000});
    field("idle", idle, "further connections, over which nothing comes", Range{0, 100000});
    field("scoring_threads", scoring_threads, "of the server", Range{1, 1000});
    field("seconds", seconds, "of each measurement", Range{.1, 1e6});
    field("rate", rate, "requests a second, sent when they are due whatever the answers do; 0: half of saturation",
          Range{0, 1e6});
    field("swaps", swaps, "times that the run is loaded anew while requests come at that rate", Range{0, 1e6});
  }
};

struct Body {
  std::string json, binary;
};

void append_cells(std::string& out, std::span<const std::string> names, std::span<const std::string_view> cells) {
  out += '{';
  for (size_t c = 0; c < cells.size(); ++c) {
    if (c > 0) out += ',';
    append_string(out, names[c]);
    out += ':';
    append_string(out, cells[c]);
  }
  out += '}';
}

Body plain_body(const CriteoRequest& request, std::span<const std::string> names) {
  const size_t users = request.user.size(), width = names.size() - users;
  Body body{.json = "{\"user\":", .binary = {}};
  append_cells(body.json, names, request.user);
  body.json += ",\"candidates\":[";
  for (size_t i = 0; i < request.candidates.size(); i += width) {
    if (i > 0) body.json += ',';
    append_cells(body.json, names.subspan(users), std::span(request.candidates).subspan(i, width));
  }
  body.json += "]}";
  return body;
}

/// Protocol v2: cells in JSON, or behind it as Triton's binary tensors.
Body v2_body(const CriteoRequest& request, std::span<const std::string> names, bool binary) {
  const size_t users = request.user.size(), width = names.size() - users, count = request.candidates.size() / width;
  Body body{.json = "{\"inputs\":[", .binary = {}};
  for (size_t c = 0; c < names.size(); ++c) {
    const size_t of = c < users ? 1 : count, before = body.binary.size();
    body.json += fmt::format(R"({}{{"name":"{}","shape":[{}],"datatype":"BYTES",)", c ? "," : "", names[c], of);
    if (!binary) body.json += "\"data\":[";
    for (size_t i = 0; i < of; ++i) {
      const std::string_view cell = c < users ? request.user[c] : request.candidates[i * width + c - users];
      if (binary) {
        const auto length = uint32_t(cell.size());
        body.binary.append(reinterpret_cast<const char*>(&length), sizeof length);
        body.binary += cell;
      } else {
        if (i > 0) body.json += ',';
        append_string(body.json, cell);
      }
    }
    body.json +=
        binary ? fmt::format(R"("parameters":{{"binary_data_size":{}}}}})", body.binary.size() - before) : "]}";
  }
  body.json += binary ? R"(],"parameters":{"binary_data_output":true}})" : "]}";
  return body;
}

/// A request as it goes over the wire.
std::string request_of(const CriteoRequest& request, const std::string& form) {
  const auto names = bench::criteo_columns();
  const bool plain = form == "plain", binary = form == "binary";
  const Body body = plain ? plain_body(request, names) : v2_body(request, names, binary);
  return fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{}\r\n{}{}",
                     plain ? "/v1/score" : "/v2/models/served/infer", body.json.size() + body.binary.size(),
                     binary ? fmt::format("Inference-Header-Content-Length: {}\r\n", body.json.size()) : "", body.json,
                     body.binary);
}

std::string load_request() {
  return "POST /v2/repository/models/served/load HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
}

Clock::duration seconds(double s) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
}

class Client {
 public:
  explicit Client(int port) : socket_(io_) {
    socket_.connect({asio::ip::address_v4::loopback(), uint16_t(port)});
    socket_.set_option(asio::ip::tcp::no_delay(true));
  }
  bool ask(const std::string& request) {
    asio::write(socket_, asio::buffer(request));
    http::response<http::string_body> response;
    http::read(socket_, buffer_, response);
    return response.result() == http::status::ok;
  }

 private:
  asio::io_context io_;
  asio::ip::tcp::socket socket_;
  boost::beast::flat_buffer buffer_;
};

struct Load {
  struct Answer {
    Clock::time_point due;
    double seconds;
  };
  std::vector<Answer> answers;
  int64_t failed = 0;
  double lasted = 0;

  double quantile_ms(double share) const {
    std::vector<double> all;
    for (const Answer& answer : answers) all.push_back(1e3 * answer.seconds);
    INTERPLAY_CHECK(!all.empty(), "bench serve: no request was answered; raise `rate` or `seconds`");
    const auto place = all.begin() + int64_t(share * double(all.size() - 1));
    std::nth_element(all.begin(), place, all.end());
    return *place;
  }
  /// Of what was due in the second after one of these moments.
  Load after(const std::vector<Clock::time_point>& moments) const {
    Load some;
    for (const Answer& answer : answers) {
      for (const auto moment : moments) {
        if (answer.due < moment || answer.due > moment + seconds(1)) continue;
        some.answers.push_back(answer);
        break;
      }
    }
    return some;
  }
};

/// Sends requests over some connections. With a rate, the i-th is due at i / rate, and is as late as its answer comes
/// after that: one that has to wait for a free connection counts the wait. Without, each connection sends its next one
/// as soon as it has its answer.
Load send(int port, const std::vector<std::string>& requests, int64_t connections, double rate, double lasting) {
  std::atomic<int64_t> next = 0;
  std::vector<Load> of(static_cast<size_t>(connections));
  const auto begun = Clock::now(), end = begun + seconds(lasting);
  std::vector<std::thread> threads;
  for (auto& load : of) {
    threads.emplace_back([&, &load = load] {
      Client client(port);
      while (true) {
        const int64_t i = next.fetch_add(1);
        const auto due = rate > 0 ? begun + seconds(double(i) / rate) : Clock::now();
        if (due >= end) break;
        std::this_thread::sleep_until(due);
        load.failed += !client.ask(requests[size_t(i) % requests.size()]);
        load.answers.push_back({due, std::chrono::duration<double>(Clock::now() - due).count()});
      }
    });
  }
  for (auto& thread : threads) thread.join();
  Load all;
  all.lasted = std::chrono::duration<double>(Clock::now() - begun).count();
  for (const Load& load : of) {
    all.answers.insert(all.answers.end(), load.answers.begin(), load.answers.end());
    all.failed += load.failed;
  }
  return all;
}

double resident_mb() {
  std::ifstream status("/proc/self/statm");
  int64_t whole = 0, resident = 0;
  status >> whole >> resident;
  return double(resident) * 4096e-6;
}

/// Raw strings over loopback, the clients on the same processors as the server.
class ServeBench final : public bench::Workload {
 public:
  using Options = ServeBenchOptions;
  explicit ServeBench(const Options& options) : options_(options) {}

  bench::Findings run(const bench::Setting& setting) override {
    const fs::path run = bench::criteo_run(setting, options_.model, options_.rows, "served");
    std::vector<std::string> requests;
    for (const auto& request :
         bench::criteo_requests(setting, options_.rows, options_.user_columns, options_.candidates)) {
      requests.push_back(request_of(request, options_.form));
    }
    const int threads = at::get_num_threads();
    at::set_num_threads(1);
    bench::Findings out;
    {
      Server server(run, {.listen = "127.0.0.1:0",
                          .threads = int(options_.scoring_threads),
                          .poll = 0,
                          .connections = options_.idle + options_.connections + 10});
      std::thread serving([&] { server.run(); });
      send(server.port(), requests, options_.connections, 0, std::min(1., options_.seconds));  // warms up
      const double before = resident_mb();
      std::vector<std::unique_ptr<Client>> idle;
      for (int64_t i = 0; i < options_.idle; ++i) idle.push_back(std::make_unique<Client>(server.port()));
      if (options_.idle > 0) out.figure("idle connections, both ends", "MB", resident_mb() - before);
      for (int64_t i = 0; i < setting.repeats; ++i) measure(server.port(), run, requests, out);
      server.stop();
      idle.clear();
      serving.join();
    }
    at::set_num_threads(threads);
    fs::remove_all(run);
    out.notes.emplace_back("form", options_.form);
    out.notes.emplace_back("bytes a request", fmt::format("{}", requests[0].size()));
    return out;
  }

 private:
  void measure(int port, const fs::path& run, const std::vector<std::string>& requests, bench::Findings& out) const {
    const Load most = send(port, requests, options_.connections, 0, options_.seconds);
    const double saturation = double(most.answers.size()) / most.lasted;
    const double rate = options_.rate > 0 ? options_.rate : saturation / 2;
    const Load load = send(port, requests, options_.connections, rate, options_.seconds);
    out.figure("saturation", "rows/s", saturation * double(options_.candidates));
    out.figure("rate", "requests/s", rate);
    out.figure("request, p50", "ms", load.quantile_ms(.5));
    out.figure("request, p99", "ms", load.quantile_ms(.99));
    out.figure("request, p99.9", "ms", load.quantile_ms(.999));
    int64_t failed = most.failed + load.failed;
    if (options_.swaps > 0) {
      std::vector<Clock::time_point> moments;
      std::thread swapping([&] { swap(port, run, moments); });
      const Load swapped = send(port, requests, options_.connections, rate, options_.seconds);
      swapping.join();
      failed += swapped.failed;
      out.figure("in a swap's second, p99", "ms", swapped.after(moments).quantile_ms(.99));
      out.figure("swaps", "", double(moments.size()));
    }
    out.figure("failed", "requests", double(failed));
  }

  /// Loads the run anew, evenly over a measurement.
  void swap(int port, const fs::path& run, std::vector<Clock::time_point>& moments) const {
    Client client(port);
    const auto begun = Clock::now();
    for (int64_t i = 0; i < options_.swaps; ++i) {
      std::this_thread::sleep_until(begun + seconds(options_.seconds * (double(i) + .5) / double(options_.swaps)));
      fs::last_write_time(run / "manifest.json", fs::file_time_type::clock::now());
      moments.push_back(Clock::now());
      INTERPLAY_CHECK(client.ask(load_request()), "bench serve: the run could not be loaded anew");
    }
  }

  Options options_;
};

INTERPLAY_REGISTER(bench::workloads(), "serve", ServeBench,
                   "a user with 200 candidates from raw strings over HTTP, in an open loop");

}  // namespace
}  // namespace interplay::server
