// interplay lm tokens MODEL: what a text is to a language model.
#include <nlohmann/json.hpp>

#include <interplay/base/with_place.h>
#include <interplay/lm/model_files.h>
#include <interplay/lm/tokenizer.h>

#include "lm.h"

namespace interplay::tool::lm_tokens_command {
namespace {

using Json = nlohmann::ordered_json;

std::function<void()> add(CLI::App& app) {
  struct Arguments {
    std::string model;
    TextArguments texts;
    lm::EncodeOptions encode;
    bool no_control = false, json = false;
  };
  auto a = std::make_shared<Arguments>();
  app.add_option("MODEL", a->model, "a fetched name, a GGUF file or a folder")->required();
  a->texts.add(app);
  app.add_flag("--no-control", a->no_control, "names of control tokens, as <|im_end|>, are text like any other");
  app.add_flag("--frame", a->encode.frame, "with what the model expects around a text, as [CLS] and [SEP]");
  app.add_flag("--json", a->json, "for machines: a line {ids, tokens} a text");
  return [a] {
    a->encode.control = !a->no_control;
    const auto tokenizer = lm::Tokenizer::load(lm::find_model(a->model));
    int64_t number = 0;
    for (const auto& text : a->texts.read()) {
      const auto ids =
          with_place(fmt::format("{} {}", a->texts.file.empty() ? "--text" : a->texts.file + ": line", ++number),
                     [&] { return tokenizer->encode(text, a->encode); });
      Json tokens = Json::array();
      for (const int64_t id : ids) tokens.push_back(tokenizer->token(id));
      // A token may be part of a character, which is no text by itself.
      const auto dump = [](const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); };
      if (a->json) {
        fmt::print("{}\n", dump({{"ids", ids}, {"tokens", tokens}}));
        continue;
      }
      std::vector<std::vector<std::string>> rows{{"id", "token"}};
      for (size_t i = 0; i < ids.size(); ++i) rows.push_back({std::to_string(ids[i]), dump(tokens[i])});
      fmt::print("{}{} token{}\n", table(rows), ids.size(), ids.size() == 1 ? "" : "s");
    }
  };
}

const AddCommand command("lm tokens", "how a model's tokenizer splits texts", add);

}  // namespace
}  // namespace interplay::tool::lm_tokens_command
