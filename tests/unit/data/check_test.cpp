#include <interplay/data/check.h>

#include <algorithm>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/random.h>
#include <interplay/data/prepare.h>
#include <interplay/data/synth.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay::check_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Severity = Finding::Severity;

/// Row i of a log in which nothing is wrong: users like some items more than others.
struct Row {
  int64_t i = 0, user = 0, item = 0, click = 0;
  double price = 0;
};

class CheckData : public ::testing::Test {
 protected:
  static constexpr int64_t kTrain = 3000, kHeldOut = 1000;

  static Row row(int64_t i) {
    const auto draw = [i](uint64_t stream) { return random_unit(7, stream, uint64_t(i)); };
    Row r{i, int64_t(40 * draw(0)), int64_t(60 * draw(1)), 0, 100 * draw(2)};
    r.click = draw(3) < 0.2 + 0.4 * double((r.user + r.item) % 3 == 0) ? 1 : 0;
    return r;
  }
  static std::string plain(const Row& r) { return fmt::format("{},u{},i{},{:.2f}", r.i, r.user, r.item, r.price); }

  /// train.csv, valid.csv and test.csv, one after another in time: time, user, item, price, then what `more` adds.
  void write(const std::string& names = "", const std::function<std::string(const Row&)>& more = nullptr) {
    int64_t i = 0;
    for (const auto& [name, rows] : {std::pair("train", kTrain), {"valid", kHeldOut}, {"test", kHeldOut}}) {
      std::string text = "time,user,item,price,click" + names + "\n";
      for (const int64_t end = i + rows; i < end; ++i)
        text += fmt::format("{},{}{}\n", plain(row(i)), row(i).click, more ? more(row(i)) : "");
      folder_.write(fmt::format("{}.csv", name), text);
    }
  }
  CheckReport check(const std::string& fields = "", const std::string& rest = "", const CheckOptions& options = {}) {
    return check_yaml(fmt::format("files: {{train: train.csv, valid: valid.csv, test: test.csv}}\nlabel: click\n"
                                  "time: time\n{}\nfields:\n  - {{columns: [user, item]}}\n"
                                  "  - {{column: price, kind: numeric}}\n{}",
                                  rest, fields),
                      options);
  }
  CheckReport check_yaml(const std::string& yaml, const CheckOptions& options = {}) {
    return check_data(Config::load(folder_.write("data.yaml", yaml)), options);
  }

  static std::vector<std::string> told(const CheckReport& report) {
    std::vector<std::string> out;
    for (const Finding& f : report.findings)
      out.push_back(fmt::format("{} {} {}: {}", to_string(f.severity), f.check, f.field, f.text));
    return out;
  }
  /// The one finding of a check, about this field; a failure where there is none, or more.
  static Finding only(const CheckReport& report, const std::string& check, const std::string& field) {
    std::vector<Finding> found;
    for (const Finding& f : report.findings) {
      if (f.check == check && f.field == field) found.push_back(f);
    }
    EXPECT_EQ(found.size(), 1u) << fmt::format("{}", fmt::join(told(report), "\n"));
    return found.empty() ? Finding() : found[0];
  }
  static double figure(const CheckReport& report, const std::string& field, const std::string& name) {
    for (const auto& f : report.fields) {
      for (const auto& x : f.figures) {
        if (f.name == field && x.name == name) return x.value;
      }
    }
    ADD_FAILURE() << fmt::format("no figure '{}' of '{}'", name, field);
    return -1;
  }
  std::string place(const std::string& file, int64_t line) const {
    return fmt::format("{}:{}", (folder_.path() / file).string(), line);
  }
  static std::vector<std::string> places(const Finding& f) {
    std::vector<std::string> out;
    for (const auto& r : f.rows) out.push_back(r.place);
    return out;
  }

  testing::TempDir folder_;
};

TEST_F(CheckData, NothingIsFoundWhereNothingIsWrong) {
  write();
  const CheckReport report = check();
  EXPECT_THAT(told(report), IsEmpty());
  ASSERT_EQ(report.splits.size(), 3u);
  EXPECT_EQ(report.splits[0].rows, kTrain);
  EXPECT_EQ(report.splits[2].rows, kHeldOut);
  EXPECT_EQ(figure(report, "user", "values"), 40);
}

