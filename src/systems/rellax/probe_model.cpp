// What a CTR run knows, by itself: the control beside `rellax`.
#include <ATen/ATen.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include <interplay/core/model.h>
#include <interplay/nn/row_linear.h>

#include "systems/rellax/ctr_knowledge.h"

namespace interplay {
namespace {

/// A logistic regression on a fixed CTR run's hidden state of a row, on the vectors of the row's own item and of the
/// prompt's events (their mean), or on all: what `rellax` is told of a row, without a language model. Its inputs are
/// brought to mean 0 and deviation 1 by the training rows. What a language model with that knowledge says better is
/// what it adds.
class Probe final : public Model {
 public:
  struct Options {
    CtrOptions told;
    std::string prompt = "prompt_recent";
    bool state = true, vectors = true;
    void visit(auto&& field) {
      told.visit(field);
      field("prompt", prompt, "field with the prompt whose events are read");
      field("state", state, "reads the hidden state");
      field("vectors", vectors, "reads the vectors of items");
    }
    void check(const Config& config) const {
      if (!told.ctr.given()) config["ctr"].fail("missing; which run is probed, as `ctr: runs/din`?");
      if (!state && !vectors) config["state"].fail("false, and so is vectors: nothing is left to read");
    }
  };

  Probe(const Schema& schema, const Options& o) : ctr_(*this, o.told, schema), o_(o) {
    int64_t width = o.state ? ctr_.state_width() : 0;
    if (o.told.mix_history) ctr_.read_events_of(schema, o.prompt);
    if (o.vectors) {
      ctr_.find_vectors(schema);
      events_ = CtrKnowledge::events_of(schema, o.prompt).column;
      width += 2 * ctr_.vector_width();
    }
    norm_ = register_module("norm", torch::nn::BatchNorm1d(torch::nn::BatchNorm1dOptions(width).affine(false)));
    output_ = register_module("output", torch::nn::Linear(width, 1));
    const at::NoGradGuard no_grad;
    output_->weight.zero_(), output_->bias.zero_();
  }

  Output forward(const Features& x) override {
    ctr_.check();
    std::vector<at::Tensor> known;
    if (o_.state) known.push_back(ctr_.state(x, o_.prompt));
    if (o_.vectors) {
      const Sequence& events = x.sequences[size_t(events_)];
      const auto vectors = ctr_.item_vectors(events.ids);
      const auto lengths = events.offsets.diff();
      const auto row = at::repeat_interleave(at::arange(x.rows), lengths);
      const auto sum = at::zeros({x.rows, vectors.size(1)}, vectors.options()).index_add(0, row, vectors);
      known.push_back(ctr_.item_vectors(ctr_.own_items(x)));
      known.push_back(sum / lengths.clamp_min(1).unsqueeze(1));
    }
    return nn::row_linear(norm_(at::cat(known, 1)), output_).squeeze(1);
  }

 private:
  CtrKnowledge ctr_;
  Options o_;
  int64_t events_ = 0;
  torch::nn::BatchNorm1d norm_{nullptr};
  torch::nn::Linear output_{nullptr};
};

INTERPLAY_REGISTER_MODEL("probe", Probe, "logistic regression on what a CTR run knows: the control of rellax");

}  // namespace
}  // namespace interplay
