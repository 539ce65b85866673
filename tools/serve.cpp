// interplay serve DIR: raw rows to probabilities over HTTP.
#include <ATen/Parallel.h>

#include <interplay/base/log.h>
#include <interplay/server/server.h>

#include "command.h"
#include "on_interrupt.h"

namespace interplay::tool::serve_command {
namespace {

std::function<void()> add(CLI::App& app) {
  struct Arguments {
    std::string directory;
    ServerOptions options;
  };
  auto a = std::make_shared<Arguments>();
  ServerOptions& o = a->options;
  app.add_option("DIR", a->directory, "a run, or a folder of MODEL/VERSION/ runs")->required();
  app.add_option("--listen", o.listen, "address and port; port 0: any that is free")->capture_default_str();
  app.add_option("--poll", o.poll, "seconds between two looks for new versions; 0: only when told")
      ->capture_default_str();
  app.add_option("--max-body", o.body, "bytes of a request at most")->capture_default_str();
  app.add_option("--max-rows", o.rows, "rows of a request at most")->capture_default_str();
  app.add_option("--max-cells", o.cells, "cells of a request at most")->capture_default_str();
  app.add_option("--max-connections", o.connections, "connections at most")->capture_default_str();
  app.add_option("--max-queue", o.queue, "requests that wait for a thread at most")->capture_default_str();
  app.add_option("--request-seconds", o.request_seconds, "from a request's first byte to its last")
      ->capture_default_str();
  app.add_option("--idle-seconds", o.idle_seconds, "between two requests of a connection")->capture_default_str();
  app.add_option("--drain-seconds", o.drain_seconds, "for requests under way when it is stopped")
      ->capture_default_str();
  app.add_option("--label-rows", o.label_rows, "rows whose scores are remembered until their labels come; 0: none")
      ->capture_default_str();
  app.add_option("--log", o.log, "folder into which requests and labels are written, as JSON lines");
  app.add_option("--log-share", o.log_share, "share of the requests that are")->capture_default_str();
  app.add_option("--log-seconds", o.log_seconds, "after which a file of the log is put in place")
      ->capture_default_str();
  return [a, &app] {
    const auto* const threads = app.get_parent()->get_option("--threads");
    if (threads->count() > 0) a->options.threads = threads->as<int>();
    at::set_num_threads(1);  // requests run side by side
    Server server(a->directory, a->options);
    log::info("listening on {}, port {}; Ctrl-C or SIGTERM ends it", a->options.listen, server.port());
    const OnInterrupt interrupt([&] { server.stop(); }, "no more is taken; what is under way is answered");
    server.run();
    log::info("ended");
  };
}

const AddCommand command("serve", "raw rows to probabilities over HTTP", add);

}  // namespace
}  // namespace interplay::tool::serve_command
