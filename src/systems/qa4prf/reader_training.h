#pragma once

#include <map>
#include <string>
#include <vector>

#include <torch/optim/adam.h>

#include "systems/qa4prf/fold.h"

namespace interplay::qa4prf {

/// MAP of queries whose expansions are these, for each beta. One expansion a query.
std::vector<double> map_by_beta(const std::vector<Learnable>& queries,
                                const std::vector<std::vector<TermWeight>>& expansions, const Training& training);

/// The reader's training, pass by pass: Adam on pairs of query and document in batches of similar lengths, the weights
/// of the pass kept after which what is pointed at gives the highest MAP of the held-out queries.
class ReaderTraining {
 public:
  ReaderTraining(TermReader& reader, Networks& networks, const FoldData& data, const Training& training);
  void run(FoldReport& report);  ///< ends with the best weights

 private:
  using Batch = std::vector<const Reading*>;
  void add_pairs(const Learnable& query);
  bool lost_patience(const FoldReport& report) const;
  std::vector<Batch> batches(uint64_t seed) const;
  double learn(uint64_t seed, int64_t pass);
  double held_out_map();
  bool load(FoldReport& report);
  void save(const FoldReport& report) const;

  TermReader& reader_;
  Networks& networks_;
  const FoldData& data_;
  const Training& t_;
  const ReaderOptions& o_;
  std::vector<Reading> pairs_;
  torch::optim::Adam adam_;
  std::map<std::string, at::Tensor> best_;
};

}  // namespace interplay::qa4prf
