#include <interplay/base/config.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <unordered_map>
#include <utility>

#include <yaml-cpp/yaml.h>

#include <interplay/base/files.h>

#include "base/config_node.h"

namespace interplay {

namespace {

std::string join_path(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : path + "." + std::string(key);
}

constexpr int64_t kMostNodes = 1'000'000;  // of a file: anchors of anchors can ask for more than fits in memory
constexpr int kDeepest = 200;              // an anchor inside itself would have no end

bool parse_int(const std::string& text, int64_t& value) {
  const char* begin = text.data() + (text.size() > 1 && text[0] == '+' ? 1 : 0);
  const auto [stop, status] = std::from_chars(begin, text.data() + text.size(), value);
  if (status == std::errc() && stop == text.data() + text.size() && begin != stop) return true;
  double number = 0;  // 1e6 is an integer too
  if (!parse_double(text, number) || number != std::floor(number) || std::fabs(number) >= 0x1p53) return false;
  value = int64_t(number);
  return true;
}

/// Whether a text says that there is no value, and nothing else.
bool is_null_word(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n"), end = text.find_last_not_of(" \t\r\n");
  if (begin == text.npos) return false;
  const auto word = text.substr(begin, end - begin + 1);
  return word == "~" || word == "null" || word == "Null" || word == "NULL";
}

}  // namespace

bool parse_bool(const std::string& text, bool& value) {
  if (text == "true" || text == "True" || text == "yes" || text == "on") return value = true, true;
  if (text == "false" || text == "False" || text == "no" || text == "off") return value = false, true;
  return false;
}

bool parse_double(const std::string& text, double& value) {
  if (text == ".inf" || text == "+.inf") return value = INFINITY, true;
  if (text == "-.inf") return value = -INFINITY, true;
  if (text == ".nan") return value = NAN, true;
  const char* begin = text.data() + (text.size() > 1 && text[0] == '+' ? 1 : 0);
  const char* const end = text.data() + text.size();
  if (begin == end || !(std::isdigit(static_cast<unsigned char>(*begin)) || *begin == '-' || *begin == '.'))
    return false;
  const auto [stop, status] = std::from_chars(begin, end, value);
  return status == std::errc() && stop == end;
}

Config::Config() : node_(std::make_shared<Node>()) {}
Config::Config(std::shared_ptr<const Node> node) : node_(std::move(node)) {}

Config Config::scalar(std::string text, bool quoted) {
  auto node = std::make_shared<Node>();
  node->kind = Kind::scalar;
  node->text = std::move(text);
  node->quoted = quoted;
  return Config(node);
}

Config Config::sequence(std::vector<Config> items) {
  auto node = std::make_shared<Node>();
  node->kind = Kind::sequence;
  for (auto& item : items) node->entries.emplace_back("", item.node_);
  return Config(node);
}

Config Config::load(const std::filesystem::path& file) {
  std::string text;
  try {
    text = read_file(file);
  } catch (const Error& problem) {
    throw Error(problem.what(), ErrorKind::config);
  }
  return parse(text, file.string());
}

/// A parsed file, node by node.
struct Config::Reader {
  std::shared_ptr<const std::string> source;
  int64_t nodes = 0;

  [[noreturn]] void refuse(int line, const std::string& path, std::string_view why) const {
    Node at;
    at.source = source, at.line = line, at.path = path;
    throw Error(fmt::format("{}: {}", at.place(), why));
  }

  std::shared_ptr<const Node> read(const YAML::Node& from, const std::string& path, int line_if_unknown, int depth) {
    if (++nodes > kMostNodes) throw Error(fmt::format("{}: more than {} values", *source, kMostNodes));
    auto node = std::make_shared<Node>();
    node->source = source;
    node->line = from.Mark().line >= 0 ? from.Mark().line + 1 : line_if_unknown;
    node->path = path;
    if (depth > kDeepest) refuse(node->line, "", fmt::format("values lie deeper than {} levels", kDeepest));
    if (from.IsMap()) {
      read_map(*node, from, path, depth);
    } else if (from.IsSequence()) {
      node->kind = Kind::sequence;
      size_t i = 0;
      for (const auto& item : from) {
        node->entries.emplace_back("", read(item, join_path(path, std::to_string(i++)), node->line, depth + 1));
      }
    } else if (from.IsScalar()) {
      node->kind = Kind::scalar;
      node->text = from.Scalar();
      node->quoted = from.Tag() == "!";
    } else {
      node->kind = Kind::null;
    }
    return node;
  }

