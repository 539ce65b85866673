#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <interplay/base/config.h>

namespace interplay {

/// A value of the tree, and where it was written.
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

/// Scalars that mean a truth value or a number, as as<bool>() and as<double>() take them.
bool parse_bool(const std::string& text, bool& value);
bool parse_double(const std::string& text, double& value);

}  // namespace interplay