TEST_F(CheckData, NothingIsFoundInSyntheticData) {
  SynthOptions options;
  options.shape = "planted";
  options.rows = 4000;
  synthesize(options, folder_ / "planted");
  EXPECT_THAT(told(check_data(Config::load(folder_ / "planted" / "data.yaml"))), IsEmpty());
}

TEST_F(CheckData, IsTheSameForAnyThreads) {
  write(",late", [](const Row& r) { return fmt::format(",{}", r.click ? "x" : ""); });
  const std::string fields = "  - {column: late}\n";
  EXPECT_EQ(told(check(fields, "", {500, 1})), told(check(fields, "", {500, 4})));
}

// AUC by sklearn.metrics.roc_auc_score, PSI by numpy over the deciles of the training values, and over the three
// tokens.
TEST_F(CheckData, AucAndPsiAreThoseOfScikitLearnAndNumpy) {
  const auto file = [&](const std::string& name, int64_t n, bool moved) {
    std::string text = "x,c,y\n";
    for (int64_t i = 0; i < n; ++i) {
      const double x = double(i * 7919 % 1000) / 10 + (moved ? 9 * double(i % 5) : 0);
      const bool y = (i * 37 + i * i) % 11 < 4 + (i * 7919 % 1000 > 500 ? 3 : 0);
      const char* const c = i % 7 < (moved ? 5 : 3) ? "a" : i % 2 == 0 ? "b" : "c";
      text += fmt::format("{},{},{}\n", x, c, y ? 1 : 0);
    }
    folder_.write(name, text);
  };
  file("train.csv", 1000, false), file("valid.csv", 400, true);
  const CheckReport report = check_yaml(
      "files: {train: train.csv, valid: valid.csv}\nlabel: y\n"
      "fields: [{column: x, kind: numeric}, {column: c}]\n");
  EXPECT_NEAR(figure(report, "x", "AUC alone"), 0.5919986768004389, 1e-12);
  EXPECT_NEAR(figure(report, "x", "PSI valid"), 0.3630294767806172, 1e-12);
  EXPECT_NEAR(figure(report, "c", "PSI valid"), 0.34483884952131516, 1e-12);
  EXPECT_THAT(only(report, "drift", "x").text, HasSubstr("numbers from 90 on"));
  EXPECT_EQ(only(report, "drift", "c").severity, Severity::warning);
}

TEST_F(CheckData, AFieldThatIsMadeOfTheLabelIsSevere) {
  write();
  const Finding f = only(check("  - {column: click, name: liked}\n"), "leakage", "liked");
  EXPECT_EQ(f.severity, Severity::severe);
  EXPECT_THAT(f.text, HasSubstr("which the label 'click' is made of"));
}

TEST_F(CheckData, ANumberThatTellsTheLabelIsSevere) {
  write(",dwell,flag",
        [](const Row& r) { return fmt::format(",{},{}", r.click ? 30 + r.price : r.price / 4, r.click); });
  const CheckReport report = check("  - {columns: [dwell], kind: numeric}\n  - {column: flag}\n");
  const Finding dwell = only(report, "leakage", "dwell"), flag = only(report, "leakage", "flag");
  EXPECT_EQ(dwell.severity, Severity::severe);
  EXPECT_THAT(dwell.text, HasSubstr("alone has AUC 1.0000 of the label 'click'"));
  EXPECT_EQ(dwell.yaml, "");  // nothing is left of its entry
  EXPECT_THAT(flag.text, HasSubstr("which it equals in every row"));
  ASSERT_FALSE(flag.rows.empty());
  EXPECT_EQ(flag.rows[0].place, place("train.csv", 2));
  EXPECT_THAT(flag.rows[0].cells,
              ElementsAre(std::pair<std::string, std::string>("flag", fmt::to_string(row(0).click)),
                          std::pair<std::string, std::string>("click", fmt::to_string(row(0).click))));
}

// Each token is in two rows of one label: a rate that the row itself is part of would be sure of any token.
TEST_F(CheckData, RatesOfTokensAreOutOfFold) {
  write(",order", [](const Row& r) { return fmt::format(",o{}", r.i / 2); });
  const CheckReport report = check("  - {column: order}\n");
  EXPECT_NEAR(figure(report, "order", "AUC alone"), 0.5, 0.05);
  write(",order", [](const Row& r) { return fmt::format(",{}{}", r.click ? "k" : "l", r.i / 8); });
  const double leaky = figure(check("  - {column: order}\n"), "order", "AUC alone");
  EXPECT_GT(leaky, 0.9);
}

