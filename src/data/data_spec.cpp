#include "data/data_spec.h"

#include <algorithm>
#include <charconv>
#include <set>

#include <interplay/base/section.h>
#include <interplay/data/reader.h>

#include "data/field_encoding.h"

namespace interplay {
namespace {

INTERPLAY_SECTION("data", DataOptions, "data.yaml");
INTERPLAY_SECTION("fields", FieldOptions, "an entry of `fields:` in data.yaml");
INTERPLAY_SECTION("label", LabelOptions, "`label:` in data.yaml, where it is a map or a list of maps");
INTERPLAY_SECTION("split", SplitOptions, "`split:` in data.yaml");

size_t digits_at_end(std::string_view text) {
  size_t n = 0;
  while (n < text.size() && text[text.size() - 1 - n] >= '0' && text[text.size() - 1 - n] <= '9') ++n;
  return n;
}

/// `at`: where the names are written.
std::vector<std::string> expand_ranges(const std::vector<std::string>& names, const Config& at) {
  std::vector<std::string> out;
  for (const auto& name : names) {
    std::vector<std::string> expanded;
    try {
      expanded = expand_range(name);
    } catch (const Error& problem) {
      at.fail(problem.what());
    }
    for (auto& each : expanded) out.push_back(std::move(each));
  }
  return out;
}

void check_filter(const ThresholdOptions& filter, const Config& at) {
  if (filter.column.empty() || !filter.compares())
    at.fail("expected a column and at_least or above, as in {column: rating, at_least: 4}");
}

/// Parses fields: one entry may stand for many fields, and a history brings its side sequences.
class FieldParser {
 public:
  FieldParser(DataSpec& spec, const Config& data) : spec_(spec), data_(data) {}

  void parse() {
    const Config list = data_["fields"];
    if (!list.is_sequence() || list.size() == 0) list.fail("missing; expected a list of at least one field");
    std::vector<Config> resolved;
    for (size_t i = 0; i < spec_.options.fields.size(); ++i) {
      at_ = list.at(i);
      FieldOptions& options = spec_.options.fields[i];
      if (options.kind == "history") {
        add_history(options);
      } else {
        options.columns = columns_of(options);
        for (const auto& column : options.columns) add(options, column);
        options.column.clear();
      }
    }
    share_tables();
    set_min_counts();
  }

 private:
  std::vector<std::string> columns_of(const FieldOptions& o) {
    auto columns = expand_ranges(o.columns, at_["columns"]);
    if (!o.column.empty()) columns.insert(columns.begin(), o.column);
    if (columns.empty() && !o.name.empty()) columns.push_back(o.name);
    if (columns.empty()) at_.fail("names no column; add `column: NAME` or `columns: [NAME, ...]`");
    if (columns.size() > 1 && !o.name.empty())
      at_["name"].fail("one name for several columns; leave it out or split the entry");
    return columns;
  }

  void add(const FieldOptions& o, const std::string& column) {
    Field field;
    field.name = o.name.empty() ? column : o.name;
    FieldEncoding encoding;
    encoding.column = column;
    encoding.values.transform = o.transform;
    encoding.values.missing = o.missing;
    encoding.values.hash_buckets = o.hash_buckets;
    encoding.first_of = o.first_of;
    if (!o.catalogue.empty() && o.hash_buckets > 0)
      at_["catalogue"].fail("ids by hash need no list of values; leave it out, or hash_buckets");
    if (o.kind == "numeric") {
      field.kind = o.transform == "log_square_bucket" ? FieldKind::categorical : FieldKind::numeric;
    } else if (o.kind == "vector") {
      field.kind = FieldKind::vector;
      field.dimension = o.dimension;
      encoding.separator = separator_of(o);
      if (o.dimension < 1) at_.fail("a vector needs its `dimension`, how many numbers it has");
    } else if (o.kind == "sequence") {
      field.kind = FieldKind::sequence;
      field.max_length = o.max_length;
      field.pooling = o.pooling;
      field.target = o.target;
      field.paired_with = o.paired;
      field.weighted = !o.weights.empty();
      encoding.separator = separator_of(o);
      encoding.weights = o.weights;
      if (field.weighted && !o.paired.empty())
        at_["weights"].fail("a paired sequence has its leader's weights; leave it out");
    }
    push(field, encoding, o);
  }

