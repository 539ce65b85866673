#include <interplay/lm/gguf.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>

#include "corrupt/alter.h"
#include "support/error_of.h"
#include "support/gguf_writer.h"
#include "support/temp_dir.h"

namespace interplay::lm::gguf_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::data_error;
using interplay::testing::f32_bytes;
using interplay::testing::GgufWriter;
using interplay::testing::put_bytes;
using interplay::testing::TempDir;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint32_t kF32 = 0, kF16 = 1, kQ40 = 2, kQ41 = 3, kQ80 = 8;

std::string half(uint16_t bits) { return GgufWriter::raw(bits); }

std::vector<float> read_all(const Gguf& file, const std::string& name) {
  const auto& t = file.tensor(name);
  std::vector<float> out(size_t(t.rows() * t.columns()));
  file.read(name, 0, out);
  return out;
}

/// A file with an entry of every kind and a tensor of every type.
std::string small_file() {
  GgufWriter w;
  w.string("general.architecture", "llama").integer("layers", 2).number("eps", 0.5f).flag("tied", true);
  w.strings("tokens", {"a", "", "bc"}).integers("types", {1, -3});
  w.entry("lists", 9,
          GgufWriter::raw(9u) + GgufWriter::raw(uint64_t(1)) + GgufWriter::raw(7u) + GgufWriter::raw(uint64_t(1)) +
              std::string(1, '\1'));
  w.tensor("f32", {3, 2}, kF32, f32_bytes({0, 1, 2, 3, 4, 5}));
  w.tensor("f16", {2}, kF16, half(0x3c00) + half(0xc000));
  w.tensor("q4_0", {32}, kQ40, half(0x3800) + std::string(16, '\x2f'));
  w.tensor("q4_1", {32}, kQ41, half(0x3800) + half(0x3c00) + std::string(16, '\x2f'));
  w.tensor("q8_0", {32}, kQ80, half(0x3800) + std::string(32, '\xfe'));
  return w.bytes();
}

