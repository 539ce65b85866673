#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <interplay/base/options.h>
#include <interplay/data/field_kind.h>
#include <interplay/data/schema.h>

namespace interplay {

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

/// Which rows count.
struct FilterOptions : ThresholdOptions {
  std::vector<ThresholdOptions> also;
  void visit(auto&& field) {
    ThresholdOptions::visit(field);
    field("also", also, "further conditions, all of which have to hold");
  }
};

struct SplitOptions {
  std::string by = "random", user, time;
  std::vector<std::string> tie;
  std::vector<double> ratios = {0.8, 0.1, 0.1};
  int64_t seed = 1;
  void visit(auto&& field) {
    field("by", by,
          "random: rows drawn by seed; time: by time; user_time: each user's rows by time; user_last: each user's last "
          "row is for test, the one before it for valid, the rest for train",
          OneOf{{"random", "time", "user_time", "user_last"}});
    if (by != "user_last") field("ratios", ratios, "shares of train, valid and test", Range{0, 1});
    if (by == "random") {
      field("seed", seed, "of the draw");
    } else {
      field("time", time, "column with when; that of `time:` by default");
      field("tie", tie, "columns that order rows of equal time, as numbers where they are");
    }
    if (of_users()) field("user", user, "column with whose row it is");
  }
  bool of_users() const { return by == "user_time" || by == "user_last"; }
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
  std::optional<FilterOptions> filter;
  std::optional<Config> label;
  std::string weight, group, time;
  int64_t min_count = 1;
  std::vector<std::string> missing_tokens;
  std::vector<Config> fields;

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
  std::vector<Field> fields;                                ///< unfitted: rows = 0
  std::vector<std::shared_ptr<const FieldSource>> sources;  ///< beside `fields`: the entry that declares each
  std::vector<std::string> catalogues;                      ///< beside `fields`: see DeclaredField
  std::map<std::string, int64_t> min_count;                 ///< of each table
  Config reader;                                            ///< format and its options, for readers()
  std::vector<Config> join_readers;                         ///< beside options.join
  Config resolved;  ///< the same data.yaml, spelled out: parses to the same DataSpec
  std::filesystem::path root;

  static DataSpec parse(const Config& data);
  std::vector<std::string> label_names() const;
  /// The entry that declares a field; null where there is none.
  std::shared_ptr<const FieldSource> source_of(std::string_view field) const;
  /// The lists of earlier events that the fields of `wanted` read.
  std::vector<PastEvents> past(const Schema& wanted) const;
  std::vector<PastEvents> past() const;
  Schema plain_schema() const;  ///< the fields that raw files hold: all but those made of the past, which make no row
                                ///< unusable
};

}  // namespace interplay
