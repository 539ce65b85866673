#include <gmock/gmock.h>

#include <limits>

#include <arrow/array/builder_binary.h>
#include <arrow/array/builder_dict.h>
#include <arrow/array/builder_nested.h>
#include <arrow/array/builder_primitive.h>
#include <arrow/array/builder_time.h>
#include <arrow/io/file.h>
#include <arrow/table.h>
#include <parquet/arrow/writer.h>

#include <interplay/base/files.h>

#include "reader_support.h"

namespace interplay::testing::reader_parquet_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Column = std::pair<std::string, std::shared_ptr<arrow::Array>>;

template <class Builder, class T>
std::shared_ptr<arrow::Array> array_of(const std::vector<std::optional<T>>& values) {
  Builder builder;
  for (const auto& value : values) EXPECT_TRUE((value ? builder.Append(*value) : builder.AppendNull()).ok());
  return *builder.Finish();
}
std::shared_ptr<arrow::Array> ints(const std::vector<std::optional<int64_t>>& values) {
  return array_of<arrow::Int64Builder>(values);
}
std::shared_ptr<arrow::Array> texts(const std::vector<std::optional<std::string>>& values) {
  return array_of<arrow::BinaryBuilder>(values);
}

std::filesystem::path save(const std::filesystem::path& file, const std::vector<Column>& columns,
                           int64_t rows_per_group = 1000) {
  arrow::FieldVector fields;
  arrow::ArrayVector arrays;
  for (const auto& [name, array] : columns) {
    fields.push_back(arrow::field(name, array->type()));
    arrays.push_back(array);
  }
  const auto out = *arrow::io::FileOutputStream::Open(file.string());
  const auto stored = parquet::ArrowWriterProperties::Builder().store_schema()->build();
  EXPECT_TRUE(parquet::arrow::WriteTable(*arrow::Table::Make(arrow::schema(fields), arrays),
                                         arrow::default_memory_pool(), out, rows_per_group,
                                         parquet::default_writer_properties(), stored)
                  .ok());
  EXPECT_TRUE(out->Close().ok());
  return file;
}

TEST(ParquetReader, NumbersArePrintedShortestAndNullsAndNanAreMissing) {
  const TempDir dir;
  const auto nan = std::numeric_limits<double>::quiet_NaN();
  const auto file =
      save(dir / "a.parquet", {{"int", ints({-5, std::nullopt, 9007199254740993})},
                               {"double", array_of<arrow::DoubleBuilder, double>({0.1, nan, 1e6})},
                               {"float", array_of<arrow::FloatBuilder, float>({0.1f, std::nullopt, 1e-7f})},
                               {"bool", array_of<arrow::BooleanBuilder, bool>({true, false, std::nullopt})},
                               {"byte", array_of<arrow::UInt8Builder, uint8_t>({65, 0, 255})}});
  const Read got = read("parquet", file);
  EXPECT_THAT(got.columns, ElementsAre("int", "double", "float", "bool", "byte"));
  EXPECT_EQ(got.rows, (Table{{"-5", "0.1", "0.1", "1", "65"},
                             {"-", "-", "-", "0", "0"},
                             {"9007199254740993", "1000000", "1e-07", "-", "255"}}));
  EXPECT_THAT(got.lines, ElementsAre(1, 2, 3));
}

TEST(ParquetReader, TextIsItselfAndDictionariesAreTheirValues) {
  const TempDir dir;
  const auto file =
      save(dir / "a.parquet",
           {{"text", texts({"x", std::nullopt, "Caf\xc3\xa9"})},
            {"large", array_of<arrow::LargeStringBuilder, std::string>({"a", "", std::nullopt})},
            {"coded", array_of<arrow::StringDictionaryBuilder, std::string>({"red", std::nullopt, "red"})}});
  EXPECT_EQ(read("parquet", file).rows, (Table{{"x", "a", "red"}, {"-", "-", "-"}, {"Caf\xc3\xa9", "-", "red"}}));
}

TEST(ParquetReader, TimesAreSecondsSince1970) {
  const TempDir dir;
  arrow::TimestampBuilder micro(arrow::timestamp(arrow::TimeUnit::MICRO), arrow::default_memory_pool());
  EXPECT_TRUE(micro.AppendValues({1699250000, -1500000, 881250949000000}).ok());
  arrow::Date32Builder days;
  EXPECT_TRUE(days.AppendValues({0, 1, 10000}).ok());
  const auto file = save(dir / "a.parquet", {{"time", *micro.Finish()}, {"day", *days.Finish()}});
  EXPECT_EQ(read("parquet", file).rows, (Table{{"1699.25", "0"}, {"-1.5", "86400"}, {"881250949", "864000000"}}));
}

