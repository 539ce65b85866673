#include "search/gates.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <sstream>

#include <interplay/base/files.h>
#include <interplay/nn/embedding.h>
#include <interplay/optim/grda.h>
#include <interplay/train/trainer.h>

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace interplay {
namespace {

constexpr int64_t kCheckpointSteps =
    250;  // where epochs are shorter, one checkpoint each would take longer than they do

/// A float as the shortest decimal that is read back as that float.
Json shortest(double value) { return Json(std::stod(fmt::format("{}", float(value)))); }

Json parse_line(const fs::path& file, const std::string& line) {
  try {
    return Json::parse(line);
  } catch (const Json::exception& problem) {
    throw Error(fmt::format("{}: not a course of gates ({})", file.string(), problem.what()), ErrorKind::data);
  }
}

std::vector<std::string> lines_of(const fs::path& file) {
  std::vector<std::string> lines;
  if (!fs::exists(file)) return lines;
  std::istringstream in(read_file(file));
  for (std::string line; std::getline(in, line);) {
    if (!in.eof()) lines.push_back(line);  // the last one, if cut short, has no end
  }
  return lines;
}

}  // namespace

GateLog::GateLog(fs::path file, int64_t every, std::function<GateReading(Trainer&)> read)
    : file_(std::move(file)), every_(std::max<int64_t>(1, every)), read_(std::move(read)) {}

void GateLog::started(Trainer& trainer) {
  if (lines_of(file_).size() >= 2) return;
  const GateReading first = read_(trainer);
  write_file(file_, Json{{"names", first.names}}.dump() + "\n");
  append(trainer, 0);
}

void GateLog::cut(int64_t step) {
  if (std::exchange(cut_, true)) return;
  std::string kept;
  const auto lines = lines_of(file_);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i == 0 || parse_line(file_, lines[i]).at("step").get<int64_t>() < step) kept += lines[i] + "\n";
  }
  write_file(file_, kept);
}

void GateLog::append(Trainer& trainer, int64_t step) {
  const GateReading now = read_(trainer);
  Json values = Json::array();
  for (const double v : now.values) values.push_back(shortest(v));
  OutputFile out(file_, OutputFile::Mode::append);
  out.write(Json{{"step", step}, {"threshold", shortest(now.threshold)}, {"values", values}}.dump() + "\n");
  out.close();
}

void GateLog::stepped(Trainer& trainer, int64_t step) {
  cut(step);
  if (step % every_ == 0) append(trainer, step);
}

void GateLog::finished(Trainer& trainer) {
  const int64_t step = trainer.optimizer().steps();
  cut_ = false;
  cut(step);
  append(trainer, step);
}

GateCourse read_course(const fs::path& file) {
  GateCourse course;
  const auto lines = lines_of(file);
  try {
    for (size_t i = 0; i < lines.size(); ++i) {
      const Json line = parse_line(file, lines[i]);
      if (i == 0) {
        course.names = line.at("names").get<std::vector<std::string>>();
        continue;
      }
      course.steps.push_back(line.at("step"));
      course.thresholds.push_back(line.at("threshold"));
      course.values.push_back(line.at("values").get<std::vector<double>>());
      INTERPLAY_CHECK_DATA(course.values.back().size() == course.names.size(), "{}:{}: {} values for {} gates",
                           file.string(), i + 1, course.values.back().size(), course.names.size());
    }
  } catch (const Json::exception& problem) {
    throw Error(fmt::format("{}: not a course of gates ({})", file.string(), problem.what()), ErrorKind::data);
  }
  return course;
}

GateReading read_grda_gates(Trainer& trainer) {
  std::vector<std::string> names;
  for (const auto& i : interactions_of(trainer.model())) names.push_back(interaction_name(i));
  return read_named_gates(trainer, "gates", std::move(names));
}

GateReading read_named_gates(Trainer& trainer, const std::string& of_group, std::vector<std::string> names) {
  GateReading now;
  now.names = std::move(names);
  const auto states = trainer.optimizer().state();
  for (const auto& module : trainer.model().named_modules()) {
    const auto* const group = dynamic_cast<const nn::HasGroup*>(module.value().get());
    if (!group || group->parameter_group() != of_group) continue;
    for (const auto& gate : module.value()->named_parameters(/*recurse=*/false)) {
      const GrdaState grda = grda_state(states.at(module.key() + "." + gate.key()));
      const auto v = (grda.steps > 0 ? grda.v : gate.value().detach().cpu()).contiguous();  // v begins with a step
      now.values.insert(now.values.end(), v.const_data_ptr<float>(), v.const_data_ptr<float>() + v.numel());
      now.threshold = grda.threshold;  // the same for all: they take the same steps
    }
  }
  INTERPLAY_ASSERT(now.values.size() == now.names.size());
  return now;
}

