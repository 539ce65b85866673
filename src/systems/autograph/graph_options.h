#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <interplay/base/options.h>
#include <interplay/data/keyed_vectors.h>

#include "systems/autograph/residual_quantizer.h"

namespace interplay::autograph {

/// What a taste is told by: values of a column that come up most often among a user's positive training rows.
struct TasteOptions {
  std::string column, separator, shorten, after;
  int64_t most = 3;
  void visit(auto&& field) {
    field("column", column, "of the data; by default the name in the template");
    field("separator", separator, "between several values of a cell");
    field("shorten", shorten, "regular expression: what of a value is left out");
    field("after", after, "said behind each value");
    field("most", most,
          "values that are told, the most frequent first, of equally frequent ones those of more users' rows",
          Range{1, 1000});
  }
};

/// Users, or items.
struct NodeOptions {
  std::string field, text, title;
  Config words = Config::parse("{}"), taste = Config::parse("{}");
  std::optional<VectorSource> vectors;
  QuantizerOptions quantizer;
  void visit(auto&& f) {
    f("field", field, "whose values they are: a categorical field with a vocabulary");
    f("template", text,
      "what is said of each; {name} stands for a column of its training rows, or for what `taste` has");
    f("words", words, "by name in the template, what its values are called: {gender: {F: female, M: male}}");
    f("taste", taste,
      "by name in the template: the most frequent values among positive training rows, a map of column, "
      "separator, shorten, after and most");
    f("vectors", vectors, "vectors by key in place of texts");
    f("title", title, "column by which the page calls each; by default the field");
    f("quantizer", quantizer, "vectors to codes");
  }
};

/// The experiment of `interplay graph build`.
struct GraphOptions {
  std::string data, root;
  NodeOptions users, items;
  std::string encoder = "minilm-l6", label;
  int64_t components = 128, neighbours = 15, bad_rows = 0, seed = 42;
  GraphOptions() { users.quantizer.codes = 300; }
  void visit(auto&& field) {
    field("data", data, "data.yaml of the raw files, where texts are made of their rows; found beside this file");
    field("root", root, "folder of the raw files; by default as data.yaml says");
    field("users", users, "their field, and where their vectors come from");
    field("items", items, "likewise");
    field("encoder", encoder, "language model that turns texts into vectors: a fetched name or a path");
    field("components", components, "principal components that are left of the vectors; 0: vectors as they are",
          Range{0, 1e6});
    field("label", label, "whose positive training rows are clicks; by default the first");
    field("neighbours", neighbours, "users that an item's list has at most, drawn by seed", Range{1, 1e6});
    field("bad_rows", bad_rows, "of the raw files, that may be left out, as in `prepare --bad-rows skip:N`");
    field("seed", seed, "of what is drawn of the clicks");
  }
};

}  // namespace interplay::autograph
