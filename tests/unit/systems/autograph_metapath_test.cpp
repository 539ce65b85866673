// AutoGraph's paths against values that tests/reference/autograph.py makes, and against the authors' form: a subgraph a
// row.
#include <random>
#include <set>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "support/stored.h"
#include "systems/autograph/metapath.h"
#include "systems/autograph/row_edges.h"

namespace interplay::autograph::autograph_metapath_test {
namespace {

using interplay::testing::expect_near;
using interplay::testing::json_tensor;
using Json = nlohmann::ordered_json;

constexpr double kTolerance = 1e-5;

const Json& stored() {
  static const Json all = interplay::testing::reference_json("systems/autograph.json");
  return all.at("user_path");
}

void put(nn::GraphAttention& to, const Json& j) {
  to->source_weight.copy_(json_tensor(j["Ws"]).view_as(to->source_weight));
  to->target_weight.copy_(json_tensor(j["Wd"]).view_as(to->target_weight));
  to->attend_source.copy_(json_tensor(j["al"]));
  to->attend_target.copy_(json_tensor(j["ar"]));
  to->bias.copy_(json_tensor(j["bias"]).flatten());
}

at::Tensor lists(const std::vector<std::vector<int64_t>>& of, int64_t width) {
  auto out = at::full({int64_t(of.size()), width}, -1, at::kLong);
  for (size_t i = 0; i < of.size(); ++i) {
    for (size_t j = 0; j < of[i].size(); ++j) out[int64_t(i)][int64_t(j)] = of[i][j];
  }
  return out;
}

MetapathOptions small(int64_t width = 2) {
  MetapathOptions o;
  o.embedding_dim = width;
  o.heads = 2;
  o.head_dim = 2;
  return o;
}

class UserPath : public ::testing::Test {
 protected:
  UserPath() : path_(MetapathImpl::Kind{"user", 3, 2}, MetapathImpl::Kind{"item", 2, 2}, 3, small()) {
    const Json& j = stored();
    const at::NoGradGuard no_grad;
    path_->own->weight.copy_(json_tensor(j["e_user"]));
    path_->own_factors->weight.copy_(json_tensor(j["e_ucode"]));
    path_->other->weight.copy_(json_tensor(j["e_item"]));
    path_->other_factors->weight.copy_(json_tensor(j["e_icode"]));
    put(path_->own_to_factors, j["layers"]["U2Q"]);
    put(path_->factors_to_own, j["layers"]["Q2U"]);
    put(path_->other_to_factors, j["layers"]["I2P"]);
    put(path_->factors_to_other, j["layers"]["P2I"]);
    put(path_->other_to_own, j["layers"]["I2U"]);
    auto parameters = path_->named_parameters();
    parameters["map.weight"].copy_(json_tensor(j["map_W"]));
    parameters["map.bias"].copy_(json_tensor(j["map_b"]));
    path_->eval();
  }
  // as the stored edges say
  const CodedNodes users_{lists({{0}, {0}, {1}}, 1), lists({{0, 1}, {2}}, 2)};
  const CodedNodes items_{lists({{0}, {0, 1}}, 2), lists({{0, 1}, {1}}, 2)};
  const at::Tensor all_ = at::arange(3);
  Metapath path_;
};

TEST_F(UserPath, IsThatOfItsDefinition) {
  const at::NoGradGuard no_grad;
  const Json& j = stored();
  const auto members = nn::TargetEdges::of_lists(users_.members);
  expect_near(path_->own_to_factors(path_->own->weight, path_->own_factors->weight, members), json_tensor(j["n_ucode"]),
              kTolerance, "n of the users' factors");
  const auto of_items = nn::TargetEdges::of_lists(items_.members);
  const auto n = path_->other_to_factors(path_->other->weight, path_->other_factors->weight, of_items);
  expect_near(n, json_tensor(j["n_icode"]), kTolerance, "n of the items' factors");
  const auto h = path_->factors_to_other(at::cat({n, path_->other_factors->weight}, 1), path_->other->weight,
                                         nn::TargetEdges::of_lists(items_.codes));
  expect_near(h, json_tensor(j["h_item"]), kTolerance, "h of the items");
  const auto nodes = path_->nodes(users_, items_);
  expect_near(nodes.own, json_tensor(j["h_user"]), kTolerance, "h of the users");
  const auto g = path_->attend(nodes, all_, lists({{0, 1}, {1}, {}}, 2));
  expect_near(g, json_tensor(j["g_user"]), kTolerance, "g");
  expect_near(path_->output(g), json_tensor(j["output"]), kTolerance, "output");
}

TEST_F(UserPath, AnEdgeThatIsLeftOutChangesTheLastLayerAlone) {
  const at::NoGradGuard no_grad;
  const auto g = path_->attend(path_->nodes(users_, items_), all_.narrow(0, 0, 1), lists({{0}}, 2));
  expect_near(g[0], json_tensor(stored()["dropped_edge"]["g_user_0"]), kTolerance, "g without the edge of item 1");
}

/// A drawn graph, and the authors' way to one user's vector: of the whole graph only what its layers reach, nodes
/// numbered anew.
class Subgraph : public ::testing::Test {
 protected:
  static constexpr int64_t kUsers = 12, kItems = 9, kUserFactors = 6, kItemFactors = 4;
  Subgraph()
      : path_(MetapathImpl::Kind{"user", kUsers, kUserFactors}, MetapathImpl::Kind{"item", kItems, kItemFactors}, 3,
              small(4)) {
    at::manual_seed(9);
    const at::NoGradGuard no_grad;
    for (auto& p : path_->parameters()) p.normal_(0, 0.5);
    path_->eval();
    users_.codes = at::stack({at::randint(3, {kUsers}, at::kLong), at::randint(3, 6, {kUsers}, at::kLong)}, 1);
    items_.codes = at::stack({at::randint(2, {kItems}, at::kLong), at::randint(2, 4, {kItems}, at::kLong)}, 1);
    users_.members = CodedNodes::draw_members(users_.codes, kUserFactors, 3, 1);
    items_.members = CodedNodes::draw_members(items_.codes, kItemFactors, 3, 2);
  }

