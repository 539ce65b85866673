#include <interplay/data/prepare.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <optional>
#include <thread>

#include <interplay/base/files.h>
#include <interplay/base/in_order.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/data/dataset_writer.h>
#include <interplay/data/encoder.h>
#include <interplay/data/split_counts.h>

#include "data/encode/coded_rows.h"
#include "data/encode/encoder_builder.h"
#include "data/order/sample_plan.h"
#include "data/spec/data_spec.h"
#include "data/spec/raw_rows.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr const char* kSplits[] = {"train", "valid", "test"};

class Clock {
 public:
  double lap() {  ///< seconds since the last one
    const auto before = std::exchange(last_, std::chrono::steady_clock::now());
    return std::chrono::duration<double>(last_ - before).count();
  }
  double total() const { return std::chrono::duration<double>(last_ - begun_).count(); }

 private:
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now(), last_ = begun_;
};

class Preparation {
 public:
  Preparation(const Config& data, const fs::path& directory, const PrepareOptions& options)
      : spec_(DataSpec::parse(data)), directory_(directory), partial_(directory_.path()) {
    bad_rows_ = std::make_shared<BadRows>(options.bad_rows, partial_ / "rejected.tsv", "--bad-rows skip:");
    // A quarter for counting: what the batches in flight, Arrow and the finished vocabularies take comes on top.
    threads_ = options.threads > 0 ? options.threads : std::max(1, int(std::thread::hardware_concurrency()));
    builder_.emplace(spec_, EncoderBuilder::Options{std::max<int64_t>(options.memory_bytes / 4, 4096), partial_,
                                                    options.vocabulary_from, options.new_tokens, threads_});
    warn_of_labels_among_fields();
    plain_.emplace(spec_.plain_schema(), spec_);
    plan_.emplace(spec_, *plain_);
    rows_.emplace(spec_, *plain_, plan_->columns(), threads_);
  }

  PrepareReport run() {
    Clock clock;
    if (plan_->needs_order()) {
      order_rows();
      report_.order_seconds = clock.lap();
    }
    code_rows();
    report_.count_seconds = clock.lap();
    const Encoder encoder = builder_->build();
    give_back_memory();
    encoder.save(partial_);
    report_.fit_seconds = clock.lap();
    write_splits(encoder);
    builder_.reset();
    report_.encode_seconds = clock.lap();
    report_.rejected_rows = bad_rows_->count();
    bad_rows_->finish();
    write_counts();
    Manifest::describe(partial_, entries_).save(partial_);
    directory_.commit();
    report_.sync_seconds = clock.lap();
    report_.seconds = clock.total();
    summarise(encoder);
    return report_;
  }

 private:
  void warn_of_labels_among_fields() const {
    for (const Field& field : spec_.fields) {
      FieldEncoding encoding;
      read_options(encoding, field.encoding);
      for (const LabelOptions& label : spec_.labels) {
        if (encoding.history || (encoding.column != label.column && encoding.weights != label.column)) continue;
        log::warning("field '{}' reads column '{}', which is the label: a model that sees it has nothing to learn",
                     field.name, label.column);
      }
    }
  }

  void order_rows() {
    rows_->run(
        {"prepare: order", [&](RawRows::Batch& batch) { plan_->add(batch.raw, batch.values, *plain_); }, nullptr},
        *bad_rows_);
    plan_->finish();
    give_back_memory();
  }

  /// The values that the full parser sees: plain cells and the histories that belong to them.
  RowValues with_histories(RawRows::Batch& batch) const {
    for (const auto& history : plan_->histories()) history.append(batch.raw, batch.values.rows, batch.first);
    BadRows told(INT64_MAX);  // plain_ has reported them
    RowValues values = builder_->parser().parse(batch.raw, true, &told);
    values.rows = batch.values.rows;
    return values;
  }

  /// Reads all rows: fits on those of the training split, and keeps every row as codes.
  void code_rows() {
    coded_.emplace(partial_);
    const auto in_order = [&](RawRows::Batch& batch) {
      for (size_t i = 0; i < batch.values.rows.size(); ++i) {
        batch.splits.push_back(plan_->split_of(batch.first + int64_t(i), batch.split));
      }
      report_.train_rows += std::count(batch.splits.begin(), batch.splits.end(), 0);
      report_.left_out_rows +=
          batch.values.left_out + std::count(batch.splits.begin(), batch.splits.end(), SamplePlan::kNoSplit);
      builder_->observe(batch.values, batch.splits);
    };
    const auto finish = [&](RawRows::Batch& batch) {
      const RowValues values = plan_->histories().empty() ? std::move(batch.values) : with_histories(batch);
      coded_->add(batch.number, builder_->code(values, std::move(batch.splits)));
    };
    rows_->run({"prepare: count", in_order, finish}, *bad_rows_);
    INTERPLAY_CHECK_DATA(report_.train_rows > 0, "{}: there are no training rows; nothing can be fitted",
                         rows_->first_file().string());
    if (builder_->runs() > 0)
      log::info("prepare: counting went through {} sorted files to stay within its memory", builder_->runs());
  }

