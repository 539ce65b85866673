#pragma once

#include "serve/forward_graph.h"

namespace interplay {

/// Fewer nodes that say the same: copies of the whole are left out, equal lookups become one, a relu joins what it
/// follows, and what nobody reads goes.
void simplify(ForwardGraph& graph);

/// Nodes that `node` reads by where they are now.
void renumber(ForwardGraph::Node& node, const std::vector<int>& place);

/// Linear steps over entries that read what their row has (a candidate, say) become sums of what depends on the row,
/// on the entry, and on both: the unit [q, h, q - h, q h] of DIN is one product of [q h] for each entry, where q and h
/// are multiplied once each.
void separate_entries(ForwardGraph& graph);

/// Where these lists are the same for all rows of a request, their entries are multiplied before some of them are
/// picked for each row, in place of after it.
ForwardGraph multiply_before_picks(const ForwardGraph& graph, const std::vector<bool>& lists);

}  // namespace interplay
