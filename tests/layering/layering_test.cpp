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

// A room is a folder of src/, or a folder in one that has a row of its own here: it may include itself and these.
const std::map<std::string, std::set<std::string>> kMayInclude = {
    {"base", {}},
    {"data/read", {"base"}},
    {"data/schema", {"base", "data/read"}},
    {"data/spec", {"base", "data/read", "data/schema"}},
    {"data/order", {"base", "data/read", "data/schema", "data/spec"}},
    {"data/check", {"base", "data/read", "data/schema", "data/spec", "data/order"}},
    {"data/encode", {"base", "data/read", "data/schema", "data/spec"}},
    {"data/store", {"base", "data/read", "data/schema"}},
    {"data/batch", {"base", "data/schema", "data/store"}},
    {"data/synth", {"base", "data/read", "data/schema"}},
    {"data", {"base", "data/read", "data/schema", "data/spec", "data/order", "data/encode", "data/store"}},
    {"nn/kernels", {"base"}},
    {"nn/table", {"base", "nn/kernels"}},
    {"nn", {"base", "nn/kernels", "nn/table"}},
    {"optim", {"base", "nn"}},
    {"lm", {"base", "data", "nn"}},
    {"core", {"base", "data", "nn", "optim"}},
    {"train", {"base", "data", "nn", "optim", "core"}},
    {"explain", {"base", "data", "nn", "core", "train"}},
    {"serve", {"base", "data", "nn", "optim", "core"}},
    {"server", {"base", "data", "core", "serve", "bench"}},
    {"tracking", {"base", "core", "train"}},
    {"bench", {"base", "data", "nn", "optim", "core", "train", "serve"}},
    {"search", {"base", "data", "nn", "optim", "core", "train"}},
    {"systems/lab", {"base", "data", "nn", "lm", "core", "bench"}},
    {"systems/rella", {"base", "data", "nn", "optim", "lm", "core", "train", "serve", "search", "systems/lab"}},
    {"systems/rellax",
     {"base", "data", "nn", "optim", "lm", "core", "train", "serve", "search", "systems/lab", "systems/rella"}},
    {"systems/rerank", {"base", "data", "core", "train"}},
    {"systems/flip", {"base", "data", "nn", "lm", "core"}},
    {"systems/liber", {"base", "data", "nn", "lm", "core", "bench", "systems/lab"}},
    {"systems/autograph", {"base", "data", "nn", "lm", "core", "train", "systems/lab"}},
    {"systems/recfound", {"base", "nn", "optim", "lm", "core", "train"}},
    {"systems/qa4prf", {"base", "data", "nn", "lm", "core", "train"}},
    {"models", {"base", "data", "nn", "core", "lm", "model.h"}},
};

// Public headers lie in one folder a level. Each is of the room that has its .cpp; those without one are listed here.
const std::map<std::string, std::string> kRoomOfHeader = {
    {"data/encoded_batch.h", "data/schema"}, {"data/no_group.h", "data/schema"},         {"nn/bf16.h", "nn/kernels"},
    {"nn/dense_rows.h", "nn/kernels"},       {"systems/adapted_model.h", "systems/lab"},
};

struct Include {
  fs::path file;       // relative to the repository
  std::string room;    // of the file: base, data/read ...; empty for the umbrella headers
  std::string target;  // interplay/data/schema.h, core/elf_symbols.h, arrow/api.h
  bool is_quoted;
};

std::string level_of(const std::string& room) { return room.substr(0, room.find('/')); }

/// The room of a file below src/: its folder, or the nearest one above that has a row.
std::string room_of_folder(fs::path folder) {
  while (!folder.empty() && !kMayInclude.contains(folder.generic_string())) folder = folder.parent_path();
  return folder.generic_string();
}

/// By the name below src/ of each .cpp file: data/schema.h -> data/schema.
std::map<std::string, std::string> rooms_of_headers() {
  std::map<std::string, std::string> out = kRoomOfHeader;
  for (const auto& entry : fs::recursive_directory_iterator(kRoot / "src")) {
    if (entry.path().extension() != ".cpp") continue;
    const fs::path file = fs::relative(entry.path(), kRoot / "src");
    const std::string room = room_of_folder(file.parent_path());
    out.emplace(level_of(room) + "/" + file.stem().string() + ".h", room);
  }
  return out;
}

