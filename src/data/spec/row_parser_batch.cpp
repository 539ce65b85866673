#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>

#include <interplay/data/no_group.h>

#include "data/schema/token_index.h"
#include "data/spec/row_parser.h"

namespace interplay {
namespace {

/// What a cell is that is no number.
std::string no_number(std::string_view cell) {
  constexpr const char* kMissing[] = {"nan", "null", "none", "na", "n/a", "<na>", "nil",
                                      "nat", "\\n",  "-",    "--", "?",   ".",    "#n/a"};
  std::string lower(cell);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  if (std::find(std::begin(kMissing), std::end(kMissing), lower) == std::end(kMissing)) return "is not a number";
  return fmt::format("is not a number (where it means a missing value, data.yaml says missing_tokens: ['{}'])", cell);
}

}  // namespace

/// One call of parse().
class RowParser::Batch {
 public:
  Batch(const RowParser& parser, const RawBatch& raw) : p_(parser), raw_(out_.raw), bad_(size_t(raw.rows), 0) {
    out_.raw = raw;
  }

  RowValues parse(bool labels, BadRows* bad_rows) {
    const auto& fields = p_.schema_.fields();
    derive();
    if (labels) parse_labels();
    if (labels) parse_beside();
    parse_required();
    out_.numbers.resize(fields.size());
    out_.lists.resize(fields.size());
    out_.vectors.resize(fields.size());
    for (size_t f = 0; f < fields.size(); ++f) {
      const Field& field = fields[f];
      if (field.kind == FieldKind::numeric || p_.makes_buckets(f)) parse_numbers(f);
      if (field.kind == FieldKind::categorical && !p_.makes_buckets(f)) check_cells(f);
      if (field.kind == FieldKind::vector) parse_vector(f);
      if (field.kind == FieldKind::sequence && p_.leader_[f] == f) parse_sequences(f);
    }
    if (!p_.filters_.empty()) leave_out();
    report(bad_rows);
    out_.rows.reserve(size_t(raw_.rows) - problems_.size());
    for (int64_t r = 0; r < raw_.rows; ++r) {
      if (!bad_[size_t(r)]) out_.rows.push_back(int32_t(r));
    }
    return std::move(out_);
  }

 private:
  struct Problem {
    int64_t row;
    std::string column, value, reason;
  };

  void problem(int64_t row, const std::string& column, std::string_view value, std::string reason) {
    if (bad_[size_t(row)]) return;
    bad_[size_t(row)] = 1;
    problems_.push_back({row, column, std::string(value), std::move(reason)});
  }

  /// Each entry of the data.yaml once, whatever number of fields it declares.
  void derive() {
    std::vector<const FieldSource*> done;
    for (const auto& source : p_.sources_) {
      if (!source || std::find(done.begin(), done.end(), source.get()) != done.end()) continue;
      done.push_back(source.get());
      source->derive(out_.raw, [this](int64_t row, const std::string& column, std::string_view cell,
                                      std::string reason) { problem(row, column, cell, std::move(reason)); });
    }
  }

  /// Tokens are looked up where they are; here they only have to be there.
  void check_cells(size_t f) {
    const RawColumn& column = raw_.column(p_.encodings_[f].column);
    INTERPLAY_CHECK_DATA(!column.is_list(),
                         "{}: column '{}' holds lists, but field '{}' is categorical; declare it kind: sequence",
                         raw_.place(0), column.name, p_.schema_.fields()[f].name);
  }

  /// Bad rows are told of even where they would be left out.
  void leave_out() {
    const auto passes = [&](size_t r) {  // a comparison with NaN is false
      return std::all_of(p_.filters_.begin(), p_.filters_.end(),
                         [&](const auto& f) { return f.first.passes(out_.required[f.second][r]); });
    };
    for (size_t r = 0; r < bad_.size(); ++r) {
      if (bad_[r] || passes(r)) continue;
      bad_[r] = 1;
      ++out_.left_out;
    }
  }