  void read_map(Node& node, const YAML::Node& from, const std::string& path, int depth) {
    node.kind = Kind::map;
    std::unordered_map<std::string, int> line_of;
    for (const auto& entry : from) {
      const int line = entry.first.Mark().line + 1;
      if (entry.first.IsNull()) refuse(line, path, "a key is empty, as null and ~ are in YAML unless quoted; quote it");
      if (!entry.first.IsScalar()) refuse(line, path, "a key is a list or map; expected text");
      const auto& key = entry.first.Scalar();
      const auto [known, fresh] = line_of.emplace(key, line);
      if (!fresh) {
        refuse(line, join_path(path, key),
               fmt::format("this key is written twice (first at line {}); remove one", known->second));
      }
      node.entries.emplace_back(key, read(entry.second, join_path(path, key), line, depth + 1));
    }
  }
};

Config Config::parse(std::string_view yaml, std::string source) {
  Reader reader{std::make_shared<const std::string>(std::move(source))};
  try {
    const auto documents = YAML::LoadAll(std::string(yaml));
    if (documents.empty()) return Config();  // nothing but comments: an empty map
    if (documents.size() > 1)
      reader.refuse(documents[1].Mark().line + 1, "", "a second document begins (---); expected one");
    const YAML::Node& root = documents[0];
    if (root.IsNull() && !is_null_word(yaml)) return Config();  // `---` alone
    return Config(reader.read(root, "", 1, 0));
  } catch (const YAML::Exception& problem) {
    reader.refuse(problem.mark.line + 1, "", fmt::format("not valid YAML: {}", problem.msg));
  }
}

Config::Kind Config::kind() const noexcept { return node_->kind; }

Config Config::operator[](std::string_view key) const {
  if (node_->kind == Kind::scalar || node_->kind == Kind::sequence) {
    fail(fmt::format("expected a map with the key '{}'", key));
  }
  for (const auto& [name, child] : node_->entries) {
    if (name == key) {
      if (!child->path.empty()) return Config(child);
      auto copy = std::make_shared<Node>(*child);
      copy->path = join_path(node_->path, key);
      return Config(copy);
    }
  }
  auto missing = std::make_shared<Node>();
  missing->kind = Kind::undefined;
  missing->source = node_->source;
  missing->line = node_->line;
  missing->path = join_path(node_->path, key);
  return Config(missing);
}

Config Config::at(size_t index) const {
  if (node_->kind != Kind::sequence) fail("expected a list");
  INTERPLAY_CHECK(index < node_->entries.size(), "{}: has {} items, so there is no item {}", where(),
                  node_->entries.size(), index);
  return Config(node_->entries[index].second);
}

bool Config::has(std::string_view key) const {
  return node_->kind == Kind::map && std::any_of(node_->entries.begin(), node_->entries.end(),
                                                 [&](const auto& entry) { return entry.first == key; });
}

size_t Config::size() const noexcept { return node_->entries.size(); }

std::vector<std::string> Config::keys() const {
  if (node_->kind != Kind::map) fail("expected a map");
  std::vector<std::string> out;
  for (const auto& entry : node_->entries) out.push_back(entry.first);
  return out;
}

std::vector<Config> Config::items() const {
  if (node_->kind == Kind::scalar) return {*this};
  if (node_->kind != Kind::sequence) fail("expected a list");
  std::vector<Config> out;
  for (const auto& entry : node_->entries) out.push_back(Config(entry.second));
  return out;
}

template <>
INTERPLAY_API std::string Config::as<std::string>() const {
  if (node_->kind == Kind::null) fail("is empty, as null and ~ are in YAML unless quoted; expected text");
  if (node_->kind != Kind::scalar) fail(is_null() ? "missing; expected text" : "expected text");
  return node_->text;
}

template <>
INTERPLAY_API bool Config::as<bool>() const {
  bool value = false;
  if (node_->kind != Kind::scalar) fail(is_null() ? "missing; expected true or false" : "expected true or false");
  if (!parse_bool(node_->text, value))
    fail(fmt::format("'{}' is not a truth value; expected true or false", node_->text));
  return value;
}

template <>
INTERPLAY_API int64_t Config::as<int64_t>() const {
  int64_t value = 0;
  if (node_->kind != Kind::scalar) fail(is_null() ? "missing; expected a whole number" : "expected a whole number");
  if (!parse_int(node_->text, value)) fail(fmt::format("'{}' is not a whole number", node_->text));
  return value;
}

template <>
INTERPLAY_API double Config::as<double>() const {
  double value = 0;
  if (node_->kind != Kind::scalar) fail(is_null() ? "missing; expected a number" : "expected a number");
  if (!parse_double(node_->text, value)) fail(fmt::format("'{}' is not a number", node_->text));
  return value;
}

std::shared_ptr<const Config::Node> Config::with(const std::shared_ptr<const Node>& node, std::string_view path,
                                                 const std::shared_ptr<const Node>& value, const std::string& walked) {
  if (path.empty()) {
    auto copy = std::make_shared<Node>(*value);
    copy->path = walked;
    if (copy->kind == Kind::map || copy->kind == Kind::sequence) {  // paths below follow the new place
      size_t index = 0;
      for (auto& [key, child] : copy->entries) {
        const std::string name = copy->kind == Kind::map ? key : std::to_string(index++);
        child = with(child, "", child, join_path(walked, name));
      }
    }
    return copy;
  }
  const size_t dot = path.find('.');
  const std::string key(path.substr(0, dot));
  const std::string_view rest = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  auto copy = std::make_shared<Node>();
  if (node) *copy = *node;
  copy->path = walked;
  const std::string below = join_path(walked, key);
  if (copy->kind == Kind::sequence) {
    int64_t index = -1;
    INTERPLAY_CHECK(parse_int(key, index) && index >= 0 && size_t(index) < copy->entries.size(),
                    "{}: there is no item '{}'; the list has {}, and the first is 0", copy->place(), key,
                    copy->entries.size());
    auto& child = copy->entries[size_t(index)].second;
    child = with(child, rest, value, below);
    return copy;
  }
  if (copy->kind == Kind::undefined || copy->kind == Kind::null) copy->kind = Kind::map;
  INTERPLAY_CHECK(copy->kind == Kind::map, "{}: is a single value, so '{}' cannot be set below it", copy->place(), key);
  for (auto& [name, child] : copy->entries) {
    if (name == key) {
      child = with(child, rest, value, below);
      return copy;
    }
  }
  copy->entries.emplace_back(key, with(nullptr, rest, value, below));
  return copy;
}

void Config::set(std::string_view dotted_path, Config value) {
  node_ = with(node_, dotted_path, value.node_, node_->path);
}

void Config::set(std::string_view assignment) {
  const size_t equals = assignment.find('=');
  INTERPLAY_CHECK(equals != std::string_view::npos && equals > 0, "--set {}: expected KEY=VALUE, as in train.epochs=3",
                  assignment);
  const auto text = assignment.substr(equals + 1);
  Config value = text.empty() ? Config::scalar("", true) : Config::parse(text, fmt::format("--set {}", assignment));
  set(assignment.substr(0, equals), value);
}

void Config::set_key(std::string_view key, Config value) {
  INTERPLAY_CHECK(node_->kind == Kind::map || node_->kind == Kind::null || node_->kind == Kind::undefined,
                  "{}: is no map, so '{}' cannot be set in it", where(), key);
  auto copy = std::make_shared<Node>(*node_);
  copy->kind = Kind::map;
  auto child = with(nullptr, "", value.node_, join_path(copy->path, key));
  const auto known =
      std::find_if(copy->entries.begin(), copy->entries.end(), [&](const auto& entry) { return entry.first == key; });
  if (known == copy->entries.end()) {
    copy->entries.emplace_back(key, std::move(child));
  } else {
    known->second = std::move(child);
  }
  node_ = copy;
}

void Config::erase(std::string_view key) {
  auto copy = std::make_shared<Node>(*node_);
  std::erase_if(copy->entries, [&](const auto& entry) { return entry.first == key; });
  node_ = copy;
}

std::string Config::path() const { return node_->path; }
std::string Config::where() const { return node_->place(); }
std::string Config::source() const { return node_->source ? *node_->source : ""; }
int Config::line() const noexcept { return node_->line; }

void Config::fail(std::string_view message) const {
  const std::string place = where();
  throw Error(place.empty() ? std::string(message) : fmt::format("{}: {}", place, message));
}

bool Config::operator==(const Config& other) const {
  const auto equal = [](auto&& self, const Node& a, const Node& b) -> bool {
    if (a.kind != b.kind || a.entries.size() != b.entries.size() || (a.kind == Kind::scalar && a.text != b.text))
      return false;
    for (size_t i = 0; i < a.entries.size(); ++i) {
      if (a.entries[i].first != b.entries[i].first || !self(self, *a.entries[i].second, *b.entries[i].second))
        return false;
    }
    return true;
  };
  return equal(equal, *node_, *other.node_);
}

}  // namespace interplay
