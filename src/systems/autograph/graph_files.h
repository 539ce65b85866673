#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/base/options.h>
#include <interplay/data/dataset.h>
#include <interplay/data/keyed_vectors.h>
#include <interplay/systems/graph.h>

/// What lies in a graph directory: graph.json, config.yaml, users.parquet and items.parquet (by value: its id, then a
/// code of each book), neighbours.parquet (by item: the ids of users whose clicks its list has), clicks.parquet (all
/// pairs of ids), users.safetensors and items.safetensors (principal components and quantiser), graph.html,
/// manifest.json.
namespace interplay::autograph {

constexpr const char* kUsersFile = "users.parquet";
constexpr const char* kItemsFile = "items.parquet";
constexpr const char* kNeighboursFile = "neighbours.parquet";
constexpr const char* kClicksFile = "clicks.parquet";

/// Values of a field that have codes.
struct CodedValues {
  std::vector<std::string> keys;  ///< the values
  std::vector<int64_t> ids;       ///< beside them
  at::Tensor codes;               ///< i64 [n, M], 0 .. C - 1 of each book
};

/// Pairs of a user's and an item's id, each once, by user, then by item.
struct Clicks {
  std::vector<int64_t> users, items;
};

/// Of the positive rows alone: those whose user and item are known.
INTERPLAY_API Clicks clicks_of(const Dataset& train, const std::string& user, const std::string& item,
                               const std::string& label);

/// The tokens of a field's table by id - 1. Throws Error(config) where it has no vocabulary.
INTERPLAY_API std::vector<std::string> tokens_of(const std::filesystem::path& prepared, const Field& field);

void write_codes(const std::filesystem::path& file, const CodedValues& values);
/// Of each item up to `most` of its users, drawn by seed; items without clicks are left out.
void write_neighbours(const std::filesystem::path& file, const Clicks& clicks, const std::vector<std::string>& items,
                      int64_t most, uint64_t seed);
void write_clicks(const std::filesystem::path& file, const Clicks& clicks);
void save_info(const std::filesystem::path& directory, const GraphInfo& info);

/// A graph as an augmenter's option, `from: DIR`; written out it says all sizes, so that a run's model is made without
/// the directory.
class INTERPLAY_API GraphOption {
 public:
  struct Side {
    std::string field;
    int64_t books = 0, codes = 0;
    int64_t factors() const { return books * codes; }
    void visit(auto&& f) {
      f("field", field, "of the data");
      f("books", books, "codebooks", Range{1, 16});
      f("codes", codes, "of each book", Range{1, 65536});
    }
  };
  struct Sizes {
    std::string graph;
    Side users, items;
    int64_t neighbours = 0;
    void visit(auto&& f) {
      f("graph", graph, "directory");
      f("users", users, "what it has of users");
      f("items", items, "and of items");
      f("neighbours", neighbours, "users that an item's list has at most", Range{1, 1e6});
    }
  };
  bool given() const { return !sizes_.graph.empty(); }
  const Sizes& sizes() const { return sizes_; }
  VectorSource source(const char* file) const;  ///< a file of the graph
  void read_option(const Config& from);
  Config write_option() const;
  static std::string option_type() { return "graph"; }

 private:
  Sizes sizes_;
};

}  // namespace interplay::autograph
