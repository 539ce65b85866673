#include <interplay/systems/prompt_data.h>

#include <algorithm>
#include <memory>
#include <tuple>
#include <unordered_map>

#include <ATen/ATen.h>

#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/base/random.h>
#include <interplay/base/with_place.h>
#include <interplay/data/dataset.h>
#include <interplay/data/dataset_writer.h>
#include <interplay/data/encoder.h>
#include <interplay/data/field_kind.h>
#include <interplay/lm/chat.h>
#include <interplay/lm/model_files.h>
#include <interplay/lm/tokenizer.h>

#include "systems/rella/rella_text.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr const char *kRecent = "prompt_recent", *kRetrieved = "prompt_retrieved";

std::vector<int64_t> draw(int64_t rows, int64_t wanted, int64_t seed) {
  const Permutation order{uint64_t(rows), uint64_t(seed)};
  std::vector<int64_t> out;
  for (int64_t i = 0; i < std::min(rows, wanted); ++i) out.push_back(int64_t(order.at(uint64_t(i))));
  std::sort(out.begin(), out.end());
  return out;
}

template <class T>
std::vector<T> values_of(const at::Tensor& t) {
  if (!t.defined()) return {};
  const at::Tensor whole = t.contiguous();
  return {whole.const_data_ptr<T>(), whole.const_data_ptr<T>() + whole.numel()};
}

/// The rows as the files hold them.
EncodedBatch encoded(const Batch& batch) {
  EncodedBatch out;
  out.rows = batch.rows();
  out.ids = values_of<int32_t>(batch.features.ids);
  out.dense = values_of<float>(batch.features.dense);
  for (const auto& s : batch.features.sequences)
    out.sequences.push_back({values_of<int32_t>(s.ids), values_of<int64_t>(s.offsets), values_of<float>(s.weights)});
  for (const auto& v : batch.features.vectors) out.vectors.push_back(values_of<float>(v));
  for (const auto& t : batch.features.tokens)
    out.texts.push_back({values_of<int32_t>(t.ids), values_of<int8_t>(t.columns), values_of<int64_t>(t.offsets)});
  out.labels = values_of<float>(batch.labels);
  out.weight = values_of<float>(batch.weight);
  out.group = values_of<int64_t>(batch.group);
  return out;
}

/// The columns that are paired with a history, as its entry of the data.yaml has them.
std::vector<SideOptions> sides_of(const Schema& schema, const std::string& history) {
  for (const Config& entry : schema.source["fields"].items()) {
    if (!entry.has("side") || entry.get<std::string>("name", "") != history) continue;
    std::vector<SideOptions> sides;
    for (const Config& side : entry["side"].items()) read_options(sides.emplace_back(), side);
    return sides;
  }
  return {};
}

/// A prompt as an entry of a data.yaml: what makes the same of raw rows.
Config entry_of(const std::string& name, const Rella& rella, const fs::path& retrieved, const Schema& schema,
                const PromptDataOptions& o) {
  const RellaOptions& of = rella.options();
  Config entry;
  const auto text = [](const std::string& value) { return Config::scalar(value, true); };
  const auto number = [](int64_t value) { return Config::scalar(std::to_string(value)); };
  entry.set("kind", text("rella"));
  entry.set("name", text(name));
  entry.set("lm", text(o.model));
  entry.set("history", text(of.history));
  entry.set("length", number(o.length));
  if (name == kRetrieved) {
    entry.set("retrieved", text(fs::absolute(retrieved).string()));
    entry.set("order", text(of.retrieval.order));
  }
  if (o.max_tokens > 0) entry.set("max_tokens", number(o.max_tokens));
  if (o.vectors) {
    entry.set("vectors", Config::scalar("true"));
    entry.set("item", text(rella.item_column()));
    entry.set("history_length", number(o.history_length));
    std::vector<Config> sides;
    for (SideOptions side : sides_of(schema, of.history)) {
      side.share = side.name;  // the table that it reads
      side.name = name + "_" + side.name;
      sides.push_back(write_options(side));
    }
    entry.set("side", Config::sequence(std::move(sides)));
  }
  entry.set("prompt", write_options(of.prompt));
  return entry;
}

