#pragma once

#include <map>
#include <string>

#include <interplay/optim/optimizer.h>

namespace interplay {

inline const std::string kDense = "dense", kEmbedding = "embedding", kLinear = "linear";

/// Of a group as it is written: the keys that are its rule's, with the rule's name; and those that every group has.
Config rule_config(const Config& group);
Config group_config(const Config& group);

/// Parameter or table ("fields.item_id.weight") -> group, by the innermost module that names one; a table that none
/// names is in `embedding`.
std::map<std::string, std::string> group_names(const torch::nn::Module& module);

}  // namespace interplay
