// Files of vectors from strangers: cut or altered anywhere, they are loaded or refused by name, and never trusted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>
#include <interplay/data/keyed_vectors.h>

#include "corrupt/alter.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::testing::vectors_test {
namespace {

using ::testing::HasSubstr;

/// What a file gives, or "refused": with a message that names it, or its keys.
std::string read(const fs::path& file) {
  try {
    const auto vectors = KeyedVectors::load({.from = file.string()});
    std::string all;
    for (int64_t r = 0; r < vectors.count(); ++r) {
      all += std::string(vectors.key(r)) + ":";
      const auto v = vectors.vector(r);
      all.append(reinterpret_cast<const char*>(v.data()), v.size_bytes());
    }
    return all;
  } catch (const Error& problem) {
    EXPECT_EQ(problem.kind(), ErrorKind::data) << problem.what();
    EXPECT_THAT(problem.what(), HasSubstr(file.stem().string()));
    return "refused";
  }
}

/// Neither kind of file has a checksum: an altered number is a number. What must not be is a crash, a read outside of
/// the file, or another size.
void expect_none_harms(const std::string& name) {
  const fs::path from = fs::path(INTERPLAY_TESTS_DIR) / "reference" / "data" / "vectors";
  const TempDir dir;
  const fs::path file = dir / name;
  for (const auto& entry : fs::directory_iterator(from)) {
    if (entry.path().stem() == file.stem()) fs::copy_file(entry.path(), dir / entry.path().filename().string());
  }
  const std::string bytes = bytes_of(file), whole = read(file);
  ASSERT_NE(whole, "refused");
  each_alteration(bytes, {.every_below = 8192}, [&](const std::string& what, const std::string& altered) {
    put_bytes(file, altered);
    const std::string got = read(file);
    if (altered.size() < bytes.size()) {
      EXPECT_EQ(got, "refused") << what;
    }
    EXPECT_LE(got.size(), 2 * whole.size()) << what;
  });
}

TEST(CorruptVectors, Npy) {
  expect_none_harms("v1.npy");
  expect_none_harms("v2.npy");
}

TEST(CorruptVectors, Parquet) {
  for (const char* name : {"list.parquet", "fixed.parquet", "large.parquet"}) expect_none_harms(name);
}

TEST(CorruptVectors, NpyHeadersThatCannotBeAreRefused) {
  const TempDir dir;
  dir.write("v.ids", "a\n");
  const std::string four(4, '\0');
  const auto npy = [](const std::string& header, const std::string& data) {
    std::string out = "\x93NUMPY";
    out += '\1', out += '\0';
    out += char(header.size() & 0xff), out += char(header.size() >> 8);
    return out + header + data;
  };
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }\n";
  dir.write("v.npy", npy(good, four));
  EXPECT_NE(read(dir / "v.npy"), "refused");
  for (const std::string& header : std::vector<std::string>{
           "",
           "{}",
           "{'descr': '<f4'}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1)",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), } x",
           "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1, 1), }",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (1, -1), }",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 0), }",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1), }",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (1.0, 1), }",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387905, 1), }",  // times 4 is 4 in 64 bits
           "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }",  // 2^64
           "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 18446744073709551617), }",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), 'shape': (1, 1), }",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), 'more': 1, }",
           "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 1), }",
           "{'descr': '<f4, 'fortran_order': False, 'shape': (1, 1), }",
           "{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }",
           "{'descr': '<f4', 'fortran_order': False, 'shape': 1, }",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (1 1), }",
       }) {
    put_bytes(dir / "v.npy", npy(header, four));
    EXPECT_EQ(read(dir / "v.npy"), "refused") << header;
  }
  for (const std::string& file : {npy(good, "123"), npy(good, "12345"), std::string("\x93NUMPY"),
                                  std::string("\x93NUMPY\x09\0\1\0\0\0\0\0", 14), std::string()}) {
    put_bytes(dir / "v.npy", file);
    EXPECT_EQ(read(dir / "v.npy"), "refused");
  }
}

}  // namespace
}  // namespace interplay::testing::vectors_test