  void report(BadRows* bad_rows) {
    if (problems_.empty()) return;
    std::sort(problems_.begin(), problems_.end(), [](const Problem& a, const Problem& b) { return a.row < b.row; });
    BadRows strict;
    for (const Problem& p : problems_) {
      const int64_t line = raw_.lines.empty() ? p.row + 1 : raw_.lines[size_t(p.row)];
      (bad_rows ? bad_rows : &strict)->report(raw_.file, line, p.column, p.value, p.reason);
    }
  }

  const RawColumn& plain(const std::string& name, const std::string& what) {
    const RawColumn& column = raw_.column(name);
    INTERPLAY_CHECK_DATA(!column.is_list(),
                         "{}: column '{}' holds lists, but {} reads one value a row; declare it kind: sequence",
                         raw_.place(0), name, what);
    return column;
  }

  void parse_labels() {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    const size_t T = p_.labels_.size();
    out_.labels.resize(size_t(raw_.rows) * T);
    for (size_t t = 0; t < T; ++t) {
      const LabelOptions& label = p_.labels_[t];
      const RawColumn& column = plain(label.column, "the label");
      const bool only = label.only.has_value();
      std::vector<double> condition(only ? size_t(raw_.rows) : 0);
      if (only)
        for_numbers(label.only->column, "a label's condition",
                    [&](int64_t r, std::string_view, double x) { condition[size_t(r)] = x; });
      for (int64_t r = 0; r < raw_.rows; ++r) {
        const std::string_view cell = column.cell(r);
        double x = 0;
        if (only && !label.only->passes(condition[size_t(r)])) {  // a comparison with NaN is false
          x = kNone;
        } else if (p_.missing(column, r)) {
          x = label.missing ? *label.missing : kNone;
          if (label.missing && label.compares()) x = label.passes(x) ? 1 : 0;
          if (!label.missing && !label.optional)
            problem(
                r, label.column, cell,
                fmt::format("is empty, but it is the label (where rows may lack it: {{column: {}, optional: true}}, "
                            "or missing: 0)",
                            label.column));
        } else if (!parse_number(cell, x)) {
          problem(r, label.column, cell, "is not a number, but it is the label");
        } else if (label.compares()) {
          x = label.passes(x) ? 1 : 0;
        } else if (x != 0 && x != 1) {
          problem(
              r, label.column, cell,
              fmt::format("is not 0 or 1, as a label has to be (a threshold is written {{column: {}, at_least: X}})",
                          label.column));
        }
        out_.labels[size_t(r) * T + t] = float(x);
      }
    }
  }

  void parse_beside() {
    const size_t rows = size_t(raw_.rows);
    if (!p_.weight_.empty()) {
      out_.weight.resize(rows);
      for_numbers(p_.weight_, "the weight", [&](int64_t r, std::string_view cell, double x) {
        if (!(x >= 0) || x > FLT_MAX)
          problem(r, p_.weight_, cell,
                  std::isnan(x) ? "is empty, but it is the weight" : "is negative or too large a weight");
        out_.weight[size_t(r)] = float(x);
      });
    }
    if (!p_.time_.empty()) {
      out_.time.resize(rows);
      for_numbers(p_.time_, "the time", [&](int64_t r, std::string_view cell, double x) {
        if (std::isnan(x)) problem(r, p_.time_, cell, "is empty, but it is the time");
        out_.time[size_t(r)] = x;
      });
    }
    if (!p_.group_.empty()) {
      const RawColumn& column = plain(p_.group_, "the group");
      out_.group.resize(rows);
      for (int64_t r = 0; r < raw_.rows; ++r)
        out_.group[size_t(r)] = p_.missing(column, r) ? kNoGroup : int64_t(token_hash(column.cell(r)));
    }
  }