TEST_F(CheckData, AFieldThatIsThereOnlyAfterTheEventIsSevere) {
  write(",basket", [](const Row& r) { return r.click ? fmt::format(",{}", r.price) : std::string(","); });
  const Finding f = only(check("  - {column: basket, kind: numeric}\n"), "leakage", "basket");
  EXPECT_EQ(f.severity, Severity::severe);
  EXPECT_THAT(f.text, HasSubstr("whether it is missing alone has AUC 1.0000"));
}

TEST_F(CheckData, AColumnThatIsCalledAsTheLabelIsNoted) {
  write(",clicks_before", [](const Row& r) { return fmt::format(",{}", r.i % 9); });
  const Finding f = only(check("  - {column: clicks_before, kind: numeric}\n"), "leakage", "clicks_before");
  EXPECT_EQ(f.severity, Severity::note);
  EXPECT_THAT(f.text, HasSubstr("its column is called 'clicks_before'"));
}

TEST_F(CheckData, RowsThatCannotBeUsedAreListed) {
  write(",age", [](const Row& r) { return r.i == 10 || r.i == 3020 ? ",NA" : fmt::format(",{}", 20 + r.i % 50); });
  const CheckReport report = check("  - {column: age, kind: numeric}\n");
  const Finding f = only(report, "bad_rows", "age");
  EXPECT_EQ(f.severity, Severity::severe);
  EXPECT_EQ(report.unusable_rows, 2);
  EXPECT_THAT(f.text, HasSubstr("2 rows"));
  EXPECT_THAT(places(f), ElementsAre(place("train.csv", 12), place("valid.csv", 22)));
  EXPECT_EQ(f.yaml, "missing_tokens: [NA]\n");
  EXPECT_THAT(told(check("  - {column: age, kind: numeric}\n", f.yaml)), IsEmpty());  // what it says to write helps
}

TEST_F(CheckData, TextThatIsDeclaredNumericIsToBeTokens) {
  write(",city", [](const Row& r) { return fmt::format(",c{}", r.user % 5); });
  const Finding f = only(check("  - {column: city, kind: numeric}\n"), "bad_rows", "city");
  EXPECT_EQ(f.yaml, "fields:\n  - column: city\n");
}

TEST_F(CheckData, AFileThatCannotBeReadIsPreparesError) {
  write();
  folder_.write("train.csv", "time,user,click\n1,u1,1\n");
  const std::string yaml = "files: {train: train.csv}\nlabel: click\nfields: [{columns: [user, item]}]\n";
  const Config data = Config::load(folder_.write("data.yaml", yaml));
  const std::string expected = testing::data_error([&] { prepare(data, folder_ / "out"); });
  EXPECT_THAT(expected, HasSubstr("item"));
  EXPECT_EQ(testing::data_error([&] { check_data(data); }), expected);
}

TEST_F(CheckData, TokensThatAreNumbersAreToBeNumeric) {
  write(",weight", [](const Row& r) { return fmt::format(",{:.3f}", r.price * 0.37); });
  const Finding f = only(check("  - {column: weight, min_count: 2}\n"), "types", "weight");
  EXPECT_THAT(f.text, HasSubstr("is declared as tokens, and holds numbers (100.0%)"));
  EXPECT_EQ(f.yaml, "fields:\n  - column: weight\n    kind: numeric\n    transform: standardise\n");
}

TEST_F(CheckData, ANumberThatIsAnIdIsToBeTokens) {
  write(",shop_id", [](const Row& r) { return fmt::format(",{}", 100 + r.item % 12); });
  EXPECT_EQ(only(check("  - {column: shop_id, kind: numeric}\n"), "types", "shop_id").yaml,
            "fields:\n  - column: shop_id\n");
}

TEST_F(CheckData, TwoWaysOfWritingAreTold) {
  write(",age,sex", [](const Row& r) {
    return fmt::format(",{}{},{}", r.i % 40, r.i % 2 ? ".0" : "", r.i % 30 == 7 ? "NULL" : r.i % 3 ? "f" : "m ");
  });
  const CheckReport report = check("  - {columns: [age, sex]}\n");
  EXPECT_THAT(only(report, "types", "age").text, HasSubstr("1500 as 12, 1500 as 12.0"));
  std::vector<std::string> texts;
  for (const Finding& f : report.findings) {
    if (f.check == "types" && f.field == "sex") texts.push_back(f.text);
  }
  EXPECT_THAT(texts,
              ElementsAre(HasSubstr("'NULL', which reads as a missing value"), HasSubstr("begin or end with a blank")));
}