/// A field of a prompt with what the data that are there know of it.
Field fitted(DeclaredField d, const Schema& schema, const std::string& history, const FieldSource& source) {
  if (d.field.kind == FieldKind::text) {
    const auto space = source.token_space();
    d.field.rows = space.size;
    d.encoding.values.tokens = space.checksum;
  } else {
    const Field& like = schema.field(d.share.empty() ? history : d.share);
    FieldEncoding encoding;
    read_options(encoding, like.encoding);
    encoding.column = d.encoding.column, encoding.separator = d.encoding.separator, encoding.history = false;
    d.encoding = encoding;
    d.field.table = like.table, d.field.rows = like.rows, d.field.target = like.target;
  }
  d.field.encoding = to_config(d.encoding);
  return d.field;
}

/// The schema with the prompts, also in the data.yaml that it keeps.
Schema with_prompts(const Schema& schema, const Rella& rella, const fs::path& retrieved, const PromptDataOptions& o) {
  auto fields = schema.fields();
  auto declared = schema.source["fields"].items();
  for (const char* const name : {kRecent, kRetrieved}) {
    FieldContext context;
    context.at = entry_of(name, rella, retrieved, schema, o);
    const auto source = field_kinds().find(Config::scalar("rella", true)).make(context, context.at);
    for (DeclaredField& d : source->fields())
      fields.push_back(fitted(std::move(d), schema, rella.options().history, *source));
    declared.push_back(source->resolved());
  }
  Schema out(std::move(fields), schema.labels());
  out.source = schema.source;
  out.source.set("fields", Config::sequence(std::move(declared)));
  return out;
}

/// The events of a row's past, and where they stand in the sequences that the prepared data have of it.
class Past {
 public:
  Past(const Rella& rella, uint32_t sample) : events_(rella.history(sample)) {
    for (const uint32_t event : events_) {
      place_.emplace(event, int64_t(place_.size()));
      known_.push_back(rella.item(event) >= 0 ? count_++ : -1);
    }
  }
  int64_t count() const { return count_; }  ///< entries of the sequences
  /// Those of these events that are in the sequences, in time: their entries.
  std::vector<int64_t> entries(std::span<const uint32_t> events) const {
    std::vector<int64_t> out;
    for (const uint32_t event : events) {
      const int64_t entry = known_[size_t(place_.at(event))];
      if (entry >= 0) out.push_back(entry);
    }
    std::sort(out.begin(), out.end());
    return out;
  }
  /// What stands for each of `told`: 1 + its place in `entries`, -1: it has none.
  std::vector<int64_t> numbers(std::span<const uint32_t> told, const std::vector<int64_t>& entries) const {
    std::vector<int64_t> out;
    for (const uint32_t event : told) out.push_back(vector_number<int64_t>(entries, known_[size_t(place_.at(event))]));
    return out;
  }

 private:
  std::span<const uint32_t> events_;
  std::unordered_map<uint32_t, int64_t> place_;
  std::vector<int64_t> known_;  // by place: its entry; -1: its item is missing
  int64_t count_ = 0;
};

/// The field that holds the names of the items, where the data have one.
const Field* item_field(const Schema& schema, const std::string& column) {
  for (const Field& field : schema.fields()) {
    FieldEncoding encoding;
    if (field.kind != FieldKind::categorical) continue;
    read_options(encoding, field.encoding);
    if (encoding.column == column) return &field;
  }
  return nullptr;
}

/// Rows of a split with their prompts.
struct Part {
  std::string split;
  EncodedBatch rows;
};

