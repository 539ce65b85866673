#include <interplay/data/transform.h>

namespace interplay {

Transform::~Transform() = default;

Registry<Transform>& transforms() {
  static auto* const registry = new Registry<Transform>("transform");
  return *registry;
}

TransformOption& TransformOption::operator=(const std::string& name) {
  config_ = Config::scalar(name, true);
  return *this;
}

void TransformOption::read_option(const Config& from) {
  if (!from.is_map()) {
    *this = from.as<std::string>();
    return;
  }
  config_ = transforms().resolve(from);
  if (config_.size() == 1) config_ = config_["name"];
}

std::shared_ptr<const Transform> TransformOption::make() const { return transforms().make(config_); }

}  // namespace interplay
