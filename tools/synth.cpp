// interplay synth: data with a known signal.
#include <interplay/data/synth.h>

#include "command.h"

namespace interplay::tool {
namespace {

std::function<void()> add(CLI::App& app) {
  struct Arguments {
    std::string out;
  };
  auto a = std::make_shared<Arguments>();
  auto given = std::make_shared<Config>();
  app.add_option_function<std::string>(
         "SHAPE", [given](const std::string& value) { given->set("shape", Config::scalar(value)); },
         "movielens, criteo or planted")
      ->required();
  app.add_option("--out", a->out, "directory to make")->required();
  for (const auto& option : describe_options<SynthOptions>()) {  // every option of the generator is a flag
    if (option.name == "shape") continue;
    const std::string help =
        option.doc + (option.limits.empty() ? "" : " (" + option.limits + ")") + " [" + option.value + "]";
    app.add_option_function<std::string>(
        "--" + option.name,
        [given, name = option.name](const std::string& value) { given->set(name, Config::scalar(value)); }, help);
  }
  return [a, given] {
    SynthOptions options;
    try {
      read_options(options, *given);
    } catch (const Error& problem) {  // it names the option as a key of a file
      const std::string what = problem.what();
      throw Error(what.starts_with("shape") ? what : "--" + what);
    }
    synthesize(options, a->out);
    fmt::print("{}: {} rows of shape {}\n", a->out, options.rows, options.shape);
  };
}

const AddCommand command("synth", "make data with a known signal: movielens, criteo or planted", add);

}  // namespace
}  // namespace interplay::tool
