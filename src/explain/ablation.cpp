#include <interplay/explain/ablation.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/base/random.h>
#include <interplay/base/with_place.h>
#include <interplay/core/bundle.h>
#include <interplay/data/loader.h>
#include <interplay/explain/sampled_rows.h>
#include <interplay/nn/blank_tables.h>
#include <interplay/train/evaluator.h>
#include <interplay/train/run.h>
#include <interplay/train/run_directory.h>

namespace fs = std::filesystem;

namespace interplay {
namespace {

using FieldNames = std::vector<std::string>;
constexpr const char* kManifest = "manifest.json";
constexpr uint64_t kSeedDraws = 0x5eed;  // a stream of their own, beside those of the rows

/// The experiment without these fields, and with this seed.
Config variant(Config experiment, const FieldNames& without, int64_t seed) {
  experiment.set("seed", Config::scalar(std::to_string(seed)));
  if (without.empty()) return experiment;
  Config fields = experiment["fields"].is_map() ? experiment["fields"] : Config();
  std::vector<Config> drop;
  if (fields.has("drop")) drop = fields["drop"].items();
  for (const auto& name : without) drop.push_back(Config::scalar(name, true));
  fields.set("drop", Config::sequence(std::move(drop)));
  if (Config given = fields["pretrained"]; given.is_map()) {
    for (const auto& name : without) {
      if (given.has(name)) given.erase(name);
    }
    fields.set("pretrained", given);
  }
  experiment.set("fields", fields);
  return experiment;
}

/// Why there is no such model without these fields; empty where there is.
std::string why_not(const Config& experiment, const fs::path& data, const FieldNames& without) {
  try {
    const Config config = resolve_experiment(variant(experiment, without, 1));
    const Schema schema = read_schema(data, config["fields"]);
    if (schema.fields().empty()) return "no field would be left";
    const nn::BlankTables not_drawn;
    make_model(config["model"], schema);
    return "";
  } catch (const Error& problem) {
    return problem.what();
  }
}

/// Refuses a directory that cannot be begun or gone on with, before anything in it is touched.
DirectoryLock open_ablation(const Config& resolved, const AblationOptions& options) {
  const fs::path& out = options.out;
  DirectoryLock lock = lock_directory(out, options.resume, "ablation",
                                      "an ablation or a run; give another --out, or --resume to go on with it");
  if (!options.resume) return lock;
  Config before = Config::load(out / Bundle::kConfig), now = resolved;
  INTERPLAY_CHECK(before.has("ablate"), "{}: holds a run, not an ablation; give the directory of an ablation",
                  out.string());
  for (Config* c : {&before, &now}) {
    for (const char* key : {"threads", "data", "ablate"}) c->erase(key);
  }
  const std::string difference = first_difference(before, now);
  INTERPLAY_CHECK(difference.empty(),
                  "{}: {} differs from the ablation's config.yaml; only threads, seeds and the fields asked about may "
                  "change on --resume",
                  out.string(), difference);
  fs::remove(out / kManifest);  // until it is finished anew
  return lock;
}

/// One ablation at work.
class Work {
 public:
  Work(const Config& experiment, const AblationOptions& options) : experiment_(experiment), o_(options) {
    INTERPLAY_CHECK(!o_.seeds.empty(), "--seeds: expected at least one");
    INTERPLAY_CHECK(std::set(o_.seeds.begin(), o_.seeds.end()).size() == o_.seeds.size(), "--seeds: {} has one twice",
                    fmt::join(o_.seeds, ","));
    config_ = resolve_experiment(experiment_);
    schema_ = read_schema(o_.data, config_["fields"]);
    out_.model = config_["model"]["name"].as<std::string>();
    out_.data = o_.data.string(), out_.split = o_.test ? "test" : "valid";
    out_.seeds = o_.seeds, out_.replicates = o_.replicates;
    INTERPLAY_CHECK_DATA(Dataset::exists(o_.data, out_.split), "{}: has no {} split to judge by; prepare data with one",
                         out_.data, out_.split);
    choose_label();
    choose_sets();
  }

