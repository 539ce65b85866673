#include <interplay/lm/prompt_frame.h>

#include <algorithm>

#include <interplay/base/error.h>
#include <interplay/lm/tokenizer.h>

namespace interplay::lm {

PromptFrame::PromptFrame(std::string_view frame) : frame_(frame) {
  int64_t texts = 0;
  for (const auto& piece : frame_.pieces()) {
    INTERPLAY_CHECK(piece.name.empty() || piece.name == "text" || piece.name == "instruction",
                    "the frame names {{{}}}; expected {{text}} and, where it has one, {{instruction}}", piece.name);
    texts += piece.name == "text";
  }
  INTERPLAY_CHECK(texts == 1, "the frame has {{text}} {} times; expected once: it is where the text stands", texts);
}

FramedText PromptFrame::encode(const Tokenizer& tokenizer, std::string_view instruction, std::string_view text,
                               int64_t max_tokens) const {
  FramedText out;
  const auto append = [&](const std::vector<int64_t>& ids) { out.ids.insert(out.ids.end(), ids.begin(), ids.end()); };
  for (const auto& piece : frame_.pieces()) {
    append(tokenizer.encode(piece.before, {.control = true}));
    if (piece.name == "instruction") append(tokenizer.encode(instruction));
    if (piece.name != "text") continue;
    auto own = tokenizer.encode(text);
    INTERPLAY_CHECK_DATA(!own.empty(), "the text has no tokens; there is nothing to read");
    out.cut = int64_t(own.size()) > max_tokens;
    own.resize(std::min(own.size(), size_t(max_tokens)));
    out.first = int64_t(out.ids.size());
    append(own);
    out.last = int64_t(out.ids.size());
  }
  return out;
}

}  // namespace interplay::lm
