// interplay lm: what language models do by themselves. Each of its subcommands is a file tools/lm_*.cpp.
#include "command.h"

namespace interplay::tool {
namespace {

const AddCommand command("lm", "language models: text to vectors, scores and prompts", nullptr);

}  // namespace
}  // namespace interplay::tool
