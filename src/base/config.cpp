#include <interplay/base/config.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include <yaml-cpp/yaml.h>

#include <interplay/base/files.h>

namespace interplay {

struct Config::Node {
  Kind kind = Kind::map;
  std::string text;                                                          // of a scalar
  bool quoted = false;                                                       // the scalar must stay a string
  std::vector<std::pair<std::string, std::shared_ptr<const Node>>> entries;  // key "" for items of a sequence
  std::shared_ptr<const std::string> source;
  int line = 0;
  std::string path;

  std::string place() const {
    std::string out;
    const bool given = source && source->starts_with("--");  // on the command line, which has no lines
    if (source && line > 0) out = given ? *source : fmt::format("{}:{}", *source, line);
    if (!path.empty()) out += (out.empty() ? "" : ": ") + path;
    return out;
  }
};

namespace {

std::string join_path(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : path + "." + std::string(key);
}

constexpr int64_t kMostNodes = 1'000'000;  // of a file: anchors of anchors can ask for more than fits in memory

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

bool parse_int(const std::string& text, int64_t& value) {
  const char* begin = text.data() + (text.size() > 1 && text[0] == '+' ? 1 : 0);
  const auto [stop, status] = std::from_chars(begin, text.data() + text.size(), value);
  if (status == std::errc() && stop == text.data() + text.size() && begin != stop) return true;
  double number = 0;  // 1e6 is an integer too
  if (!parse_double(text, number) || number != std::floor(number) || std::fabs(number) > 0x1p53) return false;
  value = int64_t(number);
  return true;
}

bool plain_is_safe(const std::string& text) {
  double number = 0;
  bool flag = false;
  if (text.empty() || text == "~" || text == "null" || parse_bool(text, flag) || parse_double(text, number))
    return false;
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '/' || c == '.' || c == '-'; }) &&
         text[0] != '-';
}

std::string quote(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += '\\', out += c;
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\x{:02x}", c);
    else
      out += c;
  }
  return out + "\"";
}

}  // namespace

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

Config Config::parse(std::string_view yaml, std::string source) {
  const auto shared_source = std::make_shared<const std::string>(std::move(source));
  int64_t nodes = 0;
  const auto convert = [&](auto&& self, const YAML::Node& from, const std::string& path,
                           int line_if_unknown) -> std::shared_ptr<const Node> {
    if (++nodes > kMostNodes) throw Error(fmt::format("{}: more than {} values", *shared_source, kMostNodes));
    auto node = std::make_shared<Node>();
    node->source = shared_source;
    node->line = from.Mark().line >= 0 ? from.Mark().line + 1 : line_if_unknown;
    node->path = path;
    if (from.IsMap()) {
      node->kind = Kind::map;
      for (const auto& entry : from) {
        const auto key = entry.first.Scalar();
        const int line = entry.first.Mark().line + 1;
        for (const auto& [known, other] : node->entries) {
          if (known == key) {
            throw Error(fmt::format("{}:{}: {}: this key is written twice (first at line {}); remove one",
                                    *shared_source, line, join_path(path, key), other->line));
          }
        }
        node->entries.emplace_back(key, self(self, entry.second, join_path(path, key), line));
      }
    } else if (from.IsSequence()) {
      node->kind = Kind::sequence;
      for (size_t i = 0; i < from.size(); ++i) {
        node->entries.emplace_back("", self(self, from[i], join_path(path, std::to_string(i)), node->line));
      }
    } else if (from.IsScalar()) {
      node->kind = Kind::scalar;
      node->text = from.Scalar();
      node->quoted = from.Tag() == "!";
    } else {
      node->kind = Kind::null;
    }
    return node;
  };
  try {
    const YAML::Node root = YAML::Load(std::string(yaml));
    if (root.IsNull() && yaml != "~") return Config();  // an empty file is an empty map; "~" is no value
    return Config(convert(convert, root, "", 1));
  } catch (const YAML::Exception& problem) {
    Node at;
    at.source = shared_source;
    at.line = problem.mark.line + 1;
    throw Error(fmt::format("{}: not valid YAML: {}", at.place(), problem.msg));
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

std::string Config::yaml() const {
  const auto print = [&](auto&& self, const Node& node, int indent) -> std::string {
    const std::string pad(size_t(indent), ' ');
    switch (node.kind) {
      case Kind::undefined:
      case Kind::null: return "~";
      case Kind::scalar: {
        double number = 0;
        bool flag = false;
        const bool bare = !node.quoted && (parse_double(node.text, number) || parse_bool(node.text, flag));
        return bare || plain_is_safe(node.text) ? node.text : quote(node.text);
      }
      case Kind::sequence: {
        const bool flat = std::all_of(node.entries.begin(), node.entries.end(), [](const auto& e) {
          return e.second->kind == Kind::scalar || e.second->kind == Kind::null;
        });
        if (flat) {
          std::vector<std::string> items;
          for (const auto& e : node.entries) items.push_back(self(self, *e.second, 0));
          return fmt::format("[{}]", fmt::join(items, ", "));
        }
        std::string out;
        for (const auto& e : node.entries) {
          const std::string item = self(self, *e.second, indent + 2);
          const bool nested = e.second->kind == Kind::map && !e.second->entries.empty();
          out += fmt::format("\n{}- {}", pad, nested ? item.substr(item.find_first_not_of("\n ")) : item);
        }
        return out;
      }
      case Kind::map: {
        if (node.entries.empty()) return "{}";
        std::string out;
        for (const auto& [key, child] : node.entries) {
          const std::string value = self(self, *child, indent + 2);
          out += fmt::format("\n{}{}:{}{}", pad, plain_is_safe(key) ? key : quote(key),
                             value.starts_with('\n') ? "" : " ", value);
        }
        return out;
      }
    }
    return "";
  };
  const std::string out = print(print, *node_, 0);
  return out.starts_with('\n') ? out.substr(1) + "\n" : out;
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

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  // A slip counts two, a dash or an underscore too many or too few one: `deep_fm` is nearer to deepfm than to deepffm.
  const auto weight = [](char c) { return c == '_' || c == '-' ? size_t{1} : size_t{2}; };
  std::string best;
  size_t best_distance = 2 * (std::max<size_t>(2, word.size() / 3) + 1);
  for (const auto& candidate : candidates) {
    std::vector<size_t> row(candidate.size() + 1), before, before_that;
    for (size_t j = 1; j <= candidate.size(); ++j) row[j] = row[j - 1] + weight(candidate[j - 1]);
    for (size_t i = 1; i <= word.size(); ++i) {
      before_that = std::exchange(before, row);
      row[0] = before[0] + weight(word[i - 1]);
      for (size_t j = 1; j <= candidate.size(); ++j) {
        const size_t change = before[j - 1] + (word[i - 1] == candidate[j - 1] ? 0 : 2);
        row[j] = std::min({before[j] + weight(word[i - 1]), row[j - 1] + weight(candidate[j - 1]), change});
        if (i > 1 && j > 1 && word[i - 1] == candidate[j - 2] && word[i - 2] == candidate[j - 1]) {
          row[j] = std::min(row[j], before_that[j - 2] + 2);  // two letters swapped are one slip
        }
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace interplay