  std::string separator_of(const FieldOptions& o) {
    if (!o.separator.empty()) return o.separator;
    return spec_.reader.has("name") && spec_.reader["name"].as<std::string>() == "recbole" ? " " : "^";
  }

  void add_history(const FieldOptions& o) {
    for (const auto& [key, value] : {std::pair{"name", o.name}, {"user", o.user}, {"item", o.item}, {"time", o.time}}) {
      if (value.empty()) at_[key].fail("missing; a history needs name, user, item and time");
    }
    if (o.filter) check_filter(*o.filter, at_["filter"]);
    Field field;
    field.name = o.name;
    field.kind = FieldKind::sequence;
    field.max_length = o.max_length;
    field.pooling = o.pooling;
    FieldEncoding encoding;
    encoding.column = o.name;
    encoding.separator = "^";
    encoding.history = true;
    history_items_.push_back({spec_.fields.size(), o.item, "", true});
    push(field, encoding, o);
    for (const SideOptions& side : o.side) {
      if (side.column.empty() || side.name.empty()) at_["side"].fail("each side needs a column and a name");
      Field pair = field;
      pair.name = side.name;
      pair.pooling = side.pooling;
      pair.paired_with = field.name;
      encoding.column = side.name;
      history_items_.push_back({spec_.fields.size(), side.column, side.share, false});
      push(pair, encoding, o);
    }
  }

  void push(Field field, const FieldEncoding& encoding, const FieldOptions& o) {
    field.encoding = to_config(encoding);
    for (const Field& other : spec_.fields) {
      if (other.name == field.name)
        at_.fail(fmt::format("two fields are called '{}'; give one another `name`", field.name));
    }
    spec_.fields.push_back(std::move(field));
    spec_.field_options.push_back(o);
    places_.push_back(at_);
  }

  /// The categorical field that reads a raw column.
  const Field* reader_of(const std::string& column) const {
    for (const Field& f : spec_.fields) {
      if (f.kind == FieldKind::categorical && f.encoding["column"].as<std::string>() == column) return &f;
    }
    return nullptr;
  }

  size_t index_of(const std::string& name, size_t from) const {
    std::vector<std::string> names;
    for (size_t i = 0; i < spec_.fields.size(); ++i) {
      if (spec_.fields[i].name == name && i != from) return i;
      if (i != from) names.push_back(spec_.fields[i].name);
    }
    const std::string close = nearest(name, names);
    places_[from].fail(fmt::format("there is no other field '{}'{}", name,
                                   close.empty() ? "" : fmt::format("; did you mean '{}'?", close)));
  }

  void share_tables() {
    std::vector<std::string> shares(spec_.fields.size());
    for (size_t i = 0; i < shares.size(); ++i) {
      if (spec_.field_options[i].kind != "history") shares[i] = spec_.field_options[i].share;
      for (const std::string& other : {spec_.fields[i].target, spec_.fields[i].paired_with}) {
        if (!other.empty()) index_of(other, i);
      }
    }
    for (const HistoryItem& h : history_items_) {
      const Field* const source = reader_of(h.column);
      shares[h.field] = !h.share.empty() ? h.share : source ? source->name : "";
      if (h.is_item && source) spec_.fields[h.field].target = source->name;
      if (source && source->encoding.has("first_of") && shares[h.field] == source->name)
        spec_.fields[h.field].encoding.set("first_of", source->encoding["first_of"]);
    }
    for (size_t i = 0; i < shares.size(); ++i) {
      Field& field = spec_.fields[i];
      if (field.kind != FieldKind::categorical && field.kind != FieldKind::sequence) continue;
      size_t owner = i;
      for (size_t steps = 0; !shares[owner].empty(); ++steps) {
        owner = index_of(shares[owner], owner);
        if (steps > shares.size()) places_[i].fail("fields share each other's table in a circle");
      }
      field.table = spec_.fields[owner].name;
      if (owner != i) join_table(i, owner);
    }
  }

