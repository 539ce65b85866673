#include <dlfcn.h>

#include <interplay/base/abi.h>
#include <interplay/base/registry.h>

const char INTERPLAY_ABI_SYMBOL = 1;  // outside the namespace, where abi.h declares it with C linkage

namespace interplay {

namespace {

struct Enlisted {
  std::mutex mutex;
  std::vector<const AnyRegistry*> registries;
};

// Leaked on purpose: registries enlist and leave while libraries load and the program ends, in any order.
Enlisted& enlisted() {
  static auto* const all = new Enlisted;
  return *all;
}

}  // namespace

AnyRegistry::AnyRegistry() {
  const std::lock_guard lock(enlisted().mutex);
  enlisted().registries.push_back(this);
}

AnyRegistry::~AnyRegistry() {
  const std::lock_guard lock(enlisted().mutex);
  std::erase(enlisted().registries, this);
}

std::vector<const AnyRegistry*> all_registries() {
  const std::lock_guard lock(enlisted().mutex);
  return enlisted().registries;
}

namespace detail {

std::string origin_of(const void* code_address) {
  Dl_info info{};
  return ::dladdr(code_address, &info) != 0 && info.dli_fname ? info.dli_fname : "?";
}

void unknown_name(const Config& config, const std::string& kind, const std::string& name,
                  const std::vector<std::string>& known) {
  const std::string close = nearest(name, known);
  const std::string hint = close.empty() ? "" : fmt::format("; did you mean '{}'?", close);
  config.fail(fmt::format("there is no {} '{}'{} (there are: {}; what a plugin brings is there with --plugin FILE)",
                          kind, name, hint, fmt::join(known, ", ")));
}

}  // namespace detail

std::string name_in(const Config& config) {
  return config.is_scalar() ? config.as<std::string>() : config["name"].as<std::string>();
}

}  // namespace interplay
