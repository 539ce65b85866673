#include <interplay/base/options.h>

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
