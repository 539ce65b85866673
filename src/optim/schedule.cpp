#include <interplay/optim/schedule.h>

#include <cmath>
#include <numbers>

namespace interplay {

Schedule::~Schedule() = default;
bool Schedule::needs_end() const { return false; }
void Schedule::observe(bool) {}
Config Schedule::state() const { return {}; }
void Schedule::restore(const Config&) {}

Registry<Schedule>& schedules() {
  static auto* const registry = new Registry<Schedule>("schedule");
  return *registry;
}

namespace {

class Constant final : public Schedule {
 public:
  struct Options {
    void visit(auto&&) {}
  };
  explicit Constant(const Options&) {}
  double factor(int64_t, int64_t) const override { return 1; }
};

/// The rate falls whenever an evaluation does not improve (FuxiCTR's protocol: x 0.1 at once).
class Plateau final : public Schedule {
 public:
  struct Options {
    double factor = 0.1, minimum = 1e-3;
    int64_t patience = 1;
    void visit(auto&& field) {
      field("factor", factor, "the rate is multiplied by this", Range{0, 1});
      field("patience", patience, "after this many evaluations in a row without improvement", Range{1, 1000});
      field("minimum", minimum, "never below this share of the first rate", Range{0, 1});
    }
  };
  explicit Plateau(const Options& options) : options_(options) {}
  double factor(int64_t, int64_t) const override { return factor_; }
  void observe(bool improved) override {
    waited_ = improved ? 0 : waited_ + 1;
    if (waited_ >= options_.patience) {
      factor_ = std::max(options_.minimum, factor_ * options_.factor);
      waited_ = 0;
    }
  }
  Config state() const override {
    Config out;
    out.set("factor", detail::to_config(factor_));
    out.set("waited", detail::to_config(waited_));
    return out;
  }
  void restore(const Config& state) override {
    factor_ = state["factor"].as<double>();
    waited_ = state["waited"].as<int64_t>();
  }

 private:
  Options options_;
  double factor_ = 1;
  int64_t waited_ = 0;
};

class Cosine final : public Schedule {
 public:
  struct Options {
    double minimum = 0;
    void visit(auto&& field) { field("minimum", minimum, "share of the first rate at the last step", Range{0, 1}); }
  };
  explicit Cosine(const Options& options) : options_(options) {}
  double factor(int64_t step, int64_t total) const override {
    const double way = std::min(1.0, double(step - 1) / double(std::max<int64_t>(1, total - 1)));
    return options_.minimum + (1 - options_.minimum) * 0.5 * (1 + std::cos(std::numbers::pi * way));
  }
  bool needs_end() const override { return true; }

 private:
  Options options_;
};

/// From the first rate in a straight line, so that the step after the last would have `minimum`; with warm-up the
/// schedule of most fine-tuning (and of ReLLa, without).
class Linear final : public Schedule {
 public:
  struct Options {
    double minimum = 0;
    void visit(auto&& field) { field("minimum", minimum, "share of the first rate after the last step", Range{0, 1}); }
  };
  explicit Linear(const Options& options) : options_(options) {}
  double factor(int64_t step, int64_t total) const override {
    const double way = std::min(1.0, double(step - 1) / double(std::max<int64_t>(1, total)));
    return options_.minimum + (1 - options_.minimum) * (1 - way);
  }
  bool needs_end() const override { return true; }

 private:
  Options options_;
};

class Step final : public Schedule {
 public:
  struct Options {
    int64_t every = 1000;
    double factor = 0.5;
    void visit(auto&& field) {
      field("every", every, "steps between falls", Range{1, 1e12});
      field("factor", factor, "the rate is multiplied by this at each", Range{0, 1});
    }
  };
  explicit Step(const Options& options) : options_(options) {}
  double factor(int64_t step, int64_t) const override {
    return std::pow(options_.factor, double((step - 1) / options_.every));
  }

 private:
  Options options_;
};

INTERPLAY_REGISTER(schedules(), "constant", Constant, "the rate stays as it is");
INTERPLAY_REGISTER(schedules(), "plateau", Plateau, "falls when an evaluation does not improve");
INTERPLAY_REGISTER(schedules(), "cosine", Cosine, "half a cosine from the first rate down to `minimum`");
INTERPLAY_REGISTER(schedules(), "linear", Linear, "falls in a straight line to `minimum`");
INTERPLAY_REGISTER(schedules(), "step", Step, "falls by a factor every so many steps");

}  // namespace
}  // namespace interplay
