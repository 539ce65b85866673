#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <interplay/base/config.h>

namespace interplay {

class VectorBook;

/// The shapes in which values are stored and models see them. What `kind:` of a data.yaml names (field_kinds()) is
/// where they come from: a history is a sequence.
enum class FieldKind { categorical, numeric, sequence, vector, text };
INTERPLAY_API std::string to_string(FieldKind kind);
INTERPLAY_API FieldKind parse_field_kind(const Config& name);

/// One input of a model.
struct INTERPLAY_API Field {
  std::string name;
  FieldKind kind = FieldKind::categorical;
  std::string table;  ///< categorical, sequence: vocabulary and embedding table it reads; its own name unless shared
  int64_t rows = 0;   ///< of that table: 0 = padding, 1..n tokens by falling count (or buckets of a hash), last =
                      ///< unseen; text: token ids
  int64_t width = 0;  ///< of a row of that table, where narrower than the model's vectors (fields.widths); 0 = as wide
  int64_t dimension = 0;         ///< vector: how many numbers; text: of its ids the last so many stand for vectors, not
                                 ///< for tokens (soft prompts)
  int64_t max_length = 0;        ///< sequence: entries; text: tokens; 0 = any number
  std::string pooling = "mean";  ///< sequence: mean | sum, where a model wants one vector
  std::string target;            ///< sequence: the field whose value it is a history of, as item_id; "" = none
  std::string paired_with;  ///< sequence: its i-th entry belongs to the i-th of this sequence (same offsets); "" = none
  bool weighted = false;    ///< sequence: every entry has a weight
  bool given = false;       ///< what its values are is looked up by who knows them (augmenters, vectors by key): no
                            ///< model learns a vector of each, and values of any split have ids
  std::vector<std::string> text_columns;  ///< text: names behind Tokens::columns
  Config encoding;                        ///< how a raw value becomes an id or number; read by the Encoder alone
  int64_t column = 0;  ///< place among its kind: column of Features::ids or ::dense, else index of its vector
  Config
      pretrained;  ///< of an experiment: vectors by key for the rows of its table (fields.pretrained); a map, or empty

  int64_t tokens() const { return rows > 2 ? rows - 2 : 0; }  ///< n: ids 1 .. n are tokens of its table
};

/// A vocabulary and the embedding table that goes with it.
struct INTERPLAY_API Table {
  std::string name;
  int64_t rows = 0;
};

/// The fields a model reads and the labels it learns. Immutable but for construction; cheap enough to copy.
class INTERPLAY_API Schema {
 public:
  Schema() = default;
  /// Assigns `column` of each field by order within its kind. Throws Error(config) on a repeated name, a table with two
  /// sizes, or a target or pair that does not exist.
  Schema(std::vector<Field> fields, std::vector<std::string> labels);

  const std::vector<Field>& fields() const { return fields_; }
  const std::vector<std::string>& labels() const { return labels_; }
  const Field& field(std::string_view name) const;  ///< throws Error naming the nearest
  const Field* find(std::string_view name) const;
  std::vector<const Field*> of(FieldKind kind) const;
  int64_t count(FieldKind kind) const;
  std::vector<Table> tables() const;  ///< in order of first use

  /// Only these fields (in this schema's order). A dropped sequence takes those paired with it along.
  Schema keep(const std::vector<std::string>& names) const;
  Schema drop(const std::vector<std::string>& names) const;

  /// Rows of these tables are so wide, all others as wide as the model's vectors. Throws Error on a name that is no
  /// table, or a width below 1.
  Schema with_widths(const std::map<std::string, int64_t>& widths) const;

  /// Vectors by key beside or in place of what is learnt of these fields, and what is appended to the fields of a row:
  /// `pretrained` and `augment` of an experiment's `fields:`. Throws Error on a name that is no field.
  Schema with_vectors(const std::map<std::string, Config>& pretrained, const Config& augment) const;

  Schema with_labels(std::vector<std::string> labels) const;  ///< the same fields, other labels

  /// The same fields as the data have them: no widths, no vectors by key, nothing appended.
  Schema plain() const;

  /// Of everything that decides what an id means to a model: names, kinds, tables, rows, labels. 64 bits, stable.
  uint64_t fingerprint() const;

  Config source;   ///< the resolved data.yaml (format, header, label ...), so that raw rows can be read again
  Config augment;  ///< a list of augmenters, each a name and its options: what FieldEmbedding appends to a row's fields
  std::shared_ptr<VectorBook> vectors;  ///< where vectors by key come from; load() opens it, and save() writes its list
  static Schema load(const std::filesystem::path& file);  ///< schema.yaml
  void save(const std::filesystem::path& file) const;

 private:
  Schema with(std::vector<Field> fields, std::vector<std::string> labels) const;
  std::vector<Field> fields_;
  std::vector<std::string> labels_;
};

/// `directory/vocabulary/<table>.parquet`: the tokens of a table, in prepared data and in runs alike. Characters that a
/// file name should not hold are written as %XX.
INTERPLAY_API std::filesystem::path vocabulary_file(const std::filesystem::path& directory, const std::string& table);

}  // namespace interplay
