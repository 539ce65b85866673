// interplay synth: data with a known signal.
#include <algorithm>

#include <interplay/data/synth.h>

#include "command.h"

namespace interplay::tool::synth_command {
namespace {

/// `random_pairs` as the flag `--random-pairs`, at the head of a message too.
std::string as_flag(std::string text) {
  std::replace(text.begin(), text.begin() + std::ptrdiff_t(std::min(text.find(':'), text.size())), '_', '-');
  return "--" + text;
}

std::function<void()> add(CLI::App& app) {
  struct Arguments {
    std::string out;
    bool planted = false;  // an option of that shape was given
  };
  auto a = std::make_shared<Arguments>();
  auto given = std::make_shared<Config>();
  app.add_option_function<std::string>(
      "SHAPE", [given](const std::string& value) { given->set("shape", Config::scalar(value)); },
      "movielens, criteo, planted, tasks or texts; may be left out where an option of planted is given");
  app.add_option("--out", a->out, "directory to make")->required();
  for (const auto& option : describe_options<SynthOptions>()) {  // every option of the generator is a flag
    if (option.name == "shape") continue;
    const std::string help =
        option.doc + (option.limits.empty() ? "" : " (" + option.limits + ")") + " [" + option.value + "]";
    app.add_option_function<std::string>(
        as_flag(option.name),
        [a, given, name = option.name, planted = option.doc.starts_with("planted")](const std::string& value) {
          given->set(name, Config::scalar(value));
          a->planted = a->planted || planted;
        },
        help);
  }
  return [a, given] {
    SynthOptions options;
    if (!given->has("shape")) {
      INTERPLAY_CHECK(a->planted, "SHAPE is required (see `interplay synth --help`)");
      options.shape = "planted";
    }
    try {
      read_options(options, *given);
    } catch (const Error& problem) {  // it names the option as a key of a file
      const std::string what = problem.what();
      throw Error(what.starts_with("shape") ? what : as_flag(what));
    }
    synthesize(options, a->out);
    fmt::print("{}: {} rows of shape {}\n", a->out, options.rows, options.shape);
  };
}

const AddCommand command("synth", "make data with a known signal: movielens, criteo, planted, tasks or texts", add);

}  // namespace
}  // namespace interplay::tool::synth_command