  void write_splits(const Encoder& encoder) {
    std::array<std::unique_ptr<DatasetWriter>, 3> writers;
    for (int s = 0; s < 3; ++s) {
      const bool wanted =
          spec_.options.split ? s == 0 || size_t(s) < spec_.options.split->ratios.size() : rows_->has_split(s);
      if (!wanted) continue;
      writers[size_t(s)] =
          std::make_unique<DatasetWriter>(partial_, kSplits[s], encoder.schema(), !spec_.options.weight.empty(),
                                          !spec_.options.group.empty(), !spec_.options.time.empty());
      split_counts_[size_t(s)] = SplitCounts(kSplits[s], encoder.schema());
    }
    struct Part {
      int64_t number = 0;
      std::array<EncodedBatch, 3> splits;
      std::array<std::vector<EncoderBuilder::Unseen>, 3> unseen;
    };
    struct Stages {
      std::function<bool(Part&)> read;
      std::function<void(Part&)> work, commit, finish;
    } stages;
    int64_t next = 0;
    Progress progress("prepare: encode", rows_->rows());
    stages.read = [&](Part& part) { return part.number = next++, part.number < coded_->size(); };
    stages.work = [&](Part& part) {
      const CodedRows rows = coded_->get(part.number);
      for (size_t s = 0; s < 3; ++s) {
        if (!writers[s]) continue;
        part.splits[s] = builder_->resolve(rows, int(s), part.unseen[s]);
      }
    };
    stages.commit = [&](Part& part) {
      for (size_t s = 0; s < 3; ++s) {
        progress.add(part.splits[s].rows);
        unseen_[s].resize(encoder.schema().fields().size());
        for (size_t f = 0; f < part.unseen[s].size(); ++f) {
          unseen_[s][f].present += part.unseen[s][f].present;
          unseen_[s][f].unseen += part.unseen[s][f].unseen;
          unseen_[s][f].missing += part.unseen[s][f].missing;
        }
        if (writers[s]) split_counts_[s].add(part.splits[s], encoder.schema());
        if (part.splits[s].rows > 0) writers[s]->write(std::move(part.splits[s]));
      }
    };
    stages.finish = [](Part&) {};
    run_in_order<Part>(threads_, stages);
    int64_t* const counts[] = {&report_.train_rows, &report_.valid_rows, &report_.test_rows};
    for (size_t s = 0; s < 3; ++s) {
      if (!writers[s]) continue;
      *counts[s] = writers[s]->finish();
      for (auto& entry : writers[s]->entries()) entries_.push_back(std::move(entry));
    }
    coded_.reset();
  }

  void write_counts() {
    std::vector<SplitCounts> counted;
    for (size_t s = 0; s < 3; ++s) {
      if (split_counts_[s].rows == 0) continue;
      for (size_t f = 0; f < unseen_[s].size(); ++f) {
        split_counts_[s].fields[f].missing += unseen_[s][f].missing;
        split_counts_[s].fields[f].unseen = unseen_[s][f].unseen;
      }
      counted.push_back(std::move(split_counts_[s]));
    }
    write_split_counts(partial_, counted);
  }

  /// Ids that training never saw are many in a split that is written in another way.
  void tell_unseen(const Schema& schema) {
    constexpr double kMost = 0.9;
    double* const shares[] = {&report_.train_unseen, &report_.valid_unseen, &report_.test_unseen};
    for (size_t s = 0; s < 3; ++s) {
      EncoderBuilder::Unseen all;
      for (size_t f = 0; f < unseen_[s].size(); ++f) {
        const auto [present, unseen, missing] = unseen_[s][f];
        all.present += present, all.unseen += unseen;
        const auto most = [](const EncoderBuilder::Unseen& n) { return double(n.unseen) > kMost * double(n.present); };
        if (present < 2 || !most(unseen_[s][f]) || most(unseen_[0][f])) continue;
        log::warning(
            "{} of {} ids of field '{}' in the {} rows are unseen in training; are they written as there? 12 "
            "and 12.0 are two ids",
            unseen, present, schema.fields()[f].name, kSplits[s]);
      }
      *shares[s] = all.present > 0 ? double(all.unseen) / double(all.present) : 0;
    }
  }

  void summarise(const Encoder& encoder) {
    tell_unseen(encoder.schema());
    report_.fields = int64_t(encoder.schema().fields().size());
    for (const Table& table : encoder.schema().tables()) report_.ids += table.rows, ++report_.tables;
  }

  DataSpec spec_;
  NewDirectory directory_;
  fs::path partial_;
  std::shared_ptr<BadRows> bad_rows_;
  std::optional<EncoderBuilder> builder_;
  std::optional<RowParser> plain_;
  std::optional<SamplePlan> plan_;
  std::optional<RawRows> rows_;
  std::optional<CodedRowsFile> coded_;
  int threads_ = 1;
  std::vector<Manifest::Entry> entries_;
  PrepareReport report_;
  std::array<std::vector<EncoderBuilder::Unseen>, 3> unseen_;  // beside the fields
  std::array<SplitCounts, 3> split_counts_;
};

}  // namespace

PrepareReport prepare(const Config& data, const std::filesystem::path& directory, const PrepareOptions& options) {
  return Preparation(data, directory, options).run();
}

}  // namespace interplay
