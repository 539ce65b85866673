#include <interplay/base/crc32c.h>

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

namespace interplay::crc32c_test {
namespace {

// RFC 3720, appendix B.4, whose bytes are in the order of the wire.
TEST(Crc32c, IsThatOfTheStandardsExamples) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  std::string counted;
  for (char i = 0; i < 32; ++i) counted += i;
  EXPECT_EQ(crc32c(counted), 0x46DD794Eu);
  std::reverse(counted.begin(), counted.end());
  EXPECT_EQ(crc32c(counted), 0x113FDB5Cu);
  std::string command(48, '\0');  // an iSCSI read
  command[0] = '\x01', command[1] = '\xC0', command[16] = '\x14', command[22] = '\x04', command[27] = '\x14';
  command[31] = '\x18', command[32] = '\x28', command[40] = '\x02';
  EXPECT_EQ(crc32c(command), 0xD9963A56u);
}

TEST(Crc32c, IsTheCheckValueOfDigitsAndZeroOfNothing) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(""), 0u);
}

}  // namespace
}  // namespace interplay::crc32c_test