/// What makes prompts of prepared rows.
class Telling {
 public:
  Telling(const Rella& rella, const fs::path& retrieved, const fs::path& prepared, const PromptDataOptions& options)
      : rella_(rella),
        options_(options),
        prepared_(prepared),
        retrieved_(RetrievedHistories::load(retrieved, rella)),
        model_(lm::find_model(options.model)),
        tokenizer_(lm::Tokenizer::load(model_)),
        frame_(lm::ChatFrame::load(model_)),
        encoder_(Encoder::load(prepared)),
        before_(encoder_.schema()),
        item_(item_field(before_, rella.item_column())),
        most_(options.vectors ? std::max(options.length, options.history_length) : options.length) {
    for (const auto& [flag, events] : {std::pair{"--length", options.length}, {"--history-length", most_}}) {
      INTERPLAY_CHECK(events <= retrieved_.length(),
                      "{} {}: {} holds {} events of a history; make it with a larger one among `lengths`", flag, events,
                      retrieved.string(), retrieved_.length());
    }
    schema_ = with_prompts(before_, rella, retrieved, options);
    if (!options.vectors) return;
    const Field& history = before_.field(rella.options().history);
    copied_.push_back(history.column);
    for (const SideOptions& side : sides_of(before_, history.name)) copied_.push_back(before_.field(side.name).column);
  }

  Part tell(const char* split, int64_t rows) {
    const Dataset dataset = Dataset::open(prepared_, split);
    const auto samples = rella_.samples(split);
    INTERPLAY_CHECK_DATA(int64_t(samples.size()) == dataset.rows(),
                         "{}: {} rows, but the experiment's data.yaml gives {} samples; prepare that data.yaml again",
                         dataset.name(), dataset.rows(), samples.size());
    const auto chosen = draw(dataset.rows(), rows, options_.seed);
    Part part{split, encoded(dataset.gather(chosen))};
    Prompt recent(copied_.size()), nearest(copied_.size());
    Progress progress(fmt::format("prompts, {}", split), part.rows.rows);
    for (size_t i = 0; i < chosen.size(); ++i) {
      const Row row{i, samples[size_t(chosen[i])], fmt::format("{}: row {}", dataset.name(), chosen[i]), part.rows};
      check(row);
      const Past past(rella_, row.event);
      const auto last = rella_.recent(row.event, most_), told = rella_.recent(row.event, options_.length);
      add(row, past, last, {told.begin(), told.end()}, false, recent);
      const auto found = retrieved_.nearest(split, chosen[i], most_);
      const std::vector<uint32_t> all(found.begin(), found.end());
      const auto some = found.first(std::min(found.size(), size_t(options_.length)));
      add(row, past, all, rella_.ordered(row.event, some), true, nearest);
      progress.add(1);
    }
    for (Prompt* const prompt : {&recent, &nearest}) {
      part.rows.texts.push_back(std::move(prompt->text));
      for (auto& events : prompt->events) part.rows.sequences.push_back(std::move(events));
    }
    return part;
  }

  const Encoder& encoder() const { return encoder_; }
  const Schema& schema() const { return schema_; }  ///< with the prompts
  const std::string& example() const { return example_; }
  int64_t longest() const { return longest_; }
  double mean_tokens() const { return double(tokens_) / double(prompts_); }

 private:
  /// One prompt of every row: its tokens, and the sequences of its events.
  struct Prompt {
    explicit Prompt(size_t sequences) : events(sequences, EncodedBatch::Sequence{{}, {0}, {}}) {}
    EncodedBatch::Text text{{}, {}, {0}};
    std::vector<EncodedBatch::Sequence> events;
  };
  struct Row {
    size_t index;
    uint32_t event;
    std::string place;
    const EncodedBatch& rows;
  };

  /// That the prepared row and the experiment's sample are one.
  void check(const Row& row) const {
    const auto labels = int64_t(row.rows.labels.size()) / row.rows.rows;
    INTERPLAY_CHECK_DATA(rella_.label(row.event) == row.rows.labels[row.index * size_t(labels)],
                         "{}: its label is not that of the experiment's data.yaml; prepare that one again", row.place);
    if (!item_) return;
    const auto ids = row.rows.ids.size() / size_t(row.rows.rows);
    const std::string known = encoder_.token(item_->table, row.rows.ids[row.index * ids + size_t(item_->column)]);
    INTERPLAY_CHECK_DATA(known.empty() || known == rella_.item_name(row.event),
                         "{} is about item {}, in the experiment's data.yaml about {}; prepare that one again",
                         row.place, known, rella_.item_name(row.event));
  }

