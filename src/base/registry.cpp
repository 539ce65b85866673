#include <interplay/base/registry.h>

#include <dlfcn.h>

const char INTERPLAY_ABI_SYMBOL = 1;  // outside the namespace, where abi.h declares it with C linkage

namespace interplay {

namespace detail {

std::string origin_of(const void* code_address) {
  Dl_info info{};
  return ::dladdr(code_address, &info) != 0 && info.dli_fname ? info.dli_fname : "?";
}

void unknown_name(const Config& config, const std::string& kind, const std::string& name,
                  const std::vector<std::string>& known) {
  const std::string close = nearest(name, known);
  const std::string hint = close.empty() ? "" : fmt::format("; did you mean '{}'?", close);
  config.fail(fmt::format("there is no {} '{}'{} (there are: {})", kind, name, hint, fmt::join(known, ", ")));
}

}  // namespace detail
}  // namespace interplay
