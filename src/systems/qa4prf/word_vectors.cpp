#include "systems/qa4prf/word_vectors.h"

#include <cmath>

#include <ATen/ATen.h>

#include <interplay/base/random.h>
#include <interplay/lm/cached_encoder.h>
#include <interplay/lm/encoder.h>
#include <interplay/lm/model_files.h>
#include <interplay/systems/text_search.h>

namespace interplay::qa4prf {
namespace {

constexpr uint64_t kDrawn = 0x9a4f;  // seed of drawn vectors: one for all runs, so that any run reads any index

}  // namespace

WordVectors::WordVectors(const TextIndex& index, const std::string& encoder, int64_t width,
                         const std::filesystem::path& cache)
    : index_(index), name_(encoder), width_(width) {
  if (encoder.empty()) return;
  encoder_ = lm::load_encoder(lm::find_model(encoder));
  if (!cache.empty()) cached_ = std::make_unique<lm::CachedEncoder>(*encoder_, cache);
  width_ = encoder_->width();
}

WordVectors::~WordVectors() = default;

void WordVectors::add(std::span<const uint32_t> terms) {
  std::vector<std::string> texts;
  const auto N = double(index_.documents());
  for (const uint32_t term : terms) {
    if (!row_.try_emplace(term, int64_t(weights_.size())).second) continue;
    weights_.push_back(float(inverse_document_frequency(index_, term) / std::log(1 + 2 * N + 1)));
    texts.emplace_back(index_.term(term));
  }
  if (texts.empty()) return;
  const auto added = vectors_of(texts);
  vectors_.insert(vectors_.end(), added.begin(), added.end());
}

std::vector<float> WordVectors::vectors_of(const std::vector<std::string>& texts) {
  std::vector<float> out(texts.size() * size_t(width_));
  if (encoder_) {
    const auto vectors = (cached_ ? *cached_ : *encoder_).encode(texts).contiguous();
    std::copy_n(vectors.const_data_ptr<float>(), out.size(), out.data());
    return out;
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    const uint64_t stream = hash64(texts[i]);
    for (int64_t j = 0; j < width_; ++j)
      out[i * size_t(width_) + size_t(j)] =
          float(random_normal(kDrawn, stream, uint64_t(j)) / std::sqrt(double(width_)));
  }
  return out;
}

std::vector<int64_t> WordVectors::rows(std::span<const uint32_t> terms) const {
  std::vector<int64_t> out;
  out.reserve(terms.size());
  for (const uint32_t term : terms) out.push_back(row_.at(term));
  return out;
}

Words WordVectors::words(int64_t candidates) const {
  const auto V = int64_t(weights_.size());
  return {at::tensor(vectors_).view({V, width_}), at::tensor(weights_), candidates};
}

double WordVectors::cosine(uint32_t term, std::span<const uint32_t> others) const {
  const float* const own = vectors_.data() + row_.at(term) * width_;
  double dot = 0, length = 0, length_of_mean = 0;
  for (int64_t j = 0; j < width_; ++j) {
    double mean = 0;
    for (const uint32_t other : others) mean += double(vectors_[size_t(row_.at(other) * width_ + j)]);
    mean /= double(std::max<size_t>(1, others.size()));
    dot += mean * double(own[j]), length += double(own[j]) * double(own[j]), length_of_mean += mean * mean;
  }
  return dot / std::sqrt(std::max(length * length_of_mean, 1e-30));
}

}  // namespace interplay::qa4prf
