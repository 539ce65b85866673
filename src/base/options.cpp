#include <interplay/base/options.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace interplay::detail {

std::string range_text(const Range& range) {
  const auto text = [](double x) {
    if (std::nextafter(x, INFINITY) == std::ceil(x)) return fmt::format("below {:.0f}", std::ceil(x));  // an open end
    return std::floor(x) == x && std::abs(x) < 1e7 ? fmt::format("{:.0f}", x) : fmt::format("{:g}", x);
  };
  return fmt::format("{} to {}", text(range.low), text(range.high));
}

void check_range(const Config& at, double value, const Range& range) {
  if (!(value >= range.low && value <= range.high))
    at.fail(fmt::format("{:g} is out of range; expected {}", value, range_text(range)));
}

void check_one_of(const Config& at, const std::string& value, const OneOf& one_of) {
  for (const auto& name : one_of.names) {
    if (name == value) return;
  }
  const std::string close = nearest(value, one_of.names);
  at.fail(fmt::format("'{}' is not known{} (expected {})", value,
                      close.empty() ? "" : fmt::format("; did you mean '{}'?", close), fmt::join(one_of.names, " | ")));
}

void unknown_key(const Config& config, const std::string& key, const std::vector<std::string>& known,
                 const std::string& owner) {
  const std::string close = nearest(key, known);
  const std::string prefix = config.path().empty() ? "" : config.path() + ".";
  config[key].fail(fmt::format("unknown key{}{} (keys: {})", owner.empty() ? "" : " of " + owner,
                               close.empty() ? "" : fmt::format("; did you mean {}{}?", prefix, close),
                               fmt::join(known, ", ")));
}

namespace {

/// `line` as one of several that stand under different values of `key`.
struct Variant {
  OptionLine line;
  std::vector<std::string> values;
};

void merge(std::vector<Variant>& variants, std::vector<OptionLine> lines, const std::string& value) {
  for (auto& line : lines) {
    const auto same = std::find_if(variants.begin(), variants.end(), [&](const Variant& v) {
      return v.line.name == line.name && v.line.doc == line.doc && v.line.when == line.when;
    });
    if (same == variants.end()) {
      variants.push_back({std::move(line), {value}});
    } else {
      same->values.push_back(value);
    }
  }
}

bool same_names(const std::vector<OptionLine>& a, const std::vector<OptionLine>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const OptionLine& x, const OptionLine& y) { return x.name == y.name && x.doc == y.doc; });
}

}  // namespace

std::vector<OptionLine> describe(const std::function<std::vector<OptionLine>(const Choices&)>& declared,
                                 const Choices& chosen) {
  std::vector<OptionLine> lines = declared(chosen);
  for (const OptionLine& line : lines) {
    const auto is_it = [&](const auto& choice) { return choice.first == line.name; };
    const bool nested = line.name.find('.') != std::string::npos;
    if (line.names.empty() || nested || std::any_of(chosen.begin(), chosen.end(), is_it)) continue;
    const auto under = [&](const std::string& value) {
      Choices further = chosen;
      further.emplace_back(line.name, value);
      return further;
    };
    const auto changes = [&](const std::string& value) { return !same_names(declared(under(value)), lines); };
    if (std::none_of(line.names.begin(), line.names.end(), changes)) continue;
    std::vector<Variant> variants;
    for (const auto& value : line.names) merge(variants, describe(declared, under(value)), value);
    std::vector<OptionLine> out;
    for (auto& [option, values] : variants) {
      if (option.name == line.name) option.value = line.value;  // the default, whatever was tried
      if (values.size() < line.names.size()) {
        option.when = fmt::format("{}: {}{}{}", line.name, fmt::join(values, " | "), option.when.empty() ? "" : ", ",
                                  option.when);
      }
      out.push_back(std::move(option));
    }
    return out;
  }
  return lines;
}

void append_below(std::vector<OptionLine>& lines, const std::string& name, std::vector<OptionLine> inner) {
  for (auto& line : inner) {
    line.name = name + "." + line.name;
    lines.push_back(std::move(line));
  }
}

Config to_config(bool value) { return Config::scalar(value ? "true" : "false"); }
Config to_config(int64_t value) { return Config::scalar(std::to_string(value)); }
Config to_config(const std::string& value) { return Config::scalar(value, true); }

Config to_config(double value) {
  char text[64];
  const auto [end, status] = std::to_chars(text, text + sizeof text, value);  // shortest that reads back equal
  INTERPLAY_ASSERT(status == std::errc());
  return Config::scalar(std::isfinite(value) ? std::string(text, end)
                                             : (value > 0   ? ".inf"
                                                : value < 0 ? "-.inf"
                                                            : ".nan"));
}

}  // namespace interplay::detail
