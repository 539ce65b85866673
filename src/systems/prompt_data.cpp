#include <interplay/systems/prompt_data.h>

#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/base/random.h>
#include <interplay/data/dataset.h>
#include <interplay/data/encoder.h>
#include <interplay/data/field_encoding.h>
#include <interplay/lm/chat.h>
#include <interplay/lm/model_files.h>
#include <interplay/lm/tokenizer.h>

#include "data/dataset_writer.h"

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
  out.labels = values_of<float>(batch.labels);
  out.weight = values_of<float>(batch.weight);
  out.group = values_of<int64_t>(batch.group);
  return out;
}

/// The schema with the prompts, also in the data.yaml that it keeps: as hashed sequences, which need no vocabulary.
Schema with_prompts(const Schema& schema, int64_t vocabulary, int64_t longest) {
  auto fields = schema.fields();
  auto declared = schema.source["fields"].items();
  for (const char* const name : {kRecent, kRetrieved}) {
    FieldEncoding encoding;
    encoding.column = name;
    encoding.separator.assign(1, ' ');  // GCC 12 warns of = " "
    encoding.values.hash_buckets = vocabulary;
    Field f;
    f.name = f.table = name;
    f.kind = FieldKind::sequence;
    f.rows = vocabulary + 2;
    f.max_length = longest;
    f.encoding = to_config(encoding);
    fields.push_back(std::move(f));
    declared.push_back(
        Config::parse(fmt::format("{{column: {}, kind: sequence, separator: ' ', max_length: {}, hash_buckets: {}}}",
                                  name, longest, vocabulary)));
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

PromptDataReport write_prompt_data(const Rella& rella, const RetrievedHistories& retrieved, const fs::path& prepared,
                                   const fs::path& out, const PromptDataOptions& options) {
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
    EncodedBatch::Sequence prompts[2] = {{{}, {0}, {}}, {{}, {0}, {}}};
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
        for (const int64_t id : frame.encode(*tokenizer, messages)) to->ids.push_back(int32_t(id + 1));
        const int64_t length = int64_t(to->ids.size()) - to->offsets.back();
        to->offsets.push_back(int64_t(to->ids.size()));
        report.longest = std::max(report.longest, length);
        tokens += length;
        ++told;
      }
      progress.add(1);
    }
    for (auto& sequence : prompts) part.rows.sequences.push_back(std::move(sequence));
    (part.split == "train" ? report.train : part.split == "valid" ? report.valid : report.test) = part.rows.rows;
    parts.push_back(std::move(part));
  }
  INTERPLAY_CHECK(!parts.empty(), "no rows are to become prompts; ask for some of train, valid or test");
  report.mean_tokens = double(tokens) / double(told);

  const Schema schema = with_prompts(encoder.schema(), tokenizer->size(), report.longest);
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