  static std::vector<int64_t> known(const at::Tensor& list) {
    std::vector<int64_t> out;
    for (int64_t i = 0; i < list.numel(); ++i) {
      if (list[i].item<int64_t>() >= 0) out.push_back(list[i].item<int64_t>());
    }
    return out;
  }

  /// h of one node by its own factors' subgraphs.
  static at::Tensor enriched(nn::GraphAttention& up, nn::GraphAttention& down, const at::Tensor& e, const at::Tensor& q,
                             const CodedNodes& graph, int64_t node) {
    std::vector<at::Tensor> n;
    const auto factors = known(graph.codes[node]);
    for (const int64_t f : factors) {
      const auto members = at::tensor(known(graph.members[f]), at::kLong);
      const nn::TargetEdges edges{at::arange(members.size(0)), at::tensor({int64_t(0), members.size(0)}, at::kLong)};
      n.push_back(up(e.index_select(0, members), q[f].unsqueeze(0), edges));
    }
    const auto of = q.index_select(0, at::tensor(factors, at::kLong));
    const nn::TargetEdges edges{at::arange(int64_t(factors.size())),
                                at::tensor({int64_t(0), int64_t(factors.size())}, at::kLong)};
    return down(at::cat({at::cat(n), of}, 1), e[node].unsqueeze(0), edges);
  }

  at::Tensor by_subgraph(int64_t user, const std::vector<int64_t>& clicked) {
    auto& p = *path_;
    std::vector<at::Tensor> h;
    for (const int64_t item : clicked)
      h.push_back(
          enriched(p.other_to_factors, p.factors_to_other, p.other->weight, p.other_factors->weight, items_, item));
    const auto own = enriched(p.own_to_factors, p.factors_to_own, p.own->weight, p.own_factors->weight, users_, user);
    const auto n = int64_t(clicked.size());
    const auto sources = n == 0 ? at::zeros({1, 4}) : at::cat(h);
    const nn::TargetEdges edges{at::arange(n), at::tensor({int64_t(0), n}, at::kLong)};
    return p.output(p.other_to_own(sources, own, edges));
  }

