// interplay prf index DOCS --out IDX: documents to an index.
#include <chrono>

#include <interplay/base/progress.h>
#include <interplay/systems/text_index.h>
#include <interplay/train/run.h>

#include "lm.h"

namespace interplay::tool::prf_index_command {
namespace {

struct Arguments {
  std::string documents, out, stop_words;
  IndexOptions options;
  int64_t memory_mb = 512;
  bool force = false;
};

void run(Arguments& a) {
  check_out(a.out, a.force);
  if (!a.stop_words.empty()) {
    a.options.analyzer.stop_words.clear();
    if (a.stop_words != "none") a.options.analyzer.stop_words = TextArguments{{}, a.stop_words}.read();
  }
  a.options.memory_bytes = a.memory_mb << 20;
  const auto begun = std::chrono::steady_clock::now();
  const IndexInfo info = build_text_index(a.documents, a.out, a.options);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  fmt::print("{}: {} documents, {} terms, {} tokens, {:.1f} a document; {}, peak memory {}\n", a.out, info.documents,
             info.terms, info.tokens, info.average_length(), human_seconds(seconds),
             human_bytes(double(peak_memory_bytes())));
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option(
         "DOCS", a->documents,
         "documents: a file of JSON lines (id, title, text) or of tabs (id, text), packed or not, a pattern, or a "
         "folder with docs.jsonl or docs.tsv")
      ->required();
  app.add_option("--out", a->out, "directory of the index, whole or not at all")->required();
  app.add_option("--fields", a->options.fields, "of JSON lines, those that are read, one behind another")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  app.add_option("--stem", a->options.analyzer.stemmer, "Snowball stemmer of a language, as english; none by default");
  app.add_option("--stop-words", a->stop_words,
                 "file of a word a line that is left out, or `none`; 33 English words by default");
  app.add_option("--memory-mb", a->memory_mb, "for postings while they are put in order; less takes more passes")
      ->check(at_least(1))
      ->capture_default_str();
  app.add_flag("--force", a->force, "replace --out if it exists");
  return [a] { run(*a); };
}

const AddCommand command("prf index", "documents to an index", add);

}  // namespace
}  // namespace interplay::tool::prf_index_command
