#include <interplay/data/synth.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/in_order.h>
#include <interplay/base/progress.h>

#include "data/synth/synth_shapes.h"

namespace fs = std::filesystem;

namespace interplay {
namespace synth {
namespace {

struct Split {
  const char* name;
  int64_t rows;
};

std::vector<Split> splits(const SynthOptions& options) {
  INTERPLAY_CHECK(options.valid + options.test < 1, "valid: {} and test: {} leave no row for training", options.valid,
                  options.test);
  const auto valid = int64_t(double(options.rows) * options.valid), test = int64_t(double(options.rows) * options.test);
  std::vector<Split> all = {{"train", options.rows - valid - test}};
  if (valid > 0) all.push_back({"valid", valid});
  if (test > 0) all.push_back({"test", test});
  return all;
}

}  // namespace

TextFile::TextFile(const fs::path& file) : out_(file) {}

void TextFile::flush() {
  out_.write({buffer_.data(), buffer_.size()});
  buffer_.clear();
}

void TextFile::close() {
  flush();
  out_.close();
}

void write_splits(const SynthOptions& options, const fs::path& directory, const std::string& extension,
                  const std::string& header, const AppendRow& append) {
  constexpr int64_t kRows = 8192;  // of a part: 2 MB of Criteo's
  struct Part {
    size_t split = 0;
    int64_t begin = 0, end = 0;
    fmt::memory_buffer text;
  };
  struct Stages {
    std::function<bool(Part&)> read;
    std::function<void(Part&)> work, commit, finish;
  } stages;
  const auto all = splits(options);
  std::vector<std::unique_ptr<TextFile>> files;
  for (const auto& split : all) {
    files.push_back(std::make_unique<TextFile>(directory / (split.name + extension)));
    files.back()->text().append(header);
  }
  Progress progress("synth", options.rows);
  size_t split = 0;
  int64_t row = 0, end = all[0].rows;
  stages.read = [&](Part& part) {
    while (row == end) {
      if (++split == all.size()) return false;
      end += all[split].rows;
    }
    part.split = split;
    part.begin = row;
    part.end = row = std::min(end, row + kRows);
    return true;
  };
  stages.work = [&](Part& part) {
    AppendRow own = append;
    for (int64_t r = part.begin; r < part.end; ++r) own(part.text, r);
  };
  stages.commit = [&](Part& part) {
    files[part.split]->text().append(part.text);
    files[part.split]->flush_if_full();
    progress.add(part.end - part.begin);
  };
  stages.finish = [](Part&) {};
  run_in_order<Part>(std::max(1, int(std::thread::hardware_concurrency())), stages);
  for (auto& file : files) file->close();
}

std::string files_line(const SynthOptions& options, const std::string& extension) {
  std::vector<std::string> files;
  for (const auto& [name, rows] : splits(options)) files.push_back(fmt::format("{}: {}{}", name, name, extension));
  return fmt::format("files: {{{}}}\n", fmt::join(files, ", "));
}

}  // namespace synth

namespace {

void make_shape(const SynthOptions& options, const fs::path& directory, const std::string& name) {
  if (options.shape == "criteo") {
    synth::criteo(options, directory);
  } else if (options.shape == "planted") {
    synth::planted(options, directory);
  } else if (options.shape == "tasks") {
    synth::tasks(options, directory);
  } else if (options.shape == "texts") {
    synth::texts(options, directory);
  } else {
    INTERPLAY_CHECK(options.shape == "movielens", "shape: '{}' is not one of movielens, criteo, planted, tasks, texts",
                    options.shape);
    synth::movielens(options, directory, name);
  }
}

}  // namespace

void synthesize(const SynthOptions& options, const fs::path& directory) {
  const fs::path target = directory.has_filename() ? directory : directory.parent_path();
  INTERPLAY_CHECK(!fs::exists(target), "{}: exists already; remove it or name another directory", target.string());
  NewDirectory made(target);
  make_shape(options, made.path(), target.filename().string());
  made.commit();
}

}  // namespace interplay
