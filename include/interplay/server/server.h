#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <interplay/base/api.h>

namespace interplay {

/// What a server takes of its clients and of the machine.
struct ServerOptions {
  std::string listen = "127.0.0.1:8000";  ///< address and port; port 0: any that is free
  int threads = 0;                        ///< that score; 0: as many as there are processors
  double poll = 2;                        ///< seconds between two looks for new versions; 0: only when told
  int64_t body = 16 << 20;                ///< bytes of a request
  int64_t rows = 100000;                  ///< of a request
  int64_t cells = 10000000;               ///< of a request
  int64_t connections = 4096;             ///< at once
  int64_t queue = 256;                    ///< requests that wait for a thread
  double request_seconds = 10;            ///< from a request's first byte to its last
  double idle_seconds = 300;              ///< between two requests of a connection
  double drain_seconds = 10;              ///< for requests under way when it is stopped
  int64_t label_rows = 100000;            ///< whose scores are remembered until their labels come; 0: none
  std::filesystem::path log = {};         ///< folder into which requests and labels are written; empty: they are not
  double log_share = 1;                   ///< of the requests
  double log_seconds = 600;               ///< after which a file of the log is put in place
};

/// Scores raw rows over HTTP: Open Inference Protocol v2 with Triton's binary tensors, and a plain form for people.
/// docs/serve.md has the routes.
///
///     Server server("runs/deepfm", {.listen = "127.0.0.1:8000"});
///     server.run();   // until stop()
class INTERPLAY_API Server {
 public:
  /// `directory`: MODEL/VERSION/ are runs, or it is one itself. Loads and warms the newest version of each, and binds;
  /// throws Error where either fails.
  Server(const std::filesystem::path& directory, const ServerOptions& options);
  ~Server();

  int port() const;
  void run();   ///< until stop(), after which what is under way is answered
  void stop();  ///< from any thread

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interplay
