#include <interplay/core/augmenter.h>

namespace interplay {

Augmenter::~Augmenter() = default;

Registry<Augmenter, const Schema&, int64_t>& augmenters() {
  static auto* const registry = new Registry<Augmenter, const Schema&, int64_t>("augmenter");
  return *registry;
}

}  // namespace interplay