  Ablation run() {
    Config asked;
    std::vector<Config> drop, seeds;
    for (const auto& set : sets_) drop.push_back(names(set));
    for (const int64_t seed : o_.seeds) seeds.push_back(Config::scalar(std::to_string(seed)));
    asked.set("drop", Config::sequence(std::move(drop)));
    asked.set("seeds", Config::sequence(std::move(seeds)));
    config_.erase("seed");
    config_.set("ablate", asked);
    config_.set("data", Config::scalar(out_.data, true));
    const DirectoryLock lock = open_ablation(config_, o_);
    make_directories(o_.out / "runs");
    write_file(o_.out / Bundle::kConfig, config_.yaml());
    const log::File log_file(o_.out / "ablate.log");
    train_all();
    judge_all();
    write_file(o_.out / "ablate.json", ablation_json(out_));
    write_file(o_.out / "ablate.html", ablation_html(out_, config_.yaml()));
    finish_directory(o_.out, "runs");
    return std::move(out_);
  }

 private:
  static Config names(const FieldNames& set) {
    std::vector<Config> out;
    for (const auto& name : set) out.push_back(Config::scalar(name, true));
    return Config::sequence(std::move(out));
  }

  void choose_label() {
    const auto& labels = schema_.labels();
    INTERPLAY_CHECK(!o_.label.empty() || labels.size() == 1,
                    "the experiment learns the labels {}; say which one is judged: --label NAME",
                    fmt::join(labels, ", "));
    out_.label = o_.label.empty() ? labels[0] : o_.label;
    const auto found = std::find(labels.begin(), labels.end(), out_.label);
    INTERPLAY_CHECK(found != labels.end(), "--label {}: the experiment learns no such label (labels: {})", out_.label,
                    fmt::join(labels, ", "));
    label_ = found - labels.begin();
  }

  void choose_sets() {
    const std::string whole = why_not(experiment_, o_.data, {});
    INTERPLAY_CHECK(whole.empty(), "{}", whole);
    for (const auto& set : o_.drop) {
      with_place("--drop", [&] {
        for (const auto& name : set) schema_.field(name);
      });
      const std::string why = why_not(experiment_, o_.data, set);
      INTERPLAY_CHECK(why.empty(), "--drop {}: the model cannot do without: {}", fmt::join(set, ","), why);
      sets_.push_back(set);
    }
    if (!o_.drop.empty()) return;
    for (const auto& group : each_field(schema_)) {
      const std::string why = why_not(experiment_, o_.data, {group.name});
      why.empty() ? sets_.push_back({group.name}) : out_.not_asked.push_back({group.name, why});
    }
    INTERPLAY_CHECK(!sets_.empty(), "--each: the model can do without none of its fields; {}: {}",
                    out_.not_asked[0].field, out_.not_asked[0].why);
  }

  fs::path directory(const FieldNames& without, int64_t seed) const {
    const auto name = fmt::format("{}", fmt::join(without, "&"));
    const std::string safe = without.empty() ? "with-all" : "without-" + vocabulary_file("", name).stem().string();
    return o_.out / "runs" / safe / fmt::format("seed-{}", seed);
  }

  void train_all() {
    std::vector<FieldNames> all{{}};
    all.insert(all.end(), sets_.begin(), sets_.end());
    const auto total = int64_t(all.size() * o_.seeds.size());
    int64_t number = 0, done = 0;
    double seconds = 0;
    for (const auto& set : all) {
      for (const int64_t seed : o_.seeds) {
        ++number;
        const fs::path out = directory(set, seed);
        const auto what = fmt::format("run {} of {}, {}{}, seed {}", number, total,
                                      set.empty() ? "with all fields" : "without ", fmt::join(set, ", "), seed);
        if (fs::exists(out / kManifest)) {
          log::info("{}: done before", what);
          continue;
        }
        log::info("{}{}", what,
                  done == 0 ? ""
                            : fmt::format("; about {} left",
                                          human_seconds(seconds / double(done) * double(total - number + 1))));
        seconds += train_one(variant(experiment_, set, seed), out);
        ++done;
      }
    }
  }