TEST(ParquetReader, ListsKeepTheirCells) {
  const TempDir dir;
  const auto items = std::make_shared<arrow::Int64Builder>();
  arrow::ListBuilder list(arrow::default_memory_pool(), items);
  EXPECT_TRUE(list.Append().ok() && items->AppendValues({7, 8}).ok());
  EXPECT_TRUE(list.AppendNull().ok() && list.Append().ok());
  EXPECT_TRUE(list.Append().ok() && items->AppendNull().ok() && items->Append(9).ok());
  const auto file = save(dir / "a.parquet", {{"history", *list.Finish()}, {"n", ints({1, 2, 3, 4})}});
  const Table rows = {{"[7,8]", "1"}, {"[]", "2"}, {"[]", "3"}, {"[-,9]", "4"}};
  EXPECT_EQ(read("parquet", file).rows, rows);
  ReadRequest one_by_one;
  one_by_one.files = {file};
  one_by_one.batch_rows = 1;
  EXPECT_EQ(read("parquet", one_by_one).rows, rows);
}

TEST(ParquetReader, RowGroupsAndFilesFollowOneAnotherWithTheColumnsAsked) {
  const TempDir dir;
  std::vector<std::optional<int64_t>> numbers;
  for (int64_t i = 1; i <= 2500; ++i) numbers.push_back(i);
  ReadRequest request;
  request.files = {save(dir / "1.parquet", {{"n", ints(numbers)}, {"m", ints(numbers)}}),
                   save(dir / "2.parquet", {{"n", ints({})}, {"m", ints({})}}),
                   save(dir / "3.parquet", {{"n", ints({0})}, {"m", ints({-1})}})};
  request.columns = {"m", "n"};
  request.batch_rows = 300;
  const auto reader = readers().make(request, Config::parse("parquet"));
  const Read got = read_all(*reader);
  ASSERT_EQ(got.rows.size(), 2501u);
  for (size_t i = 0; i < 2500; ++i) {
    const std::string n = fmt::format("{}", i + 1);
    ASSERT_THAT(got.rows[i], ElementsAre(n, n));
    ASSERT_EQ(got.lines[i], int64_t(i + 1));
  }
  EXPECT_THAT(got.rows[2500], ElementsAre("-1", "0"));
  EXPECT_EQ(got.lines[2500], 1);
  EXPECT_EQ(reader->bytes_done(), reader->bytes_total());
}

TEST(ParquetReader, TextThatIsNotUtf8IsABadRow) {
  const TempDir dir;
  const auto file = save(dir / "a.parquet", {{"x", texts({"a", "\xff", "c"})}, {"n", ints({1, 2, 3})}});
  EXPECT_THAT(error_of([&] { read("parquet", file); }),
              AllOf(HasSubstr("a.parquet:2: x = '\\xff'"), HasSubstr("UTF-8")));
  ReadRequest request;
  request.files = {file};
  request.bad_rows = std::make_shared<BadRows>(1);
  const Read got = read("parquet", request);
  EXPECT_EQ(got.rows, (Table{{"a", "1"}, {"c", "3"}}));
  EXPECT_THAT(got.lines, ElementsAre(1, 3));
}

TEST(ParquetReader, MissingColumnsTypesAndDifferingFilesAreNamed) {
  const TempDir dir;
  const auto a = save(dir / "a.parquet", {{"user", ints({1})}}), b = save(dir / "b.parquet", {{"item", ints({1})}});
  ReadRequest request;
  request.files = {a};
  request.columns = {"usr"};
  EXPECT_THAT(error_of([&] { read("parquet", request); }),
              AllOf(HasSubstr("a.parquet"), HasSubstr("did you mean 'user'")));
  request.files = {a, b};
  request.columns = {"user"};
  EXPECT_THAT(error_of([&] { read("parquet", request); }), HasSubstr("b.parquet: there is no column 'user'"));
  arrow::StructBuilder nested(arrow::struct_({arrow::field("x", arrow::int64())}), arrow::default_memory_pool(),
                              {std::make_shared<arrow::Int64Builder>()});
  EXPECT_TRUE(nested.AppendNull().ok());
  const auto c = save(dir / "c.parquet", {{"s", *nested.Finish()}});
  EXPECT_THAT(error_of([&] { read("parquet", c); }), AllOf(HasSubstr("c.parquet: column 's'"), HasSubstr("struct")));
  EXPECT_THAT(error_of([&] { read("parquet", dir.write("d.parquet", "label,user\n1,a\n")); }),
              HasSubstr("d.parquet: is not a Parquet file"));
  EXPECT_THAT(error_of([&] { read("parquet", dir.write("d.parquet", "PK\x03\x04....")); }), HasSubstr("is a zip file"));
}

