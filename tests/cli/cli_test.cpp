// Runs the cases in cases/*.yaml: command lines, their files, and what they should print. See README.md.
#include <algorithm>
#include <fstream>
#include <iostream>
#include <optional>
#include <regex>
#include <sstream>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <yaml-cpp/yaml.h>

#include "support/program.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::testing {
namespace {

constexpr const char* kShared = "shared";  // the folder that all cases read, as they know it

struct Case {
  fs::path file;
  std::string name, before, run, mask;
  std::vector<std::pair<std::string, std::string>> files;
  bool json = false;
  int status = 0;
  std::string out, err;
};

std::string text_of(const YAML::Node& node) { return node ? node.as<std::string>() : ""; }

Case parse_case(const YAML::Node& node, const fs::path& file) {
  Case c;
  c.file = file;
  for (const auto& entry : node) {
    const auto key = entry.first.as<std::string>();
    static const std::vector<std::string> known = {"name", "files",  "before", "run",   "mask",
                                                   "json", "status", "stdout", "stderr"};
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw std::runtime_error(fmt::format("{}:{}: unknown key '{}'", file.string(), entry.first.Mark().line + 1, key));
    }
  }
  c.name = text_of(node["name"]);
  c.before = text_of(node["before"]);
  c.run = text_of(node["run"]);
  c.mask = text_of(node["mask"]);
  for (const auto& f : node["files"]) c.files.emplace_back(f.first.as<std::string>(), f.second.as<std::string>());
  c.json = node["json"] && node["json"].as<bool>();
  c.status = node["status"] ? node["status"].as<int>() : 0;
  c.out = text_of(node["stdout"]);
  c.err = text_of(node["stderr"]);
  return c;
}

std::vector<Case> load_cases(const fs::path& file) {
  std::vector<Case> cases;
  for (const auto& node : YAML::LoadFile(file.string())) cases.push_back(parse_case(node, file));
  return cases;
}

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::string replace_all(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

/// The lines of tables, by number: those below a line of dashes, one run a column, up to one that does not fit.
std::vector<bool> table_rows(const std::vector<std::string>& lines) {
  static const std::regex dashes("-+(  -+)+");
  std::vector<bool> in_table(lines.size(), false);
  for (size_t i = 1; i < lines.size(); ++i) {
    if (!std::regex_match(lines[i], dashes)) continue;
    std::vector<size_t> gaps;
    for (size_t at = 0; (at = lines[i].find("  ", at)) != std::string::npos; at += 2) gaps.push_back(at);
    for (size_t row = i + 1; row < lines.size(); ++row) {
      const std::string& line = lines[row];
      const auto fits = [&](size_t gap) { return gap >= line.size() || line.compare(gap, 2, "  ") == 0; };
      if (line.size() <= gaps[0] || !std::all_of(gaps.begin(), gaps.end(), fits)) break;
      in_table[row] = true;
    }
  }
  return in_table;
}

/// Puts `#` for the cells below these heads of tables.
void mask_columns(std::vector<std::string>& lines, const std::vector<bool>& in_table) {
  std::string heads;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!in_table[i]) {
      heads = i > 0 ? lines[i - 1] : "";
      continue;
    }
    for (const std::string head : {"train rows/s", "train s"}) {
      const size_t begin = heads.find(head + " ");
      if (begin != std::string::npos && begin + head.size() <= lines[i].size())
        lines[i].replace(begin, head.size(), std::string(head.size() - 1, ' ') + "#");
    }
  }
}

/// Puts `#` for numbers with three or more decimals; in a table the columns stay where they are.
std::string mask_numbers(const std::string& line, bool in_table) {
  static const std::regex number(R"([-+]?\d+\.\d{3,}(e[-+]?\d+)?)");
  if (!in_table) return std::regex_replace(line, number, "#");
  std::string out = line;
  std::smatch found;
  for (size_t at = 0; std::regex_search(out.cbegin() + std::ptrdiff_t(at), out.cend(), found, number);) {
    const size_t begin = at + size_t(found.position()), length = size_t(found.length());
    out.replace(begin, length, std::string(length - 1, ' ') + "#");
    at = begin + length;
  }
  return out;
}

