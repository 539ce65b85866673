#include <gmock/gmock.h>

#include "reader_support.h"

namespace interplay::testing::reader_recbole_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kInter = "user_id:token\titem_id:token\trating:float\n1\t10\t5\n2\t11\t3\n3\t10\t1\n1\t12\t4\n";
constexpr const char* kUser = "user_id:token\tage:float\n2\t30\n1\t24\n";
constexpr const char* kItem = "item_id:token\tclass:token_seq\n10\tDrama War\n12\t\n11\tComedy\n";

ReadRequest request_of(const std::filesystem::path& file, std::vector<std::string> columns = {}) {
  ReadRequest request;
  request.files = {file};
  request.columns = std::move(columns);
  return request;
}

TEST(RecboleReader, EventsAreJoinedWithTheirUsersAndItems) {
  const TempDir dir;
  dir.write("toy.user", kUser);
  dir.write("toy.item", kItem);
  const Read got = read("recbole", dir.write("toy.inter", kInter));
  EXPECT_THAT(got.columns, ElementsAre("user_id", "item_id", "rating", "age", "class"));
  EXPECT_EQ(got.rows, (Table{{"1", "10", "5", "24", "Drama War"},
                             {"2", "11", "3", "30", "Comedy"},
                             {"3", "10", "1", "-", "Drama War"},
                             {"1", "12", "4", "24", "-"}}));
  EXPECT_THAT(got.lines, ElementsAre(2, 3, 4, 5));
}

TEST(RecboleReader, ColumnsOfASideNeedNotBringTheKeyAlong) {
  const TempDir dir;
  dir.write("toy.user", kUser);
  const auto request = request_of(dir.write("toy.inter", kInter), {"age", "rating"});
  EXPECT_EQ(read("recbole", request).rows, (Table{{"24", "5"}, {"30", "3"}, {"-", "1"}, {"24", "4"}}));
}

TEST(RecboleReader, EventsAloneAreEnough) {
  const TempDir dir;
  EXPECT_THAT(read("recbole", dir.write("toy.inter", kInter)).columns, ElementsAre("user_id", "item_id", "rating"));
}

TEST(RecboleReader, SplitFilesShareTheUsersOfTheirSet) {
  const TempDir dir;
  dir.write("toy.user", kUser);
  EXPECT_EQ(read("recbole", request_of(dir.write("toy.valid.inter", kInter), {"age"})).rows,
            (Table{{"24"}, {"30"}, {"-"}, {"24"}}));
}

TEST(RecboleReader, TheKeysMayHaveOtherNames) {
  const TempDir dir;
  dir.write("toy.item", "movie:token\tyear:token\n7\t1999\n");
  const auto file = dir.write("toy.inter", "viewer:token\tmovie:token\n1\t7\n");
  EXPECT_EQ(read("{name: recbole, user_field: viewer, item_field: movie}", file).rows, (Table{{"1", "7", "1999"}}));
  EXPECT_THAT(error_of([&] { read("recbole", file); }), AllOf(HasSubstr("'item_id'"), HasSubstr("toy.inter")));
}

TEST(RecboleReader, ASecondRowForAKeyIsABadRow) {
  const TempDir dir;
  dir.write("toy.user", "user_id:token\tage:float\n1\t24\n1\t25\n");
  const auto file = dir.write("toy.inter", kInter);
  EXPECT_THAT(error_of([&] { read("recbole", file); }), HasSubstr("toy.user:3: user_id = '1' has a row already"));
  auto request = request_of(file, {"age"});
  request.bad_rows = std::make_shared<BadRows>(1);
  EXPECT_EQ(read("recbole", request).rows[0][0], "24");
}

TEST(RecboleReader, AColumnInTwoFilesIsAnError) {
  const TempDir dir;
  dir.write("toy.user", "user_id:token\trating:float\n1\t24\n");
  const auto file = dir.write("toy.inter", kInter);
  EXPECT_THAT(error_of([&] { read("recbole", file); }), AllOf(HasSubstr("toy.user"), HasSubstr("'rating'")));
}

TEST(RecboleReader, UnknownColumnsAreNamedWithTheNearest) {
  const TempDir dir;
  const auto file = dir.write("toy.inter", kInter);
  EXPECT_THAT(error_of([&] { read("recbole", request_of(file, {"ratings"})); }), HasSubstr("did you mean 'rating'?"));
}

TEST(RecboleReader, KeysWithBadTextJoinNothing) {
  const TempDir dir;
  dir.write("toy.user", kUser);
  auto request = request_of(dir.write("toy.inter", "user_id:token\titem_id:token\n\xff\t1\n1\t1\n"), {"age"});
  request.bad_rows = std::make_shared<BadRows>(1);
  EXPECT_EQ(read("recbole", request).rows, (Table{{"24"}}));
}

}  // namespace
}  // namespace interplay::testing::reader_recbole_test