  void parse_required() {
    for (const auto& required : p_.required_numbers_) {
      auto& numbers = out_.required.emplace_back(size_t(raw_.rows));
      auto& rests = out_.rest.emplace_back();
      for_numbers(required.column, "an order of rows", [&](int64_t r, std::string_view cell, double x) {
        numbers[size_t(r)] = x;
        if (!required.present) return;
        float rest = 0;
        if (std::isnan(x)) {
          problem(r, required.column, cell, "is empty, but rows are ordered by it");
        } else if (!parse_rest(cell, x, rest)) {
          problem(r, required.column, cell,
                  "has more digits than the 19 that rows can be ordered by; leave the last ones out");
        }
        if (rest != 0) rests.resize(size_t(raw_.rows)), rests[size_t(r)] = rest;
      });
    }
    for (const auto& name : p_.required_cells_) {
      const RawColumn& column = plain(name, "a split");
      for (int64_t r = 0; r < raw_.rows; ++r) {
        if (p_.missing(column, r)) problem(r, name, column.cell(r), "is empty, but rows are split by it");
      }
    }
  }

  /// Calls take(row, cell, value) for each row, NaN where the cell is missing; a cell that is no number is a problem.
  template <class Take>
  void for_numbers(const std::string& name, const std::string& what, Take&& take) {
    const RawColumn& column = plain(name, what);
    for (int64_t r = 0; r < raw_.rows; ++r) {
      const std::string_view cell = column.cell(r);
      double x = std::numeric_limits<double>::quiet_NaN();
      if (!p_.missing(column, r) && !parse_number(cell, x)) {
        problem(r, name, cell, no_number(cell));
        continue;
      }
      take(r, cell, x);
    }
  }

  void parse_numbers(size_t f) {
    auto& numbers = out_.numbers[f];
    numbers.resize(size_t(raw_.rows));
    const RawColumn& column = plain(p_.encodings_[f].column, "a numeric field");
    for (int64_t r = 0; r < raw_.rows; ++r) {
      const std::string_view cell = column.missing(r) ? std::string_view() : column.cell(r);
      if (p_.number(cell, numbers[size_t(r)])) continue;
      double x = 0;
      problem(r, column.name, cell, parse_number(cell, x) ? "is too large a number" : no_number(cell));
    }
  }

  /// The entries of one row: of a list column its cells, of a plain one its cell cut at the separator.
  void entries(const RawColumn& column, int64_t row, const std::string& separator, std::vector<std::string_view>& out) {
    out.clear();
    if (column.is_list()) {
      for (int64_t c = column.list_offsets[row]; c < column.list_offsets[row + 1]; ++c) {
        out.push_back(p_.missing(column, c) ? std::string_view() : column.cell(c));
      }
      return;
    }
    if (p_.missing(column, row)) return;
    std::string_view rest = column.cell(row);
    for (;;) {
      const size_t cut = separator.size() == 1 ? rest.find(separator[0]) : rest.find(separator);
      std::string_view entry = rest.substr(0, cut);
      if (p_.is_missing_token(entry)) entry = {};
      out.push_back(entry);
      if (cut == std::string_view::npos) return;
      rest.remove_prefix(cut + separator.size());
    }
  }

  const RawColumn& sequence_column(size_t f) {
    const FieldEncoding& encoding = p_.encodings_[f];
    INTERPLAY_CHECK_DATA(
        !encoding.history || raw_.find(encoding.column),
        "{}: there is no column '{}'; raw rows carry the history that was made from earlier events, as a "
        "list or joined by '{}' (`predict --history EVENTS` derives it)",
        raw_.place(0), encoding.column, encoding.separator);
    return raw_.column(encoding.column);
  }

