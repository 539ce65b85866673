#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include <interplay/base/options.h>

namespace interplay {

/// What synthesize() makes.
struct SynthOptions {
  std::string shape = "movielens";
  int64_t rows = 100000;
  int64_t seed = 1;
  double valid = 0.1;
  double test = 0.1;
  int64_t users = 0;
  int64_t items = 0;
  int64_t fields = 6;
  int64_t categories = 60;
  std::optional<std::string> pairs;
  std::string triples;
  int64_t random_pairs = 0;
  int64_t random_triples = 0;
  std::string function = "table";
  int64_t width = 8;
  double linear = 0.5;
  int64_t decoys = 0;
  double decoy = 1.5;
  int64_t factors = 0;
  double correlation = 0.5;
  double noise = 0.5;
  double conflict = 0.5, conversion_conflict = 0.25;
  double cold = 0.3;

  void visit(auto&& field) {
    field("shape", shape, "what the data look like", OneOf{{"movielens", "criteo", "planted", "tasks", "texts"}});
    field("rows", rows, "rows of all splits together", Range{1, 1e12});
    field("seed", seed, "the same seed gives the same bytes");
    field("valid", valid, "all but movielens: share of the rows in valid; with 0 there is no such file", Range{0, 0.9});
    field("test", test, "all but movielens: share of the rows in test", Range{0, 0.9});
    field("users", users, "movielens, texts: users; 0 = one for every 106 rows; of texts, 200", Range{0, 1e9});
    field("items", items, "movielens, texts: items; 0 = one for every 60 rows, at most 60000; of texts, 400",
          Range{0, 1e9});
    field("cold", cold, "texts: share of the items of which no training row is", Range{0, 1});
    field("fields", fields, "planted, tasks: categorical fields", Range{2, 1000});
    field("categories", categories, "planted, tasks: categories of all fields together", Range{4, 1e9});
    field("conflict", conflict,
          "tasks: how much likes disagree with clicks: 0 = not at all, 0.5 = they have nothing to do with each other, "
          "1 = they are opposites",
          Range{0, 1});
    field("conversion_conflict", conversion_conflict, "tasks: the same of conversions and clicks", Range{0, 1});
    field("pairs", pairs,
          "planted: pairs of fields whose interaction decides, as 0-1,2-5:inner,3-4:kernel:16 (function and width may "
          "follow); where no set is asked for at all, 0-1,2-5,3-4");
    field("triples", triples, "planted: triples of fields whose interaction decides, as 0-1-2,3-4-5:inner:4");
    field("random_pairs", random_pairs, "planted: that many pairs more, chosen by the seed", Range{0, 1e6});
    field("random_triples", random_triples, "planted: that many triples more, chosen by the seed", Range{0, 1e6});
    field("function", function,
          "planted: how a set acts where it does not say: by a table of effects, the inner product of hidden vectors, "
          "or that product weighted by a kernel",
          OneOf{{"table", "inner", "kernel"}});
    field("width", width, "planted: hidden numbers that inner and kernel read where a set does not say",
          Range{1, 4096});
    field("linear", linear,
          "planted, tasks, texts: spread of a single category's effect; that of a planted pair's is 1", Range{0, 1e6});
    field("decoys", decoys, "planted: fields in no set whose single categories act strongly", Range{0, 1000});
    field("decoy", decoy, "planted: spread of the effect of a decoy's category", Range{0, 1e6});
    field("factors", factors, "planted: hidden causes that the fields share; 0 = independent fields", Range{0, 1000});
    field("correlation", correlation, "planted: correlation of two fields that share a factor", Range{0, 0.999});
    field("noise", noise, "planted, tasks, texts: spread of the noise", Range{0, 1e6});
  }
};

/// Writes data with a known signal below `directory`, which appears whole at the end and must not exist before.
///
/// - `movielens`: RecBole atomic files `<name>.inter|.user|.item`, <name> being the directory's, with the columns of
///   ml-100k. A rating follows biases and the match of a user's drifting taste with the item's genres and hidden
///   factors, so recent history tells more than the user's id.
/// - `criteo`: `train|valid|test.txt` as Criteo's log (label, I1..I13, C1..C26; tab-separated, no header), Zipf-like
///   tokens up to millions a field, gaps, planted pairs; rows are independent. Written in a stream: any number of rows.
/// - `planted`: `train|valid|test.csv` with header label,f0..: label = [sum + noise > median], where the sum has an
///   effect of every category and one of every planted set of fields S. A `table` has an effect of every combination
///   drawn from N(0, 1); `inner` is sum_d prod_{i in S} h_i,d / sqrt(width), `kernel` the same with weights k_d, mean
///   square 1. A field has one hidden vector h for all its sets, of mean 0 and mean square 1 in every number. Fields
///   that share a factor follow a Gaussian copula. `truth.yaml` lists what was planted, and the AUC that the sum
///   without noise (`oracle.auc`) and its part of single categories (`oracle.linear_auc`) reach.
///
/// - `tasks`: `train|valid|test.csv` with header click,like,buy,cvr,would_buy,f0..: several labels of one row, a fifth
///   of the rows each. Every label has an effect of each category and of each pair of fields 0-1, 2-3, ...; those of
///   likes disagree with those of clicks as `conflict` says, those of conversions as `conversion_conflict`.
///   `would_buy` is the conversion of every row, `buy` that of clicked rows and 0 elsewhere, `cvr` the same and empty
///   elsewhere.
///
/// - `texts`: `train|valid|test.csv` with header label,user,item, and `items.csv` with item,title,cold. A row's label
///   follows a user's taste for the two topics of the item, which its title's words tell and nothing else: test is of
///   items that no training row has, valid half so. `vectors.parquet` holds what an encoder might make of the titles,
///   the directions of their topics, blurred.
///
/// All come with a `data.yaml` that prepare() takes.
INTERPLAY_API void synthesize(const SynthOptions& options, const std::filesystem::path& directory);

}  // namespace interplay
