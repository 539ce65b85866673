// Summaries by a language model.
#include <algorithm>

#include <fmt/format.h>

#include <interplay/base/error.h>
#include <interplay/lm/chat.h>
#include <interplay/lm/generator.h>
#include <interplay/lm/model_files.h>
#include <interplay/systems/liber.h>

#include "systems/lab/parse_template.h"

namespace interplay {
namespace {

/// Two calls a partition: the summary, and from the second one of a user on, the shift. What was asked once is not
/// asked again.
class LmSummarizer final : public Summarizer {
 public:
  struct Options {
    std::string model = "smollm2-135m", precision = "auto";
    std::string system = "You describe viewers' tastes in plain words.";
    std::string event;
    std::string summary =
        "Earlier tastes: {earlier}\nNew ratings:\n{events}\nSummarize this viewer's tastes in at most 80 words.";
    std::string shift =
        "Before: {before}\nNow: {now}\nWhat is new in this viewer's tastes, and what is gone? At most 40 words.";
    std::string none = "none known";
    int64_t max_tokens = 96, shift_tokens = 48, batch = 16;
    void visit(auto&& field) {
      field("model", model, "a fetched name, a GGUF file or a folder");
      field("precision", precision, "of weights and layers", OneOf{{"auto", "fp32", "bf16"}});
      field("system", system, "what the model is told beforehand");
      field("event", event, "a line of a prompt: {column} is a cell of the event");
      field("summary", summary, "the question; {earlier} is the summary before, {events} stands for the lines");
      field("shift", shift, "the second question; {before} and {now} are two summaries");
      field("none", none, "what {earlier} says where there is none");
      field("max_tokens", max_tokens, "of a summary", Range{1, 1e5});
      field("shift_tokens", shift_tokens, "of a shift", Range{1, 1e5});
      field("batch", batch, "answers that are written at once", Range{1, 1024});
    }
  };

  LmSummarizer(const SummarizerContext& context, const Options& options)
      : o_(options),
        event_(with_names(context.at["event"], o_.event, {})),
        summary_(with_names(context.at["summary"], o_.summary, {"earlier", "events"})),
        shift_(with_names(context.at["shift"], o_.shift, {"before", "now"})) {
    if (event_.names().empty())
      context.at["event"].fail("missing; what of an event is told, as \"{title}: {rating} stars\"?");
    const auto file = lm::find_model(o_.model);
    frame_ = lm::ChatFrame::load(file);
    model_ = lm::load_generator(file, {.precision = nn::parse_precision(o_.precision)});
    cached_ = std::make_unique<lm::CachedGenerator>(*model_, context.cache);
    const auto empty = [](std::string_view) { return std::string(); };
    summary_frame_ = int64_t(prompt(summary_.fill(empty)).size());
    shift_frame_ = int64_t(prompt(shift_.fill(empty)).size());
  }

  std::vector<std::string> columns() const override { return event_.names(); }

  std::vector<std::string> summaries(std::span<const SummaryTask> tasks) override {
    std::vector<std::string> prompts;
    std::vector<int64_t> events;
    for (const SummaryTask& task : tasks) {
      std::string lines;
      for (const auto& event : task.events) {
        if (!lines.empty()) lines += '\n';
        lines += line(event);
      }
      events.push_back(int64_t(model_->tokenizer().encode(lines).size()));
      prompts.push_back(summary_.fill([&](std::string_view name) {
        return name == "events" ? lines : task.earlier.empty() ? o_.none : task.earlier;
      }));
    }
    return ask(prompts, o_.max_tokens, summary_frame_, events);
  }

  std::vector<std::string> shifts(std::span<const ShiftTask> tasks) override {
    std::vector<std::string> prompts;
    for (const ShiftTask& task : tasks)
      prompts.push_back(shift_.fill([&](std::string_view name) { return name == "before" ? task.before : task.now; }));
    return ask(prompts, o_.shift_tokens, shift_frame_);
  }

  std::string identity() const override {
    Options deciding = o_;
    deciding.batch = Options().batch;
    return fmt::format("lm {} {}", model_->identity(), write_options(deciding).yaml());
  }
  Cost cost() const override { return cost_; }

 private:
  /// A template that names nothing but these; an empty list: anything.
  static lm::PromptTemplate with_names(const Config& at, const std::string& text,
                                       const std::vector<std::string>& known) {
    lm::PromptTemplate out = parse_template(at, text);
    for (const auto& name : out.names()) {
      if (!known.empty() && std::find(known.begin(), known.end(), name) == known.end())
        at.fail(fmt::format("{{{}}} stands for nothing here (names: {})", name, fmt::join(known, ", ")));
    }
    return out;
  }

  std::string line(const PartitionLog::Event& event) const {
    const auto& names = event_.names();
    return event_.fill([&](std::string_view name) {
      return event.cells[size_t(std::find(names.begin(), names.end(), name) - names.begin())];
    });
  }

  lm::TokenIds prompt(const std::string& question) const {
    const std::vector<lm::ChatMessage> messages = {{"system", o_.system}, {"user", question}};
    return frame_.encode(model_->tokenizer(), messages);
  }

  /// Answers, and for those that were not known already what they cost. `events`: tokens of the events in each.
  std::vector<std::string> ask(const std::vector<std::string>& questions, int64_t most, int64_t frame,
                               const std::vector<int64_t>& events = {}) {
    std::vector<lm::LmPrompt> prompts;
    for (const auto& question : questions) prompts.push_back({prompt(question)});
    std::vector<std::string> out(prompts.size());
    cached_->generate_each(prompts, {.max_tokens = most, .batch = o_.batch}, [&](int64_t i, lm::Generated answer) {
      const int64_t made = cached_->generated();
      if (made > known_) {
        known_ = made;
        ++cost_.calls;
        cost_.tokens_read += int64_t(prompts[size_t(i)].ids.size());
        cost_.tokens_written += int64_t(answer.ids.size());
        cost_.tokens_of_frames += frame;
        if (!events.empty()) cost_.tokens_of_events += events[size_t(i)];
      }
      out[size_t(i)] = std::move(answer.text);
    });
    return out;
  }

  Options o_;
  lm::PromptTemplate event_, summary_, shift_;
  lm::ChatFrame frame_;
  std::unique_ptr<lm::DecoderGenerator> model_;
  std::unique_ptr<lm::CachedGenerator> cached_;
  int64_t summary_frame_ = 0, shift_frame_ = 0;  // tokens of a question about nothing
  int64_t known_ = 0;                            // answers of `cached_` that are counted
  Cost cost_;
};

INTERPLAY_REGISTER(summarizers(), "lm", LmSummarizer, "a language model, asked once a partition");

}  // namespace
}  // namespace interplay