  /// A sequence and those paired with it: they lose the same entries.
  void parse_sequences(size_t leader) {
    std::vector<size_t> group = {leader};
    for (size_t f = 0; f < p_.leader_.size(); ++f) {
      if (f != leader && p_.leader_[f] == leader) group.push_back(f);
    }
    std::vector<const RawColumn*> columns;
    for (const size_t f : group) {
      columns.push_back(&sequence_column(f));
      out_.lists[f].offsets.reserve(size_t(raw_.rows) + 1);
      out_.lists[f].offsets.push_back(0);
    }
    const std::string& weights = p_.encodings_[leader].weights;
    const RawColumn* const weight_column = weights.empty() ? nullptr : &raw_.column(weights);
    std::vector<std::vector<std::string_view>> cells(group.size());
    std::vector<std::string_view> weight_cells;
    for (int64_t r = 0; r < raw_.rows; ++r) {
      for (size_t g = 0; g < group.size(); ++g) {
        entries(*columns[g], r, p_.encodings_[group[g]].separator, cells[g]);
        if (cells[g].size() != cells[0].size()) {
          problem(r, columns[g]->name, columns[g]->is_list() ? "" : columns[g]->cell(r),
                  fmt::format("has {} entries, but '{}', which it is paired with, has {}", cells[g].size(),
                              columns[0]->name, cells[0].size()));
        }
      }
      if (weight_column) entries(*weight_column, r, p_.encodings_[leader].separator, weight_cells);
      if (weight_column && weight_cells.size() != cells[0].size()) {
        problem(r, weights, weight_column->is_list() ? "" : weight_column->cell(r),
                fmt::format("has {} weights for {} entries of '{}'", weight_cells.size(), cells[0].size(),
                            columns[0]->name));
      }
      if (!bad_[size_t(r)]) append(group, cells, r, weight_column ? &weight_cells : nullptr);
      for (const size_t f : group) out_.lists[f].offsets.push_back(int64_t(out_.lists[f].tokens.size()));
    }
  }

  /// Drops missing entries, keeps the last max_length.
  void append(const std::vector<size_t>& group, const std::vector<std::vector<std::string_view>>& cells, int64_t row,
              const std::vector<std::string_view>* weights) {
    const size_t leader = group[0];
    const int64_t longest = p_.schema_.fields()[leader].max_length;
    size_t begin = 0;
    if (longest > 0) {
      int64_t left = longest;
      for (begin = cells[0].size(); begin > 0 && left > 0; --begin) left -= cells[0][begin - 1].empty() ? 0 : 1;
    }
    for (size_t i = begin; i < cells[0].size(); ++i) {
      if (cells[0][i].empty()) continue;
      for (size_t g = 0; g < group.size(); ++g) {
        out_.lists[group[g]].tokens.push_back(p_.encodings_[group[g]].token(cells[g][i]));
      }
      if (!weights) continue;
      double x = 0;
      const bool number = parse_number((*weights)[i], x);
      if (!number || std::fabs(x) > FLT_MAX) {
        problem(row, p_.encodings_[leader].weights, (*weights)[i],
                number ? "is too large a number" : no_number((*weights)[i]));
      }
      out_.lists[leader].weights.push_back(float(x));
    }
  }

  void parse_vector(size_t f) {
    const Field& field = p_.schema_.fields()[f];
    const FieldEncoding& encoding = p_.encodings_[f];
    const size_t width = size_t(field.dimension);
    auto& out = out_.vectors[f];
    if (p_.sources_[f] && p_.sources_[f]->vectors(field, raw_, out)) {
      INTERPLAY_CHECK(out.size() == size_t(raw_.rows) * width, "field '{}': its kind gave {} numbers for {} rows of {}",
                      field.name, out.size(), raw_.rows, width);
      return;
    }
    const RawColumn& column = raw_.column(encoding.column);
    out.assign(size_t(raw_.rows) * width, 0.0f);  // a missing vector is zero
    std::vector<std::string_view> cells;
    for (int64_t r = 0; r < raw_.rows; ++r) {
      entries(column, r, encoding.separator, cells);
      if (cells.empty()) continue;
      if (cells.size() != width) {
        problem(r, column.name, column.is_list() ? "" : column.cell(r),
                fmt::format("has {} numbers; expected {}", cells.size(), width));
        continue;
      }
      for (size_t i = 0; i < width; ++i) {
        double x = 0;
        const bool number = parse_number(cells[i], x);
        if (!number || std::fabs(x) > FLT_MAX)
          problem(r, column.name, cells[i], number ? "is too large a number" : no_number(cells[i]));
        out[size_t(r) * width + i] = float(x);
      }
    }
  }

  const RowParser& p_;
  RowValues out_;
  const RawBatch& raw_;
  std::vector<uint8_t> bad_;
  std::vector<Problem> problems_;
};

RowValues RowParser::parse(const RawBatch& raw, bool labels, BadRows* bad_rows) const {
  return Batch(*this, raw).parse(labels, bad_rows);
}

}  // namespace interplay