TEST(Gguf, GivesEveryKindOfMetadata) {
  const TempDir dir;
  GgufWriter w;
  w.entry("u8", 0, "\xff").entry("i8", 1, "\xff");
  w.entry("u16", 2, GgufWriter::raw(uint16_t(65535))).entry("i16", 3, GgufWriter::raw(int16_t(-2)));
  w.entry("u32", 4, GgufWriter::raw(4294967295u)).entry("i32", 5, GgufWriter::raw(-3));
  w.entry("u64", 10, GgufWriter::raw(uint64_t(1) << 62)).entry("i64", 11, GgufWriter::raw(int64_t(-1) << 62));
  w.entry("f32", 6, GgufWriter::raw(0.25f)).entry("f64", 12, GgufWriter::raw(1e300));
  w.flag("yes", true).flag("no", false).string("text", "gr\xc3\xbc\xc3\x9f").string("empty", "");
  w.strings("texts", {"a", "", "bc"}).integers("list", {1, -2}).strings("none", {});
  const Gguf file(dir.write("m.gguf", w.bytes()));
  EXPECT_EQ(file.integer("u8"), 255);
  EXPECT_EQ(file.integer("i8"), -1);
  EXPECT_EQ(file.integer("u16"), 65535);
  EXPECT_EQ(file.integer("i16"), -2);
  EXPECT_EQ(file.integer("u32"), 4294967295);
  EXPECT_EQ(file.integer("i32"), -3);
  EXPECT_EQ(file.integer("u64"), int64_t(1) << 62);
  EXPECT_EQ(file.integer("i64"), int64_t(-1) * (int64_t(1) << 62));
  EXPECT_EQ(file.number("f32"), 0.25);
  EXPECT_EQ(file.number("f64"), 1e300);
  EXPECT_EQ(file.number("i32"), -3);
  EXPECT_TRUE(file.flag("yes"));
  EXPECT_FALSE(file.flag("no"));
  EXPECT_EQ(file.text("text"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(file.text("empty"), "");
  EXPECT_THAT(file.texts("texts"), ElementsAre("a", "", "bc"));
  EXPECT_THAT(file.integers("list"), ElementsAre(1, -2));
  EXPECT_THAT(file.numbers("list"), ElementsAre(1., -2.));
  EXPECT_TRUE(file.texts("none").empty());
  EXPECT_EQ(file.keys().size(), 17u);
  EXPECT_TRUE(file.has("u8"));
  EXPECT_FALSE(file.has("u9"));
  EXPECT_TRUE(file.tensors().empty());
}

TEST(Gguf, NamesAnEntryThatIsMissingOrOfAnotherKind) {
  const TempDir dir;
  GgufWriter w;
  w.string("text", "a").integer("integer", 1).integers("list", {1}).number("number", 1);
  w.entry("huge", 10, GgufWriter::raw(uint64_t(1) << 63));
  const Gguf file(dir.write("m.gguf", w.bytes()));
  const std::string name = (dir / "m.gguf").string();
  EXPECT_THAT(data_error([&] { file.text("txt"); }), AllOf(HasSubstr(name), HasSubstr("no metadata entry 'txt'")));
  EXPECT_THAT(data_error([&] { file.integer("text"); }), HasSubstr("'text' is text; expected an integer"));
  EXPECT_THAT(data_error([&] { file.integer("number"); }), HasSubstr("'number' is float32; expected an integer"));
  EXPECT_THAT(data_error([&] { file.integer("huge"); }), HasSubstr("expected an integer below 2^63"));
  EXPECT_THAT(data_error([&] { file.number("text"); }), HasSubstr("expected a number"));
  EXPECT_THAT(data_error([&] { file.flag("integer"); }), HasSubstr("'integer' is uint32; expected a boolean"));
  EXPECT_THAT(data_error([&] { file.text("integer"); }), HasSubstr("expected a text"));
  EXPECT_THAT(data_error([&] { file.text("list"); }), HasSubstr("'list' is a list of int32; expected one value"));
  EXPECT_THAT(data_error([&] { file.texts("list"); }), HasSubstr("expected a list of texts"));
  EXPECT_THAT(data_error([&] { file.texts("text"); }), HasSubstr("expected a list"));
}

TEST(Gguf, ListsTheSlowestDimensionFirst) {
  const TempDir dir;
  GgufWriter w;
  w.tensor("w", {3, 2}, kF32, f32_bytes({0, 1, 2, 3, 4, 5}));
  w.tensor("one", {}, kF32, f32_bytes({7}));
  w.tensor("deep", {1, 2, 1, 3}, kF32, f32_bytes({0, 1, 2, 3, 4, 5}));
  const Gguf file(dir.write("m.gguf", w.bytes()));
  EXPECT_THAT(file.tensor("w").shape, ElementsAre(2, 3));
  EXPECT_EQ(file.tensor("w").rows(), 2);
  EXPECT_EQ(file.tensor("w").columns(), 3);
  EXPECT_THAT(read_all(file, "w"), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_TRUE(file.tensor("one").shape.empty());
  EXPECT_THAT(read_all(file, "one"), ElementsAre(7));
  EXPECT_THAT(file.tensor("deep").shape, ElementsAre(3, 1, 2, 1));
  std::vector<float> second(3);
  file.read("w", 1, second);
  EXPECT_THAT(second, ElementsAre(3, 4, 5));
  std::vector<float> three(9), part(2), none;
  EXPECT_THAT(config_error([&] { file.read("w", 0, three); }), HasSubstr("3 rows from row 0 were asked for; it has 2"));
  EXPECT_THAT(config_error([&] { file.read("w", 2, second); }), HasSubstr("1 rows from row 2"));
  EXPECT_THAT(config_error([&] { file.read("w", -1, second); }), HasSubstr("from row -1"));
  EXPECT_THAT(config_error([&] { file.read("w", 0, part); }), HasSubstr("no whole number of rows of 3"));
  file.read("w", 2, none);
  EXPECT_THAT(data_error([&] { file.tensor("v"); }), HasSubstr("no tensor 'v' among its 3"));
}

TEST(Gguf, HalfPrecisionIsReadExactly) {
  const TempDir dir;
  GgufWriter w;
  // one, the least and the largest number, the least normal one, -0, -2, 1/3 rounded, the largest subnormal, inf, nan
  w.tensor("h", {10}, kF16,
           half(0x3c00) + half(0x0001) + half(0x7bff) + half(0x0400) + half(0x8000) + half(0xc000) + half(0x3555) +
               half(0x83ff) + half(0xfc00) + half(0x7e00));
  const Gguf file(dir.write("m.gguf", w.bytes()));
  const auto h = read_all(file, "h");
  const float least = 0x1p-24f;
  EXPECT_EQ((std::vector<float>(h.begin(), h.begin() + 9)),
            (std::vector<float>{1, least, 65504, 1024 * least, 0, -2, 0.333251953125f, -1023 * least,
                                -std::numeric_limits<float>::infinity()}));
  EXPECT_TRUE(std::signbit(h[4]));
  EXPECT_TRUE(std::isnan(h[9]));
}

// d = 0.5; the low halves of the bytes are q_0 .. q_15, the high ones q_16 .. q_31.
TEST(Gguf, Q40IsScaleTimesFourBitsLessEight) {
  const TempDir dir;
  std::string quants;
  for (int j = 0; j < 16; ++j) quants += char(j | (15 - j) << 4);
  GgufWriter w;
  w.tensor("q", {32, 2}, kQ40, half(0x3800) + quants + half(0xbc00) + std::string(16, '\x1f'));
  const Gguf file(dir.write("m.gguf", w.bytes()));
  const auto q = read_all(file, "q");
  for (int j = 0; j < 16; ++j) {
    EXPECT_EQ(q[size_t(j)], 0.5f * float(j - 8));
    EXPECT_EQ(q[size_t(16 + j)], 0.5f * float(7 - j));
    EXPECT_EQ(q[size_t(32 + j)], -7);  // d = -1: -(15 - 8)
    EXPECT_EQ(q[size_t(48 + j)], 7);   // -(1 - 8)
  }
  std::vector<float> second(32);
  file.read("q", 1, second);
  EXPECT_EQ(second, std::vector<float>(q.begin() + 32, q.end()));
}

TEST(Gguf, Q41IsScaleTimesFourBitsPlusTheLeast) {
  const TempDir dir;
  std::string quants;
  for (int j = 0; j < 16; ++j) quants += char(j | (15 - j) << 4);
  GgufWriter w;
  w.tensor("q", {32}, kQ41, half(0x3800) + half(0xc200) + quants);  // d = 0.5, m = -3
  const Gguf file(dir.write("m.gguf", w.bytes()));
  const auto q = read_all(file, "q");
  for (int j = 0; j < 16; ++j) {
    EXPECT_EQ(q[size_t(j)], 0.5f * float(j) - 3);
    EXPECT_EQ(q[size_t(16 + j)], 0.5f * float(15 - j) - 3);
  }
}

TEST(Gguf, Q80IsScaleTimesSignedBytes) {
  const TempDir dir;
  std::string quants;
  for (int j = 0; j < 32; ++j) quants += char(j < 16 ? -128 + j : 96 + j);
  GgufWriter w;
  w.tensor("q", {32}, kQ80, half(0x2c00) + quants);  // d = 1/16
  const Gguf file(dir.write("m.gguf", w.bytes()));
  const auto q = read_all(file, "q");
  for (int j = 0; j < 32; ++j) EXPECT_EQ(q[size_t(j)], float(j < 16 ? -128 + j : 96 + j) / 16);
}

TEST(Gguf, RefusesOtherTypesByName) {
  const TempDir dir;
  for (const auto& [type, name] : std::vector<std::pair<uint32_t, std::string>>{{6, "Q5_0"},
                                                                                {12, "Q4_K"},
                                                                                {14, "Q6_K"},
                                                                                {20, "IQ4_NL"},
                                                                                {30, "BF16"},
                                                                                {39, "MXFP4"},
                                                                                {4, "unknown type 4"},
                                                                                {40, "unknown type 40"},
                                                                                {~0u, "unknown type 4294967295"}}) {
    GgufWriter w;
    w.tensor("blk.0.w", {256}, type, std::string(1024, '\0'));
    EXPECT_THAT(data_error([&] { Gguf(dir.write("m.gguf", w.bytes())); }),
                AllOf(HasSubstr((dir / "m.gguf").string()), HasSubstr("'blk.0.w'"),
                      HasSubstr("stored as " + name + ";"), HasSubstr("F32, F16, Q8_0, Q4_0 and Q4_1 are read")));
  }
}

TEST(Gguf, KeepsToTheAlignmentThatTheFileNames) {
  const TempDir dir;
  GgufWriter w;
  w.alignment = 64;
  w.integer("general.alignment", 64).tensor("a", {1}, kF32, f32_bytes({1})).tensor("b", {1}, kF32, f32_bytes({2}));
  const Gguf file(dir.write("m.gguf", w.bytes()));
  EXPECT_EQ(file.tensor("a").offset % 64, 0u);
  EXPECT_EQ(file.tensor("b").offset, file.tensor("a").offset + 64);
  EXPECT_THAT(read_all(file, "b"), ElementsAre(2));
  for (const uint32_t wrong : {0u, 3u, 48u, 1u << 21, ~0u}) {
    GgufWriter bad;
    bad.integer("general.alignment", wrong).tensor("a", {1}, kF32, f32_bytes({1}));
    EXPECT_THAT(data_error([&] { Gguf(dir.write("bad.gguf", bad.bytes())); }), HasSubstr("power of two")) << wrong;
  }
  GgufWriter text;
  text.string("general.alignment", "32");
  EXPECT_THAT(data_error([&] { Gguf(dir.write("bad.gguf", text.bytes())); }), HasSubstr("expected an integer"));
}

TEST(Gguf, ReadsVersionTwoAndRefusesOthers) {
  const TempDir dir;
  GgufWriter w;
  w.version = 2;
  w.integer("n", 5);
  EXPECT_EQ(Gguf(dir.write("m.gguf", w.bytes())).integer("n"), 5);
  for (const uint32_t version : {0u, 1u, 4u, 0x03000000u}) {
    w.version = version;
    EXPECT_THAT(data_error([&] { Gguf(dir.write("m.gguf", w.bytes())); }),
                HasSubstr("version " + std::to_string(version)));
  }
  EXPECT_THAT(data_error([&] { Gguf(dir.write("m.gguf", w.bytes())); }), HasSubstr("big-endian"));
  EXPECT_THAT(data_error([&] { Gguf(dir.write("m.gguf", "PK\3\4" + w.bytes().substr(4))); }),
              HasSubstr("not a GGUF file"));
}

TEST(Gguf, CutAnywhereItIsRefused) {
  const TempDir dir;
  const std::string whole = small_file();
  ASSERT_EQ(Gguf(dir.write("m.gguf", whole)).tensors().size(), 5u);
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    put_bytes(dir / "m.gguf", whole.substr(0, bytes));
    EXPECT_THAT(data_error([&] { Gguf(dir / "m.gguf"); }), HasSubstr((dir / "m.gguf").string())) << bytes;
  }
}

/// Opens a file and reads all there is in it; the message of an Error has to name the file.
void read_everything(const std::filesystem::path& path) {
  try {
    const Gguf file(path);
    for (const auto& [name, tensor] : file.tensors()) read_all(file, name);
    for (const auto key : file.keys()) {
      const auto tolerant = [](const auto& action) {
        try {
          action();
        } catch (const Error&) {
        }
      };
      tolerant([&] { file.integer(key); });
      tolerant([&] { file.number(key); });
      tolerant([&] { file.flag(key); });
      tolerant([&] { file.text(key); });
      tolerant([&] { file.integers(key); });
      tolerant([&] { file.numbers(key); });
      tolerant([&] { file.texts(key); });
    }
  } catch (const Error& problem) {
    EXPECT_EQ(problem.kind(), ErrorKind::data) << problem.what();
    EXPECT_THAT(problem.what(), HasSubstr(path.string()));
  }
}

// The format has no checksum: an altered number passes. The sanitizers see to it that nothing outside is read.
TEST(Gguf, AlteredAnywhereItStaysWithinTheFile) {
  const TempDir dir;
  const std::string whole = small_file();
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int change : {0x01, 0x80, 0xff}) {
      std::string altered = whole;
      altered[at] = char(altered[at] ^ change);
      put_bytes(dir / "m.gguf", altered);
      read_everything(dir / "m.gguf");
    }
  }
}

