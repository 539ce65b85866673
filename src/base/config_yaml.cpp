#include <algorithm>
#include <cctype>
#include <set>
#include <string_view>

#include "base/config_node.h"

namespace interplay {
namespace {

constexpr size_t kLongestPlainKey = 1000;  // bytes; YAML itself looks for the colon of a longer key only where told to

/// Words that some YAML reader takes for no value or for a truth value, in any case of letters.
bool is_reserved_word(std::string text) {
  static const std::set<std::string> words{"null", "y", "yes", "n", "no", "on", "off", "true", "false"};
  for (char& c : text) c = char(std::tolower(static_cast<unsigned char>(c)));
  return words.contains(text);
}

/// What other readers take for a number or a date, and ours does not: 0x1F, 0o17, 0b1, 1_000, .NaN, 2024-01-31.
bool looks_like_a_number(const std::string& text) {
  const auto all_of = [](std::string_view part, std::string_view allowed) {
    return !part.empty() && part.find_first_not_of(allowed) == part.npos;
  };
  const std::string_view whole = text;
  if (whole.starts_with("0x") || whole.starts_with("0X")) return all_of(whole.substr(2), "0123456789abcdefABCDEF_");
  if (whole.starts_with("0o")) return all_of(whole.substr(2), "01234567_");
  if (whole.starts_with("0b")) return all_of(whole.substr(2), "01_");
  if (whole.starts_with('.')) return true;
  return std::isdigit(static_cast<unsigned char>(whole[0])) && all_of(whole, "0123456789_-.");
}

/// Whether the text may stand without quotes and still be read as that very text, by any reader of YAML.
bool plain_is_safe(const std::string& text) {
  double number = 0;
  if (text.empty() || text[0] == '-' || parse_double(text, number)) return false;
  if (is_reserved_word(text) || looks_like_a_number(text)) return false;
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '/' || c == '.' || c == '-'; });
}

/// In double quotes, on one line. Bytes from 0x80 on stay as they are, but for the line breaks of Unicode and its byte
/// order mark, which readers of YAML drop or fold.
std::string quote(const std::string& text) {
  static constexpr std::pair<std::string_view, std::string_view> kSpecial[] = {
      {"\xc2\x85", "\\u0085"}, {"\xe2\x80\xa8", "\\u2028"}, {"\xe2\x80\xa9", "\\u2029"}, {"\xef\xbb\xbf", "\\uFEFF"}};
  std::string out = "\"";
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    const auto special = std::find_if(std::begin(kSpecial), std::end(kSpecial), [&](const auto& pair) {
      return text.compare(i, pair.first.size(), pair.first) == 0;
    });
    if (special != std::end(kSpecial)) {
      out += special->second;
      i += special->first.size() - 1;
    } else if (c == '"' || c == '\\') {
      out += '\\', out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string quote_unless_safe(const std::string& text) { return plain_is_safe(text) ? text : quote(text); }

}  // namespace

/// A tree as text in block style.
struct Config::Printer {
  static std::string print(const Node& node, size_t indent) {
    switch (node.kind) {
      case Kind::undefined:
      case Kind::null: return "~";
      case Kind::scalar: return scalar(node);
      case Kind::sequence: return sequence(node, indent);
      case Kind::map: return map(node, indent);
    }
    return "";
  }

  static std::string scalar(const Node& node) {
    double number = 0;
    bool flag = false;
    const bool bare = !node.quoted && (parse_double(node.text, number) || parse_bool(node.text, flag));
    return bare ? node.text : quote_unless_safe(node.text);
  }

  static std::string sequence(const Node& node, size_t indent) {
    const bool flat = std::all_of(node.entries.begin(), node.entries.end(), [](const auto& e) {
      return e.second->kind == Kind::scalar || e.second->kind == Kind::null;
    });
    std::vector<std::string> items;
    for (const auto& e : node.entries) items.push_back(print(*e.second, indent + 2));
    if (flat) return fmt::format("[{}]", fmt::join(items, ", "));
    std::string out;
    for (const auto& item : items) {  // what begins a line of its own goes on behind the dash instead
      const size_t begin = item.starts_with('\n') ? item.find_first_not_of("\n ") : 0;
      out += fmt::format("\n{:{}}- {}", "", indent, std::string_view(item).substr(begin));
    }
    return out;
  }

  static std::string map(const Node& node, size_t indent) {
    if (node.entries.empty()) return "{}";
    std::string out;
    for (const auto& [key, child] : node.entries) {
      const std::string value = print(*child, indent + 2), name = quote_unless_safe(key);
      const char* const space = value.starts_with('\n') ? "" : " ";
      out += name.size() > kLongestPlainKey
                 ? fmt::format("\n{0:{1}}? {2}\n{0:{1}}:{3}{4}", "", indent, name, space, value)
                 : fmt::format("\n{:{}}{}:{}{}", "", indent, name, space, value);
    }
    return out;
  }
};

std::string Config::yaml() const {
  const std::string out = Printer::print(*node_, 0);
  return out.starts_with('\n') ? out.substr(1) + "\n" : out;
}

}  // namespace interplay