TEST(ParquetReader, ColumnsAreFoundByNameAndOnlyOnes) {
  const TempDir dir;
  ReadRequest request;
  request.files = {save(dir / "1.parquet", {{"a", ints({1})}, {"b", ints({2})}}),
                   save(dir / "2.parquet", {{"b", ints({4})}, {"new", ints({9})}, {"a", ints({3})}})};
  EXPECT_EQ(read("parquet", request).rows, (Table{{"1", "2"}, {"3", "4"}}));
  request.columns = {"b"};
  EXPECT_EQ(read("parquet", request).rows, (Table{{"2"}, {"4"}}));
  arrow::StructBuilder nested(arrow::struct_({arrow::field("x", arrow::int64())}), arrow::default_memory_pool(),
                              {std::make_shared<arrow::Int64Builder>()});
  EXPECT_TRUE(nested.AppendNull().ok());
  request.files = {
      save(dir / "3.parquet", {{"a", ints({1})}, {"s", *nested.Finish()}, {"a", ints({0})}, {"b", ints({2})}})};
  EXPECT_EQ(read("parquet", request).rows, (Table{{"2"}}));  // the others are not looked at
  request.columns = {"b", "a"};
  EXPECT_THAT(error_of([&] { read("parquet", request); }), HasSubstr("3.parquet: there are several columns 'a'"));
}

TEST(ParquetReader, AnIdIsOneTokenAsAnIntegerAndAsAFloat) {
  const TempDir dir;  // pandas makes a column of integers float64 where a value is missing
  const auto file = save(
      dir / "a.parquet",
      {{"float",
        array_of<arrow::DoubleBuilder, double>({1.5e18, -1.5e18, 0x1p63, 0x1p64, 9007199254740992.0, 1e22, 0.5})},
       {"f32", array_of<arrow::FloatBuilder, float>({0x1p62f, -0x1p62f, 0x1p63f, 3e38f, 16777216.0f, -0.0f, 0.5f})}});
  EXPECT_EQ(read("parquet", file).rows, (Table{{"1500000000000000000", "4611686018427387904"},
                                               {"-1500000000000000000", "-4611686018427387904"},
                                               {"9223372036854775808", "9223372036854775808"},
                                               {"1.8446744073709552e+19", "3e+38"},
                                               {"9007199254740992", "16777216"},
                                               {"1e+22", "0"},
                                               {"0.5", "0.5"}}));
}

TEST(ParquetReader, HalfPrecisionIsRead) {
  const TempDir dir;
  const auto items = std::make_shared<arrow::HalfFloatBuilder>();
  arrow::ListBuilder list(arrow::default_memory_pool(), items);
  EXPECT_TRUE(list.Append().ok() && items->AppendValues({0x3c00, 0xc000, 0x3800}).ok());      // IEEE 754: 1, -2, 0.5
  EXPECT_TRUE(list.Append().ok() && items->AppendNull().ok() && items->Append(0x7e00).ok());  // NaN
  EXPECT_TRUE(list.Append().ok() && items->Append(0x7bff).ok());                              // the largest
  const auto file = save(dir / "a.parquet", {{"v", *list.Finish()}});
  EXPECT_EQ(read("parquet", file).rows, (Table{{"[1,-2,0.5]"}, {"[-,-]"}, {"[65504]"}}));
}

TEST(ParquetReader, NanosecondsKeepTheirDigits) {
  const TempDir dir;
  arrow::TimestampBuilder nano(arrow::timestamp(arrow::TimeUnit::NANO), arrow::default_memory_pool());
  EXPECT_TRUE(nano.AppendValues({1677628800100000010, 1677628800100000000, -1}).ok());
  const auto file = save(dir / "a.parquet", {{"time", *nano.Finish()}});
  EXPECT_EQ(read("parquet", file).rows, (Table{{"1677628800.10000001"}, {"1677628800.1"}, {"-0.000000001"}}));
}

TEST(ParquetReader, ACutFileIsRefusedByNameWhereverItIsCut) {
  const TempDir dir;
  const std::string whole = read_file(save(dir / "a.parquet", {{"x", texts({"a", "b"})}, {"n", ints({1, 2})}}));
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    const auto cut = dir.write("cut.parquet", whole.substr(0, bytes));
    ASSERT_THAT(error_of([&] { read("parquet", cut); }), HasSubstr("cut.parquet")) << bytes << " of " << whole.size();
  }
}

}  // namespace
}  // namespace interplay::testing::reader_parquet_test
