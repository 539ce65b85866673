#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/options.h>

#ifdef INTERPLAY_IN_TREE  // objects of the library itself prove no version, and need not follow every header's change
#define INTERPLAY_ABI_ADDRESS nullptr
#else
#include <interplay/base/abi.h>
#define INTERPLAY_ABI_ADDRESS &INTERPLAY_ABI_SYMBOL
#endif

namespace interplay {

namespace detail {
INTERPLAY_API std::string origin_of(const void* code_address);  ///< the file that holds this address
[[noreturn]] INTERPLAY_API void unknown_name(const Config& config, const std::string& kind, const std::string& name,
                                             const std::vector<std::string>& known);
}  // namespace detail

/// What every registry can tell, whatever it makes.
class INTERPLAY_API AnyRegistry {
 public:
  AnyRegistry();
  virtual ~AnyRegistry();
  AnyRegistry(const AnyRegistry&) = delete;
  AnyRegistry& operator=(const AnyRegistry&) = delete;
  virtual const std::string& kind() const = 0;           ///< what it makes: `model`, `reader`
  virtual std::vector<std::string> names() const = 0;    ///< sorted
  virtual std::vector<std::string> clashes() const = 0;  ///< names registered twice, as messages

  /// What is known of an entry before anything is made of it.
  struct About {
    std::string doc;                       ///< one line
    std::string origin;                    ///< file the code came from
    std::vector<OptionLine> (*options)();  ///< declared options with their defaults
  };
  /// Throws Error naming the nearest where there is no such entry.
  virtual About about(const std::string& name) const = 0;
};

/// Every registry that exists, in the order of first use.
INTERPLAY_API std::vector<const AnyRegistry*> all_registries();

/// The name in what names something: `auc`, or a map with the key `name` beside options.
INTERPLAY_API std::string name_in(const Config& config);

/// Names to factories. Each registry has one home, a function defined in the interplay library, so that a plugin and
/// the library see the same one. What it makes is whatever registered itself; no list of names exists anywhere.
///
/// Thread safety: lookups may run concurrently; registration happens while libraries load.
template <class Base, class... Args>
class Registry final : public AnyRegistry {
 public:
  using Make = std::shared_ptr<Base> (*)(Args..., const Config&);
  struct Entry : About {
    Make make;
    Config (*resolve)(const Config&);  ///< the options a config means, defaults filled in
  };

  explicit Registry(std::string kind) : kind_(std::move(kind)) {}

  /// A second registration of a name is kept as an error, raised by make() and by load_plugin(): throwing while a
  /// library is being loaded is not safe.
  void add(const std::string& name, Entry entry) noexcept {
    const std::lock_guard lock(mutex_);
    const auto [it, fresh] = entries_.emplace(name, entry);
    if (!fresh) {
      clashes_.push_back(fmt::format("{} '{}' is registered by two files: {} and {}; rename one of them", kind_, name,
                                     it->second.origin, entry.origin));
    }
  }

  /// Makes the object that `config["name"]` (or a bare scalar) names from the options beside that key.
  std::shared_ptr<Base> make(Args... args, const Config& config) const {
    return find(config).make(std::forward<Args>(args)..., options_of(config));
  }

  /// `config` with every default written out, `name` first.
  Config resolve(const Config& config) const {
    const Entry& entry = find(config);
    Config out;
    out.set("name", Config::scalar(name_in(config), true));
    const Config options = entry.resolve(options_of(config));
    for (const auto& key : options.keys()) out.set_key(key, options[key]);
    return out;
  }

  const Entry& find(const Config& config) const {
    const std::lock_guard lock(mutex_);
    if (!clashes_.empty()) throw Error(clashes_.front());
    const auto name = name_in(config);
    const auto it = entries_.find(name);
    if (it == entries_.end()) detail::unknown_name(config, kind_, name, names_unlocked());
    return it->second;
  }

  bool has(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    return entries_.contains(name);
  }

  std::vector<std::string> names() const override {
    const std::lock_guard lock(mutex_);
    return names_unlocked();
  }

  About about(const std::string& name) const override { return find(Config::scalar(name, true)); }
  const std::string& kind() const override { return kind_; }
  std::vector<std::string> clashes() const override {
    const std::lock_guard lock(mutex_);
    return clashes_;
  }

 private:
  static Config options_of(const Config& config) { return config.is_scalar() ? Config() : config; }
  std::vector<std::string> names_unlocked() const {
    std::vector<std::string> names;
    for (const auto& [name, entry] : entries_) names.push_back(name);
    return names;
  }

  std::string kind_;
  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;
  std::vector<std::string> clashes_;
};

/// Puts Derived, built from (Args..., const Derived::Options&), under `name` when the library that holds it is loaded.
/// Where options have to fit one another, `void check(const Config& config) const` in Options says so, with
/// config["heads"].fail("...") or INTERPLAY_CHECK: it is called when a configuration is read.
/// Taking the address of the ABI symbol makes a plugin built for another version impossible to load.
template <class Derived, class Base, class... Args>
class Registration {
 public:
  Registration(Registry<Base, Args...>& registry, const char* name, const char* doc) noexcept {
    abi_ = INTERPLAY_ABI_ADDRESS;
    registry.add(name, {{doc, detail::origin_of(reinterpret_cast<const void*>(&make)), &options}, &make, &resolve});
  }

 private:
  using Options = typename Derived::Options;
  static_assert(std::is_base_of_v<Base, Derived>, "what is registered must derive from what the registry makes");
  static_assert(
      OptionStruct<Options>,
      "Options needs `void visit(auto&& field)` that calls field(\"name\", member, \"what it is\") for each option");
  static_assert(
      !requires { &Options::check; } ||
          requires(const Options& options, const Config& config) { options.check(config); },
      "what checks options that have to fit one another is `void check(const Config& config) const`");
  static_assert(std::is_constructible_v<Derived, Args..., const Options&>,
                "a registered class is built from the registry's arguments and its options: a model from (const "
                "interplay::Schema&, const Options&)");
  static Options read(const Config& config) {
    Options options;
    const bool named = config.is_map() && config["name"].defined();
    read_options(options, config, named ? fmt::format("'{}'", config["name"].template as<std::string>()) : "");
    if constexpr (requires { options.check(config); }) options.check(config);
    return options;
  }
  static std::shared_ptr<Base> make(Args... args, const Config& config) {
    return std::make_shared<Derived>(std::forward<Args>(args)..., read(config));
  }
  static Config resolve(const Config& config) { return write_options(read(config)); }
  static std::vector<OptionLine> options() { return describe_options<Options>(); }

  const void* volatile abi_;
};

}  // namespace interplay

#define INTERPLAY_CONCAT_(a, b) a##b
#define INTERPLAY_CONCAT(a, b) INTERPLAY_CONCAT_(a, b)
/// INTERPLAY_REGISTER(registry(), "name", Type, "one line of documentation")
#define INTERPLAY_REGISTER(registry, name, type, doc)                                                    \
  [[maybe_unused]] const ::interplay::detail::RegistrationOf<type, decltype(registry)> INTERPLAY_CONCAT( \
      interplay_registration_, __COUNTER__)(registry, name, doc)

namespace interplay::detail {
template <class Derived, class R>
struct RegistrationOfImpl;
template <class Derived, class Base, class... Args>
struct RegistrationOfImpl<Derived, Registry<Base, Args...>&> {
  using Type = Registration<Derived, Base, Args...>;
};
template <class Derived, class R>
using RegistrationOf = typename RegistrationOfImpl<Derived, R>::Type;
}  // namespace interplay::detail
