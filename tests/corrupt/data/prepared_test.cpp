// Prepared data that were cut or altered are refused, naming the file, and never crash.
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/data/encoder.h>
#include <interplay/data/prepare.h>
#include <interplay/data/split_counts.h>

#include "corrupt/alter.h"
#include "data/schema/vocabulary.h"
#include "data/store/arrow_file.h"
#include "data/store/row_source.h"
#include "support/temp_dir.h"
#include "support/word_piece.h"

namespace fs = std::filesystem;

namespace interplay::testing::prepared_test {
namespace {

using ::testing::HasSubstr;

template <class T>
void put(std::ostream& out, const T* values, int64_t count) {
  if (values) out.write(reinterpret_cast<const char*>(values), std::streamsize(count * int64_t(sizeof(T))));
}

void put(std::ostream& out, const RowBlock& block, const Schema& schema) {
  put(out, block.ids, block.rows * schema.count(FieldKind::categorical));
  put(out, block.dense, block.rows * schema.count(FieldKind::numeric));
  for (const auto& s : block.sequences) {
    put(out, s.offsets, block.rows + 1);
    put(out, s.ids, s.total);
    put(out, s.weights, s.total);
  }
  for (const auto* vector : block.vectors) put(out, vector, 2 * block.rows);
  for (const auto& text : block.texts) {
    put(out, text.tokens.offsets, block.rows + 1);
    put(out, text.tokens.ids, text.tokens.total);
    put(out, text.columns, text.tokens.total);
  }
  put(out, block.labels, block.rows * int64_t(schema.labels().size()));
  put(out, block.weight, block.rows);
  put(out, block.group, block.rows);
  put(out, block.time, block.rows);
}

class PreparedData : public ::testing::Test {
 protected:
  PreparedData() {
    log::set_level(log::Level::off);
    Progress::enable(false);
    std::string rows = "click,user,n,tags,w,v,time\n";
    for (int r = 0; r < 12; ++r) {
      rows +=
          fmt::format("{},u{},{},t{}^t{},{}^0.5,{} {},{}\n", r % 2, r % 5, 1.5 * r, r % 3, r % 4, r, r, -r, 1000 + r);
    }
    for (const char* split : {"train", "valid"}) dir_.write(split + std::string(".csv"), rows);
    write_word_piece(dir_ / "words", {"it", "is", "u", "##0"});
    dir_.write("data.yaml", R"(
files: {train: train.csv, valid: valid.csv}
label: click
group: user
time: time
fields:
  - {column: user}
  - {column: n, kind: numeric, transform: standardise}
  - {column: tags, kind: sequence, weights: w}
  - {column: v, kind: vector, dimension: 2, separator: " "}
  - {name: said, kind: text, template: "it is {user}", tokenizer: ")" +
                                (dir_ / "words").string() + "\"}\n");
    prepare(Config::load(dir_ / "data.yaml"), data_);
    original_ = everything();
  }

  /// All that can be read of the data, as bytes.
  std::string everything() const {
    std::ostringstream out;
    const Encoder encoder = Encoder::load(data_);
    for (const auto& table : encoder.schema().tables()) {
      for (int64_t id = 0; id < table.rows; ++id) out << table.name << id << encoder.token(table.name, id) << "\n";
    }
    for (const char* split : {"train", "valid"}) {
      const auto source = RowSource::open(data_, split);
      out << source->schema().fingerprint();
      for (int64_t b = 0; b < source->blocks(); ++b) put(out, source->block(b), source->schema());
    }
    for (const auto& counts : read_split_counts(data_)) {
      out << counts.split << counts.rows << "\n";
      for (const auto& field : counts.fields)
        out << field.name << field.values << field.missing << field.unseen << "\n";
    }
    return out.str();
  }

  /// Whether reading failed, as it should, with an Error(data) that holds `name`. Anything else is a failure of the
  /// test; reading what was written is not, where `may_mean_the_same`.
  void expect_refused(const std::string& name, const std::string& what, bool may_mean_the_same = false) const {
    try {
      const bool same = everything() == original_;
      EXPECT_TRUE(same && may_mean_the_same) << name << " " << what << ": was read" << (same ? "" : " as other data");
    } catch (const Error& problem) {
      EXPECT_EQ(problem.kind(), ErrorKind::data) << name << " " << what << ": " << problem.what();
      EXPECT_THAT(problem.what(), HasSubstr(name)) << what;
    } catch (const std::exception& problem) {
      ADD_FAILURE() << name << " " << what << ": not an Error: " << problem.what();
    }
  }

  const TempDir dir_;
  const fs::path data_ = dir_ / "data";
  std::string original_;
};

TEST_F(PreparedData, AFileCutOrAlteredAnywhereIsNamed) {
  const auto files = files_below(data_);
  ASSERT_EQ(files.size(), 7u);  // manifest, schema, counts, two vocabularies, two splits
  for (const auto& name : files) {
    const std::string bytes = bytes_of(data_ / name);
    each_alteration(bytes, {}, [&](const std::string& what, const std::string& altered) {
      if (HasFailure()) return;
      put_bytes(data_ / name, altered);
      // 0xAB is 0xab, and JSON has spaces to spare: such a manifest is not wrong.
      expect_refused(name, what, /*may_mean_the_same=*/name == "manifest.json");
    });
    put_bytes(data_ / name, bytes);
  }
  EXPECT_EQ(everything(), original_);
}

TEST_F(PreparedData, AMissingFileIsNamed) {
  for (const auto& name : files_below(data_)) {
    fs::rename(data_ / name, dir_ / "away");
    expect_refused(name, "removed");
    fs::create_directory(data_ / name);
    expect_refused(name, "made a directory");
    fs::remove(data_ / name);
    fs::rename(dir_ / "away", data_ / name);
  }
}

// Below the checksums: what parsers make of files that were altered before they were signed. Whatever is read then is
// believed, but nothing may crash, and whatever is refused names its file.
class SignedData : public PreparedData {
 protected:
  void expect_read_or_refused(const fs::path& file, const std::function<void()>& read) {
    const std::string bytes = bytes_of(file);
    int refused = 0;
    each_alteration(bytes, {.every_below = 8192}, [&](const std::string& what, const std::string& altered) {
      if (HasFailure()) return;
      put_bytes(file, altered);
      try {
        read();
      } catch (const Error& problem) {
        ++refused;
        EXPECT_EQ(problem.kind(), ErrorKind::data) << what << ": " << problem.what();
        EXPECT_THAT(problem.what(), HasSubstr(file.filename().string())) << what;
      } catch (const std::exception& problem) {
        ADD_FAILURE() << what << ": not an Error: " << problem.what();
      }
    });
    put_bytes(file, bytes);
    EXPECT_NO_THROW(read());
    EXPECT_GT(refused, 100);
  }
};

TEST_F(SignedData, SchemaYaml) {
  expect_read_or_refused(data_ / "schema.yaml", [&] { Schema::load(data_ / "schema.yaml"); });
}

TEST_F(SignedData, Vocabulary) {
  const auto file = data_ / "vocabulary" / "user.parquet";
  expect_read_or_refused(file, [&] { Vocabulary::load(file); });
}

TEST_F(SignedData, ArrowFile) {
  const Schema schema = Schema::load(data_ / "schema.yaml");
  const auto file = data_ / "train-00000.arrow";
  expect_read_or_refused(file, [&] {
    const ArrowFile arrow(file, schema,
                          {file.filename().string(), int64_t(fs::file_size(file)), 0, block_checksums(file)});
    for (int64_t b = 0; b < arrow.batches(); ++b) arrow.read(b);
  });
}

TEST_F(SignedData, ManifestsThatCannotBe) {
  for (const char* manifest : {
           "",
           "{}",
           "[]",
           "null",
           "{\"format\": 2, \"files\": []}",
           "{\"format\": \"1\", \"files\": []}",
           "{\"format\": 1}",
           "{\"format\": 1, \"files\": []}",  // nothing is vouched for
           "{\"format\": 1, \"files\": {}}",
           "{\"format\": 1, \"files\": [1]}",
           "{\"format\": 1, \"files\": [{\"file\": \"schema.yaml\"}]}",
           "{\"format\": 1, \"files\": [{\"file\": 5, \"bytes\": 1, \"xxh3\": \"00\"}]}",
           "{\"format\": 1, \"files\": [{\"file\": \"schema.yaml\", \"bytes\": 1e300, \"xxh3\": \"00\"}]}",
           "{\"format\": 1, \"files\": [{\"file\": \"schema.yaml\", \"bytes\": -1, \"xxh3\": \"00\"}]}",
           "{\"format\": 1, \"files\": [{\"file\": \"schema.yaml\", \"bytes\": 1, \"xxh3\": \"zz\"}]}",
           "{\"format\": 1, \"files\": [{\"file\": \"schema.yaml\", \"bytes\": 1, \"xxh3\": "
           "\"ffffffffffffffffffffffff\"}]}",
           "{\"format\": 1, \"files\": [{\"file\": \"schema.yaml\", \"bytes\": 1, \"xxh3\": \"00\", \"blocks\": 3}]}",
           "{\"format\": 1, \"files\": [{\"file\": \"..\", \"bytes\": 1, \"xxh3\": \"00\"}]}",
       }) {
    put_bytes(data_ / "manifest.json", manifest);
    expect_refused("", manifest);
  }
  put_bytes(data_ / "manifest.json", std::string(1 << 20, '['));
  expect_refused("manifest.json", "a million brackets");
}

/// A schema.yaml that is at peace with its own fingerprint: the complaint about a wrong one tells the right one.
void write_schema(const fs::path& file, const std::string& text) {
  put_bytes(file, text + "fingerprint: none\n");
  try {
    Schema::load(file);
  } catch (const Error& problem) {
    const std::string what = problem.what(), before = "its fields give ";
    const size_t at = what.find(before);
    if (at != std::string::npos)
      put_bytes(file, text + "fingerprint: \"" + what.substr(at + before.size(), 16) + "\"\n");
  }
}

TEST_F(SignedData, SchemasThatCannotBe) {
  const std::string head = "format: 1\nlabels: [click]\n",
                    user = "{name: user, kind: categorical, table: user, rows: 7}";
  for (const std::string& text : {
           std::string(""),
           std::string("format: 2\nlabels: [click]\nfields: []\n"),
           std::string("format: 1\nlabels: 5\nfields: x\n"),
           head + "fields: []\n",  // the files hold more
           head + "fields: [" + user + ", " + user + "]\n",
           head + "fields: [{name: user, kind: categorical, table: user, rows: 99999999999}]\n",
           head + "fields: [{name: user, kind: categorical, table: user, rows: -1}]\n",
           head + "fields: [{name: user, kind: categorical, table: user, rows: 0}]\n",
           head + "fields: [{name: user, kind: categorical, table: \"../../user\", rows: 7}]\n",
           head + "fields: [{name: user, kind: nothing}]\n",
           head + "fields: [{kind: numeric}]\n",
           head + "fields: [{name: v, kind: vector, dimension: 4294967298}]\n",  // 2 in 32 bits
           head + "fields: [{name: v, kind: vector, dimension: -2}]\n",
           head + "fields: [{name: t, kind: text}]\n",
           head + "fields: [{name: tags, kind: sequence, table: tags, rows: 6, paired_with: tags}]\n",
           head + "fields: [{name: tags, kind: sequence, table: tags, rows: 6, target: nobody}]\n",
           head + "fields: [{name: user, kind: categorical, table: user, rows: 7, encoding: [1]}]\n",
           head + "fields: [" + user + "]\nsource: 5\n",
           head + "fields: [" + user + "]\nsource: {files: {train: x}}\n",
           head + "fields: " + std::string(100000, '[') + "\n",
           // a billion laughs
           head + "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c "
                  "[*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                  "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
                  "f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\nfields: []\n",
       }) {
    write_schema(data_ / "schema.yaml", text);
    std::vector<Manifest::Entry> known = Manifest::load(data_).entries();
    Manifest::describe(data_, known).save(data_);
    expect_refused("", text.substr(0, 200));
  }
}

}  // namespace
}  // namespace interplay::testing::prepared_test
