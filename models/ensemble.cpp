// Ensemble: the mean of several models' logits, learnt together.
#include <ATen/ATen.h>

#include <interplay/model.h>

namespace {

/// Each member has tables of its own and learns through the mean; its terms go by its number: member1.search.
class Ensemble final : public interplay::Model {
 public:
  struct Options {
    std::vector<interplay::ModelOption> members{interplay::ModelOption("deepfm"), interplay::ModelOption("dcnv2")};
    void visit(auto&& field) { field("members", members, "the models, each with its own options"); }
    void check(const interplay::Config& config) const {
      if (members.empty()) config["members"].fail("names no model; name one or more");
    }
  };

  Ensemble(const interplay::Schema& schema, const Options& o) {
    for (const auto& member : o.members) {
      members_.push_back(member.make(schema));
      register_module(name(members_.size() - 1), members_.back());
    }
  }

  interplay::Output forward(const interplay::Features& x) override {
    interplay::Output out;
    for (size_t m = 0; m < members_.size(); ++m) {
      auto one = members_[m]->forward(x);
      INTERPLAY_CHECK(one.logit.defined(), "ensemble: {} gives no logits to take the mean of", name(m));
      out.logit = out.logit.defined() ? out.logit + one.logit : one.logit;
      out.take(name(m), std::move(one));
    }
    out.logit = out.logit / double(members_.size());
    return out;
  }

 private:
  static std::string name(size_t m) { return fmt::format("member{}", m); }
  std::vector<std::shared_ptr<interplay::Model>> members_;
};

INTERPLAY_REGISTER_MODEL("ensemble", Ensemble, "the mean of several models' logits, learnt together");

}  // namespace
