#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <interplay/core/augmenter.h>
#include <interplay/core/field_embedding.h>
#include <interplay/core/vector_table.h>

namespace interplay {

/// The modules that a FieldEmbedding is made of.
struct FieldEmbeddingImpl::Parts {
  struct Concat {
    Field field;
    VectorTable vectors;
    torch::nn::Linear projection;
  };
  struct Augment {
    std::string name;
    std::shared_ptr<Augmenter> made;
    std::vector<int64_t> places;            // of its vectors, those that are wanted
    torch::nn::Linear projection{nullptr};  // null: it gives vectors of the right width
  };
  std::map<std::string, nn::Embedding> tables;           // by table, those that are learnt
  std::map<std::string, torch::nn::Linear> projections;  // by vector field
  std::map<std::string, VectorTable> frozen;             // by table
  std::vector<Concat> concats;
  std::vector<Augment> augments;
};

}  // namespace interplay
