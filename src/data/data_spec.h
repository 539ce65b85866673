#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <interplay/base/options.h>
#include <interplay/data/schema.h>

namespace interplay {

/// A condition on a numeric column.
struct ThresholdOptions {
  std::string column;
  std::optional<double> at_least, above;
  void visit(auto&& field) {
    field("column", column, "the column compared");
    field("at_least", at_least, "true from this number on");
    field("above", above, "true beyond this number");
  }
  bool compares() const { return at_least || above; }
  bool passes(double x) const { return (!at_least || x >= *at_least) && (!above || x > *above); }
};

struct LabelOptions : ThresholdOptions {
  std::string name;
  bool optional = false;
  std::optional<double> missing;
  std::optional<ThresholdOptions> only;
  void visit(auto&& field) {
    ThresholdOptions::visit(field);
    field("name", name, "what the label is called; its column's name by default");
    field("optional", optional, "an empty cell is a row without this label: no part of its loss and metrics");
    field("missing", missing, "takes the place of an empty cell", Range{0, 1});
    field("only", only, "rows for which this condition does not hold are without this label, whatever the cell");
  }
};

/// A column of the past events that goes with a history, as each past item's rating.
struct SideOptions {
  std::string column, name, share, pooling = "mean";
  void visit(auto&& field) {
    field("column", column, "column of the past event");
    field("name", name, "the paired sequence it becomes");
    field("share", share, "field whose table it reads; by default that of the field with the same column, if any");
    field("pooling", pooling, "how a model makes one vector of it", OneOf{{"mean", "sum"}});
  }
};

/// One entry of `fields:`. Which keys it takes depends on its kind.
struct FieldOptions {
  std::vector<std::string> columns;
  std::string column, name, kind = "categorical", share, catalogue, transform = "none", separator, first_of, weights,
                            pooling = "mean", paired, target, user, item, time, ties = "before";
  std::optional<int64_t> min_count;
  int64_t hash_buckets = 0, max_length = 0, min_length = 0, dimension = 0;
  std::optional<double> missing;
  std::optional<ThresholdOptions> filter;
  std::vector<SideOptions> side;

  bool reads_tokens() const { return kind == "categorical" || kind == "sequence"; }
  void visit(auto&& field) {
    field("kind", kind, "what the field is",
          OneOf{{"categorical", "numeric", "sequence", "vector", "history"}});  // first: it decides the other keys
    field("name", name, "what the field is called; its column's name by default");
    if (kind != "history") {
      field("column", column, "raw column");
      field("columns", columns, "several raw columns, each a field; I1..I13 is a range");
    }
    if (reads_tokens()) {
      field("min_count", min_count, "tokens seen less often become the unseen id", Range{1, 1e18});
      field("hash_buckets", hash_buckets, "ids by hash instead of a vocabulary, this many", Range{0, 2147483640});
      field("share", share, "field whose table this one reads");
      field("catalogue", catalogue,
            "table whose values get ids of their own even where no training row has them: those of the field's column, "
            "or of `key`; found in the folder of the data's files");
    }
    if (kind == "categorical") {
      field("first_of", first_of, "cells hold several tokens with this between them; the field is the first one");
    }
    if (kind == "numeric") {
      field("transform", transform, "what is done to the number",
            OneOf{{"none", "log1p", "standardise", "min_max", "log_square_bucket"}});
      field("missing", missing, "takes the place of a missing number");
      if (transform == "log_square_bucket") {
        field("min_count", min_count, "buckets seen less often become the unseen id", Range{1, 1e18});
      }
    }
    if (kind == "sequence" || kind == "vector") field("separator", separator, "between the entries of a cell");
    if (kind == "vector") field("dimension", dimension, "how many numbers", Range{1, 1e6});
    if (kind == "sequence") {
      field("weights", weights, "column with the weights of the entries");
      field("paired", paired, "sequence whose i-th entry belongs to this one's i-th");
      field("target", target, "field this is a history of");
    }
    if (kind == "sequence" || kind == "history") {
      field("max_length", max_length, "entries kept, the last ones; 0 = all", Range{0, 1e9});
      field("pooling", pooling, "how a model makes one vector of it", OneOf{{"mean", "sum"}});
    }
    if (kind == "history") {
      field("user", user, "column with whose history it is");
      field("item", item, "column with what is remembered");
      field("time", time, "column with when");
      field("ties", ties,
            "events of a row's own time: before: a history ends before that time; order: those of smaller items are "
            "in it, for times so coarse that whole sessions share one",
            OneOf{{"before", "order"}});
      field("filter", filter, "which events are remembered");
      field("min_length", min_length, "rows whose history has fewer entries are no samples, only events",
            Range{0, 1e9});
      field("side", side, "more columns of the past events, as paired sequences");
    }
  }
};

/// A table that adds its columns to the rows, as that of the users or of the items.
struct JoinOptions {
  std::string file, key;
  std::vector<std::string> header;
  std::optional<Config> format;
  void visit(auto&& field) {
    field("file", file, "the table, found in the folder of the rows' first file");
    field("key", key, "column that both have; each value has one row of the table");
    field("header", header, "names of the table's columns where the file has none");
    field("format", format, "that of the table, where it is not that of the rows");
  }
};

struct FilesOptions {
  std::vector<std::string> train, valid, test;
  void visit(auto&& field) {
    field("train", train, "files or patterns of the training rows");
    field("valid", valid, "of the validation rows");
    field("test", test, "of the test rows");
  }
};

struct SplitOptions {
  std::string by = "random", user, time;
  std::vector<std::string> tie;
  std::vector<double> ratios = {0.8, 0.1, 0.1};
  int64_t seed = 1;
  void visit(auto&& field) {
    field("by", by, "random: rows drawn by seed; time: by time; user_time: each user's rows by time",
          OneOf{{"random", "time", "user_time"}});
    field("ratios", ratios, "shares of train, valid and test", Range{0, 1});
    if (by == "random") {
      field("seed", seed, "of the draw");
    } else {
      field("time", time, "column with when; that of `time:` by default");
      field("tie", tie, "columns that order rows of equal time, as numbers where they are");
    }
    if (by == "user_time") field("user", user, "column with whose row it is");
  }
};

/// The keys of data.yaml.
struct DataOptions {
  Config format = Config::scalar("csv");
  std::vector<std::string> header;
  std::string root;
  std::vector<std::string> file;
  std::optional<FilesOptions> files;
  std::optional<SplitOptions> split;
  std::vector<JoinOptions> join;
  std::optional<ThresholdOptions> filter;
  std::optional<Config> label;
  std::string weight, group, time;
  int64_t min_count = 1;
  std::vector<std::string> missing_tokens;
  std::vector<FieldOptions> fields;

