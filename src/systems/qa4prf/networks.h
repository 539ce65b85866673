#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <torch/nn/module.h>

#include <interplay/nn/mlp.h>

#include "systems/qa4prf/qa4prf_options.h"
#include "systems/qa4prf/word_vectors.h"

namespace interplay::qa4prf {

constexpr int64_t kFeatures = 10;

/// A question as the networks read it, made once.
struct Readable {
  Question question;
  std::vector<Reading> readings;  ///< a feedback document each
};
/// Its words have to be among those of `vectors`: words_of().
INTERPLAY_API Readable readable(Question question, const WordVectors& vectors, int64_t candidates);
/// Every term that is read of a question.
INTERPLAY_API std::vector<uint32_t> words_of(const Question& question);

/// What the reader says of a question's candidates.
struct Said {
  std::vector<double> mass;       ///< QA(w), over all documents: [K]
  std::vector<double> documents;  ///< in which it was pointed at: [K]
};

/// What a fold learns: the reader of documents, and the ranker of what it and classical feedback say of a candidate.
/// Parts that the options leave out are null. One thread uses it.
class INTERPLAY_API NetworksImpl : public torch::nn::Module {
 public:
  NetworksImpl(int64_t vector_width, const Qa4PrfOptions& options);

  Said read(const Words& words, const Readable& r);  ///< zeros without a reader
  /// Of each candidate, as far as the parts go: the ranker's scores, else ln QA(w).
  std::vector<double> scores(const Words& words, const WordVectors& vectors, const Readable& r);

  TermReader reader{nullptr};
  nn::Mlp ranker{nullptr};  // [K, kFeatures] -> [K, 1]
};
TORCH_MODULE(Networks);

/// ln of a mass, which may be 0.
INTERPLAY_API double log_mass(double mass);

/// f32 [K, kFeatures]: QA, RM1, Bo1, occurrences, documents, idf, share near a word of the query, cosine with the
/// query, mean place, documents in which it was pointed at; the first four by their logarithms. Each column has mean 0
/// and deviation 1 over a question's candidates (0 where all are equal).
INTERPLAY_API at::Tensor features_of(const Readable& r, const Said& said, const WordVectors& vectors);

/// The terms that a question is given, by falling weight: softmax of the best scores, of equal ones the earlier
/// candidate.
INTERPLAY_API std::vector<TermWeight> expansion_of(const Question& question, std::span<const double> scores,
                                                   int64_t terms);

}  // namespace interplay::qa4prf
