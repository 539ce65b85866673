#include "search/turn_taking.h"

#include <interplay/base/stages.h>
#include <interplay/data/loader.h>

namespace interplay {
namespace {

class TurnTaking {
 public:
  TurnTaking(Trainer& trainer, std::vector<std::string> groups, const Dataset& held_out)
      : groups_(std::move(groups)),
        loader_(held_out, {.batch_size = trainer.options().batch_size,
                           .shuffle = trainer.options().shuffle,
                           .seed = trainer.seed() + 1,
                           .negative_rate = trainer.options().negative_rate,
                           .negative_label = trainer.options().negative_label}) {}

  void take(Stepper& stepper) {
    if (!std::exchange(started_, true)) loader_.start(epoch_, batch_);
    Batch b;
    if (!next(b)) {
      loader_.start(++epoch_, batch_ = 0);
      if (!next(b)) return;  // no row of this draw stays
    }
    ++batch_;
    stepper.turn(b, groups_);
  }

  Config save() const {
    Config out;
    out.set_key("epoch", detail::to_config(epoch_));
    out.set_key("batch", detail::to_config(batch_));
    return out;
  }
  void load(const Config& state) { epoch_ = state["epoch"].as<int64_t>(), batch_ = state["batch"].as<int64_t>(); }

 private:
  bool next(Batch& b) {
    const StageScope stage(Stage::load);
    return loader_.next(b);
  }

  std::vector<std::string> groups_;
  Loader loader_;
  int64_t epoch_ = 0, batch_ = 0;
  bool started_ = false;
};

}  // namespace

void take_turns(Trainer& trainer, const std::vector<std::string>& groups, const Dataset& held_out) {
  INTERPLAY_CHECK_DATA(held_out.rows() > 0, "there are no held-out rows for the groups {} to learn from",
                       fmt::join(groups, ", "));
  const auto turns = std::make_shared<TurnTaking>(trainer, groups, held_out);
  Stepper& stepper = trainer.stepper();
  stepper.leave(groups);
  stepper.after_step([turns, &stepper](const StepReport&) { turns->take(stepper); });
  trainer.remember(
      "turns", [turns] { return turns->save(); }, [turns](const Config& state) { turns->load(state); });
}

}  // namespace interplay
