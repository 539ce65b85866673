#include "data/synth/synth_plan.h"

#include <algorithm>
#include <charconv>
#include <set>

#include <interplay/base/error.h>
#include <interplay/base/random.h>

namespace interplay::synth {
namespace {

enum Stream : uint64_t { kPairs = 1, kTriples, kDecoys, kFactors };  // of permutations

constexpr const char* kDefaultPairs = "0-1,2-5,3-4";

/// The list of one option, such as `0-1,2-5:inner:4`.
class SetParser {
 public:
  SetParser(const SynthOptions& options, size_t order)
      : options_(options), order_(order), option_(order == 2 ? "pairs" : "triples") {}

  std::vector<PlantedSet> parse(const std::string& list) {
    list_ = list;
    std::vector<PlantedSet> sets;
    for (size_t at = 0, end; at < list.size(); at = end + 1) {
      end = std::min(list.find(',', at), list.size());
      sets.push_back(parse_set(list.substr(at, end - at)));
    }
    std::set<std::vector<int64_t>> distinct;
    for (const auto& set : sets) distinct.insert(set.fields);
    if (distinct.size() != sets.size()) fail(fmt::format("names a {} twice", noun()));
    return sets;
  }

 private:
  std::string noun() const { return order_ == 2 ? "pair" : "triple"; }

  [[noreturn]] void fail(const std::string& why) const {
    throw Error(fmt::format("{}: '{}' {}; write {} of fields below {}, as {}", option_, list_, why, option_,
                            options_.fields, order_ == 2 ? "0-1,2-5" : "0-1-2,3-4-5"));
  }

  PlantedSet parse_set(const std::string& text) const {
    PlantedSet set{{}, options_.function, options_.width};
    const char *at = text.data(), *end = at + text.size();
    const auto number = [&](int64_t& value) {
      while (at < end && *at == ' ') ++at;
      const auto [next, status] = std::from_chars(at, end, value);
      if (status != std::errc()) fail(fmt::format("holds '{}', which is no {}", text, noun()));
      for (at = next; at < end && *at == ' ';) ++at;
    };
    do {
      if (!set.fields.empty()) ++at;
      number(set.fields.emplace_back());
    } while (at < end && *at == '-');
    if (at < end && *at == ':') {
      const char* colon = std::find(++at, end, ':');
      set.function.assign(at, colon);
      if ((at = colon) < end) number((++at, set.width));
    }
    if (at < end || set.fields.size() != order_) fail(fmt::format("holds '{}', which is no {}", text, noun()));
    check(set);
    std::sort(set.fields.begin(), set.fields.end());
    if (set.function == "table") set.width = 0;
    return set;
  }

  void check(const PlantedSet& set) const {
    const auto outside = [&](int64_t field) { return field < 0 || field >= options_.fields; };
    const std::set<int64_t> distinct(set.fields.begin(), set.fields.end());
    if (distinct.size() != order_ || std::any_of(set.fields.begin(), set.fields.end(), outside)) {
      fail(fmt::format("holds {}, which are not {} of the fields", fmt::join(set.fields, "-"),
                       order_ == 2 ? "two" : "three"));
    }
    if (set.function != "table" && set.function != "inner" && set.function != "kernel") {
      fail(fmt::format("holds the function '{}', which is not table, inner or kernel", set.function));
    }
    if (set.width < 1 || set.width > 4096) {
      fail(fmt::format("holds the width {}; expected 1 to 4096", set.width));
    }
  }

