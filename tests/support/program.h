#pragma once

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace interplay::testing {

/// What a process left: its exit status (128 + N where signal N ended it, as a shell says it) and its output.
struct Finished {
  int status = -1;
  std::string out, err;
};

/// A child process. Its output goes to files without names; a process still running is killed with the object.
class Program {
 public:
  Program(const std::vector<std::string>& words, const std::filesystem::path& directory)
      : out_(std::tmpfile()), err_(std::tmpfile()) {
    std::vector<char*> raw;
    for (const auto& word : words) raw.push_back(const_cast<char*>(word.c_str()));
    raw.push_back(nullptr);
    const std::string folder = directory.string();
    child_ = ::fork();
    if (child_ < 0) throw std::runtime_error("fork() failed");
    if (child_ > 0) return;
    const int nothing = ::open("/dev/null", O_RDONLY);
    const bool ready = out_ && err_ && nothing >= 0 && ::chdir(folder.c_str()) == 0 && ::dup2(nothing, 0) >= 0 &&
                       ::dup2(::fileno(out_), 1) >= 0 && ::dup2(::fileno(err_), 2) >= 0;
    if (ready) ::execvp(raw[0], raw.data());
    ::_exit(127);
  }
  ~Program() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      wait();
    }
    if (out_) std::fclose(out_);
    if (err_) std::fclose(err_);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  bool running() {
    if (child_ <= 0) return false;
    int status = 0;
    if (::waitpid(child_, &status, WNOHANG) == child_) keep(status);
    return child_ > 0;
  }
  void send(int signal) {
    if (running()) ::kill(child_, signal);
  }
  Finished wait() {
    int status = 0;
    if (child_ > 0 && ::waitpid(child_, &status, 0) == child_) keep(status);
    return {status_, read(out_), read(err_)};
  }

 private:
  void keep(int status) {
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    child_ = -1;
  }
  static std::string read(FILE* file) {
    std::string text;
    char block[65536];
    std::rewind(file);
    for (size_t n; (n = std::fread(block, 1, sizeof block, file)) > 0;) text.append(block, n);
    return text;
  }
  FILE* out_;
  FILE* err_;
  pid_t child_ = -1;
  int status_ = -1;
};

inline Finished run(const std::vector<std::string>& words, const std::filesystem::path& directory) {
  return Program(words, directory).wait();
}

}  // namespace interplay::testing
