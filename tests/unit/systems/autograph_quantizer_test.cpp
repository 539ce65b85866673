// The residual quantiser against values that tests/reference/autograph.py makes of its definition.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"
#include "support/stored.h"
#include "systems/autograph/residual_quantizer.h"

namespace interplay::autograph::autograph_quantizer_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::expect_near;
using interplay::testing::json_tensor;
using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

constexpr double kTolerance = 1e-5;

const Json& stored(const char* part) {
  static const Json all = interplay::testing::reference_json("systems/autograph.json");
  return all.at(part);
}

at::Tensor whole(const Json& json) { return json_tensor(json).to(at::kLong); }

Codebooks stored_books() {
  const auto books = json_tensor(stored("rq")["codebooks"]);
  Codebooks out(3, 4, 2);
  out->books.copy_(books);
  return out;
}

/// Vectors in `groups` bunches: [n, width], and the bunch of each.
std::pair<at::Tensor, at::Tensor> bunches(int64_t n, int64_t groups, int64_t width, double noise = 0.1) {
  at::manual_seed(4);
  const auto centres = at::randn({groups, width});
  const auto of = at::arange(n).remainder(groups);
  return {centres.index_select(0, of) + noise * at::randn({n, width}), of};
}

TEST(Codebooks, QuantiseWhatThoseBeforeThemLeave) {
  const Json& j = stored("rq");
  const auto r = stored_books()(json_tensor(j["z"]));
  EXPECT_TRUE(at::equal(r.codes, whole(j["codes"]))) << r.codes;  // the last row ties: the lower code
  EXPECT_TRUE(at::equal(factor_nodes(r.codes, 4), whole(j["factor_nodes"])));
  expect_near(r.quantised, json_tensor(j["quantised"]), kTolerance, "quantised");
  const auto residuals = json_tensor(j["residual_after_each"]);  // [N, M, W]
  for (int64_t k = 0; k < 3; ++k)
    expect_near(r.residuals[size_t(k + 1)], residuals.select(1, k), kTolerance, fmt::format("after book {}", k));
  expect_near(r.commitment, json_tensor(j["commitment_per_book"]), kTolerance, "commitment");
  const auto l1 = (json_tensor(j["input"]) - json_tensor(j["reconstruction"])).abs().mean();
  EXPECT_NEAR((l1 + 0.25 * r.commitment.sum()).item<double>(), j["loss"].get<double>(), kTolerance);
}

TEST(Codebooks, GradientsOfZAreThoseOfTheCommitmentAndOnceThatOfTheSum) {
  const Json& j = stored("rq");
  auto z = json_tensor(j["z"]).requires_grad_();
  (0.25 * stored_books()(z).commitment.sum()).backward();
  expect_near(z.grad(), json_tensor(j["grad_z_of_commitment_part"]), kTolerance, "commitment");
  z.mutable_grad() = at::Tensor();
  const auto upstream = at::arange(8).to(at::kFloat).view({4, 2});
  (stored_books()(z).quantised * upstream).sum().backward();
  EXPECT_TRUE(at::equal(z.grad(), upstream)) << "not once a book";
}

TEST(Codebooks, MoveByMovingMeans) {
  const Json& j = stored("ema");
  Codebooks books(1, 4, 2);
  books->books.copy_(json_tensor(stored("rq")["codebooks"])[0].unsqueeze(0));
  books->counts.copy_(json_tensor(j["count"]).unsqueeze(0));
  books->sums.copy_(json_tensor(j["sum"]).unsqueeze(0));
  const auto result = books(json_tensor(stored("rq")["z"]));
  books->move(result, j["decay"], 0, 1);
  expect_near(books->counts[0], json_tensor(j["new_count"]), kTolerance, "counts");
  expect_near(books->sums[0], json_tensor(j["new_sum"]), kTolerance, "sums");
  expect_near(books->books[0], json_tensor(j["new_codebook"]), kTolerance, "codes; the dead one is zero");
}

TEST(Codebooks, ADeadCodeBeginsAgainAtAVectorOfTheBatch) {
  Codebooks books(1, 4, 2);
  books->books.copy_(json_tensor(stored("rq")["codebooks"])[0].unsqueeze(0));
  books->counts.fill_(1);
  books->counts[0][3] = 0;
  const auto z = json_tensor(stored("rq")["z"]);
  const auto result = books(z);
  books->move(result, 0.8, 0.1, 1);
  EXPECT_TRUE((z == books->books[0][3]).all(1).any().item<bool>()) << books->books[0][3];
  EXPECT_FLOAT_EQ(books->counts[0][3].item<float>(), 0.1f);
}

TEST(Codebooks, StartFollowsItsSeedAndMoreBooksNeverRaiseTheError) {
  const auto x = bunches(300, 12, 6, 0.5).first;
  const auto started = [&](int64_t n, uint64_t seed) {
    Codebooks books(n, 16, 6);
    books->start(x, 500, seed);
    return books;
  };
  EXPECT_TRUE(at::equal(started(3, 7)->books, started(3, 7)->books));
  EXPECT_FALSE(at::equal(started(3, 7)->books, started(3, 8)->books));
  double before = x.square().sum().item<double>();
  const auto residuals = started(5, 7)(x).residuals;
  for (size_t k = 1; k < residuals.size(); ++k) {
    const double error = residuals[k].square().sum().item<double>();
    EXPECT_LE(error, before) << "book " << k;
    before = error;
  }
  EXPECT_THAT(config_error([&] { Codebooks(1, 301, 6)->start(x, 1, 1); }), HasSubstr("300 vectors for 301 codes"));
}

TEST(ResidualQuantizer, GivesBunchesCodesOfTheirOwnAndNewVectorsThose) {
  const auto [x, of] = bunches(240, 8, 10);
  const QuantizerOptions options{.books = 2, .codes = 8, .width = 4, .hidden = {16}, .epochs = 40, .batch_size = 60};
  const auto fitted = [&, &x = x] {
    ResidualQuantizer q(10, options);
    q->fit(x);
    return q;
  };
  auto q = fitted();
  const auto codes = q->codes(x);
  EXPECT_TRUE(at::equal(codes, fitted()->codes(x))) << "another time other codes";
  int64_t mixed = 0;  // codes of the first book whose values are of several bunches
  for (int64_t c = 0; c < 8; ++c) {
    const auto held = of.masked_select(codes.select(1, 0).eq(c));
    mixed += held.numel() > 0 && !held.eq(held[0]).all().item<bool>();
  }
  EXPECT_LE(mixed, 2);
  const auto near = x + 1e-4;
  EXPECT_GT(q->codes(near).select(1, 0).eq(codes.select(1, 0)).to(at::kFloat).mean().item<double>(), 0.98);
  const at::NoGradGuard no_grad;
  ResidualQuantizer fresh(10, options);
  EXPECT_LT(q(x).l1.item<double>(), 0.6 * fresh(x).l1.item<double>());
}

}  // namespace
}  // namespace interplay::autograph::autograph_quantizer_test