  CodedNodes users_, items_;
  Metapath path_;
};

TEST_F(Subgraph, GivesWhatTheWholeGraphDoesWithAndWithoutAnEdge) {
  const at::NoGradGuard no_grad;
  const auto whole = path_->nodes(users_, items_);
  std::mt19937 draw(3);
  for (int64_t user = 0; user < kUsers; ++user) {
    std::vector<int64_t> clicked;
    for (int64_t item = 0; item < kItems; ++item) {
      if (draw() % 3 == 0) clicked.push_back(item);
    }
    for (int without = 0; without < 2; ++without) {
      if (without && !clicked.empty()) clicked.erase(clicked.begin());
      const auto g = path_->attend(whole, at::tensor({user}, at::kLong), lists({clicked}, kItems));
      expect_near(path_->output(g), by_subgraph(user, clicked), kTolerance, fmt::format("user {}", user));
    }
  }
}

TEST(Members, AreDrawnBySeedAndAreThoseOfTheFactor) {
  const auto codes = at::cat({at::zeros({40, 1}, at::kLong), at::arange(1, 41).view({40, 1})}, 1);
  const auto members = CodedNodes::draw_members(codes, 41, 15, 3);
  EXPECT_EQ(members.sizes(), at::IntArrayRef({41, 15}));
  std::set<int64_t> drawn;
  for (int64_t i = 0; i < 15; ++i) drawn.insert(members[0][i].item<int64_t>());
  EXPECT_EQ(drawn.size(), 15u);
  EXPECT_GE(*drawn.begin(), 0);
  EXPECT_TRUE(at::equal(members.slice(0, 1).select(1, 0), at::arange(40)));
  EXPECT_TRUE(members.slice(0, 1).slice(1, 1).eq(-1).all().item<bool>());
  EXPECT_TRUE(at::equal(members, CodedNodes::draw_members(codes, 41, 15, 3)));
  EXPECT_FALSE(at::equal(members, CodedNodes::draw_members(codes, 41, 15, 4)));
}

TEST(WithoutAClick, EachListLacksItsOwnOrWhereItHasRoomADrawnOne) {
  const auto lists =
      at::tensor({5, 6, 7, -1, 5, 6, 7, -1, 5, 6, 7, 8, 5, 6, 7, 8, -1, -1, -1, -1, 9, -1, -1, -1}, at::kLong)
          .view({6, 4});
  const auto own = at::tensor({6, 0, 6, 0, 3, 0}, at::kLong);
  at::manual_seed(1);
  std::set<int64_t> left_out;
  for (int i = 0; i < 60; ++i) {
    const auto lacking = without_a_click(lists, own);
    EXPECT_TRUE(at::equal(lacking[0], at::tensor({5, -1, 7, -1}, at::kLong)));
    EXPECT_EQ(lacking[1].ge(0).sum().item<int64_t>(), 2);
    for (int64_t k = 0; k < 3; ++k) {
      if (lacking[1][k].item<int64_t>() < 0) left_out.insert(lists[1][k].item<int64_t>());
    }
    EXPECT_TRUE(at::equal(lacking[2], at::tensor({5, -1, 7, 8}, at::kLong)));
    EXPECT_TRUE(at::equal(lacking[3], lists[3])) << "a full list may be a part of more";
    EXPECT_TRUE(at::equal(lacking[4], lists[4]));
    EXPECT_TRUE(lacking[5].eq(-1).all().item<bool>());
  }
  EXPECT_EQ(left_out, (std::set<int64_t>{5, 6, 7}));
}

TEST(RowItems, AreTheLastDistinctOnesOrADraw) {
  const Sequence history{at::tensor({4, 2, 4, 0, 3, 9}, at::kInt), at::tensor({0, 5, 5, 6}, at::kLong), {}};
  EXPECT_TRUE(at::equal(row_items(history, 2, false), at::tensor({3, 4, -1, -1, 9, -1}, at::kLong).view({3, 2})));
  EXPECT_TRUE(at::equal(row_items(history, 4, false)[0], at::tensor({3, 4, 2, -1}, at::kLong)));
  at::manual_seed(1);
  std::set<std::set<int64_t>> drawn;
  for (int i = 0; i < 100; ++i) {
    const auto items = row_items(history, 2, true)[0];
    drawn.insert({items[0].item<int64_t>(), items[1].item<int64_t>()});
  }
  EXPECT_EQ(drawn, (std::set<std::set<int64_t>>{{2, 3}, {2, 4}, {3, 4}}));
}

}  // namespace
}  // namespace interplay::autograph::autograph_metapath_test