  void visit(auto&& field) {
    field("format", format, "a reader's name, or a map with its name and options");
    field("header", header, "names of the columns where the file has none; I1..I13 is a range");
    field("root", root, "folder the files are in; that of this config by default");
    field("files", files, "files of each split");
    field("file", file, "files of one source that `split` divides");
    field("split", split, "how one source is divided");
    field("join", join, "tables whose columns are added to the rows by a key");
    field("filter", filter, "which rows count; the others are neither samples nor events");
    field("label", label, "column, list of columns, or {column: rating, at_least: 4, name: liked, optional: true}");
    field("weight", weight, "column with the weight of a row");
    field("group", group, "column that gAUC groups by");
    field("time", time, "column with when a row happened, kept beside it");
    field("min_count", min_count, "tokens seen less often become the unseen id", Range{1, 1e18});
    field("missing_tokens", missing_tokens, "cells that mean a missing value, beside empty ones");
    field("fields", fields, "what a model may see");
  }
};

/// What data.yaml says, with ranges expanded, defaults filled in and contradictions refused.
struct DataSpec {
  DataOptions options;
  std::vector<LabelOptions> labels;
  std::vector<Field> fields;                 ///< unfitted: rows = 0
  std::vector<FieldOptions> field_options;   ///< beside `fields`; a side sequence has those of its history
  std::map<std::string, int64_t> min_count;  ///< of each table
  Config reader;                             ///< format and its options, for readers()
  std::vector<Config> join_readers;          ///< beside options.join
  Config resolved;                           ///< the same data.yaml, spelled out: parses to the same DataSpec
  std::filesystem::path root;

  static DataSpec parse(const Config& data);
  std::vector<std::string> label_names() const;
  bool has_history() const;
  Schema plain_schema() const;  ///< the fields that raw files hold: all but histories, which make no row unusable
};

/// `I1..I13` to I1, I2, ..., I13; a name that ends in no number on either side of the dots, as any other, to itself.
/// The first number's leading zeros set the width. Throws Error where only one side ends in a number, or the names
/// differ.
std::vector<std::string> expand_range(const std::string& name);

}  // namespace interplay
