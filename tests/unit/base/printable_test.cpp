#include <interplay/base/printable.h>

#include <gtest/gtest.h>

#include <interplay/base/error.h>

namespace interplay::printable_test {
namespace {

using namespace std::string_literals;

TEST(Printable, ControlCharactersAreEscaped) {
  EXPECT_EQ(printable("a\x1b[31mb\x07"), "a\\x1b[31mb\\x07");
  EXPECT_EQ(printable("a\0b"s), "a\\x00b");
  EXPECT_EQ(printable("a\rb\x7f"), "a\\x0db\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\xc2\\x9b31m");  // U+009B begins an escape sequence too
  EXPECT_EQ(printable("a\tb\n"), "a\tb\n");
}

TEST(Printable, TextStaysAndOtherBytesAreEscaped) {
  const std::string text = "Caf\u00e9 \u00a0 \u540d\u524d \U0001f600 \\x1b";
  EXPECT_EQ(printable(text), text);
  EXPECT_EQ(printable("caf\xe9"), "caf\\xe9");
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");             // half a surrogate pair
  EXPECT_EQ(printable("\xc0\xaf\xf5"), "\\xc0\\xaf\\xf5");             // overlong, beyond Unicode
  EXPECT_EQ(printable("\xf0\x9f\x98"), "\\xf0\\x9f\\x98");             // cut
  EXPECT_EQ(printable(printable("\x1b\xff")), printable("\x1b\xff"));  // once more changes nothing
}

TEST(Printable, ErrorsAre) {
  const Error error("data.csv: no column '\x1b[2J\0'"s);
  EXPECT_STREQ(error.what(), "data.csv: no column '\\x1b[2J\\x00'");  // and not cut at a zero
}

}  // namespace
}  // namespace interplay::printable_test
