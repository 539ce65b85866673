#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/systems/graph.h>

#include "systems/autograph/graph_files.h"

namespace interplay::autograph {

/// What graph.html shows: how far codes are used, what the most frequent ones hold, how many clicks nodes have.
struct GraphPage {
  struct Side {
    std::vector<std::string> titles;  ///< of the values that have codes
    at::Tensor codes;                 ///< i64 [n, M]
  };
  GraphInfo info;
  Side users, items;
};
std::string graph_page(const GraphPage& page, const Clicks& clicks);

}  // namespace interplay::autograph
