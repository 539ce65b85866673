#include "data/spec/data_spec.h"

#include <algorithm>
#include <charconv>
#include <set>

#include <interplay/base/printable.h>
#include <interplay/base/section.h>
#include <interplay/data/reader.h>

#include "data/read/parsing_reader.h"

namespace interplay {
namespace {

/// The keys of an entry of `fields:`, and of which kinds they are: what the kinds declare, together.
std::vector<OptionLine> field_lines() {
  return detail::describe([](const detail::Choices& chosen) {
    const auto kind = std::find_if(chosen.begin(), chosen.end(), [](const auto& c) { return c.first == "kind"; });
    return field_kinds().about(kind == chosen.end() ? KindOptions().kind : kind->second).options();
  });
}

std::vector<OptionLine> data_lines() {
  std::vector<OptionLine> lines = describe_options<DataOptions>();
  const auto fields = std::find_if(lines.begin(), lines.end(), [](const OptionLine& l) { return l.name == "fields"; });
  fields->type = "list of map";
  detail::append_below(lines, "fields", field_lines());
  return lines;
}

const detail::SectionDeclaration data_section("data", "data.yaml", &data_lines);
const detail::SectionDeclaration fields_section("fields", "an entry of `fields:` in data.yaml", &field_lines);
INTERPLAY_SECTION("label", LabelOptions, "`label:` in data.yaml, where it is a map or a list of maps");
INTERPLAY_SECTION("split", SplitOptions, "`split:` in data.yaml");

/// Parses fields: an entry may declare many.
class FieldParser {
 public:
  FieldParser(DataSpec& spec, const Config& data) : spec_(spec), data_(data) {}

  void parse() {
    const Config list = data_["fields"];
    if (!list.is_sequence() || list.size() == 0) list.fail("missing; expected a list of at least one field");
    for (const Config& entry : list.items()) add(entry);
    share_tables();
    set_min_counts();
    for (size_t i = 0; i < declared_.size(); ++i) {
      declared_[i].field.encoding = to_config(declared_[i].encoding);
      spec_.fields.push_back(declared_[i].field);
      spec_.catalogues.push_back(declared_[i].catalogue);
    }
    std::vector<PastEvents> past;
    for (const auto& entry : entries_) {
      for (auto& events : entry->past()) past.push_back(std::move(events));
    }
    for (const auto& entry : entries_) entry->link(spec_.fields, past);
    check_lists();
  }

 private:
  void add(const Config& entry) {
    if (!entry.is_map()) entry.fail("expected a map of options");
    FieldContext context;
    context.at = entry;
    context.missing_tokens = spec_.options.missing_tokens;
    if (spec_.reader.has("name") && spec_.reader["name"].as<std::string>() == "recbole") context.separator = " ";
    const std::string kind = entry.get<std::string>("kind", KindOptions().kind);
    detail::check_one_of(entry["kind"], kind, OneOf{field_kinds().names()});
    const auto source = field_kinds().find(Config::scalar(kind, true)).make(context, entry);
    for (DeclaredField& each : source->fields()) {
      for (const DeclaredField& other : declared_) {
        if (other.field.name == each.field.name)
          entry.fail(fmt::format("two fields are called '{}'; give one another `name`", each.field.name));
      }
      declared_.push_back(std::move(each));
      spec_.sources.push_back(source);
      places_.push_back(entry);
    }
    entries_.push_back(source);
    spec_.options.fields[entries_.size() - 1] = source->resolved();
  }

  /// Two entries that make lists of one name would read each other's.
  void check_lists() const {
    std::set<std::string> names;
    for (const PastEvents& past : spec_.past()) {
      for (const auto& name : past.lists()) {
        if (!names.insert(name).second)
          data_["fields"].fail(fmt::format("two lists of past events are called '{}'; rename one of them", name));
      }
    }
  }

  static bool has_table(const DeclaredField& d) {
    return d.field.kind == FieldKind::categorical || d.field.kind == FieldKind::sequence;
  }

  /// The categorical field that reads a raw column.
  const DeclaredField* reader_of(const std::string& column) const {
    if (column.empty()) return nullptr;
    for (const DeclaredField& d : declared_) {
      if (d.field.kind == FieldKind::categorical && d.encoding.column == column) return &d;
    }
    return nullptr;
  }

  size_t index_of(const std::string& name, size_t from) const {
    std::vector<std::string> names;
    for (size_t i = 0; i < declared_.size(); ++i) {
      if (declared_[i].field.name == name && i != from) return i;
      if (i != from) names.push_back(declared_[i].field.name);
    }
    const std::string close = nearest(name, names);
    places_[from].fail(fmt::format("there is no other field '{}'{}", name,
                                   close.empty() ? "" : fmt::format("; did you mean '{}'?", close)));
  }

