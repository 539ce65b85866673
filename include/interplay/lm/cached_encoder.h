#pragma once

#include <interplay/lm/cache.h>
#include <interplay/lm/roles.h>

namespace interplay::lm {

/// A text encoder that encodes only what it has not encoded before. What is new is saved in parts, so that an
/// interrupted run goes on where it was.
class INTERPLAY_API CachedEncoder final : public TextEncoder {
 public:
  /// `encoder` has to outlive this object.
  CachedEncoder(TextEncoder& encoder, const std::filesystem::path& directory);

  at::Tensor encode(std::span<const std::string> texts) override;
  int64_t width() const override { return encoder_.width(); }
  TokenIds ids_of(std::string_view text) const override { return encoder_.ids_of(text); }
  std::string identity() const override { return encoder_.identity(); }
  int64_t encoded() const { return encoded_; }  ///< texts that were not in the cache, so far

 private:
  TextEncoder& encoder_;
  LmCache cache_;
  int64_t encoded_ = 0;
};

}  // namespace interplay::lm