  const SynthOptions& options_;
  size_t order_;
  std::string option_, list_;
};

int64_t combinations(int64_t n, int64_t k) { return k == 2 ? n * (n - 1) / 2 : n * (n - 1) * (n - 2) / 6; }

/// Combination number `rank` of `k` of 0..n-1, in lexicographic order.
std::vector<int64_t> combination(int64_t rank, int64_t n, int64_t k) {
  std::vector<int64_t> chosen;
  for (int64_t next = 0; int64_t(chosen.size()) < k; ++next) {
    const int64_t left = k - int64_t(chosen.size()) - 1, rest = n - next - 1;
    const int64_t with_next = left == 0 ? 1 : left == 1 ? rest : combinations(rest, left);
    if (rank < with_next) {
      chosen.push_back(next);
    } else {
      rank -= with_next;
    }
  }
  return chosen;
}

/// Adds `count` sets of `order` of `fields` that are not there yet.
void draw_sets(Plan& plan, const SynthOptions& options, const std::vector<int64_t>& fields, int64_t order,
               int64_t count) {
  if (count == 0) return;
  std::set<std::vector<int64_t>> taken;
  for (const auto& set : plan.sets) taken.insert(set.fields);
  const auto n = int64_t(fields.size());
  const int64_t possible = n < order ? 0 : combinations(n, order);
  const Permutation order_of_choice(uint64_t(possible), uint64_t(options.seed) * 8 + (order == 2 ? kPairs : kTriples));
  for (int64_t at = 0, drawn = 0; drawn < count; ++at) {
    INTERPLAY_CHECK(at < possible,
                    "random_{}: {} are too many; {} fields without decoys have {}, of which {} are listed",
                    order == 2 ? "pairs" : "triples", count, n, possible, possible - drawn);
    auto chosen = combination(int64_t(order_of_choice.at(uint64_t(at))), n, order);
    for (auto& field : chosen) field = fields[size_t(field)];
    if (!taken.insert(chosen).second) continue;
    plan.sets.push_back({chosen, options.function, options.function == "table" ? 0 : options.width});
    ++drawn;
  }
}

}  // namespace

int64_t Plan::width(int64_t field) const {
  int64_t most = 0;
  for (const auto& set : sets) {
    if (std::find(set.fields.begin(), set.fields.end(), field) != set.fields.end()) most = std::max(most, set.width);
  }
  return most;
}

Plan plan_of(const SynthOptions& options) {
  Plan plan;
  const bool nothing_else = options.triples.empty() && options.random_pairs == 0 && options.random_triples == 0;
  plan.sets = SetParser(options, 2).parse(options.pairs.value_or(nothing_else ? kDefaultPairs : ""));
  for (auto& set : SetParser(options, 3).parse(options.triples)) plan.sets.push_back(std::move(set));

  std::vector<bool> in_a_set(size_t(options.fields), false);
  for (const auto& set : plan.sets) {
    for (const int64_t field : set.fields) in_a_set[size_t(field)] = true;
  }
  const auto own_seed = [&](Stream stream) { return uint64_t(options.seed) * 8 + stream; };
  const Permutation shuffled(uint64_t(options.fields), own_seed(kDecoys));
  std::vector<int64_t> others;  // fields that the seed may take into sets
  for (int64_t at = 0; at < options.fields; ++at) {
    const auto field = int64_t(shuffled.at(uint64_t(at)));
    const bool decoy = !in_a_set[size_t(field)] && int64_t(plan.decoys.size()) < options.decoys;
    (decoy ? plan.decoys : others).push_back(field);
  }
  std::sort(plan.decoys.begin(), plan.decoys.end());
  std::sort(others.begin(), others.end());
  INTERPLAY_CHECK(int64_t(plan.decoys.size()) == options.decoys,
                  "decoys: {} are too many: only {} of the {} fields are in no listed pair or triple", options.decoys,
                  plan.decoys.size(), options.fields);
  draw_sets(plan, options, others, 2, options.random_pairs);
  draw_sets(plan, options, others, 3, options.random_triples);
  if (options.factors > 0) {
    const Permutation place(uint64_t(options.fields), own_seed(kFactors));
    for (int64_t f = 0; f < options.fields; ++f) {
      plan.factor.push_back(int64_t(place.at(uint64_t(f))) % options.factors);
    }
  }
  return plan;
}

std::string plan_yaml(const Plan& plan) {
  const auto names = [](const std::vector<int64_t>& fields) { return fmt::format("[f{}]", fmt::join(fields, ", f")); };
  std::string text = plan.sets.empty() ? "interactions: []\n" : "interactions:\n";
  std::set<int64_t> hidden;  // fields with hidden numbers
  for (const auto& set : plan.sets) {
    text += fmt::format("  - {{fields: {}, function: {}", names(set.fields), set.function);
    if (set.width > 0) {
      text += fmt::format(", width: {}", set.width);
      hidden.insert(set.fields.begin(), set.fields.end());
    }
    text += "}\n";
  }
  text += fmt::format("decoys: {}\n", plan.decoys.empty() ? "[]" : names(plan.decoys));
  std::vector<std::string> widths, factors;
  for (const int64_t field : hidden) widths.push_back(fmt::format("f{}: {}", field, plan.width(field)));
  for (size_t f = 0; f < plan.factor.size(); ++f) factors.push_back(fmt::format("f{}: {}", f, plan.factor[f]));
  return text + fmt::format("widths: {{{}}}\nfactors: {{{}}}\n", fmt::join(widths, ", "), fmt::join(factors, ", "));
}

}  // namespace interplay::synth
