// `kind: text` of a data.yaml: sentences that are made of a row's columns, as tokens of a language model.
#include <algorithm>
#include <map>
#include <unordered_map>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/data/field_kind.h>
#include <interplay/lm/prompt_template.h>
#include <interplay/lm/tokenizer.h>

namespace interplay::lm {
namespace {

using Ids = std::vector<int64_t>;

/// The text is tokenized piece by piece, what stands between places and what fills them, each value together with the
/// blank before it: so no token is of two columns, and words are what they are in the whole text.
class TextField final : public FieldSource {
 public:
  struct Options : KindOptions {
    std::string tokenizer, text, missing;
    int64_t max_tokens = 64;
    bool frame = true;
    Config words;
    void visit(auto&& field) {
      KindOptions::visit(field);
      field("tokenizer", tokenizer, "language model whose tokens they are: a fetched name or a path");
      field("template", text, "what is said of a row; {name} stands for a categorical field's token, or a raw column");
      field("max_tokens", max_tokens, "tokens kept, the first ones; 0 = all", Range{0, 1e6});
      field("frame", frame, "with what the language model expects around a text, as [CLS] and [SEP]");
      field("words", words, "by name in the template, what its values are called: {gender: {F: female, M: male}}");
      field("missing", missing, "stands in the text for a missing value");
    }
  };

  TextField(const FieldContext& context, const Options& options)
      : o_(options), context_(context), tokenizer_(o_.tokenizer, context.at["tokenizer"]) {
    const Config& at = context.at;
    for (const auto& [key, value] : {std::pair{"name", o_.name}, {"tokenizer", o_.tokenizer}, {"template", o_.text}}) {
      if (value.empty()) at[key].fail("missing; a text needs name, tokenizer and template");
    }
    try {
      template_ = PromptTemplate(o_.text);
    } catch (const Error& problem) {
      at["template"].fail(problem.what());
    }
    for (const auto& name : template_.names()) places_.push_back({name, ""});
    for (const auto& name : o_.words.keys()) {
      const Config words = o_.words[name];
      if (!template_.names(name))
        words.fail(fmt::format("the template has no {{{}}} (places: {})", name, fmt::join(template_.names(), ", ")));
      for (const auto& value : words.keys()) words_[name][value] = words[value].as<std::string>();
    }
  }

  std::vector<DeclaredField> fields() const override {
    DeclaredField d;
    d.field.name = o_.name;
    d.field.kind = FieldKind::text;
    d.field.max_length = o_.max_tokens;
    d.field.text_columns = template_.names();
    return {d};
  }
  Config resolved() const override { return write_options(o_); }

  void link(std::span<const Field> fields, std::span<const PastEvents>) override {
    for (Place& place : places_) {
      for (const Field& field : fields) {
        if (field.name != place.column || field.kind != FieldKind::categorical) continue;
        FieldEncoding encoding;
        read_options(encoding, field.encoding);
        place = {encoding.column, encoding.first_of};
        break;
      }
    }
  }

  std::vector<std::string> columns(const Field&) const override {
    std::vector<std::string> out;
    for (const Place& place : places_) out.push_back(place.column);
    return out;
  }

  void derive(RawBatch& rows, const Refuse& refuse) const override {
    for (const Place& place : places_) {
      const RawColumn& column = rows.column(place.column);
      INTERPLAY_CHECK_DATA(!column.is_list(), "{}: column '{}' holds lists, but the text '{}' reads one value a row",
                           rows.place(0), column.name, o_.name);
      for (int64_t r = 0; r < rows.rows; ++r) {
        const auto bad = column.missing(r) ? std::nullopt : valid_utf8_before(column.cell(r));
        if (bad)
          refuse(r, column.name, column.cell(r).substr(0, *bad),
                 fmt::format("is not UTF-8 from its byte {} on; convert it first", *bad));
      }
    }
  }

  TokenSpace token_space() const override {
    const auto frame = int64_t(tokenizer_->frame_before().size() + tokenizer_->frame_after().size());
    if (o_.max_tokens > 0 && o_.frame && o_.max_tokens <= frame)
      context_.at["max_tokens"].fail(
          fmt::format("{} leaves no token for the text; expected more than the {} around it", o_.max_tokens, frame));
    // What a token means, and what a text says with it.
    const std::string said = fmt::format("{}\n{}\n{}\n{}", o_.text, o_.missing, o_.frame, o_.words.yaml());
    return {tokenizer_->size(), fmt::format("{:016x}", hash64(said, tokenizer_.checksum()))};
  }

