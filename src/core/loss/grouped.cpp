// Losses that compare rows of one group: whose logits come out right beside each other, not by themselves.
#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/ATen.h>

#include <interplay/core/loss.h>
#include <interplay/data/no_group.h>

namespace interplay {

namespace {

/// Rows of a batch, group after group: group g owns rows [begin[g], begin[g + 1]). Rows that are nobody's are left out.
struct Groups {
  std::vector<int64_t> rows, begin;

  Groups(const LossInput& in, const char* loss) {
    INTERPLAY_CHECK(in.group.defined(),
                    "train.loss: {} compares rows of one group, and the data have no groups; name their column in "
                    "data.yaml (group: user_id)",
                    loss);
    const auto group = in.group.to(at::kCPU).contiguous();
    const auto* const of = group.const_data_ptr<int64_t>();
    for (int64_t row = 0; row < group.numel(); ++row) {
      if (of[row] != kNoGroup) rows.push_back(row);
    }
    std::stable_sort(rows.begin(), rows.end(), [of](int64_t a, int64_t b) { return of[a] < of[b]; });
    for (size_t i = 0; i < rows.size(); ++i) {
      if (i == 0 || of[rows[i]] != of[rows[i - 1]]) begin.push_back(int64_t(i));
    }
    begin.push_back(int64_t(rows.size()));
  }
};

at::Tensor nothing_to_compare(const at::Tensor& logit) { return 0 * logit.sum(); }

/// Rendle et al. 2009 (arXiv:1205.2618, BPR-Opt) and, for 0-1 labels the same, Burges et al. 2005 (RankNet): the mean
/// of log(1 + exp(-(z_i - z_j))) over all pairs of a positive i and a negative j of one group. A pair counts by the
/// product of its rows' weights.
class PairwiseLogistic final : public Loss {
 public:
  using Options = NoOptions;
  explicit PairwiseLogistic(const Options&) {}

  at::Tensor forward(const LossInput& in) const override {
    const Groups groups(in, "bpr");
    const auto label = in.label.to(at::kCPU).contiguous();
    const auto weight = in.weight.defined() ? in.weight.to(at::kCPU).contiguous() : at::Tensor();
    const auto* const y = label.const_data_ptr<float>();
    const auto counts = [&](int64_t row) { return !weight.defined() || weight.const_data_ptr<float>()[row] > 0; };
    std::vector<int64_t> better, worse;
    for (size_t g = 0; g + 1 < groups.begin.size(); ++g) {
      for (int64_t a = groups.begin[g]; a < groups.begin[g + 1]; ++a) {
        const int64_t i = groups.rows[size_t(a)];
        if (y[i] < 0.5f || !counts(i)) continue;
        for (int64_t b = groups.begin[g]; b < groups.begin[g + 1]; ++b) {
          const int64_t j = groups.rows[size_t(b)];
          if (y[j] < 0.5f && counts(j)) better.push_back(i), worse.push_back(j);
        }
      }
    }
    if (better.empty()) return nothing_to_compare(in.logit);
    const auto i = at::tensor(better).to(in.logit.device()), j = at::tensor(worse).to(in.logit.device());
    const auto each = at::softplus(in.logit.index_select(0, j) - in.logit.index_select(0, i));
    if (!weight.defined()) return each.mean();
    return weighted_mean(each, in.weight.index_select(0, i) * in.weight.index_select(0, j));
  }
};

/// Cao et al. 2007 (ListNet, top one): -log softmax(z)_i over the rows of a group, meant over the positives i of all
/// groups. A row of weight w is w such rows, in the list as among the positives.
class ListwiseSoftmax final : public Loss {
 public:
  using Options = NoOptions;
  explicit ListwiseSoftmax(const Options&) {}

  at::Tensor forward(const LossInput& in) const override {
    const Groups groups(in, "softmax");
    const auto label = in.label.to(at::kCPU).contiguous();
    const auto weight = in.weight.defined() ? in.weight.to(at::kCPU).contiguous() : at::Tensor();
    std::vector<int64_t> rows, list, positives;
    int64_t lists = 0;
    for (size_t g = 0; g + 1 < groups.begin.size(); ++g) {
      const size_t first = rows.size();
      bool positive = false, negative = false;
      for (int64_t a = groups.begin[g]; a < groups.begin[g + 1]; ++a) {
        const int64_t row = groups.rows[size_t(a)];
        if (weight.defined() && weight.const_data_ptr<float>()[row] <= 0) continue;
        (label.const_data_ptr<float>()[row] >= 0.5f ? positive : negative) = true;
        rows.push_back(row);
        list.push_back(lists);
      }
      if (positive && negative) {
        ++lists;
      } else {
        rows.resize(first), list.resize(first);
      }
    }
    for (size_t r = 0; r < rows.size(); ++r) {
      if (label.const_data_ptr<float>()[rows[r]] >= 0.5f) positives.push_back(int64_t(r));
    }
    if (positives.empty()) return nothing_to_compare(in.logit);
    const auto device = in.logit.device();
    const auto row = at::tensor(rows).to(device), of = at::tensor(list).to(device);
    const auto chosen = at::tensor(positives).to(device);
    const auto z = in.logit.index_select(0, row);
    // log sum exp of each list, from its largest logit: finite whatever the logits are.
    const auto top = at::full({lists}, -INFINITY, z.options()).scatter_reduce(0, of, z.detach(), "amax");
    auto part = (z - top.index_select(0, of)).exp();
    at::Tensor of_positive;
    if (weight.defined()) {
      const auto w = in.weight.index_select(0, row);
      part = part * w;
      of_positive = w.index_select(0, chosen);
    }
    const auto sum = at::zeros({lists}, z.options()).index_add(0, of, part);
    const auto each = (sum.log() + top).index_select(0, of).index_select(0, chosen) - z.index_select(0, chosen);
    return weighted_mean(each, of_positive);
  }
};

INTERPLAY_REGISTER(losses(), "bpr", PairwiseLogistic,
                   "pairwise: positives above negatives of their group (BPR, RankNet)");
INTERPLAY_REGISTER(losses(), "softmax", ListwiseSoftmax, "listwise: positives among all rows of their group (ListNet)");

}  // namespace
}  // namespace interplay
