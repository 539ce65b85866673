// interplay prf: retrieval with pseudo relevance feedback. Each of its subcommands is a file tools/prf_*.cpp.
#include "command.h"

namespace interplay::tool::prf_command {
namespace {

const AddCommand command("prf", "search in documents, and queries that learn from what they find (QA4PRF)", nullptr);

}  // namespace
}  // namespace interplay::tool::prf_command