TEST_F(CheckData, MissingAndConstantFieldsAreTold) {
  write(",rare,half,same", [](const Row& r) {
    return fmt::format(",{},{},web", r.i % 100 == 3 ? "x" : "", r.i % 5 < 3 ? "" : fmt::format("h{}", r.i % 5));
  });
  const CheckReport report = check("  - {columns: [rare, half, same]}\n");
  EXPECT_EQ(only(report, "missing", "rare").severity, Severity::warning);
  EXPECT_EQ(only(report, "missing", "half").severity, Severity::note);
  EXPECT_DOUBLE_EQ(figure(report, "half", "missing"), 0.6);
  EXPECT_THAT(places(only(report, "missing", "rare"))[0], place("train.csv", 5));
  const Finding same = only(report, "constant", "same");
  EXPECT_THAT(same.text, HasSubstr("is 'web' in all 3000 training rows"));
  EXPECT_EQ(same.yaml, "fields:\n  - columns: [rare, half]\n");
}

TEST_F(CheckData, AnIdForEveryRowIsTold) {
  write(",request", [](const Row& r) { return fmt::format(",{:x}", r.i * 7919); });
  const Finding f = only(check("  - {column: request}\n"), "near_unique", "request");
  EXPECT_THAT(f.text, HasSubstr("3000 values in 3000 training rows"));
}

TEST_F(CheckData, UnseenValuesAreCountedBySplit) {
  write(",page", [](const Row& r) {
    const bool is_new = r.i >= kTrain + kHeldOut && r.i % 4 == 0;  // a quarter of the test rows
    return is_new ? std::string(",new") : r.i == 0 ? std::string(",once") : fmt::format(",p{}", r.i % 9);
  });
  const CheckReport report = check("  - {column: page}\n");
  EXPECT_DOUBLE_EQ(figure(report, "page", "unseen valid"), 0);
  EXPECT_DOUBLE_EQ(figure(report, "page", "unseen test"), 0.25);
  const Finding f = only(report, "unseen", "page");
  EXPECT_THAT(f.text, HasSubstr("25.0% of its values in the test rows are in no training row"));
  EXPECT_EQ(f.rows[0].place, place("test.csv", 2));
  EXPECT_EQ(f.yaml, "fields:\n  - column: page\n    min_count: 2\n");
}

TEST_F(CheckData, RowsThatAreThereTwiceAreTold) {
  write();
  std::string text = "time,user,item,price,click\n";
  for (int64_t i = 0; i < kTrain; ++i) {
    const Row r = row(i);
    text += fmt::format("{},{}\n", plain(r), r.click);
    if (i % 50 == 0) text += fmt::format("{},{}\n", plain(r), r.click);
    if (i % 100 == 7) text += fmt::format("{},{}\n", plain(r), 1 - r.click);
  }
  folder_.write("train.csv", text);
  const CheckReport report = check();
  std::vector<Finding> found;
  for (const Finding& f : report.findings) {
    if (f.check == "duplicates") found.push_back(f);
  }
  ASSERT_EQ(found.size(), 2u);
  EXPECT_THAT(found[0].text, AllOf(HasSubstr("60 rows (1.2%)"), HasSubstr("in all 5 columns that are read")));
  EXPECT_THAT(found[1].text, AllOf(HasSubstr("30 rows"), HasSubstr("in all but the label")));
  EXPECT_EQ(found[0].severity, Severity::warning);
  for (const auto& twin : found[0].rows) {
    const auto line = [](const std::string& place) { return std::stoll(place.substr(place.rfind(':') + 1)); };
    EXPECT_EQ(line(twin.cells.at(0).second), line(twin.place) + 1);
  }
}

TEST_F(CheckData, SplitsThatOverlapInTimeAreTold) {
  write();
  const std::string source =
      "file: train.csv\nlabel: click\nfields: [{columns: [user, item]}, {column: time, kind: numeric}]\n";
  const Finding f = only(check_yaml("split: {by: random}\n" + source), "time_overlap", "");
  EXPECT_EQ(f.severity, Severity::warning);
  EXPECT_THAT(f.text, HasSubstr("of the training rows are later (time) than the first of valid"));
  EXPECT_THAT(told(check_yaml(fmt::format("{}{}", f.yaml, source))),
              ::testing::Each(::testing::Not(HasSubstr("time_overlap"))));
  const Finding by_user =
      only(check_yaml("split: {by: user_time, user: user, time: time}\n" + source), "time_overlap", "");
  EXPECT_EQ(by_user.severity, Severity::note);
}

