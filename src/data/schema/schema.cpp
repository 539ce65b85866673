#include <interplay/data/schema.h>

#include <algorithm>
#include <map>
#include <set>

#include <interplay/base/files.h>
#include <interplay/base/options.h>
#include <interplay/data/vector_book.h>

namespace interplay {
namespace {

constexpr int64_t kFormat = 1;                         // of schema.yaml
constexpr int64_t kMostRows = (int64_t{1} << 31) - 2;  // ids are int32
constexpr int64_t kMostTextColumns = 127;              // their places are 8-bit
const std::vector<std::string> kKinds = {"categorical", "numeric", "sequence", "vector", "text"};

bool reads_table(const Field& field) {
  return field.kind == FieldKind::categorical || field.kind == FieldKind::sequence;
}

void check_reference(const std::vector<Field>& fields, const Field& from, const std::string& to, const char* as) {
  if (to.empty()) return;
  std::vector<std::string> names;
  for (const Field& f : fields) names.push_back(f.name);
  INTERPLAY_CHECK(std::find(names.begin(), names.end(), to) != names.end() && to != from.name,
                  "field '{}': its {} '{}' is not another field (fields: {})", from.name, as, to,
                  fmt::join(names, ", "));
}

Config text(const std::string& value) { return Config::scalar(value, true); }
Config number(int64_t value) { return Config::scalar(std::to_string(value)); }

Config to_yaml(const Field& field) {
  const Field plain;
  Config out;
  out.set("name", text(field.name));
  out.set("kind", text(to_string(field.kind)));
  if (reads_table(field)) {
    out.set("table", text(field.table));
    out.set("rows", number(field.rows));
    if (field.width != plain.width) out.set("width", number(field.width));
  }
  if (field.kind == FieldKind::text) {
    out.set("rows", number(field.rows));
    std::vector<Config> columns;
    for (const auto& name : field.text_columns) columns.push_back(text(name));
    out.set("text_columns", Config::sequence(std::move(columns)));
  }
  if (field.dimension != plain.dimension) out.set("dimension", number(field.dimension));
  if (field.max_length != plain.max_length) out.set("max_length", number(field.max_length));
  if (field.kind == FieldKind::sequence) out.set("pooling", text(field.pooling));
  if (!field.target.empty()) out.set("target", text(field.target));
  if (!field.paired_with.empty()) out.set("paired_with", text(field.paired_with));
  if (field.weighted) out.set("weighted", Config::scalar("true"));
  if (field.given) out.set("given", Config::scalar("true"));
  if (field.encoding.size() > 0) out.set("encoding", field.encoding);
  if (field.pretrained.size() > 0) out.set("pretrained", field.pretrained);
  return out;
}

Field from_yaml(const Config& config) {
  static const std::vector<std::string> known = {"name",      "kind",       "table",    "rows",         "width",
                                                 "dimension", "max_length", "pooling",  "target",       "paired_with",
                                                 "weighted",  "given",      "encoding", "text_columns", "pretrained"};
  for (const auto& key : config.keys()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      config[key].fail(fmt::format("unknown key of a field (keys: {})", fmt::join(known, ", ")));
    }
  }
  Field field;
  field.name = config["name"].as<std::string>();
  field.kind = parse_field_kind(config["kind"]);
  field.table = config.get<std::string>("table", "");
  field.rows = config.get<int64_t>("rows", 0);
  field.width = config.get<int64_t>("width", 0);
  field.dimension = config.get<int64_t>("dimension", 0);
  field.max_length = config.get<int64_t>("max_length", 0);
  field.pooling = config.get<std::string>("pooling", "mean");
  field.target = config.get<std::string>("target", "");
  field.paired_with = config.get<std::string>("paired_with", "");
  field.weighted = config.get<bool>("weighted", false);
  field.given = config.get<bool>("given", false);
  if (config["encoding"].defined()) field.encoding = config["encoding"];
  if (config["text_columns"].defined()) {
    for (const Config& name : config["text_columns"].items()) field.text_columns.push_back(name.as<std::string>());
  }
  if (config["pretrained"].defined()) field.pretrained = config["pretrained"];
  return field;
}

}  // namespace

std::string to_string(FieldKind kind) { return kKinds[size_t(kind)]; }

FieldKind parse_field_kind(const Config& name) {
  const auto found = std::find(kKinds.begin(), kKinds.end(), name.as<std::string>());
  if (found == kKinds.end()) detail::check_one_of(name, name.as<std::string>(), OneOf{kKinds});
  return FieldKind(found - kKinds.begin());
}

