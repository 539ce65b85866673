// MIND (Li et al. 2019, arXiv:1904.08030): several interests of one history by dynamic routing, as the query of two
// towers, which reads all of them.
#include <ATen/ATen.h>

#include <interplay/core/retrieval_model.h>
#include <interplay/model.h>
#include <interplay/nn/capsules.h>

namespace {

class Mind final : public interplay::SequenceRetrievalModel {
 public:
  struct Options : interplay::SequenceTowerOptions {
    int64_t interests = 3, routing_steps = 3, positions = 30;
    void visit(auto&& field) {
      SequenceTowerOptions::visit(field);
      field("interests", interests, "vectors that a history becomes", interplay::Range{1, 64});
      field("routing_steps", routing_steps, "of dynamic routing", interplay::Range{1, 64});
      field("positions", positions, "entries that are read; of longer histories the last ones",
            interplay::Range{1, 65536});
    }
  };
  Mind(const interplay::Schema& schema, const Options& o)
      : SequenceRetrievalModel(schema, o, "mind", o.interests),
        capsules_(register_module(
            "capsules", interplay::nn::Capsules(entry_width(), interplay::nn::CapsulesOptions{
                                                                   o.interests, o.routing_steps, o.positions}))) {}

 private:
  at::Tensor encode(const interplay::nn::SequenceVectors& entries) override { return capsules_(entries).flatten(1); }
  interplay::nn::Capsules capsules_;
};

INTERPLAY_REGISTER_MODEL("mind", Mind, "retrieval: several interests of the history by routing, in two towers");

}  // namespace