size_t wanted_gates(double share, size_t count) {
  return share > 0 ? std::max<size_t>(1, size_t(std::llround(share * double(count)))) : 0;
}

double threshold_that_keeps(const std::vector<double>& values, size_t wanted) {
  std::vector<double> sizes;
  for (const double v : values) sizes.push_back(std::abs(v));
  std::sort(sizes.begin(), sizes.end(), std::greater<>());
  if (wanted >= sizes.size()) return 0;
  if (wanted == 0) return sizes.front();
  return (sizes[wanted - 1] + sizes[wanted]) / 2;
}

void set_gates(std::vector<Interaction>& interactions, const std::vector<double>& values, double threshold) {
  for (size_t i = 0; i < values.size(); ++i) {
    interactions[i].gate = std::copysign(std::max(0.0, std::abs(values[i]) - threshold), values[i]);
    interactions[i].kept = interactions[i].gate != 0;
  }
}

GrdaSummary closing_grda(const StageResult& stage, const GrdaOptions& ran, double threshold,
                         const std::vector<double>& values, size_t wanted) {
  GrdaSummary grda{.stage = stage.name, .c = ran.c, .mu = ran.mu, .lr = ran.lr, .steps = stage.steps};
  grda.threshold = wanted > 0 ? threshold_that_keeps(values, wanted) : threshold;
  grda.searched_c = ran.c;
  if (wanted > 0) grda.c = threshold > 0 ? ran.c * (grda.threshold / threshold) : NAN;
  return grda;
}

std::string grda_text(const GrdaSummary& grda) {
  const std::string c = std::isfinite(grda.c) ? fmt::format("{:.4g}", grda.c) : "unknown";
  return fmt::format("GRDA with c {}{}, mu {}, threshold {:.4g}", c,
                     grda.c == grda.searched_c ? "" : fmt::format(" (searched with {:.4g})", grda.searched_c), grda.mu,
                     grda.threshold);
}

Config ready_to_rank(Config model) {
  model.set("gate_centre", Config::scalar("true"));
  model.set("gate_norm_momentum", Config::scalar("0.1"));
  return model;
}

Config without_gate_rules(Config experiment) {
  Config optimizer = experiment["optimizer"];
  if (!optimizer.is_map()) return experiment;
  optimizer.erase("gates");
  optimizer.erase("dimension_gates");
  experiment.set("optimizer", optimizer);
  return experiment;
}

int64_t steps_per_epoch(const Config& experiment, int64_t train_rows) {
  TrainOptions train;
  read_options(train, experiment["train"]);
  return std::max<int64_t>(1, (train_rows + train.batch_size - 1) / train.batch_size);
}

SearchLength until_valid_stops(const Config& experiment, int64_t train_rows) {
  const int64_t steps = steps_per_epoch(experiment, train_rows);
  const auto at_least = [&](int64_t epochs, int64_t of_steps) {
    return std::max(epochs, (of_steps + steps - 1) / steps);
  };
  SearchLength length{.epochs = at_least(50, 3000), .patience = at_least(3, 300)};
  const bool is_given = experiment["train"].is_map() && experiment["train"].has("checkpoint_every");
  if (!is_given && steps < kCheckpointSteps) length.checkpoint_every = kCheckpointSteps;
  return length;
}

Config with_grda(const Config& experiment, const std::map<std::string, GrdaOptions>& groups,
                 const SearchLength& length) {
  const auto number = [](auto value) { return Config::scalar(fmt::format("{}", value)); };
  Config out = without_gate_rules(experiment);
  out.set("train.epochs", number(length.epochs));
  out.set("train.patience", number(length.patience));
  out.set("train.keep", Config::scalar(length.patience > 0 ? "best" : "last", true));
  if (length.patience > 0) out.set("train.monitor", Config::scalar("logloss", true));
  if (length.checkpoint_every > 0) out.set("train.checkpoint_every", number(length.checkpoint_every));
  for (const auto& [group, options] : groups) {
    Config grda;
    grda.set("name", Config::scalar("grda", true));
    grda.set("lr", number(options.lr));
    grda.set("c", number(options.c));
    grda.set("mu", number(options.mu));
    grda.set("schedule", options.schedule);
    Config optimizer = out["optimizer"];
    optimizer.set_key(group, grda);
    out.set("optimizer", optimizer);
  }
  return out;
}

std::string interaction_name(const Interaction& interaction) {
  std::string name = fmt::format("{}", fmt::join(interaction.fields, " x "));
  return interaction.function == "inner" ? name : fmt::format("{} ({})", name, interaction.function);
}

}  // namespace interplay
