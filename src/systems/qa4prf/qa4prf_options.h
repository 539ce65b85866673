#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <interplay/base/options.h>

#include "systems/qa4prf/questions.h"
#include "systems/qa4prf/term_reader.h"

namespace interplay::qa4prf {

struct RankerOptions {
  std::vector<int64_t> hidden = {32, 16};
  int64_t epochs = 30, depth = 20;
  double lr = 1e-3;
  std::string learns_from = "held_out";
  void visit(auto&& field) {
    field("hidden", hidden, "widths of the hidden layers", Range{1, 1e6});
    field("epochs", epochs, "passes over the queries", Range{0, 1e6});
    field("depth", depth, "places of the NDCG that it learns", Range{1, 1e6});
    field("lr", lr, "learning rate (Adam)", Range{0, 10});
    field("learns_from", learns_from,
          "held_out: the queries of the next fold, of which the reader is unsure as it is of new ones; training: those "
          "that "
          "the reader has learnt, too",
          OneOf{{"held_out", "training"}});
  }
};

/// The experiment of `interplay prf train`.
struct Qa4PrfOptions {
  std::string index, queries, qrels, grades, encoder;
  int64_t vector_width = 100, folds = 5, terms = 20, depth = 1000, seed = 1;
  std::vector<double> betas = {.1, .2, .3, .4, .5, .6, .7, .8, .9};
  bool reader = true, attention = true, pointer = true, lambdarank = true;
  QuestionOptions feedback;
  ReaderOptions network;
  RankerOptions ranker;
  void visit(auto&& field) {
    field("index", index, "directory that `interplay prf index` wrote; found beside this file, as the two below");
    field("queries", queries, "a line a query: id, tab, text");
    field("qrels", qrels, "judgements: query, document, grade, or TREC's four columns");
    field("grades", grades,
          "level of relevance of each grade, as \"-1=4,1=4,2=3\"; by default a grade above 0 is its level");
    field("folds", folds, "that queries are dealt out to", Range{3, 1000});
    field("reader", reader, "whether documents are read at all; without, LambdaRank has what classical feedback knows");
    field("attention", attention, "attention flow; without, all words of query and document weigh alike");
    field("pointer", pointer, "term after term, up to a stop token; without, one step that learns shares of the gains");
    field("lambdarank", lambdarank, "LambdaRank over candidates; without, what the reader points at is taken as it is");
    field("encoder", encoder,
          "language model whose vectors words begin with: a fetched name or a path; empty: drawn by the words "
          "themselves");
    field("vector_width", vector_width, "of vectors that are drawn", Range{1, 65536});
    field("terms", terms, "that a query is given", Range{1, 100000});
    field("betas", betas, "shares of these terms in the new query that are tried on the next fold", Range{0, 1});
    field("depth", depth, "documents a query in the run's own rankings; 0: all", Range{0, 1e9});
    field("feedback", feedback, "first retrieval and what is taken from it");
    field("network", network, "the reader and its training");
    field("ranker", ranker, "LambdaRank's network and its training");
    field("seed", seed, "of folds, weights and order", Range{0, 1e15});
  }
  ReaderOptions reading() const {
    ReaderOptions out = network;
    out.attention = attention, out.pointer = pointer;
    return out;
  }
};

}  // namespace interplay::qa4prf
