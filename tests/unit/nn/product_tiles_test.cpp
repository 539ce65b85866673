// Passes over products read what an earlier pass kept, or compute them again: the same bytes either way. What they give
// is compared with ATen's in interactions_test.cpp.
#include "nn/kernels/product_tiles.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <interplay/nn/interactions.h>

namespace interplay::nn::product_tiles_test {
namespace {

TEST(ProductTiles, KeptProductsChangeNothing) {
  at::manual_seed(1);
  for (const int64_t batch : {5, 150}) {
    for (const int64_t order : {2, 3}) {
      const int64_t fields = 13, width = 6;
      const auto e = at::randn({batch, fields, width}), sets = all_sets(fields, order), d = at::randn({batch});
      const ProductInput x{e.const_data_ptr<float>(), batch, fields, width};
      const SetList list(sets);
      const int64_t count = list.size();
      const auto scale = at::randn({count}), centre = at::randn({count}), slope = at::randn({count});
      const auto keep = KeptProducts::of(x, list);
      ASSERT_FALSE(keep.empty());
      const auto all = at::arange(count, at::kLong);
      std::vector<std::vector<at::Tensor>> found;
      for (const bool kept : {false, true}) {
        const KeptProducts from = kept ? keep : KeptProducts{};
        const auto numbers = [](std::vector<int64_t> shape) { return at::full(shape, NAN); };
        const auto mean = numbers({count}), variance = numbers({count}), z = numbers({batch, count}),
                   sum = numbers({batch}), sums = numbers({count}), dots = numbers({count}),
                   d_e = numbers({batch, fields, width});
        const auto read = [](const at::Tensor& t) { return t.const_data_ptr<float>(); };
        const auto write = [](const at::Tensor& t) { return t.mutable_data_ptr<float>(); };
        product_statistics(x, list, write(mean), write(variance), from);
        const Scaling scaling{read(scale), read(mean)};
        products(x, list, &scaling, write(z), from);
        product_sums(x, list, scaling, write(sum), from);
        flow_statistics(x, list, read(mean), {read(d), false}, write(sums), write(dots), from);
        scaled_gradients(x, list, scaling, read(centre), read(slope), {read(d), false}, write(d_e), from,
                         all.const_data_ptr<int64_t>());
        found.push_back({mean, variance, z, sum, sums, dots, d_e});
      }
      for (size_t i = 0; i < found[0].size(); ++i)
        EXPECT_TRUE(at::equal(found[0][i], found[1][i]))
            << "result " << i << ", batch " << batch << ", order " << order;
    }
  }
}

/// Gradients where the last fields of a group follow one another, and where they do not.
TEST(ProductTiles, ListsWithGapsHaveTheGradientsOfTheirSets) {
  at::manual_seed(2);
  const int64_t batch = 33, fields = 11, width = 9;
  const auto e = at::randn({batch, fields, width}), all = all_sets(fields, 2);
  const auto some = at::arange(0, all.size(0), 3, at::kLong);
  const auto d = at::randn({batch, all.size(0)}) * at::zeros({all.size(0)}).index_fill(0, some, 1);  // others: zero
  auto whole = at::empty_like(e), listed = at::empty_like(e);
  const ProductInput x{e.const_data_ptr<float>(), batch, fields, width};
  product_gradients(x, SetList(all), d.const_data_ptr<float>(), whole.mutable_data_ptr<float>());
  product_gradients(x, SetList(all.index_select(0, some)), d.index_select(1, some).contiguous().const_data_ptr<float>(),
                    listed.mutable_data_ptr<float>());
  EXPECT_TRUE(at::allclose(whole, listed, 1e-5, 1e-5));
}

}  // namespace
}  // namespace interplay::nn::product_tiles_test