TEST(Gguf, CountsThatCannotBeAreRefused) {
  const TempDir dir;
  const auto refused = [&](const std::string& bytes, const std::string& why) {
    EXPECT_THAT(data_error([&] { Gguf(dir.write("m.gguf", bytes)); }),
                AllOf(HasSubstr((dir / "m.gguf").string() + ": "), HasSubstr(why)));
  };
  for (const uint64_t more : {uint64_t(1) << 32, uint64_t(1) << 63, ~uint64_t(0) - 1}) {
    GgufWriter w;
    w.integer("n", 1).tensor("t", {1}, kF32, f32_bytes({1}));
    w.more_tensors = more;
    refused(w.bytes(), "the number of tensors is");
    w.more_tensors = 0;
    w.more_entries = more;
    refused(w.bytes(), "the number of metadata entries is");
  }
  for (const uint64_t length : {uint64_t(9), uint64_t(1) << 63, ~uint64_t(0), ~uint64_t(0) - 7}) {
    refused(GgufWriter().entry("s", 8, GgufWriter::raw(length) + "12345678").bytes(), "a length of");
    refused(GgufWriter().entry("a", 9, GgufWriter::raw(0u) + GgufWriter::raw(length) + "12345678").bytes(),
            "the length of a list is");
    refused(GgufWriter().entry("a", 9, GgufWriter::raw(8u) + GgufWriter::raw(length) + "12345678").bytes(),
            "the length of a list is");
  }
  // 2^61 numbers of 8 bytes wrap around to none.
  refused(GgufWriter().entry("a", 9, GgufWriter::raw(10u) + GgufWriter::raw(uint64_t(1) << 61)).bytes(), "room for 0");
  refused(GgufWriter().entry("a", 9, GgufWriter::raw(13u) + GgufWriter::raw(uint64_t(0))).bytes(), "expected 0 to 12");
  refused(GgufWriter().entry("a", 13, "12345678").bytes(), "expected 0 to 12");
  refused(GgufWriter().entry("b", 7, "\2").bytes(), "a boolean is 2");
  refused(GgufWriter().entry(std::string(65'536, 'k'), 0, "1").bytes(),
          "a length of 65536 bytes; expected at most 65535");
  refused(GgufWriter().integer("n", 1).integer("n", 2).bytes(), "'n' is there twice");
  std::string nested;
  for (int depth = 0; depth < 100'000; ++depth) nested += GgufWriter::raw(9u) + GgufWriter::raw(uint64_t(1));
  refused(GgufWriter().entry("deep", 9, nested).bytes(), "lists lie in lists");
}

TEST(Gguf, TensorsThatCannotBeAreRefused) {
  const TempDir dir;
  const auto refused = [&](const std::string& bytes, const std::string& why) {
    EXPECT_THAT(data_error([&] { Gguf(dir.write("m.gguf", bytes)); }),
                AllOf(HasSubstr((dir / "m.gguf").string() + ": "), HasSubstr("'t'"), HasSubstr(why)));
  };
  const auto with = [](const std::vector<uint64_t>& dimensions, uint32_t type, uint64_t offset) {
    GgufWriter w;
    w.tensor("before", {16}, kF32, std::string(64, '\1'));
    return w.info("t", dimensions, type, offset).bytes() + std::string(64, '\1');
  };
  ASSERT_NO_THROW(Gguf(dir.write("m.gguf", with({16}, kF32, 64))));
  refused(with({1, 1, 1, 1, 1}, kF32, 64), "5 dimensions; expected at most 4");
  refused(with({0}, kF32, 64), "dimension 0 is 0");
  refused(with({4, 0}, kF32, 64), "dimension 1 is 0");
  refused(with({uint64_t(1) << 63}, kF32, 64), "dimension 0 is 9223372036854775808");
  refused(with({uint64_t(1) << 32, uint64_t(1) << 32}, kF32, 64), "dimension 1 is 4294967296");
  refused(with({uint64_t(1) << 62}, kF32, 64), "blocks of 4 bytes");  // times 4 wraps around to none
  refused(with({uint64_t(1) << 62}, kQ80, 64), "blocks of 34 bytes");
  refused(with({16}, kQ40, 64), "rows have 16 numbers; Q4_0 stores blocks of 32");
  refused(with({}, kQ80, 64), "rows have 1 numbers");
  refused(with({17}, kF32, 64), "takes 68 bytes from offset 64 of the data; they are 128 bytes long");
  refused(with({1}, kF32, 128), "from offset 128");
  refused(with({1}, kF32, ~uint64_t(0) - 31), "from offset 18446744073709551584");
  refused(with({1}, kF32, 63), "expected a multiple of 32");
  refused(with({1}, kF32, 32), "belongs to two tensors, 'before' and 't'");
  GgufWriter twice;
  twice.tensor("t", {1}, kF32, f32_bytes({1})).tensor("t", {1}, kF32, f32_bytes({2}));
  refused(twice.bytes(), "is there twice");
}

TEST(Gguf, NamesAFileThatIsNotThere) {
  EXPECT_THAT(data_error([] { Gguf("/nowhere/m.gguf"); }), HasSubstr("/nowhere/m.gguf"));
}

}  // namespace
}  // namespace interplay::lm::gguf_test
