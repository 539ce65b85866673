#include <interplay/nn/blank_tables.h>

namespace interplay::nn {
namespace {

thread_local bool blank = false;

}  // namespace

BlankTables::BlankTables() : before_(blank) { blank = true; }
BlankTables::~BlankTables() { blank = before_; }
bool BlankTables::active() { return blank; }

}  // namespace interplay::nn
