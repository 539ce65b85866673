// SASRec (Kang and McAuley 2018, arXiv:1808.09781): self-attention over a history, as the query of two towers.
#include <interplay/core/retrieval_model.h>
#include <interplay/model.h>
#include <interplay/nn/causal_transformer.h>

namespace {

class SasRec final : public interplay::SequenceRetrievalModel {
 public:
  struct Options : interplay::SequenceTowerOptions {
    interplay::nn::CausalTransformerOptions attention;
    void visit(auto&& field) {
      SequenceTowerOptions::visit(field);
      attention.visit(field);
    }
  };
  SasRec(const interplay::Schema& schema, const Options& o)
      : SequenceRetrievalModel(schema, o, "sasrec", 1),
        attention_(register_module("attention", interplay::nn::CausalTransformer(entry_width(), o.attention))) {}

 private:
  at::Tensor encode(const interplay::nn::SequenceVectors& entries) override { return attention_(entries); }
  interplay::nn::CausalTransformer attention_;
};

INTERPLAY_REGISTER_MODEL("sasrec", SasRec, "retrieval: self-attention over the history, in two towers");

}  // namespace
