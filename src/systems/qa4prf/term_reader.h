#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/options.h>

#include "systems/qa4prf/pointing.h"

namespace interplay::qa4prf {

struct ReaderOptions {
  bool attention = true, pointer = true;  // declared beside the other parts that can be left out
  int64_t width = 100, hidden = 64, steps = 10;
  double dropout = 0.2;
  int64_t epochs = 20, patience = 5, batch_size = 16;
  double lr = 1e-3, clip = 5;
  void visit(auto&& field) {
    field("width", width, "of words, as the network reads them", Range{1, 4096});
    field("hidden", hidden, "of the LSTMs, in each direction", Range{1, 4096});
    field("steps", steps, "terms that are pointed at in a document at most", Range{1, 1000});
    field("dropout", dropout, "drop rate of words and of what the LSTMs say", Range{0, 0.99});
    field("epochs", epochs, "passes over the training queries' documents at most", Range{0, 1e6});
    field("patience", patience, "passes without a higher MAP of the next fold, after which training ends; 0: none",
          Range{0, 1e6});
    field("batch_size", batch_size, "pairs of query and document a step, of similar lengths", Range{1, 1e6});
    field("lr", lr, "learning rate (Adam)", Range{0, 10});
    field("clip", clip, "longest gradient; 0: any", Range{0, 1e9});
  }
};

/// A query and one of its documents, as the network reads them. Words are rows of a table of vectors.
struct Reading {
  std::vector<int64_t> query, document;  ///< neither empty
  std::vector<int64_t> slots;            ///< as the document: which candidate stands there; K: none
  std::vector<float> gains;              ///< [K]: of candidates in this document that help, above 0; empty: not known
};

/// What stays the same for all pairs.
struct Words {
  at::Tensor vectors;  ///< f32 [V, E], without gradient
  at::Tensor weights;  ///< f32 [V]: idf, scaled to 1 or less
  int64_t candidates;  ///< K, of every query: those that it has fewer of are in no document
};

/// An LSTM in each direction over padded texts. Each is given a text from its own beginning, so that padding comes last
/// and changes nothing; and not packed, which takes several times as long.
class BothWaysImpl : public torch::nn::Module {
 public:
  BothWaysImpl(int64_t in, int64_t hidden);
  /// x [B, L, I], lengths i64 [B] -> [B, L, 2 H]; what stands behind a text's end means nothing
  at::Tensor forward(const at::Tensor& x, const at::Tensor& lengths);

 private:
  torch::nn::LSTM forth_{nullptr}, back_{nullptr};
};
TORCH_MODULE(BothWays);

/// Reads a document with the query in mind and points at terms: words through a linear map, with a mark where document
/// and query share them and their idf; one BiLSTM for both; attention flow; a second BiLSTM; a pointer network. One
/// thread uses it.
class INTERPLAY_API TermReaderImpl : public torch::nn::Module {
 public:
  /// E: width of the table's vectors.
  TermReaderImpl(int64_t E, const ReaderOptions& options);

  /// In train mode with gains: the loss of each pair; else the decision of the pointer itself.
  Pointed forward(const Words& words, std::span<const Reading* const> pairs);

 private:
  at::Tensor embed(const Words& words, const at::Tensor& ids, const at::Tensor& shared);
  Pointed point(Pointable in, const at::Tensor& start, const at::Tensor& gains);

  ReaderOptions options_;
  torch::nn::Linear words_{nullptr};
  BothWays encoder_{nullptr}, modeler_{nullptr};
  at::Tensor attention_, point_at_;  // w [6 h], v [h]
  torch::nn::Linear of_position_{nullptr}, of_state_{nullptr}, stop_{nullptr};
  torch::nn::LSTMCell state_{nullptr};
  torch::nn::Dropout dropout_{nullptr};
};
TORCH_MODULE(TermReader);

}  // namespace interplay::qa4prf
