#pragma once

#include <memory>
#include <string>
#include <vector>

#include <interplay/base/options.h>
#include <interplay/core/augmenter.h>
#include <interplay/data/keyed_vectors.h>
#include <interplay/data/schema.h>

namespace interplay {

/// How vectors by key take part in a field: an entry of an experiment's `fields.pretrained`, and Field::pretrained.
struct Pretrained {
  VectorSource source;
  std::string mode = "init";
  void visit(auto&& field) {
    field("mode", mode,
          "init: the rows of the field's table start from the vectors; frozen: they are the vectors, and never move; "
          "concat: a further field FIELD.vector beside what is learnt, the vectors through a learned projection",
          OneOf{{"init", "frozen", "concat"}});
    source.visit(field);
  }
};

Pretrained pretrained_of(const Field& field);
bool has_mode(const Field& field, const char* mode);
/// Of the further field that `concat` makes.
std::string vector_name(const Field& field);

/// Module names may not hold a dot; a field's name may.
std::string module_name(std::string name);

/// An entry of Schema::augment. Throws Error where it gives nothing.
std::shared_ptr<Augmenter> make_augmenter(const Schema& schema, const Config& config, int64_t width);
/// What the entries of Schema::augment are called: `text_vectors`, and `text_vectors_2` for the second of that name.
std::vector<std::string> augmenter_names(const Schema& schema);
/// The child of a FieldEmbedding that such an entry is.
std::string augmenter_module(const std::string& name);

}  // namespace interplay