  void share_tables() {
    std::vector<std::string> shares;
    for (size_t i = 0; i < declared_.size(); ++i) {
      const DeclaredField& d = declared_[i];
      for (const std::string& other : {d.field.target, d.field.paired_with}) {
        if (!other.empty()) index_of(other, i);
      }
      const DeclaredField* const item = reader_of(d.share_item);
      shares.push_back(!d.share.empty() ? d.share : item ? item->field.name : "");
    }
    for (size_t i = 0; i < shares.size(); ++i) {
      DeclaredField& d = declared_[i];
      const DeclaredField* const item = reader_of(d.share_item);
      if (!item) continue;
      if (d.is_history_of_item) d.field.target = item->field.name;
      if (shares[i] == item->field.name) d.encoding.first_of = item->encoding.first_of;
    }
    for (size_t i = 0; i < shares.size(); ++i) {
      if (!has_table(declared_[i])) continue;
      size_t owner = i;
      for (size_t steps = 0; !shares[owner].empty(); ++steps) {
        owner = index_of(shares[owner], owner);
        if (steps > shares.size()) places_[i].fail("fields share each other's table in a circle");
      }
      declared_[i].field.table = declared_[owner].field.name;
      if (owner != i) join_table(i, owner);
    }
  }

  void join_table(size_t i, size_t owner) {
    DeclaredField& d = declared_[i];
    const DeclaredField& of = declared_[owner];
    if (!has_table(of)) places_[i].fail(fmt::format("shares the table of '{}', which has none", of.field.name));
    if (d.min_count || d.encoding.values.hash_buckets > 0) {
      places_[i].fail(fmt::format("min_count and hash_buckets belong to '{}', whose table it shares", of.field.name));
    }
    d.encoding.values.hash_buckets = of.encoding.values.hash_buckets;
  }

  void set_min_counts() {
    for (size_t i = 0; i < declared_.size(); ++i) {
      const DeclaredField& d = declared_[i];
      const bool own = d.field.table == d.field.name;
      if (!d.catalogue.empty() && d.encoding.values.hash_buckets > 0)
        places_[i]["catalogue"].fail("ids by hash need no list of values; leave it out, or hash_buckets");
      if (own && d.encoding.values.hash_buckets > 0 && d.min_count)
        places_[i].fail("hash_buckets needs no min_count; leave one out");
      if (own) spec_.min_count[d.field.table] = d.min_count.value_or(spec_.options.min_count);
    }
  }

  DataSpec& spec_;
  const Config& data_;
  std::vector<std::shared_ptr<FieldSource>> entries_;
  std::vector<DeclaredField> declared_;
  std::vector<Config> places_;  // beside declared_
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
    if (options.only) options.only->check(item["only"]);
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
  if (o.split->of_users() && o.split->user.empty()) split["user"].fail("missing; which column says whose row it is?");
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
  if (spec.options.filter && spec.options.filter->also.empty()) {  // as it was written before there was `also`
    Config filter = out["filter"];
    filter.erase("also");
    out.set_key("filter", filter);
  }
  return out;
}

/// Names and tokens end in files of text, which are UTF-8; paths may be any bytes.
void check_text(const Config& at) {
  const auto check = [&](const std::string& text) {
    if (!is_utf8(text)) {
      at.fail(
          fmt::format("'{}' is not UTF-8; write data.yaml in UTF-8 (the rows may be Latin-1: format: {{name: csv, "
                      "encoding: latin1}})",
                      printable(text)));
    }
  };
  if (at.is_map()) {
    for (const auto& key : at.keys()) {
      check(key);
      if (key != "root" && key != "file" && key != "files") check_text(at[key]);
    }
  } else if (at.is_sequence()) {
    for (size_t i = 0; i < at.size(); ++i) check_text(at.at(i));
  } else if (!at.is_null()) {
    check(at.as<std::string>());
  }
}

}  // namespace

DataSpec DataSpec::parse(const Config& data) {
  DataSpec spec;
  DataOptions& o = spec.options;
  check_text(data);
  read_options(o, data, "data.yaml");
  o.header = expand_ranges(o.header, data["header"]);
  check_sources(o, data);
  if (!o.label) data["label"].fail("missing; which column says whether it was clicked?");
  spec.labels = parse_labels(*o.label);
  spec.reader = merge_reader(o.format, o.header, data);
  parse_joins(spec, data);
  if (o.filter) {
    o.filter->check(data["filter"]);
    for (size_t i = 0; i < o.filter->also.size(); ++i) o.filter->also[i].check(data["filter"]["also"].at(i));
  }
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

std::shared_ptr<const FieldSource> DataSpec::source_of(std::string_view field) const {
  for (size_t f = 0; f < fields.size(); ++f) {
    if (fields[f].name == field) return sources[f];
  }
  return nullptr;
}

std::vector<PastEvents> DataSpec::past(const Schema& wanted) const {
  std::vector<PastEvents> out;
  std::set<const FieldSource*> seen;
  for (size_t f = 0; f < fields.size(); ++f) {
    if (!wanted.find(fields[f].name) || !seen.insert(sources[f].get()).second) continue;
    for (auto& past : sources[f]->past()) out.push_back(std::move(past));
  }
  return out;
}

std::vector<PastEvents> DataSpec::past() const { return past(Schema(fields, label_names())); }

Schema DataSpec::plain_schema() const {
  std::vector<Field> plain;
  for (size_t f = 0; f < fields.size(); ++f) {
    if (sources[f]->past().empty()) plain.push_back(fields[f]);
  }
  return Schema(std::move(plain), label_names());
}

}  // namespace interplay