  void join_table(size_t i, size_t owner) {
    const FieldOptions& o = spec_.field_options[i];
    const Field& of = spec_.fields[owner];
    if (of.kind != FieldKind::categorical && of.kind != FieldKind::sequence) {
      places_[i].fail(fmt::format("shares the table of '{}', which has none", of.name));
    }
    if (o.kind != "history" && (o.min_count || o.hash_buckets > 0)) {
      places_[i].fail(fmt::format("min_count and hash_buckets belong to '{}', whose table it shares", of.name));
    }
    if (spec_.field_options[owner].hash_buckets == 0) return;
    const auto buckets = std::to_string(spec_.field_options[owner].hash_buckets);
    spec_.fields[i].encoding.set("values.hash_buckets", Config::scalar(buckets));
  }

  void set_min_counts() {
    for (size_t i = 0; i < spec_.fields.size(); ++i) {
      const FieldOptions& o = spec_.field_options[i];
      if (o.hash_buckets > 0 && o.min_count) places_[i].fail("hash_buckets needs no min_count; leave one out");
      if (spec_.fields[i].table != spec_.fields[i].name) continue;
      spec_.min_count[spec_.fields[i].table] = o.min_count.value_or(spec_.options.min_count);
    }
  }

  struct HistoryItem {
    size_t field;
    std::string column, share;
    bool is_item;
  };
  DataSpec& spec_;
  const Config& data_;
  Config at_;
  std::vector<Config> places_;
  std::vector<HistoryItem> history_items_;
};

std::vector<LabelOptions> parse_labels(const Config& label) {
  std::vector<LabelOptions> labels;
  const auto items = label.is_map() ? std::vector<Config>{label} : label.items();
  for (const Config& item : items) {
    LabelOptions& options = labels.emplace_back();
    if (item.is_map()) {
      read_options(options, item, "label");
    } else {
      options.column = item.as<std::string>();
    }
    if (options.column.empty()) item.fail("names no column, as in {column: rating, at_least: 4}");
    if (options.name.empty()) options.name = options.column;
    if (options.missing && options.optional)
      item.fail("an empty cell is either without the label (optional) or the number `missing`; leave one out");
    if (options.missing && *options.missing != 0 && *options.missing != 1 && !options.compares())
      item["missing"].fail("expected 0 or 1, as a label has to be");
    if (options.only) check_filter(*options.only, item["only"]);
    const auto same =
        std::find_if(labels.begin(), labels.end() - 1, [&](const auto& l) { return l.name == options.name; });
    if (same != labels.end() - 1)
      item.fail(fmt::format("two labels are called '{}'; leave one out, or give it another `name`", options.name));
  }
  if (labels.empty()) label.fail("names no column");
  return labels;
}

void check_sources(const DataOptions& o, const Config& data) {
  if (o.split.has_value() == o.files.has_value()) {
    data.fail("expected either `files: {train: ..., valid: ..., test: ...}` or `file: ...` with `split: {by: ...}`");
  }
  if (o.files) {
    if (!o.file.empty()) data["file"].fail("goes with `split`, not with `files`; leave one out");
    if (o.files->train.empty())
      data["files"]["train"].fail("missing; the vocabularies are fitted on the training rows");
    return;
  }
  const Config split = data["split"];
  if (o.file.empty()) data["file"].fail("missing; `split` divides the rows of `file`");
  double sum = 0;
  for (const double r : o.split->ratios) sum += r;
  if (o.split->ratios.size() > 3 || o.split->ratios.empty() || std::abs(sum - 1) > 1e-9) {
    split["ratios"].fail(
        fmt::format("expected up to three shares that add up to 1, found [{}]", fmt::join(o.split->ratios, ", ")));
  }
  if (o.split->by != "random" && o.split->time.empty() && o.time.empty())
    split["time"].fail("missing; which column says when?");
  if (o.split->by == "user_time" && o.split->user.empty())
    split["user"].fail("missing; which column says whose row it is?");
}

/// `format` and `header` of `at` as one map for readers().
Config merge_reader(const Config& format, const std::vector<std::string>& header, const Config& at) {
  Config reader = format;
  if (reader.is_scalar()) {
    Config named;
    named.set("name", Config::scalar(reader.as<std::string>(), true));
    reader = named;
  }
  if (!reader.is_map()) at["format"].fail("expected a reader's name, or a map with its name and options");
  readers().find(format);  // an unknown one is named where it was written
  if (!header.empty()) {
    if (reader.has("header")) at["header"].fail("is also given below `format`; leave one out");
    std::vector<Config> names;
    for (const auto& name : header) names.push_back(Config::scalar(name, true));
    reader.set("header", Config::sequence(std::move(names)));
  }
  return reader;
}

void parse_joins(DataSpec& spec, const Config& data) {
  Config rows = spec.reader;
  rows.erase("header");  // the names of the rows' columns
  for (size_t i = 0; i < spec.options.join.size(); ++i) {
    JoinOptions& join = spec.options.join[i];
    const Config at = data["join"].at(i);
    for (const auto& [key, value] : {std::pair{"file", join.file}, {"key", join.key}}) {
      if (value.empty()) at[key].fail("missing; a joined table is written {file: items.csv, key: item}");
    }
    join.header = expand_ranges(join.header, at["header"]);
    spec.join_readers.push_back(merge_reader(join.format.value_or(rows), join.header, at));
  }
}

/// `data` with ranges expanded and every default in place. What it says is not changed, nor does a machine's path
/// enter.
Config resolve(const DataSpec& spec, const Config& data) {
  Config out = write_options(spec.options);
  out.erase("root");
  for (const char* key : {"files", "file", "split", "join", "filter", "header", "weight", "group", "time"}) {
    if (!data.has(key)) out.erase(key);
  }
  return out;
}

}  // namespace

std::vector<std::string> expand_range(const std::string& name) {
  const size_t dots = name.find("..");
  if (dots == std::string::npos) return {name};
  const std::string first = name.substr(0, dots), last = name.substr(dots + 2);
  const size_t first_digits = digits_at_end(first), last_digits = digits_at_end(last);
  if (first_digits == 0 && last_digits == 0) return {name};  // a column may be called a..b
  const std::string stem = first.substr(0, first.size() - first_digits);
  int64_t from = 0, to = -1;
  std::from_chars(first.data() + stem.size(), first.data() + first.size(), from);
  std::from_chars(last.data() + last.size() - last_digits, last.data() + last.size(), to);
  INTERPLAY_CHECK(
      first_digits > 0 && last_digits > 0 && last_digits < 10 && stem == last.substr(0, last.size() - last_digits) &&
          from <= to && to - from < 1000000,
      "'{}' is not a range of columns; expected two names that differ in the number at their end, as I1..I13", name);
  const size_t width = first[stem.size()] == '0' ? first_digits : 0;
  std::vector<std::string> out;
  for (int64_t i = from; i <= to; ++i) out.push_back(fmt::format("{}{:0{}}", stem, i, width));
  return out;
}

DataSpec DataSpec::parse(const Config& data) {
  DataSpec spec;
  DataOptions& o = spec.options;
  read_options(o, data, "data.yaml");
  o.header = expand_ranges(o.header, data["header"]);
  check_sources(o, data);
  if (!o.label) data["label"].fail("missing; which column says whether it was clicked?");
  spec.labels = parse_labels(*o.label);
  spec.reader = merge_reader(o.format, o.header, data);
  parse_joins(spec, data);
  if (o.filter) check_filter(*o.filter, data["filter"]);
  FieldParser(spec, data).parse();
  if (o.split && o.split->by != "random" && o.split->time.empty()) o.split->time = o.time;
  Schema(spec.fields, spec.label_names());  // refuses pairs and targets that cannot be
  spec.resolved = resolve(spec, data);
  const std::filesystem::path source = data.source();
  spec.root = !o.root.empty() ? std::filesystem::path(o.root) : std::filesystem::path();
  if (spec.root.is_relative() && std::filesystem::exists(source)) spec.root = source.parent_path() / spec.root;
  return spec;
}

std::vector<std::string> DataSpec::label_names() const {
  std::vector<std::string> names;
  for (const auto& label : labels) names.push_back(label.name);
  return names;
}

Schema DataSpec::plain_schema() const {
  std::vector<Field> plain;
  for (size_t f = 0; f < fields.size(); ++f) {
    if (field_options[f].kind != "history") plain.push_back(fields[f]);
  }
  return Schema(std::move(plain), label_names());
}

bool DataSpec::has_history() const {
  return std::any_of(field_options.begin(), field_options.end(), [](const auto& o) { return o.kind == "history"; });
}

}  // namespace interplay