Schema::Schema(std::vector<Field> fields, std::vector<std::string> labels)
    : fields_(std::move(fields)), labels_(std::move(labels)) {
  std::set<std::string> names;
  std::map<std::string, const Field*> tables;
  int64_t columns[5] = {};
  for (Field& field : fields_) {
    INTERPLAY_CHECK(!field.name.empty(), "a field has no name; give it one");
    INTERPLAY_CHECK(names.insert(field.name).second, "two fields are called '{}'; rename one of them", field.name);
    field.column = columns[size_t(field.kind)]++;
    if (field.kind == FieldKind::vector) {
      INTERPLAY_CHECK(field.dimension >= 0, "field '{}': dimension {} is negative", field.name, field.dimension);
    }
    INTERPLAY_CHECK(field.max_length >= 0, "field '{}': max_length {} is negative", field.name, field.max_length);
    INTERPLAY_CHECK(field.rows >= 0 && field.rows <= kMostRows, "field '{}': {} rows; expected at most {}", field.name,
                    field.rows, kMostRows);
    INTERPLAY_CHECK(int64_t(field.text_columns.size()) <= kMostTextColumns,
                    "field '{}': a text of {} columns; expected at most {}", field.name, field.text_columns.size(),
                    kMostTextColumns);
    if (!reads_table(field)) continue;
    if (field.table.empty()) field.table = field.name;
    INTERPLAY_CHECK(field.width >= 0, "field '{}': width {} is negative", field.name, field.width);
    const auto [it, fresh] = tables.emplace(field.table, &field);
    INTERPLAY_CHECK(fresh || it->second->width == field.width,
                    "table '{}' is {} wide for field '{}' and {} for field '{}'; fields that share a table share it",
                    field.table, it->second->width, it->second->name, field.width, field.name);
    INTERPLAY_CHECK(
        fresh || it->second->rows == field.rows,
        "table '{}' has {} rows for field '{}' and {} for field '{}'; fields that share a table share its size",
        field.table, it->second->rows, it->second->name, field.rows, field.name);
  }
  for (const Field& field : fields_) {
    check_reference(fields_, field, field.target, "target");
    check_reference(fields_, field, field.paired_with, "paired sequence");
    if (field.paired_with.empty()) continue;
    const Field& leader = this->field(field.paired_with);
    INTERPLAY_CHECK(
        field.kind == FieldKind::sequence && leader.kind == FieldKind::sequence && leader.paired_with.empty(),
        "field '{}': paired with '{}', but only a sequence can be paired, and only with one that leads", field.name,
        leader.name);
  }
}

const Field* Schema::find(std::string_view name) const {
  for (const Field& f : fields_) {
    if (f.name == name) return &f;
  }
  return nullptr;
}

const Field& Schema::field(std::string_view name) const {
  if (const Field* found = find(name)) return *found;
  std::vector<std::string> names;
  for (const Field& f : fields_) names.push_back(f.name);
  const std::string close = nearest(name, names);
  throw Error(fmt::format("there is no field '{}'{} (fields: {})", name,
                          close.empty() ? "" : fmt::format("; did you mean '{}'?", close), fmt::join(names, ", ")));
}

std::vector<const Field*> Schema::of(FieldKind kind) const {
  std::vector<const Field*> out;
  for (const Field& f : fields_) {
    if (f.kind == kind) out.push_back(&f);
  }
  return out;
}

int64_t Schema::count(FieldKind kind) const {
  return std::count_if(fields_.begin(), fields_.end(), [&](const Field& f) { return f.kind == kind; });
}

std::vector<Table> Schema::tables() const {
  std::vector<Table> out;
  for (const Field& f : fields_) {
    if (!reads_table(f)) continue;
    if (std::none_of(out.begin(), out.end(), [&](const Table& t) { return t.name == f.table; })) {
      out.push_back({f.table, f.rows});
    }
  }
  return out;
}

Schema Schema::keep(const std::vector<std::string>& names) const {
  std::set<std::string> wanted;
  for (const auto& name : names) wanted.insert(field(name).name);
  std::vector<Field> kept;
  for (Field f : fields_) {
    if (!wanted.contains(f.name) || (!f.paired_with.empty() && !wanted.contains(f.paired_with))) continue;
    if (!wanted.contains(f.target)) f.target.clear();
    kept.push_back(std::move(f));
  }
  return with(std::move(kept), labels_);
}

Schema Schema::drop(const std::vector<std::string>& names) const {
  std::set<std::string> unwanted;
  for (const auto& name : names) unwanted.insert(field(name).name);
  std::vector<std::string> rest;
  for (const Field& f : fields_) {
    if (!unwanted.contains(f.name)) rest.push_back(f.name);
  }
  return keep(rest);
}