/// What differs from run to run and from machine to machine. README.md lists it.
std::string masked(const std::string& text, const Case& c, const fs::path& directory) {
  std::string out = replace_all(replace_all(text, directory.string(), "$DIR"), INTERPLAY_BUILD_DIR, "$BUILD");
  while (out.ends_with("\n\n")) out.pop_back();  // blank lines at the end are hard to see in a YAML file
  auto lines = lines_of(out);
  const auto in_table = table_rows(lines);
  mask_columns(lines, in_table);
  static const std::vector<std::pair<std::regex, std::string>> always = {
      {std::regex(R"(^\d\d:\d\d:\d\d )"), ""},
      {std::regex(R"(\d+(\.\d+)?( [kMG])? (rows|bytes)/s)"), "# $3/s"},
      {std::regex(R"(\b(\d+\.\d\d? s|\d+ min \d+ s|\d+ h \d+ min)\b)"), "# s"},
      {std::regex(R"(\(there are: .*; what a plugin)"), "(there are: ...; what a plugin"},
      {std::regex(R"(^  load \d+%.* other \d+%.*)"), "  load #, ..., other #"},
      {std::regex(R"((\d+ threads?), (bf16|fp32)$)"), "$1, PRECISION"},
      {std::regex(R"(peak memory [\d.]+ [KMG]?B)"), "peak memory # MB"},
      {std::regex(R"re("((train_|eval_)?(rows_per_s|seconds))": [\d.e+-]+)re"), "\"$1\": #"},
  };
  std::string shown;
  for (size_t i = 0; i < lines.size(); ++i) {
    for (const auto& [pattern, by] : always) lines[i] = std::regex_replace(lines[i], pattern, by);
    if (c.mask == "numbers") lines[i] = mask_numbers(lines[i], in_table[i]);
    for (const char ch : lines[i]) {  // control characters have no place in a YAML file
      const auto byte = static_cast<unsigned char>(ch);
      shown += byte < 0x20 && ch != '\t' ? fmt::format("\\x{:02x}", byte) : std::string(1, ch);
    }
    shown += i + 1 < lines.size() || out.ends_with('\n') ? "\n" : "";
  }
  return shown;
}

Finished shell(const std::string& command, const fs::path& directory) {
  return run({"/bin/sh", "-ec", command}, directory);
}

/// Makes `directory` as shared.yaml says: its commands run where `shared` is this directory.
void make_shared(const fs::path& directory) {
  const Case c = parse_case(YAML::LoadFile(INTERPLAY_CLI_DIR "/shared.yaml"), INTERPLAY_CLI_DIR "/shared.yaml");
  fs::remove_all(directory);
  fs::create_directories(directory);
  const TempDir work;
  fs::create_directory_symlink(fs::absolute(directory), work / kShared);
  for (const auto& [name, text] : c.files) work.write(name, text);
  const Finished made = shell(c.run, work.path());
  if (made.status != 0) throw std::runtime_error(fmt::format("shared.yaml: status {}\n{}", made.status, made.err));
}

/// The shared folder: the one that ctest had made, or one of this process.
const fs::path& shared() {
  static std::optional<TempDir> own;
  static const fs::path path = [] {
    if (const char* given = std::getenv("INTERPLAY_CLI_SHARED")) return fs::path(given);
    own.emplace();
    make_shared(own->path() / kShared);
    return own->path() / kShared;
  }();
  return path;
}

/// `key: |` with the text below it, as the case files are written.
std::string block(const std::string& key, const std::string& text) {
  if (text.empty()) return "";
  const std::string indent = text[0] == ' ' || text[0] == '\n' ? "2" : "";
  const char* const chomp = text.ends_with('\n') ? "" : "-";
  std::string out = fmt::format("  {}: |{}{}\n", key, indent, chomp);
  for (const auto& line : lines_of(text)) out += line.empty() ? "\n" : "    " + line + "\n";
  return out;
}

