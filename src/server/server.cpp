#include <interplay/server/server.h>

#include <algorithm>
#include <thread>

#include <interplay/base/error.h>
#include <interplay/base/log.h>

#include "server/metrics_text.h"
#include "server/service.h"

namespace interplay {
namespace {

using namespace server;

HttpLimits limits_of(const ServerOptions& o) {
  const auto positive = [](const char* name, auto value) {
    INTERPLAY_CHECK(value > 0, "server: {} {}: expected more than 0", name, value);
  };
  positive("body", o.body);
  positive("rows", o.rows);
  positive("cells", o.cells);
  positive("connections", o.connections);
  positive("queue", o.queue);
  positive("request_seconds", o.request_seconds);
  positive("idle_seconds", o.idle_seconds);
  INTERPLAY_CHECK(o.poll >= 0 && o.threads >= 0 && o.drain_seconds >= 0,
                  "server: poll {}, threads {}, drain_seconds {}: expected none below 0", o.poll, o.threads,
                  o.drain_seconds);
  INTERPLAY_CHECK(o.label_rows >= 0 && o.log_share >= 0 && o.log_share <= 1 && o.log_seconds > 0,
                  "server: label_rows {}, log_share {}, log_seconds {}: expected 0 or more, 0 to 1, more than 0",
                  o.label_rows, o.log_share, o.log_seconds);
  return {.body = size_t(o.body),
          .connections = size_t(o.connections),
          .queue = size_t(o.queue),
          .request_seconds = o.request_seconds,
          .idle_seconds = o.idle_seconds,
          .drain_seconds = o.drain_seconds};
}

int threads_of(const ServerOptions& o) {
  return o.threads > 0 ? o.threads : int(std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace

struct Server::State {
  State(const std::filesystem::path& directory, const ServerOptions& options)
      : limits(limits_of(options)),
        repository(directory),
        feedback(options.label_rows),
        log(options.log.empty()
                ? nullptr
                : std::make_unique<RequestLog>(options.log, LineLog::Limits{.seconds = options.log_seconds})),
        observer(feedback, log.get()),
        service(repository, {.rows = options.rows, .cells = options.cells},
                {feedback, observer, log.get(), options.log_share}),
        http(options.listen, threads_of(options), limits,
             {.lane = [this](const HttpRequest& request) { return service.lane(request); },
              .answer = [this](HttpRequest& request) { return service.answer(request); }}) {
    service.metrics = [this] {
      return metrics_text(repository, {.connections = http.connections(),
                                       .waiting = http.waiting(),
                                       .dropped = observer.dropped(),
                                       .labels = feedback.count(Feedback::Told::taken),
                                       .labels_unknown = feedback.count(Feedback::Told::unknown),
                                       .labels_repeated = feedback.count(Feedback::Told::repeated)});
    };
    if (options.poll > 0) repository.poll(options.poll);
  }

  HttpLimits limits;
  Repository repository;
  Feedback feedback;
  std::unique_ptr<RequestLog> log;
  Observer observer;
  Service service;
  HttpServer http;
};

Server::Server(const std::filesystem::path& directory, const ServerOptions& options)
    : state_(std::make_unique<State>(directory, options)) {}
Server::~Server() = default;

int Server::port() const { return state_->http.port(); }
void Server::run() { state_->http.run(); }
void Server::stop() { state_->http.stop(); }

}  // namespace interplay
