// Reads the #include lines of the library and holds them against the table of who may include whom.
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace {

namespace fs = std::filesystem;

const fs::path kRoot = fs::path(INTERPLAY_TESTS_DIR).parent_path();

// A layer may include itself and these.
const std::map<std::string, std::set<std::string>> kMayInclude = {
    {"base", {}},
    {"data", {"base"}},
    {"nn", {"base"}},
    {"optim", {"base", "nn"}},
    {"lm", {"base", "data", "nn"}},
    {"core", {"base", "data", "nn", "optim"}},
    {"train", {"base", "data", "nn", "optim", "core"}},
    {"serve", {"base", "data", "nn", "optim", "core"}},
    {"bench", {"base", "data", "nn", "optim", "core", "train", "serve"}},
    {"search", {"base", "data", "nn", "optim", "core", "train"}},
    {"systems", {"base", "data", "nn", "optim", "lm", "core", "train", "serve", "search", "bench"}},
    {"models", {"base", "data", "nn", "core", "lm", "model.h"}},
};

struct Include {
  fs::path file;       // relative to the repository
  std::string layer;   // of the file: base, data ...; empty for the umbrella headers
  std::string target;  // interplay/data/schema.h, core/elf_symbols.h, arrow/api.h
};

std::string layer_of(const fs::path& file) {
  std::vector<std::string> parts(file.begin(), file.end());
  if (parts[0] == "models") return "models";
  const size_t folder = parts[0] == "include" ? 2 : 1;  // include/interplay/X/..., src/X/...
  return parts.size() > folder + 1 ? parts[folder] : "";
}

std::vector<Include> includes_of(const fs::path& file) {
  std::vector<Include> found;
  std::ifstream lines(kRoot / file);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("#include")) continue;
    const auto open = line.find_first_of("<\"");
    const auto close = line.find_first_of(">\"", open + 1);
    if (close == line.npos) continue;
    found.push_back({file, layer_of(file), line.substr(open + 1, close - open - 1)});
  }
  return found;
}

std::vector<Include> all_includes() {
  std::vector<Include> found;
  for (const char* top : {"include", "src", "models"}) {
    if (!fs::exists(kRoot / top)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / top)) {
      const auto extension = entry.path().extension();
      if (extension != ".h" && extension != ".cpp") continue;
      for (auto& include : includes_of(fs::relative(entry.path(), kRoot))) found.push_back(std::move(include));
    }
  }
  return found;
}

// The layer an include points into: `interplay/data/schema.h` and `data/detail.h` -> data; "" = not ours.
std::string target_layer(std::string target) {
  const bool is_public = target.starts_with("interplay/");
  if (is_public) target.erase(0, 10);
  const auto slash = target.find('/');
  if (slash == target.npos) return is_public ? target : "";
  const std::string folder = target.substr(0, slash);
  return is_public || kMayInclude.contains(folder) ? folder : "";
}

std::string describe(const Include& include) { return include.file.string() + " includes " + include.target; }

TEST(Layering, EachFolderIncludesOnlyTheLayersBelowIt) {
  for (const auto& include : all_includes()) {
    if (include.layer.empty()) continue;
    ASSERT_TRUE(kMayInclude.contains(include.layer)) << include.file << ": folder of no layer in this test's table";
    const std::string target = target_layer(include.target);
    const bool allowed = target.empty() || target == include.layer || kMayInclude.at(include.layer).contains(target);
    EXPECT_TRUE(allowed) << describe(include) << "; " << include.layer << " may not include " << target;
  }
}

TEST(Layering, ArrowStaysBehindData) {
  for (const auto& include : all_includes()) {
    if (!include.target.starts_with("arrow/") && !include.target.starts_with("parquet/")) continue;
    EXPECT_TRUE(include.file.string().starts_with("src/data/")) << describe(include);
  }
}

TEST(Layering, PublicHeadersShowNoThirdPartyTypesButFmtAndLibTorch) {
  for (const auto& include : all_includes()) {
    if (!include.file.string().starts_with("include/")) continue;
    for (const char* hidden :
         {"arrow/", "parquet/", "spdlog/", "CLI/", "Eigen/", "yaml-cpp/", "nlohmann/", "unicode/", "xxhash"}) {
      EXPECT_FALSE(include.target.starts_with(hidden)) << describe(include);
    }
  }
}

TEST(Layering, PublicHeadersIncludeNoPrivateOnes) {
  for (const auto& include : all_includes()) {
    if (!include.file.string().starts_with("include/")) continue;
    const auto folder = include.target.substr(0, include.target.find('/'));
    EXPECT_FALSE(kMayInclude.contains(folder)) << describe(include) << ", which is not installed";
  }
}

// So that none of the above passes by reading nothing.
TEST(Layering, IncludesAreFound) { EXPECT_GT(all_includes().size(), 50u); }

}  // namespace
