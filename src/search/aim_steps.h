#pragma once

#include <map>
#include <string>
#include <vector>

#include <interplay/core/interactions.h>
#include <interplay/search/search.h>

namespace interplay {

/// What AIM searches next: under each function, every set that is one of the `most` strongest kept ones and one field
/// more. Strength is |gate|; `by_sign`: the gate itself, as AIM's code ranks triples. Fields of a set are in the order
/// of `fields`; sets by function as they first come in `found`, then in lexicographic order, each once.
INTERPLAY_API std::vector<Interaction> grow(const std::vector<Interaction>& found, size_t most,
                                            const std::vector<std::string>& fields, bool by_sign = false);

/// Those of so many fields.
std::vector<Interaction> of_order(int64_t order, const std::vector<Interaction>& interactions);
/// All fields, in the order in which pairs name them.
std::vector<std::string> fields_of(const std::vector<Interaction>& pairs);

/// Whether a kept interaction reads the field's vector that these gates are of.
bool is_read(const DimensionGates& g, const std::string& field, const std::vector<Interaction>& interactions);
/// `user_id (order 2, inner)`
std::string table_name(const DimensionGates& g, const std::string& field);
/// `user_id (order 2, inner) #0`, a name a gate.
std::vector<std::string> names_of(const std::vector<DimensionGates>& gates);
/// Sets the gates to 0 that the curve did not choose.
void leave_chosen(std::vector<DimensionGates>& gates, const KeptCurve& curve);

/// Numbers that fields keep of the vectors that one function of one order reads.
struct FieldWidths {
  int64_t order = 2;
  std::string function = "inner";
  std::map<std::string, int64_t> widths;  ///< by field, from 0 on
};

/// How wide the vectors of each field have to be, given which of their gates are open. For products number k of a
/// field counts where a kept set needs it: where every field of the set has number k open; for `outer` where it is open
/// itself. A kept set with a field that is left without numbers is always 0, and not kept any longer.
INTERPLAY_API FieldWidths widths_of(const DimensionGates& gates, std::vector<Interaction>& interactions);

/// Gives a model `aim` the weights of another one that has its interactions among others: those of the same name and
/// shape, and of interactions (gates, their norms, kernels) the rows of those that it has. Others stay as they are.
INTERPLAY_API void continue_from(torch::nn::Module& to, const torch::nn::Module& from);

}  // namespace interplay
