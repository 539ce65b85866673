#pragma once

#include "serve/forward_graph.h"

namespace interplay {

/// Fewer nodes that say the same: copies of the whole are left out, equal lookups become one, a relu joins what it
/// follows, and what nobody reads goes.
void simplify(ForwardGraph& graph);

}  // namespace interplay
