#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include <interplay/data/features.h>

namespace interplay {

/// A model that finds items for a row, beside being a Model: a row asks with one vector, every item answers with one,
/// and the inner product of the two ranks the whole catalogue (see train/retrieval.h).
///
/// Thread safety: as that of Model::forward().
class INTERPLAY_API Retriever {
 public:
  virtual ~Retriever();
  virtual std::string item_field() const = 0;         ///< the field that says which item a row is of
  virtual at::Tensor queries(const Features& x) = 0;  ///< what the rows ask for: f32 [B, K]
  virtual at::Tensor items(const Features& x) = 0;    ///< the rows' own items: f32 [B, K]
};

}  // namespace interplay
