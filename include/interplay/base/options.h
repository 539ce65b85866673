#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <interplay/base/config.h>

namespace interplay {

/// Limits that a declaration may carry; for a list they hold for each item. They are checked when a config is read and
/// printed by `interplay models NAME`.
struct Range {
  double low, high;  ///< both included
};
struct OneOf {
  std::vector<std::string> names;
};

/// An option struct declares each option once:
///
///     struct Options {
///       int64_t layers = 3;
///       void visit(auto&& field) { field("layers", layers, "cross layers", Range{1, 64}); }
///     };
///
/// Parser, printer, bundle and documentation all read that declaration. Members may be bool, int64_t, double,
/// std::string, vectors and optionals of these, std::map<std::string, double>, another option struct, a vector of
/// option structs, or Config for a part that somebody else reads.
template <class T>
concept OptionStruct = requires(T t) {
  t.visit([](auto&&...) {});
};

/// A type of its own as a member, as ModelOption is: read_option() takes what a config says, or throws Error at its
/// place; write_option() gives it back with every default written out.
template <class T>
concept OwnOption = requires(T t, const T written, const Config& config) {
  t.read_option(config);
  { written.write_option() } -> std::convertible_to<Config>;
  { T::option_type() } -> std::convertible_to<std::string>;
};

/// For registered classes that have nothing to set.
struct NoOptions {
  void visit(auto&&) {}
};

template <OptionStruct T>
void read_options(T& options, const Config& config, const std::string& owner = "");

namespace detail {

INTERPLAY_API void check_range(const Config& at, double value, const Range& range);
INTERPLAY_API std::string range_text(const Range& range);  ///< `1 to 1000000`
INTERPLAY_API void check_one_of(const Config& at, const std::string& value, const OneOf& one_of);
INTERPLAY_API void unknown_key(const Config& config, const std::string& key, const std::vector<std::string>& known,
                               const std::string& owner);
INTERPLAY_API Config to_config(bool value);
INTERPLAY_API Config to_config(int64_t value);
INTERPLAY_API Config to_config(double value);
INTERPLAY_API Config to_config(const std::string& value);

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

inline void check(const Config& at, int64_t value, const Range& range) { check_range(at, double(value), range); }
inline void check(const Config& at, double value, const Range& range) { check_range(at, value, range); }
inline void check(const Config& at, const std::string& value, const OneOf& names) { check_one_of(at, value, names); }
template <OwnOption T>
void check(const Config& at, const T&, const OneOf& names) {  // by the name that it is written with
  const Config name = at.is_map() ? at["name"] : at;
  check_one_of(name, name.as<std::string>(), names);
}
template <class T, class Limit>
void check(const Config& at, const std::vector<T>& values, const Limit& limit) {
  for (const auto& v : values) check(at, v, limit);
}
template <class T, class Limit>
void check(const Config& at, const std::optional<T>& value, const Limit& limit) {
  if (value) check(at, *value, limit);
}

template <class T>
struct IsOption : std::disjunction<std::is_same<T, bool>, std::is_same<T, int64_t>, std::is_same<T, double>,
                                   std::is_same<T, std::string>, std::is_same<T, Config>,
                                   std::is_same<T, std::map<std::string, double>>> {};
template <class T>
struct IsOption<std::vector<T>> : std::true_type {};
template <class T>
struct IsOption<std::optional<T>> : std::true_type {};

template <class T>
void read(T& value, const Config& from) {
  static_assert(
      IsOption<T>::value || OptionStruct<T> || OwnOption<T>,
      "an option is a bool, int64_t, double, std::string, a vector or optional of these, "
      "std::map<std::string, double>, another option struct or Config; use int64_t for int, double for float");
  if constexpr (std::same_as<T, Config>) {
    value = from;
  } else if constexpr (OwnOption<T>) {
    value.read_option(from);
  } else if constexpr (OptionStruct<T>) {
    read_options(value, from);
  } else if constexpr (IsVector<T>::value) {
    T items;
    for (const Config& item : from.items()) read(items.emplace_back(), item);
    value = std::move(items);
  } else if constexpr (IsOptional<T>::value) {
    if (from.is_null()) {
      value.reset();
    } else {
      read(value.emplace(), from);
    }
  } else if constexpr (std::same_as<T, std::map<std::string, double>>) {
    value.clear();
    for (const auto& key : from.keys()) value[key] = from[key].template as<double>();
  } else {
    value = from.template as<T>();
  }
}

template <class T>
Config write(const T& value) {
  if constexpr (std::same_as<T, Config>) {
    return value;
  } else if constexpr (OwnOption<T>) {
    return value.write_option();
  } else if constexpr (OptionStruct<T>) {
    Config out;
    T copy = value;
    copy.visit([&](const std::string& name, auto& member, auto&&...) { out.set_key(name, write(member)); });
    return out;
  } else if constexpr (IsVector<T>::value) {
    std::vector<Config> items;
    for (const auto& item : value) items.push_back(write(item));
    return Config::sequence(std::move(items));
  } else if constexpr (IsOptional<T>::value) {
    return value ? write(*value) : Config::parse("~");
  } else if constexpr (std::same_as<T, std::map<std::string, double>>) {
    Config out;
    for (const auto& [key, number] : value) out.set_key(key, to_config(number));
    return out;
  } else {
    return to_config(value);
  }
}

template <class T>
std::string type_name() {
  if constexpr (std::same_as<T, bool>)
    return "bool";
  else if constexpr (std::same_as<T, int64_t>)
    return "int";
  else if constexpr (std::same_as<T, double>)
    return "number";
  else if constexpr (std::same_as<T, std::string>)
    return "text";
  else if constexpr (IsVector<T>::value)
    return "list of " + type_name<typename T::value_type>();
  else if constexpr (IsOptional<T>::value)
    return type_name<typename T::value_type>() + " or nothing";
  else if constexpr (OwnOption<T>)
    return T::option_type();
  else if constexpr (std::same_as<T, Config>)
    return "any";
  else
    return "map";
}

}  // namespace detail

/// One declared option, as text. A member of an option struct within another is `outer.inner`.
struct OptionLine {
  std::string name, type, value, doc, limits;
  std::string when = {};                ///< which other options make it one: `kind: numeric`; empty: it always is
  std::vector<std::string> names = {};  ///< those of OneOf
};

namespace detail {

/// Values of options that decide which others there are, in the order in which they are set.
using Choices = std::vector<std::pair<std::string, std::string>>;

/// Joins what is declared under every value of every OneOf; a line says where it belongs to some of them alone.
INTERPLAY_API std::vector<OptionLine> describe(const std::function<std::vector<OptionLine>(const Choices&)>& declared,
                                               const Choices& chosen = {});
INTERPLAY_API void append_below(std::vector<OptionLine>& lines, const std::string& name, std::vector<OptionLine> inner);

template <class T>
struct StructIn {  ///< the option struct that a member is, may be, or holds many of; void: none
  using Type = std::conditional_t<OptionStruct<T>, T, void>;
};
template <class T>
struct StructIn<std::vector<T>> : StructIn<T> {};
template <class T>
struct StructIn<std::optional<T>> : StructIn<T> {};

}  // namespace detail

/// Fills `options` from a map. Absent keys keep their defaults; an unknown key is an Error that names the nearest
/// known one. `name` is left to the registries. `owner` is for the message, as in "model 'deepfm'".
template <OptionStruct T>
void read_options(T& options, const Config& config, const std::string& owner) {
  if (config.is_null()) return;
  if (!config.is_map()) config.fail("expected a map of options");
  std::vector<std::string> known;
  options.visit([&](const std::string& name, auto& member, auto&&... rest) {
    known.push_back(name);
    const Config value = config[name];
    if (!value.defined()) return;
    detail::read(member, value);
    [[maybe_unused]] const auto check_limit = [&](auto&& limit) {
      using Limit = std::remove_cvref_t<decltype(limit)>;
      if constexpr (std::same_as<Limit, Range> || std::same_as<Limit, OneOf>) detail::check(value, member, limit);
    };
    (check_limit(rest), ...);
  });
  for (const auto& key : config.keys()) {
    if (key != "name" && std::find(known.begin(), known.end(), key) == known.end()) {
      detail::unknown_key(config, key, known, owner);
    }
  }
}

/// Every option with its present value: what a bundle stores.
template <OptionStruct T>
Config write_options(const T& options) {
  return detail::write(options);
}

/// One line per option with type, default and documentation: what `interplay models NAME` and `interplay help` print.
/// Which options there are may depend on the value of a OneOf among them: each says then under which.
template <OptionStruct T>
std::vector<OptionLine> describe_options(const T& options = {}) {
  return detail::describe([&](const detail::Choices& choices) {
    T chosen = options;
    for (const auto& choice : choices) {  // no structured binding: not every compiler lets a lambda take one along
      chosen.visit([&](const std::string& name, auto& member, auto&&...) {
        using Member = std::remove_cvref_t<decltype(member)>;
        if constexpr (std::same_as<Member, std::string> ||
                      (OwnOption<Member> && std::is_assignable_v<Member&, const std::string&>)) {
          if (name == choice.first) member = choice.second;
        }
      });
    }
    std::vector<OptionLine> lines;
    chosen.visit([&](const std::string& name, auto& member, const std::string& doc, auto&&... limits) {
      using Member = std::remove_cvref_t<decltype(member)>;
      using Inner = typename detail::StructIn<Member>::Type;
      OptionLine line{name, detail::type_name<Member>(), "", doc, ""};
      if constexpr (!OptionStruct<Member>) line.value = detail::write(member).yaml();
      [[maybe_unused]] const auto add_limit = [&](auto&& limit) {
        using Limit = std::remove_cvref_t<decltype(limit)>;
        if constexpr (std::same_as<Limit, Range>) {
          line.limits = detail::range_text(limit);
        } else if constexpr (std::same_as<Limit, OneOf>) {
          line.names = limit.names;
          line.limits = fmt::format("{}", fmt::join(limit.names, " | "));
        }
      };
      (add_limit(limits), ...);
      lines.push_back(std::move(line));
      if constexpr (OptionStruct<Member>) {
        detail::append_below(lines, name, describe_options(member));
      } else if constexpr (!std::is_void_v<Inner>) {
        detail::append_below(lines, name, describe_options<Inner>());
      }
    });
    return lines;
  });
}

}  // namespace interplay
