// interplay lm: what language models do by themselves. Each of its subcommands is a file tools/lm_*.cpp.
#include "lm.h"

#include <interplay/base/error.h>
#include <interplay/base/files.h>

namespace interplay::tool {

void TextArguments::add(CLI::App& app) {
  app.add_option("--text", texts, "a text (may be given again)")->allow_extra_args(false);
  app.add_option("--file", file, "a text a line");
}

std::string read_text(const std::filesystem::path& file) {
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  std::string text = read_file(file);
  if (text.starts_with(kMark)) text.erase(0, kMark.size());
  return text;
}

std::vector<std::string> TextArguments::read() const {
  INTERPLAY_CHECK(
      texts.empty() != file.empty(), "{}",
      texts.empty() ? "--text T or --file F is required: the texts" : "--text and --file are both given; give one");
  if (file.empty()) return texts;
  std::vector<std::string> lines;
  const std::string all = read_text(file);
  for (size_t at = 0; at < all.size();) {
    const size_t end = std::min(all.find('\n', at), all.size());
    lines.push_back(all.substr(at, end - at));
    if (lines.back().ends_with('\r')) lines.back().pop_back();
    at = end + 1;
  }
  INTERPLAY_CHECK_DATA(!lines.empty(), "{}: is empty; expected a text a line", file);
  return lines;
}

int threads_of(const CLI::App& app) {
  const auto* const threads = app.get_parent()->get_parent()->get_option("--threads");
  return threads->count() > 0 ? threads->as<int>() : 0;
}

}  // namespace interplay::tool

namespace interplay::tool::lm_command {
namespace {

const AddCommand command("lm", "language models: text to vectors, scores and prompts", nullptr);

}  // namespace
}  // namespace interplay::tool::lm_command
