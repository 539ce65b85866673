#include <interplay/lm/cached_encoder.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include <ATen/ATen.h>

namespace interplay::lm {

CachedEncoder::CachedEncoder(TextEncoder& encoder, const std::filesystem::path& directory)
    : encoder_(encoder), cache_(directory, encoder.identity()) {}

at::Tensor CachedEncoder::encode(std::span<const std::string> texts) {
  constexpr size_t kPart = 4096;  // texts between two saves: some seconds of work
  const size_t bytes = size_t(width()) * sizeof(float);
  const auto known = [&](const std::string& text) {
    const auto found = cache_.find(text);
    return found && found->size() == bytes ? found : std::nullopt;
  };
  std::vector<std::string> missing;  // each once
  std::unordered_map<std::string_view, bool> seen;
  for (const auto& text : texts) {
    if (!known(text) && seen.emplace(text, true).second) missing.push_back(text);
  }
  for (size_t first = 0; first < missing.size(); first += kPart) {
    const std::span part = std::span(missing).subspan(first, std::min(kPart, missing.size() - first));
    const auto vectors = encoder_.encode(part).contiguous();  // [n, D]
    const auto* const numbers = reinterpret_cast<const char*>(vectors.const_data_ptr<float>());
    for (size_t i = 0; i < part.size(); ++i) cache_.put(part[i], std::string(numbers + i * bytes, bytes));
    cache_.save();
    encoded_ += int64_t(part.size());
  }
  auto out = at::empty({int64_t(texts.size()), width()}, at::kFloat);
  auto* const into = reinterpret_cast<char*>(out.mutable_data_ptr<float>());
  for (size_t i = 0; i < texts.size(); ++i) std::memcpy(into + i * bytes, known(texts[i])->data(), bytes);
  return out;
}

}  // namespace interplay::lm
