#include "optim/step.h"

#include <interplay/nn/table_storage.h>

namespace interplay {

void sort(StepState& step) {
  std::vector<nn::TableStorage*> here;
  for (auto* t : step.tables) {
    if (t->is_here()) {
      here.push_back(&t->storage());
    } else {
      t->gradients = t->storage().take();
    }
  }
  nn::TableStorage::sort(here);
}

}  // namespace interplay