Schema Schema::with_widths(const std::map<std::string, int64_t>& widths) const {
  std::vector<std::string> names;
  for (const auto& t : tables()) names.push_back(t.name);
  for (const auto& [name, width] : widths) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      const std::string close = nearest(name, names);
      throw Error(fmt::format("there is no table '{}'{} (tables: {})", name,
                              close.empty() ? "" : fmt::format("; did you mean '{}'?", close), fmt::join(names, ", ")));
    }
    INTERPLAY_CHECK(width >= 1, "table '{}' cannot be {} wide; expected at least 1", name, width);
  }
  std::vector<Field> fields = fields_;
  for (Field& f : fields) {
    const auto own = reads_table(f) ? widths.find(f.table) : widths.end();
    f.width = own == widths.end() ? 0 : own->second;
  }
  return with(std::move(fields), labels_);
}

Schema Schema::with_vectors(const std::map<std::string, Config>& pretrained, const Config& appended) const {
  for (const auto& [name, source] : pretrained) field(name);  // throws where there is none
  std::vector<Field> fields = fields_;
  for (Field& f : fields) {
    const auto own = pretrained.find(f.name);
    f.pretrained = own == pretrained.end() ? Config() : own->second;
  }
  Schema out = with(std::move(fields), labels_);
  out.augment = appended;
  return out;
}

Schema Schema::plain() const {
  Schema out = with_widths({}).with_vectors({}, {});
  out.vectors.reset();
  return out;
}

Schema Schema::with_labels(std::vector<std::string> labels) const { return with(fields_, std::move(labels)); }

/// Fields and labels in place of those that it has; all else stays.
Schema Schema::with(std::vector<Field> fields, std::vector<std::string> labels) const {
  Schema out(std::move(fields), std::move(labels));
  out.source = source;
  out.augment = augment;
  out.vectors = vectors;
  return out;
}

uint64_t Schema::fingerprint() const {
  std::string text = fmt::format("interplay schema {}\n", kFormat);
  for (const Field& f : fields_) {
    text += fmt::format("{}:{} {} {}:{} {} {}\n", f.name.size(), f.name, to_string(f.kind), f.table.size(), f.table,
                        f.rows, f.dimension);
    // what a fitted encoder put there: the tokens' checksum, buckets, transform and its numbers
    if (f.encoding.has("values")) text += f.encoding["values"].yaml();
  }
  for (const auto& label : labels_) text += fmt::format("label {}:{}\n", label.size(), label);
  return hash64(text);
}

Schema Schema::load(const std::filesystem::path& file) {
  try {
    const Config config = Config::parse(read_file(file), file.string());
    const auto format = config["format"].as<int64_t>();
    if (format != kFormat) {
      config["format"].fail(
          fmt::format("format {} is not known; this version of Interplay reads format {}", format, kFormat));
    }
    std::vector<Field> fields;
    for (const Config& item : config["fields"].items()) fields.push_back(from_yaml(item));
    std::vector<std::string> labels;
    for (const Config& item : config["labels"].items()) labels.push_back(item.as<std::string>());
    Schema schema(std::move(fields), std::move(labels));
    if (config["source"].defined()) schema.source.set("", config["source"]);
    if (config["augment"].defined()) schema.augment = config["augment"];
    schema.vectors = std::make_shared<VectorBook>(file.parent_path(), config["vectors"]);
    const auto stated = config["fingerprint"].as<std::string>();
    const auto found = fmt::format("{:016x}", schema.fingerprint());
    if (stated != found) {
      config["fingerprint"].fail(
          fmt::format("the file says {}, its fields give {}; it was changed after it was written", stated, found));
    }
    return schema;
  } catch (const Error& problem) {
    const std::string what = problem.what();
    const bool named = what.find(file.string()) != std::string::npos;
    throw Error(named ? what : fmt::format("{}: {}", file.string(), what), ErrorKind::data);
  }
}

void Schema::save(const std::filesystem::path& file) const {
  Config out;
  out.set("format", number(kFormat));
  std::vector<Config> labels, fields;
  for (const auto& label : labels_) labels.push_back(text(label));
  for (const Field& field : fields_) fields.push_back(to_yaml(field));
  out.set("labels", Config::sequence(std::move(labels)));
  out.set("fields", Config::sequence(std::move(fields)));
  if (augment.size() > 0) out.set("augment", augment);
  if (const Config list = vectors ? vectors->list() : Config(); list.size() > 0) out.set("vectors", list);
  if (source.size() > 0) out.set("source", source);
  out.set("fingerprint", text(fmt::format("{:016x}", fingerprint())));  // last, so that a cut file lacks it
  write_file(file, out.yaml());
}

}  // namespace interplay
