#pragma once

#include <functional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <interplay/base/files.h>
#include <interplay/base/random.h>
#include <interplay/data/synth.h>

namespace interplay::synth {

/// Text that goes to a file in large pieces.
class TextFile {
 public:
  explicit TextFile(const std::filesystem::path& file);
  fmt::memory_buffer& text() { return buffer_; }
  void flush_if_full() {
    if (buffer_.size() > (size_t(1) << 20)) flush();
  }
  void close();

 private:
  void flush();
  OutputFile out_;
  fmt::memory_buffer buffer_;
};

/// Writes row `row` with its newline. A copy may write other rows at the same time.
using AppendRow = std::function<void(fmt::memory_buffer& out, int64_t row)>;

/// Rows [0, options.rows) cut into train, valid and test, in this order, by all cores: rows depend on their number
/// alone.
void write_splits(const SynthOptions& options, const std::filesystem::path& directory, const std::string& extension,
                  const std::string& header, const AppendRow& append);

/// The `files:` line of data.yaml for what write_splits() made.
std::string files_line(const SynthOptions& options, const std::string& extension);

void movielens(const SynthOptions& options, const std::filesystem::path& directory, const std::string& name);
void criteo(const SynthOptions& options, const std::filesystem::path& directory);
void planted(const SynthOptions& options, const std::filesystem::path& directory);
void tasks(const SynthOptions& options, const std::filesystem::path& directory);
void texts(const SynthOptions& options, const std::filesystem::path& directory);

/// AUC of scores for labels; ties count half.
double auc(std::vector<std::pair<double, bool>> scored);

}  // namespace interplay::synth
