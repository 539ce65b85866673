// nearest(): which name somebody meant.
#include <gtest/gtest.h>

#include <interplay/base/config.h>

namespace interplay::nearest_test {
namespace {

TEST(Nearest, OneSlipOfThePen) {
  const std::vector<std::string> names{"deepffm", "deepfm", "din", "fm"};
  EXPECT_EQ(nearest("depfm", names), "deepfm");
  EXPECT_EQ(nearest("depefm", names), "deepfm");  // two letters swapped
  EXPECT_EQ(nearest("dinn", names), "din");
  EXPECT_EQ(nearest("embedding", names), "");
}

TEST(Nearest, DashesCountLessThanLetters) {
  EXPECT_EQ(nearest("deep_fm", {"deepffm", "deepfm"}), "deepfm");
  EXPECT_EQ(nearest("embeddingdim", {"embedding_kim", "embedding_dim"}), "embedding_dim");
}

TEST(Nearest, TheFirstOfEqualOnes) { EXPECT_EQ(nearest("fx", {"fa", "fb"}), "fa"); }

}  // namespace
}  // namespace interplay::nearest_test
