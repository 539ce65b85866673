#include "systems/flip/text_tower.h"

#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/lm/model_files.h>
#include <interplay/lm/tokenizer.h>
#include <interplay/lm/tuned_folder.h>
#include <interplay/lm/weights.h>
#include <interplay/nn/blank_tables.h>

namespace interplay::flip {
namespace {

namespace fs = std::filesystem;

fs::path folder_of(const std::string& lm) {
  fs::path folder = lm::find_model(lm);
  INTERPLAY_CHECK_DATA(fs::is_directory(folder), "model.lm: {} is a file; expected the folder of a BERT, as minilm-l6",
                       folder.string());
  INTERPLAY_CHECK(
      !lm::TunedFolder::find(folder),
      "model.lm: {} is a tuned decoder, whose vectors come to a model by key (lm embed); expected the folder "
      "of a BERT, as minilm-l6",
      folder.string());
  return folder;
}

lm::BertOptions sizes_of(const TextOptions& o) {
  const fs::path folder = folder_of(o.lm);
  auto sizes = lm::BertOptions::load(folder / "config.json");
  INTERPLAY_CHECK(o.layers <= sizes.layers, "model.layers: {} of the {} that {} has", o.layers, sizes.layers, o.lm);
  if (o.layers > 0) sizes.layers = o.layers;
  sizes.dropout = o.dropout;
  return sizes;
}

}  // namespace

TextRows TextRows::of(const Tokens& tokens) {
  const auto lengths = tokens.offsets.diff();  // [B]
  const int64_t longest = lengths.numel() > 0 ? std::max<int64_t>(1, lengths.max().item<int64_t>()) : 1;
  const auto places = at::arange(longest, tokens.offsets.options());
  const auto inside = places.unsqueeze(0) < lengths.unsqueeze(1);  // [B, L]
  const auto filled = [&](const at::Tensor& values, int64_t otherwise) {
    return at::full(inside.sizes(), otherwise, tokens.offsets.options()).masked_scatter_(inside, values.to(at::kLong));
  };
  return {filled(tokens.ids, 0), filled(tokens.columns, -1), lengths.clamp_min(1)};
}

const Field& TextOptions::field_of(const Schema& schema) const {
  if (!text.empty()) {
    const Field& named = schema.field(text);
    INTERPLAY_CHECK(named.kind == FieldKind::text, "model.text: '{}' is {}; expected a field of kind text", text,
                    to_string(named.kind));
    return named;
  }
  const auto texts = schema.of(FieldKind::text);
  std::vector<std::string> names;
  names.reserve(texts.size());
  for (const Field* one : texts) names.push_back(one->name);
  INTERPLAY_CHECK(texts.size() == 1, "model.text: the data have {} text fields ({}); {}", texts.size(),
                  fmt::join(names, ", "),
                  texts.empty() ? "prepare them with one (kind: text) for this model" : "say which one is read");
  return *texts.front();
}

TextTowerImpl::TextTowerImpl(const TextOptions& o, const Field& field)
    : BertImpl(sizes_of(o)), tokens_at_once_(o.tokens_at_once) {
  const lm::BertOptions& sizes = options();
  INTERPLAY_CHECK(field.rows <= sizes.vocabulary,
                  "model.text: '{}' is made of {} tokens, {} has {}; prepare it with the tokenizer of that model",
                  field.name, field.rows, o.lm, sizes.vocabulary);
  INTERPLAY_CHECK(field.max_length > 0 && field.max_length <= sizes.positions,
                  "model.text: '{}' has up to {} tokens, {} positions for {}; prepare it with max_tokens: {}",
                  field.name, field.max_length > 0 ? std::to_string(field.max_length) : "any number of", o.lm,
                  sizes.positions, sizes.positions);
  if (nn::BlankTables::active()) return;  // a run's own weights come next
  const lm::StoredWeights stored(lm::weight_files(folder_of(o.lm)));
  check(stored, sizes);
  load(stored);
}

at::Tensor TextTowerImpl::states(const at::Tensor& ids, const at::Tensor& lengths) { return read(ids, lengths, false); }

at::Tensor TextTowerImpl::first_states(const TextRows& text) { return read(text.ids, text.lengths, true); }

at::Tensor TextTowerImpl::read(const at::Tensor& ids, const at::Tensor& lengths, bool only_first) {
  const auto part = [&](const at::Tensor& some, const at::Tensor& of) {
    const auto states = forward(some, of);
    return only_first ? states.select(1, 0) : states;
  };
  const int64_t rows = ids.size(0), most = std::max<int64_t>(1, tokens_at_once_ / ids.size(1));
  if (at::GradMode::is_enabled() || rows <= most) return part(ids, lengths);
  std::vector<at::Tensor> parts;
  for (int64_t first = 0; first < rows; first += most)
    parts.push_back(part(ids.slice(0, first, first + most), lengths.slice(0, first, first + most)));
  return at::cat(parts);
}

int64_t mask_token(const std::string& lm) {
  const auto tokenizer = lm::Tokenizer::load(folder_of(lm));
  const auto found = tokenizer->find("[MASK]");
  INTERPLAY_CHECK(found, "model.lm: the tokenizer of {} has no token [MASK], with which BERT is trained", lm);
  return *found;
}

}  // namespace interplay::flip