  /// `events`: of its sequences; `told`: by its text, in order.
  void add(const Row& row, const Past& past, std::span<const uint32_t> events, std::vector<uint32_t> told,
           bool is_retrieved, Prompt& to) {
    const auto entries = past.entries(events);
    const bool nearest_first = is_retrieved && rella_.options().retrieval.order == "similarity";
    const auto ids = with_place(row.place, [&] {
      return fit_prompt(told, nearest_first, options_.max_tokens, [&](std::span<const uint32_t> some) {
        const auto numbers = past.numbers(some, entries);
        return encode_prompt(frame_, *tokenizer_,
                             rella_.prompt(row.event, some, options_.vectors ? &numbers : nullptr));
      });
    });
    if (example_.empty() && is_retrieved) example_ = frame_.text(rella_.prompt(row.event, told));
    for (const int64_t id : ids) to.text.ids.push_back(int32_t(id));
    to.text.columns.resize(to.text.ids.size(), -1);
    to.text.offsets.push_back(int64_t(to.text.ids.size()));
    longest_ = std::max(longest_, int64_t(ids.size()));
    tokens_ += int64_t(ids.size());
    ++prompts_;
    for (size_t c = 0; c < copied_.size(); ++c) {
      const EncodedBatch::Sequence& from = row.rows.sequences[size_t(copied_[c])];
      const int64_t begin = from.offsets[row.index], count = from.offsets[row.index + 1] - begin;
      INTERPLAY_CHECK_DATA(count == past.count(),
                           "{} has {} events in '{}', in the experiment's data.yaml {}; prepare that one again",
                           row.place, count, rella_.options().history, past.count());
      for (const int64_t entry : entries) to.events[c].ids.push_back(from.ids[size_t(begin + entry)]);
      to.events[c].offsets.push_back(int64_t(to.events[c].ids.size()));
    }
  }

  const Rella& rella_;
  const PromptDataOptions& options_;
  fs::path prepared_;
  RetrievedHistories retrieved_;
  fs::path model_;
  std::unique_ptr<lm::Tokenizer> tokenizer_;
  lm::ChatFrame frame_;
  Encoder encoder_;
  Schema before_, schema_;
  const Field* item_;            // of before_
  int64_t most_;                 // events that a prompt's sequences hold
  std::vector<int64_t> copied_;  // columns of the sequences of which prompts have events of their own
  std::string example_;
  int64_t longest_ = 0, tokens_ = 0, prompts_ = 0;
};

void write(const Telling& telling, std::vector<Part> parts, const fs::path& out) {
  NewDirectory made(out);
  const fs::path& partial = made.path();
  telling.encoder().save(partial);
  telling.schema().save(partial / "schema.yaml");
  std::vector<Manifest::Entry> entries;
  for (Part& part : parts) {
    DatasetWriter writer(partial, part.split, telling.schema(), !part.rows.weight.empty(), !part.rows.group.empty(),
                         /*time=*/false);
    writer.write(std::move(part.rows));
    writer.finish();
    for (auto& entry : writer.entries()) entries.push_back(std::move(entry));
  }
  Manifest::describe(partial, entries).save(partial);
  made.commit();
}

}  // namespace

PromptDataReport write_prompt_data(const Rella& rella, const fs::path& retrieved, const fs::path& prepared,
                                   const fs::path& out, const PromptDataOptions& options) {
  Telling telling(rella, retrieved, prepared, options);
  PromptDataReport report;
  std::vector<Part> parts;
  const std::tuple<const char*, int64_t, int64_t&> wanted[] = {{"train", options.train, report.train},
                                                               {"valid", options.valid, report.valid},
                                                               {"test", options.test, report.test}};
  for (const auto& [split, rows, told] : wanted) {
    if (rows == 0) continue;
    parts.push_back(telling.tell(split, rows));
    told = parts.back().rows.rows;
  }
  INTERPLAY_CHECK(!parts.empty(), "no rows are to become prompts; ask for some of train, valid or test");
  report.mean_tokens = telling.mean_tokens();
  report.longest = telling.longest();
  report.example = telling.example();
  write(telling, std::move(parts), out);
  return report;
}

}  // namespace interplay
