#include <interplay/nn/plain_scope.h>

namespace interplay::nn {
namespace {

thread_local bool plain = false;

}  // namespace

PlainScope::PlainScope() : before_(plain) { plain = true; }
PlainScope::~PlainScope() { plain = before_; }
bool PlainScope::active() { return plain; }

}  // namespace interplay::nn