TEST_F(CheckData, LabelsOfOneClassAndMovedRatesAreTold) {
  write(",bought", [](const Row& r) {
    return fmt::format(",{}", r.i >= kTrain + kHeldOut ? 0 : r.i % (r.i < kTrain ? 10 : 4) == 0 ? 1 : 0);
  });
  const CheckReport report = check_yaml(
      "files: {train: train.csv, valid: valid.csv, test: test.csv}\nlabel: bought\nfields: [{columns: [user, "
      "item]}]\n");
  EXPECT_DOUBLE_EQ(report.splits[0].label_rates[0], 0.1);
  EXPECT_DOUBLE_EQ(report.splits[1].label_rates[0], 0.25);
  std::vector<std::string> texts;
  for (const Finding& f : report.findings) {
    if (f.check == "label_rate") texts.push_back(fmt::format("{}: {}", to_string(f.severity), f.text));
  }
  EXPECT_THAT(
      texts, ElementsAre("severe: label 'bought' is 0 in all 1000 test rows that have it: AUC is undefined there",
                         "warning: label 'bought' is 1 in 25.0% of the valid rows, and in 10.0% of the training rows"));
}

TEST_F(CheckData, AListWithTheRowsOwnItemIsSevere) {
  write(",past,past_times", [](const Row& r) {
    const Row before = row(r.i + 17);
    const bool leaks = r.click == 1;
    return fmt::format(",{}i{},{}{}", leaks ? fmt::format("i{}|", r.item) : "", before.item,
                       leaks ? fmt::format("{}|", r.i) : "", std::max<int64_t>(0, r.i - 20));
  });
  const CheckReport report = check(
      "  - {column: past, kind: sequence, separator: \"|\", target: item, share: item}\n"
      "  - {column: past_times, kind: sequence, separator: \"|\", paired: past}\n");
  const Finding items = only(report, "histories", "past"), times = only(report, "histories", "past_times");
  EXPECT_EQ(items.severity, Severity::severe);
  EXPECT_THAT(items.text, HasSubstr("holds the row's own item in 100.0% of the training rows with label 1"));
  EXPECT_EQ(times.severity, Severity::severe);
  EXPECT_THAT(times.text, HasSubstr("hold one that is their own time or later"));
}

// Users 0 and 1 have two events of one time each, of which the later item sees the earlier one.
TEST_F(CheckData, HistoriesThatKnowTheirOwnTimeAreNoted) {
  std::string text = "time,user,item,click\n";
  for (int64_t i = 0; i < 200; ++i)
    text += fmt::format("{},{},{},{}\n", i < 4 ? 1000 : i, i % 2, i, i % 3 == 0 ? 1 : 0);
  folder_.write("all.csv", text);
  const auto yaml = [](const std::string& ties) {
    return fmt::format(
        "file: all.csv\nsplit: {{by: time, time: time}}\nlabel: click\nfields:\n  - {{column: user}}\n"
        "  - {{name: past, kind: history, user: user, item: item, time: time, ties: {}}}\n",
        ties);
  };
  const Finding f = only(check_yaml(yaml("order")), "histories", "past");
  EXPECT_EQ(f.severity, Severity::note);
  EXPECT_THAT(f.text, HasSubstr("the histories of 2 rows (1.0%) hold events of the row's own time"));
  EXPECT_THAT(f.yaml, HasSubstr("ties: before"));
  EXPECT_THAT(told(check_yaml(yaml("before"))), ::testing::Each(::testing::Not(HasSubstr("histories"))));
}

TEST_F(CheckData, KeepsNoMoreRowsThanItIsTold) {
  write(",page", [](const Row& r) { return fmt::format(",{}", r.i < kTrain ? r.i % 9 : r.i % 18); });
  const CheckReport report = check("  - {column: page}\n", "", {400, 0});
  EXPECT_NEAR(figure(report, "page", "unseen valid"), 0.5, 0.1);  // four deviations of 400 draws
  EXPECT_NE(figure(report, "page", "unseen valid"), 0.5);         // of all 1000 it would be that
  EXPECT_EQ(figure(report, "page", "values"), 9);
}

}  // namespace
}  // namespace interplay::check_test
