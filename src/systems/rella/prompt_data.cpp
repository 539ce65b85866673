#include <interplay/systems/prompt_data.h>

#include <algorithm>
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
    for (const uint32_t event : told) {
      const auto at = std::lower_bound(entries.begin(), entries.end(), known_[size_t(place_.at(event))]);
      const bool found = at != entries.end() && *at == known_[size_t(place_.at(event))];
      out.push_back(found ? at - entries.begin() + 1 : -1);
    }
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

}  // namespace

PromptDataReport write_prompt_data(const Rella& rella, const fs::path& retrieved_file, const fs::path& prepared,
                                   const fs::path& out, const PromptDataOptions& options) {
  const auto retrieved = RetrievedHistories::load(retrieved_file, rella);
  INTERPLAY_CHECK(options.length <= retrieved.length(),
                  "--length {}: {} holds {} events of a history; make it with a larger one among `lengths`",
                  options.length, retrieved_file.string(), retrieved.length());
  const fs::path model = lm::find_model(options.model);
  const auto tokenizer = lm::Tokenizer::load(model);
  const auto frame = lm::ChatFrame::load(model);
  const Encoder encoder = Encoder::load(prepared);
  const Schema prepared_schema = encoder.schema();
  const Field* const item = item_field(prepared_schema, rella.item_column());
  const Schema schema = with_prompts(prepared_schema, rella, retrieved_file, options);
  const int64_t most = options.vectors ? std::max(options.length, options.history_length) : options.length;
  INTERPLAY_CHECK(most <= retrieved.length(),
                  "--history-length {}: {} holds {} events of a history; make it with a larger one among `lengths`",
                  most, retrieved_file.string(), retrieved.length());
  std::vector<int64_t> copied;  // columns of the sequences of which prompts have events of their own
  if (options.vectors) {
    const Field& history = prepared_schema.field(rella.options().history);
    copied.push_back(history.column);
    for (const SideOptions& side : sides_of(prepared_schema, history.name))
      copied.push_back(prepared_schema.field(side.name).column);
  }
  PromptDataReport report;
  int64_t tokens = 0, rows_told = 0;

  struct Part {
    std::string split;
    EncodedBatch rows;
  };
  std::vector<Part> parts;
  const std::pair<const char*, int64_t> wanted[] = {
      {"train", options.train}, {"valid", options.valid}, {"test", options.test}};
  for (const auto& [split, rows] : wanted) {
    if (rows == 0) continue;
    const Dataset dataset = Dataset::open(prepared, split);
    const auto samples = rella.samples(split);
    INTERPLAY_CHECK_DATA(int64_t(samples.size()) == dataset.rows(),
                         "{}: {} rows, but the experiment's data.yaml gives {} samples; prepare that data.yaml again",
                         dataset.name(), dataset.rows(), samples.size());
    const auto chosen = draw(dataset.rows(), rows, options.seed);
    Part part{split, encoded(dataset.gather(chosen))};
    EncodedBatch::Text prompts[2] = {{{}, {}, {0}}, {{}, {}, {0}}};
    std::vector<EncodedBatch::Sequence> events_of[2];
    for (auto& of : events_of) of.assign(copied.size(), {{}, {0}, {}});
    const auto labels = int64_t(part.rows.labels.size()) / part.rows.rows;
    const auto ids = int64_t(part.rows.ids.size()) / part.rows.rows;
    Progress progress(fmt::format("prompts, {}", split), part.rows.rows);
    for (size_t i = 0; i < chosen.size(); ++i) {
      const uint32_t event = samples[size_t(chosen[i])];
      INTERPLAY_CHECK_DATA(rella.label(event) == part.rows.labels[i * size_t(labels)],
                           "{}: the label of row {} is not that of the experiment's data.yaml; prepare that one again",
                           dataset.name(), chosen[i]);
      const std::string known =
          item ? encoder.token(item->table, part.rows.ids[i * size_t(ids) + size_t(item->column)]) : "";
      INTERPLAY_CHECK_DATA(
          known.empty() || known == rella.item_name(event),
          "{}: row {} is about item {}, in the experiment's data.yaml about {}; prepare that one again", dataset.name(),
          chosen[i], known, rella.item_name(event));
      const Past past(rella, event);
      const auto nearest = retrieved.nearest(split, chosen[i], most);
      const std::vector<uint32_t> all_nearest(nearest.begin(), nearest.end());
      const auto last = rella.recent(event, most);
      const auto recent = rella.recent(event, options.length);
      const auto found = rella.ordered(event, nearest.first(std::min(nearest.size(), size_t(options.length))));
      const bool by_similarity = rella.options().retrieval.order == "similarity";
      for (const size_t p : {0, 1}) {
        const auto entries = past.entries(p == 0 ? last : std::span(all_nearest));
        auto told = p == 0 ? std::vector<uint32_t>(recent.begin(), recent.end()) : found;
        EncodedBatch::Text& to = prompts[p];
        const auto ids = with_place(fmt::format("{}: row {}", dataset.name(), chosen[i]), [&] {
          return fit_prompt(told, p == 1 && by_similarity, options.max_tokens, [&](std::span<const uint32_t> events) {
            const auto numbers = past.numbers(events, entries);
            return encode_prompt(frame, *tokenizer, rella.prompt(event, events, options.vectors ? &numbers : nullptr));
          });
        });
        if (report.example.empty() && p == 1) report.example = frame.text(rella.prompt(event, told));
        for (const int64_t id : ids) to.ids.push_back(int32_t(id));
        to.columns.resize(to.ids.size(), -1);
        to.offsets.push_back(int64_t(to.ids.size()));
        report.longest = std::max(report.longest, int64_t(ids.size()));
        tokens += int64_t(ids.size());
        ++rows_told;
        for (size_t c = 0; c < copied.size(); ++c) {
          const EncodedBatch::Sequence& from = part.rows.sequences[size_t(copied[c])];
          INTERPLAY_CHECK_DATA(from.offsets[i + 1] - from.offsets[i] == past.count(),
                               "{}: row {} has {} events in '{}', in the experiment's data.yaml {}; prepare that one "
                               "again",
                               dataset.name(), chosen[i], from.offsets[i + 1] - from.offsets[i],
                               rella.options().history, past.count());
          for (const int64_t entry : entries) events_of[p][c].ids.push_back(from.ids[size_t(from.offsets[i] + entry)]);
          events_of[p][c].offsets.push_back(int64_t(events_of[p][c].ids.size()));
        }
      }
      progress.add(1);
    }
    for (const size_t p : {0, 1}) {
      part.rows.texts.push_back(std::move(prompts[p]));
      for (auto& events : events_of[p]) part.rows.sequences.push_back(std::move(events));
    }
    (part.split == "train" ? report.train : part.split == "valid" ? report.valid : report.test) = part.rows.rows;
    parts.push_back(std::move(part));
  }
  INTERPLAY_CHECK(!parts.empty(), "no rows are to become prompts; ask for some of train, valid or test");
  report.mean_tokens = double(tokens) / double(rows_told);

  NewDirectory made(out);
  const fs::path& partial = made.path();
  encoder.save(partial);
  schema.save(partial / "schema.yaml");
  std::vector<Manifest::Entry> entries;
  for (Part& part : parts) {
    DatasetWriter writer(partial, part.split, schema, !part.rows.weight.empty(), !part.rows.group.empty(),
                         /*time=*/false);
    writer.write(std::move(part.rows));
    writer.finish();
    for (auto& entry : writer.entries()) entries.push_back(std::move(entry));
  }
  Manifest::describe(partial, entries).save(partial);
  made.commit();
  return report;
}

}  // namespace interplay