  void tokens(const Field& field, const RawBatch& rows, std::span<const int32_t> wanted,
              EncodedBatch::Text& out) const override {
    Batch(*this, rows).add(wanted, out);
  }

 private:
  struct Place {
    std::string column, first_of;
  };

  /// Rows of one batch; values that come again are tokenized once.
  class Batch {
   public:
    Batch(const TextField& field, const RawBatch& rows) : f_(field), tokenizer_(*field.tokenizer_) {
      for (const Place& place : f_.places_) columns_.push_back(&rows.column(place.column));
      known_.resize(columns_.size());
      for (const auto& piece : f_.template_.pieces()) {
        Piece& p = pieces_.emplace_back();
        const size_t blank = piece.name.empty() ? piece.before.size() : piece.before.find_last_not_of(" \n\t") + 1;
        p.blank = piece.before.substr(blank);
        p.text = tokenizer_.encode(std::string_view(piece.before).substr(0, blank));
        p.text_and_blank = tokenizer_.encode(piece.before);
        const auto& names = f_.template_.names();
        if (!piece.name.empty()) p.place = int(std::find(names.begin(), names.end(), piece.name) - names.begin());
      }
      if (!f_.o_.frame) return;
      before_ = tokenizer_.frame_before(), after_ = tokenizer_.frame_after();
    }

    void add(std::span<const int32_t> rows, EncodedBatch::Text& out) {
      for (const int32_t row : rows) {
        const size_t begin = out.ids.size();
        put(out, before_, -1);
        for (const Piece& piece : pieces_) {
          if (piece.place < 0) {
            put(out, piece.text_and_blank, -1);
            continue;
          }
          const Ids& value = value_of(piece, row);
          put(out, value.empty() ? piece.text_and_blank : piece.text, -1);
          put(out, value, piece.place);
        }
        if (f_.o_.max_tokens > 0) {
          const size_t most = begin + size_t(f_.o_.max_tokens) - after_.size();
          out.ids.resize(std::min(out.ids.size(), most));
          out.columns.resize(out.ids.size());
        }
        put(out, after_, -1);
        out.offsets.push_back(int64_t(out.ids.size()));
      }
    }

   private:
    struct Piece {
      std::string blank;  // before the value
      Ids text, text_and_blank;
      int place = -1;
    };

    static void put(EncodedBatch::Text& out, std::span<const int64_t> ids, int column) {
      out.ids.insert(out.ids.end(), ids.begin(), ids.end());
      out.columns.insert(out.columns.end(), ids.size(), int8_t(column));
    }

    const Ids& value_of(const Piece& piece, int32_t row) {
      const auto place = size_t(piece.place);
      const RawColumn& column = *columns_[place];
      const Place& at = f_.places_[place];
      std::string_view cell;
      if (!f_.context_.missing(column, row)) {
        cell = column.cell(row);
        if (!at.first_of.empty()) cell = cell.substr(0, cell.find(at.first_of));
      }
      const auto key = piece.blank + std::string(cell);
      const auto found = known_[place].find(key);
      if (found != known_[place].end()) return found->second;
      const std::string word = f_.word(place, cell);
      return known_[place].emplace(key, word.empty() ? Ids() : tokenizer_.encode(piece.blank + word)).first->second;
    }

    const TextField& f_;
    const Tokenizer& tokenizer_;
    std::vector<const RawColumn*> columns_;
    std::vector<std::unordered_map<std::string, Ids>> known_;  // by place: blank and cell
    std::vector<Piece> pieces_;
    std::span<const int64_t> before_, after_;
  };

  std::string word(size_t place, std::string_view cell) const {
    if (cell.empty()) return o_.missing;
    const auto words = words_.find(template_.names()[place]);
    if (words == words_.end()) return std::string(cell);
    const auto word = words->second.find(cell);
    return word == words->second.end() ? std::string(cell) : word->second;
  }

  Options o_;
  FieldContext context_;
  NamedTokenizer tokenizer_;
  PromptTemplate template_;
  std::vector<Place> places_;  // beside template_.names()
  std::map<std::string, std::map<std::string, std::string, std::less<>>, std::less<>> words_;
};

INTERPLAY_REGISTER(field_kinds(), "text", TextField, "what a template says of a row, as tokens of a language model");

}  // namespace
}  // namespace interplay::lm
