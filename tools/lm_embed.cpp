// interplay lm embed [MODEL] [TABLE]: texts to vectors.
#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include <interplay/base/log.h>
#include <interplay/lm/cached_encoder.h>
#include <interplay/lm/encoder.h>
#include <interplay/lm/model_files.h>

#include "lm.h"
#include "lm_embed_table.h"

namespace interplay::tool::lm_embed_command {
namespace {

/// The beginning of a text, on one line.
std::string shorten(const std::string& text) {
  constexpr size_t kMost = 48;
  std::string out;
  for (const char c : text.substr(0, kMost)) out += c == '\n' || c == '\r' || c == '\t' ? ' ' : c;
  if (text.size() <= kMost) return out;
  while (!out.empty() && (out.back() & 0xc0) == 0x80) out.pop_back();  // the rest of a character that was cut
  if (!out.empty() && (out.back() & 0x80) != 0) out.pop_back();
  return out + "...";
}

void print(const lm::TextEncoder& encoder, const std::vector<std::string>& texts, const at::Tensor& vectors) {
  constexpr int64_t kShown = 4, kMostCosines = 8;
  const auto n = int64_t(texts.size());
  std::vector<std::vector<std::string>> rows{{"text", "tokens", fmt::format("first of {} numbers", encoder.width())}};
  const auto unit = vectors / at::linalg_vector_norm(vectors, 2, {1}, true).clamp_min(1e-12);
  const auto cosines = unit.matmul(unit.t());
  const bool compared = n > 1 && n <= kMostCosines;
  for (int64_t i = 0; compared && i < n; ++i) rows[0].push_back(fmt::format("cosine to {}", i + 1));
  for (int64_t i = 0; i < n; ++i) {
    const auto* const row = vectors[i].const_data_ptr<float>();
    const size_t tokens = encoder.ids_of(texts[size_t(i)]).size();
    std::string numbers;
    for (int64_t j = 0; j < std::min(kShown, encoder.width()); ++j) numbers += fmt::format("{:+.4f} ", row[j]);
    rows.push_back({fmt::format("{}. {}", i + 1, shorten(texts[size_t(i)])), std::to_string(tokens), numbers + ".."});
    for (int64_t j = 0; compared && j < n; ++j)
      rows.back().push_back(fmt::format("{:.4f}", cosines[i][j].item<float>()));
  }
  fmt::print("{}", table(rows));
}

struct Arguments {
  std::string model, second, precision = "fp32", cache;
  TextArguments texts;
  EmbeddedTable table;
  int64_t max_length = 0;
  bool chat = false, json = false;
};

/// MODEL and TABLE, or TABLE alone; what does not go together is refused.
void settle(Arguments& a) {
  if (a.table.column.empty()) {
    INTERPLAY_CHECK(a.second.empty(), "{}: of a table, --column, --key and --out say what becomes vectors", a.second);
    return;
  }
  INTERPLAY_CHECK(a.texts.texts.empty() && a.texts.file.empty() && !a.json,
                  "--column is of a TABLE; leave --text, --file and --json out");
  a.table.file = a.second.empty() ? a.model : a.second;
  if (a.second.empty()) a.model = "minilm-l6";
  check_out(a.table.out, a.table.force);
}

void embed(Arguments& a) {
  settle(a);
  const bool of_table = !a.table.column.empty();
  const auto texts = of_table ? std::vector<std::string>() : a.texts.read();
  lm::EncoderOptions options;
  options.precision = nn::parse_precision(a.precision);
  options.max_length = a.max_length;
  options.progress = of_table ? "" : "lm embed";  // it has a line of its own
  options.chat = a.chat;
  const auto encoder = lm::load_encoder(lm::find_model(a.model), options);
  if (of_table) {
    if (a.cache.empty()) return embed_table(a.table, *encoder);
    lm::CachedEncoder cached(*encoder, a.cache);
    embed_table(a.table, cached);
    return log::info("{}: {} texts were not in it", a.cache, cached.encoded());
  }
  at::Tensor vectors;
  if (a.cache.empty()) {
    vectors = encoder->encode(texts);
  } else {
    lm::CachedEncoder cached(*encoder, a.cache);
    vectors = cached.encode(texts);
    log::info("{}: {} of {} texts were not in it", a.cache, cached.encoded(), texts.size());
  }
  if (!a.json) return print(*encoder, texts, vectors);
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto* const row = vectors[int64_t(i)].const_data_ptr<float>();
    fmt::print("{{\"ids\":[{}],\"vector\":[{}]}}\n", fmt::join(encoder->ids_of(texts[i]), ","),
               fmt::join(row, row + encoder->width(), ","));
  }
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("MODEL", a->model,
                 "a fetched name, a GGUF file or a folder; with --column it may be left out: minilm-l6")
      ->required();
  app.add_option("TABLE", a->second,
                 "csv, tsv or Parquet with a text and its key a row, for --column, --key and --out");
  a->texts.add(app);
  auto* const column = app.add_option("--column", a->table.column, "column of TABLE with the texts");
  auto* const key =
      app.add_option("--key", a->table.key, "column of TABLE that the vectors go by: each of its values once");
  auto* const out = app.add_option("--out", a->table.out, "file of vectors by key that is written: .parquet");
  column->needs(key)->needs(out);
  key->needs(column);
  out->needs(column);
  app.add_option("--format", a->table.format, "of TABLE, where its name does not say it: as in data.yaml")
      ->needs(column);
  app.add_flag("--force", a->table.force, "replace what is at --out")->needs(out);
  app.add_option("--precision", a->precision, "of weights and layers")
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}))
      ->capture_default_str();
  app.add_option("--max-length", a->max_length, "most tokens of a text; 0 = what the model says")
      ->check(at_least(0))
      ->capture_default_str();
  app.add_flag("--chat", a->chat, "each text is a user's message in the frame of the chat model");
  app.add_option("--cache", a->cache, "directory of vectors that are known already; new ones are added");
  app.add_flag("--json", a->json, "for machines: a line {ids, vector} a text");
  return [a] { embed(*a); };
}

const AddCommand command("lm embed", "texts to vectors: by a text encoder, or the mean of a decoder's states", add);

}  // namespace
}  // namespace interplay::tool::lm_embed_command
