#pragma once

#include <memory>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include <interplay/base/registry.h>
#include <interplay/data/features.h>
#include <interplay/data/schema.h>
#include <interplay/nn/embedding.h>

namespace interplay {

/// Knowledge that becomes further fields of a row: vectors of a text, of a graph, of whatever is known beside the data.
/// An experiment names it, and FieldEmbedding appends what it gives, so that every model reads it without an edit:
///
///     fields:
///       augment: [{name: text_vectors, from: items.parquet, fields: [item_id]}]
///
/// A new one is one file: a class with `struct Options` and a constructor (const Schema&, int64_t width, const
/// Options&), `width` being that of the model's field vectors, and INTERPLAY_REGISTER_AUGMENTER("name", Class, "what it
/// is"). What holds for a Model holds for it: everything that learns is registered, and so is, as a buffer, what it
/// needs to know when rows are scored, for a run reads no other file (VectorTable does so for vectors by key). In eval
/// mode a row's vectors must not depend on the other rows.
///
/// Parameter group: dense, unless it says otherwise. Thread safety: concurrent augment() in eval mode under NoGradGuard
/// is allowed.
class INTERPLAY_API Augmenter : public torch::nn::Module, public nn::HasGroup {
 public:
  ~Augmenter() override;
  virtual at::Tensor augment(const Features& x) = 0;  ///< f32 [B, n, K]
  virtual int64_t count() const = 0;                  ///< n
  /// K. Where it is not the width of the model's field vectors, a learned projection without bias makes it so.
  virtual int64_t width() const = 0;
  /// The fields that it reads. A part of a model that reads some fields alone, as a tower, has it where all are there.
  virtual std::vector<std::string> reads() const = 0;
  std::string parameter_group() const override { return "dense"; }
};

INTERPLAY_API Registry<Augmenter, const Schema&, int64_t>& augmenters();

}  // namespace interplay

#define INTERPLAY_REGISTER_AUGMENTER(name, type, doc) INTERPLAY_REGISTER(::interplay::augmenters(), name, type, doc)
