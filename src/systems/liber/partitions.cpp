#include <interplay/systems/partitions.h>

#include <fmt/format.h>

namespace interplay {

void PartitionRule::check(const Config& at) const {
  if (count == 0 && pause == 0)
    at["count"].fail("nothing would ever end a partition; expected a number of events, or a `pause`");
}

std::string partition_key(std::string_view user, int64_t number) { return fmt::format("{}:{}", user, number); }

}  // namespace interplay