/// The room of a public header by its name below include/interplay/.
std::string room_of_header(const std::string& header) {
  static const auto rooms = rooms_of_headers();
  const auto found = rooms.find(header);
  return found != rooms.end() ? found->second : room_of_folder(fs::path(header).parent_path());
}

std::string room_of(const fs::path& file) {
  const std::string name = file.generic_string();
  if (name.starts_with("models/")) return "models";
  if (name.starts_with("include/interplay/")) return room_of_header(name.substr(18));
  return room_of_folder(fs::relative(file, "src").parent_path());
}

std::vector<Include> includes_of(const fs::path& file) {
  std::vector<Include> found;
  std::ifstream lines(kRoot / file);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("#include")) continue;
    const auto open = line.find_first_of("<\"");
    const auto close = line.find_first_of(">\"", open + 1);
    if (close == line.npos) continue;
    found.push_back({file, room_of(file), line.substr(open + 1, close - open - 1), line[open] == '"'});
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

/// The room an include points into: `interplay/data/schema.h` -> data/schema, `data/read/bad_row.h` -> data/read; "":
/// not ours.
std::string target_room(const std::string& target) {
  if (target.starts_with("interplay/")) {
    const std::string name = target.substr(10);
    return name.find('/') == name.npos ? name : room_of_header(name);
  }
  return room_of_folder(fs::path(target).parent_path());
}

std::string describe(const Include& include) { return include.file.string() + " includes " + include.target; }

TEST(Layering, EachRoomIncludesOnlyThoseBelowIt) {
  for (const auto& include : all_includes()) {
    if (include.file.parent_path() == "include/interplay" || include.file.parent_path() == "src") continue;
    ASSERT_TRUE(kMayInclude.contains(include.room)) << include.file << ": folder of no room in this test's table";
    const std::string target = target_room(include.target);
    if (target.empty() || target == include.room) continue;
    const auto& allowed = kMayInclude.at(include.room);
    // Another level is named whole, unless some of its rooms are.
    const bool other = level_of(target) != level_of(include.room);
    EXPECT_TRUE(allowed.contains(target) || (other && allowed.contains(level_of(target))))
        << describe(include) << "; " << include.room << " may not include " << target;
  }
}

// What two levels need is public, or moves down.
TEST(Layering, PrivateHeadersStayInTheirLevel) {
  for (const auto& include : all_includes()) {
    if (!include.is_quoted) continue;
    const std::string target = target_room(include.target);
    if (target.empty()) continue;
    EXPECT_EQ(level_of(target), level_of(include.room)) << describe(include) << ", which is private";
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
    if (!include.file.string().starts_with("include/") || !include.is_quoted) continue;
    ADD_FAILURE() << describe(include) << ", which is not installed";
  }
}

// The storage of tables is no business of a model's author.
TEST(Layering, TheModelHeaderLeavesTheStorageOfTablesOut) {
  std::set<std::string> reached, todo = {"interplay/model.h"};
  const auto all = all_includes();
  while (!todo.empty()) {
    const std::string header = *todo.begin();
    todo.erase(todo.begin());
    reached.insert(header);
    for (const auto& include : all) {
      if (include.file.generic_string() != "include/" + header || !include.target.starts_with("interplay/")) continue;
      if (!reached.contains(include.target)) todo.insert(include.target);
    }
  }
  EXPECT_TRUE(reached.contains("interplay/core/field_embedding.h"));
  for (const auto& header : reached) {
    EXPECT_NE(header, "interplay/nn/table_storage.h");
    EXPECT_NE(header, "interplay/nn/sorted_reads.h");
  }
}

// So that none of the above passes by reading nothing.
TEST(Layering, IncludesAreFound) { EXPECT_GT(all_includes().size(), 50u); }

}  // namespace
