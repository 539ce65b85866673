// Two towers (Huang et al. 2013, DSSM; Yi et al. 2019 for how they are trained): what a row asks for, and its item, as
// vectors whose inner product ranks a catalogue.
#include <interplay/core/retrieval_model.h>
#include <interplay/model.h>

namespace {

/// Both vectors have length 1; the logit is their inner product over the temperature. A history is pooled.
class TwoTower final : public interplay::RetrievalModel {
 public:
  using Options = interplay::TowerOptions;
  TwoTower(const interplay::Schema& schema, const Options& o) : RetrievalModel(schema, o, {.name = "two_tower"}) {}
};

INTERPLAY_REGISTER_MODEL("two_tower", TwoTower, "retrieval: query and item as vectors, trained by in-batch softmax");

}  // namespace
