#include <interplay/systems/prompt_data.h>

#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/base/random.h>
#include <interplay/data/dataset.h>
#include <interplay/data/dataset_writer.h>
#include <interplay/data/encoder.h>
#include <interplay/data/field_kind.h>
#include <interplay/lm/chat.h>
#include <interplay/lm/model_files.h>
#include <interplay/lm/tokenizer.h>

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

/// A prompt as an entry of a data.yaml: what makes the same of raw rows.
Config entry_of(const std::string& name, const Rella& rella, const fs::path& retrieved, const PromptDataOptions& o) {
  const RellaOptions& of = rella.options();
  Config entry;
  const auto text = [](const std::string& value) { return Config::scalar(value, true); };
  entry.set("kind", text("rella"));
  entry.set("name", text(name));
  entry.set("lm", text(o.model));
  entry.set("history", text(of.history));
  entry.set("length", Config::scalar(std::to_string(o.length)));
  if (name == kRetrieved) {
    entry.set("retrieved", text(fs::absolute(retrieved).string()));
    entry.set("order", text(of.retrieval.order));
  }
  entry.set("prompt", write_options(of.prompt));
  return entry;
}

/// The schema with the prompts, also in the data.yaml that it keeps.
Schema with_prompts(const Schema& schema, const Rella& rella, const fs::path& retrieved, const PromptDataOptions& o) {
  auto fields = schema.fields();
  auto declared = schema.source["fields"].items();
  for (const char* const name : {kRecent, kRetrieved}) {
    FieldContext context;
    context.at = entry_of(name, rella, retrieved, o);
    const auto source = field_kinds().find(Config::scalar("rella", true)).make(context, context.at);
    DeclaredField d = source->fields().front();
    const auto space = source->token_space();
    d.field.rows = space.size;
    d.encoding.values.tokens = space.checksum;
    d.field.encoding = to_config(d.encoding);
    fields.push_back(std::move(d.field));
    declared.push_back(source->resolved());
  }
  Schema out(std::move(fields), schema.labels());
  out.source = schema.source;
  out.source.set("fields", Config::sequence(std::move(declared)));
  return out;
}

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
  PromptDataReport report;
  int64_t tokens = 0, told = 0;

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
      const auto recent = rella.recent(event, options.length);
      const auto found = rella.ordered(event, retrieved.nearest(split, chosen[i], options.length));
      for (const auto& [to, events] : {std::pair{&prompts[0], std::span<const uint32_t>(recent)},
                                       std::pair{&prompts[1], std::span<const uint32_t>(found)}}) {
        const auto messages = rella.prompt(event, events);
        if (report.example.empty() && to == &prompts[1]) report.example = frame.text(messages);
        for (const int64_t id : frame.encode(*tokenizer, messages)) to->ids.push_back(int32_t(id));
        to->columns.resize(to->ids.size(), -1);
        const int64_t length = int64_t(to->ids.size()) - to->offsets.back();
        to->offsets.push_back(int64_t(to->ids.size()));
        report.longest = std::max(report.longest, length);
        tokens += length;
        ++told;
      }
      progress.add(1);
    }
    for (auto& prompt : prompts) part.rows.texts.push_back(std::move(prompt));
    (part.split == "train" ? report.train : part.split == "valid" ? report.valid : report.test) = part.rows.rows;
    parts.push_back(std::move(part));
  }
  INTERPLAY_CHECK(!parts.empty(), "no rows are to become prompts; ask for some of train, valid or test");
  report.mean_tokens = double(tokens) / double(told);

  const Schema schema = with_prompts(encoder.schema(), rella, retrieved_file, options);
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
