// GRU4Rec (Hidasi et al. 2016, arXiv:1511.06939): a recurrent network over a history, as the query of two towers.
#include <ATen/ATen.h>
#include <torch/nn/modules/rnn.h>

#include <interplay/core/retrieval_model.h>
#include <interplay/model.h>
#include <interplay/nn/interest.h>
#include <interplay/nn/last_state.h>

namespace {

class Gru4Rec final : public interplay::SequenceRetrievalModel {
 public:
  struct Options : interplay::SequenceTowerOptions {
    int64_t layers = 2;
    void visit(auto&& field) {
      SequenceTowerOptions::visit(field);
      field("layers", layers, "of the recurrent network", interplay::Range{1, 16});
    }
  };
  Gru4Rec(const interplay::Schema& schema, const Options& o)
      : SequenceRetrievalModel(schema, o, "gru4rec", 1),
        gru_(register_module(
            "gru", torch::nn::GRU(
                       torch::nn::GRUOptions(entry_width(), entry_width()).num_layers(o.layers).batch_first(true)))) {}

 private:
  at::Tensor encode(const interplay::nn::SequenceVectors& entries) override {
    if (entries.vectors.size(0) == 0) return at::zeros({entries.batch(), entry_width()}, entries.vectors.options());
    const auto padded = interplay::nn::pad(entries);
    return interplay::nn::last_state(interplay::nn::gru_states(gru_, padded.vectors), padded.lengths);
  }
  torch::nn::GRU gru_;
};

INTERPLAY_REGISTER_MODEL("gru4rec", Gru4Rec, "retrieval: a recurrent network over the history, in two towers");

}  // namespace