/// Writes what a case did into its file, in place of what was expected there. All else stays as it is.
void update(const Case& c, int status, const std::string& out, const std::string& err) {
  const auto lines = lines_of(read(c.file));
  const auto begin = std::find(lines.begin(), lines.end(), "- name: " + c.name);
  ASSERT_NE(begin, lines.end()) << c.file << ": no line `- name: " << c.name << "`";
  auto end =
      std::find_if(begin + 1, lines.end(), [](const auto& l) { return l.starts_with("- ") || l.starts_with("#"); });
  while (std::prev(end)->empty()) --end;
  std::string text;
  for (auto line = lines.begin(); line != begin; ++line) text += *line + "\n";
  bool golden = false;
  for (auto line = begin; line != end; ++line) {
    const bool key = line->size() > 2 && line->starts_with("  ") && (*line)[2] != ' ';
    if (key)
      golden = line->starts_with("  status:") || line->starts_with("  stdout:") || line->starts_with("  stderr:");
    if (!golden) text += *line + "\n";
  }
  text += fmt::format("  status: {}\n", status) + block("stdout", out) + block("stderr", err);
  for (auto line = end; line != lines.end(); ++line) text += *line + "\n";
  std::ofstream(c.file, std::ios::binary | std::ios::trunc) << text;
}

class CaseTest : public ::testing::Test {
 public:
  explicit CaseTest(Case c) : case_(std::move(c)) {}
  void TestBody() override {
    const TempDir directory;
    fs::create_directory_symlink(fs::absolute(shared()), directory / kShared);
    for (const auto& [name, text] : case_.files) {
      fs::create_directories((directory.path() / name).parent_path());
      directory.write(name, text);
    }
    if (!case_.before.empty()) {
      const Finished before = shell(case_.before, directory.path());
      ASSERT_EQ(before.status, 0) << "before: " << case_.before << "\n" << before.err;
    }
    const Finished done = shell(case_.run, directory.path());
    ASSERT_TRUE(done.status < 126 || done.status == 130) << "it was ended by a signal, or never began\n" << done.err;
    const std::string out = masked(done.out, case_, directory.path()), err = masked(done.err, case_, directory.path());
    EXPECT_TRUE(!case_.json || nlohmann::json::accept(done.out)) << done.out;
    if (std::getenv("INTERPLAY_CLI_UPDATE")) return update(case_, done.status, out, err);
    EXPECT_EQ(done.status, case_.status) << done.err;
    EXPECT_EQ(out, case_.out);
    EXPECT_EQ(err, case_.err);
  }

 private:
  Case case_;
};

}  // namespace
}  // namespace interplay::testing

int main(int count, char** words) {
  using namespace interplay::testing;
  const std::string path = std::getenv("PATH") ? std::getenv("PATH") : "";
  ::setenv("PATH", (fs::path(INTERPLAY_PROGRAM).parent_path().string() + ":" + path).c_str(), 1);
  ::setenv("LC_ALL", "C", 1);
  ::setenv("REFERENCE", INTERPLAY_CLI_DIR "/../reference/data", 1);
  ::unsetenv("INTERPLAY_MODELS");
  ::testing::InitGoogleTest(&count, words);
  try {
    if (count == 3 && std::string(words[1]) == "--make-shared") {
      make_shared(words[2]);
      return 0;
    }
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(INTERPLAY_CLI_DIR "/cases")) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const auto& file : files) {
      for (const auto& c : load_cases(file)) {
        ::testing::RegisterTest(file.stem().c_str(), c.name.c_str(), nullptr, nullptr, file.c_str(), __LINE__,
                                [c]() -> CaseTest* { return new CaseTest(c); });
      }
    }
  } catch (const std::exception& problem) {
    std::cerr << problem.what() << "\n";
    return 1;
  }
  return RUN_ALL_TESTS();
}