  double train_one(const Config& experiment, const fs::path& out) {
    RunOptions run;
    run.data = o_.data, run.out = out, run.test = o_.test;
    run.resume = fs::exists(out / Bundle::kConfig);
    run.started = o_.started, run.finished = o_.finished;
    return train_run(experiment, run).seconds;
  }

  /// What the runs of one set say of the rows that have the label, a run a seed.
  std::vector<std::vector<float>> logits(const FieldNames& without) {
    std::vector<std::vector<float>> out;
    for (const int64_t seed : o_.seeds) {
      const Bundle bundle = Bundle::open(directory(without, seed));
      bundle.check_data(o_.data);
      const Dataset rows = Dataset::open(o_.data, out_.split).select(bundle.schema());
      const Predictions all =
          predict(*bundle.model(), rows, {.logit_offsets = bundle.logit_offsets(), .progress = "score"});
      INTERPLAY_CHECK(!all.logit.empty(),
                      "{}: the model gives no logits yet: it was pre-trained, and no rows can be "
                      "scored by it",
                      bundle.directory().string());
      auto scored = all.of_label(label_);
      out.push_back(scored->logit);
      if (scored_label_.empty()) scored_label_ = scored->label, weight_ = scored->weight;
    }
    return out;
  }

  void judge_all() {
    const auto with = logits({});
    out_.rows = int64_t(scored_label_.size());
    for (const auto& set : sets_) {
      const auto without = logits(set);
      std::vector<std::span<const float>> models(with.begin(), with.end());
      models.insert(models.end(), without.begin(), without.end());
      out_.values.push_back(compare(set, bootstrap({scored_label_, std::move(models), weight_}, o_.replicates)));
    }
    std::stable_sort(out_.values.begin(), out_.values.end(),
                     [](const FieldValue& a, const FieldValue& b) { return a.logloss.value > b.logloss.value; });
  }

  FieldValue compare(const FieldNames& set, const Replicates& judged) {
    const size_t n = o_.seeds.size(), drawn_seeds = std::max<size_t>(1, n - 1);
    const auto added = [&](const std::vector<Judgement>& models, size_t s) {
      return Judgement{models[s].auc - models[n + s].auc, models[n + s].logloss - models[s].logloss};
    };
    FieldValue out;
    out.fields = set;
    out_.auc = out_.logloss = 0;
    double auc = 0, logloss = 0;
    for (size_t s = 0; s < n; ++s) {
      const Judgement one = added(judged.whole, s);
      out.auc_by_seed.push_back(one.auc), out.logloss_by_seed.push_back(one.logloss);
      auc += one.auc / double(n), logloss += one.logloss / double(n);
      out_.auc += judged.whole[s].auc / double(n), out_.logloss += judged.whole[s].logloss / double(n);
    }
    std::vector<double> auc_drawn, logloss_drawn;
    for (size_t r = 0; r < judged.drawn.size(); ++r) {
      Judgement mean;
      for (size_t k = 0; k < drawn_seeds; ++k) {
        const Judgement one = added(judged.drawn[r], size_t(random_bits(kSeedDraws, r, k) % n));
        mean.auc += one.auc / double(drawn_seeds), mean.logloss += one.logloss / double(drawn_seeds);
      }
      auc_drawn.push_back(mean.auc), logloss_drawn.push_back(mean.logloss);
    }
    out.auc = percentile_interval(auc, std::move(auc_drawn));
    out.logloss = percentile_interval(logloss, std::move(logloss_drawn));
    return out;
  }

  Config experiment_, config_;
  AblationOptions o_;
  Schema schema_;
  int64_t label_ = 0;
  std::vector<FieldNames> sets_;
  std::vector<float> scored_label_, weight_;  // of the rows that have the label
  Ablation out_;
};

}  // namespace

std::string does_it_help(const FieldValue& v) {
  const bool up = v.auc.low > 0 || v.logloss.low > 0, down = v.auc.high < 0 || v.logloss.high < 0;
  return up && down ? "mixed" : up ? "yes" : down ? "no, it hurts" : "cannot tell";
}

Ablation ablate(const Config& experiment, const AblationOptions& options) { return Work(experiment, options).run(); }

}  // namespace interplay
