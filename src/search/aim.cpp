// AIM (Zhu et al. 2021, "AIM: Automatic Interaction Machine for Click-Through Rate Prediction", arXiv:2111.03318).
#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>

#include <interplay/base/log.h>
#include <interplay/core/bundle.h>
#include <interplay/nn/interaction_functions.h>
#include <interplay/search/search.h>

#include "search/aim_steps.h"
#include "search/choice.h"
#include "search/gates.h"
#include "search/retrain.h"

namespace interplay {
namespace {

Config text(const std::string& value) { return Config::scalar(value, true); }
Config number(auto value) { return Config::scalar(fmt::format("{}", value)); }
Config flag(bool value) { return Config::scalar(value ? "true" : "false"); }

/// Stages, each a run of the model `aim`:
///
///     search-2 .. search-<orders>   which sets, under which functions: pairs first, then, under each function, the
///                                   strongest sets with one field more; GRDA moves the gates of the order in question
///     dimensions                    a gate on each number of the embeddings that the kept interactions read
///     retrain                       the kept interactions anew, their tables as narrow as found, and an MLP
///
/// unified: each search-<order> has both kinds of gates, and there is no stage `dimensions`; earlier orders are read as
/// they were found, from narrow tables. AIM's code refuses this, for the batch norm after the gates of dimensions takes
/// away their scale. Here that norm is left out: numbers are normalised before their gates, products divided by the
/// root of the embedding's width, and kernels read as of unit scale, so that gates of one function compare to those of
/// another.
///
/// Where AIM's released code is odd, the default differs: sets are ranked by |gate| at every order (by_sign: signed
/// from order 3 on, as the code does), as many as there are fields are grown (the code: 24, Avazu's fields), every
/// function starts as the inner product (model.kernel_start: 0 is the code's), order 4 is normalised as the others are,
/// terms are summed as they are (model.order_scales), and tables really hold fewer numbers, where the code masks them:
/// which ones is of no account to weights that start afresh, so that a row keeps the first ones.
class Aim final : public Search {
 public:
  struct Options {
    int64_t orders = 3, grow = 0;
    std::optional<int64_t> epochs;
    std::vector<std::string> functions = nn::interaction_functions();
    bool dimensions = true, unified = false, by_sign = false, base = true;
    RetrainOptions retrain{true, std::nullopt, {"gates", "plain", "sets"}};
    GrdaKnobs grda, dimension_grda;
    double keep = 0, keep_dimensions = 0;
    void visit(auto&& field) {
      field("orders", orders, "most fields of an interaction; one search a number of fields", Range{2, 4});
      field("functions", functions, "that each set is tried under", OneOf{nn::interaction_functions()});
      field("dimensions", dimensions, "search the widths of the embeddings too");
      field(
          "unified", unified,
          "search widths in the same stages as interactions and functions: products of normalised numbers, behind "
          "gates each, are divided by the root of the width instead of normalised anew; false: in a stage of its own");
      field("grow", grow, "sets, under each function, that the next order is grown from; 0 = as many as fields",
            Range{0, 1e9});
      field("by_sign", by_sign, "rank sets of three and more fields by the gate, not its size, as AIM's code does");
      grda.visit(field);
      field("keep", keep, "share of the interactions of each order to keep; 0 = as c or the valid split says",
            Range{0, 1});
      dimension_grda.visit_of_dimensions(field);
      field("keep_dimensions", keep_dimensions,
            "share of the embeddings' numbers to keep; 0 = as dimension_c or the valid split says", Range{0, 1});
      field("epochs", epochs,
            "passes of each search over the training rows. Nothing: until valid stops getting better, or 1 where it is "
            "said what to keep",
            Range{1, 1e9});
      field("base", base, "train the experiment as it is first, to compare with");
      retrain.visit(field);
    }
    void check(const Config& config) const {
      if (unified && !dimensions) {
        config["unified"].fail("searches widths too, which dimensions: false leaves out; leave one away");
      }
    }
  };

  explicit Aim(const Options& options)
      : o_(options),
        by_valid_(!o_.grda.given() && !o_.dimension_grda.given() && o_.keep == 0 && o_.keep_dimensions == 0) {}

  void check(const SearchRun& run) const override {
    if (by_valid_) check_valid(run);
    o_.retrain.check(run, by_valid_);
    INTERPLAY_CHECK(
        o_.retrain.with(by_valid_) != "sets" || takes_sets(run),
        "search.retrain_with: sets: the model '{}' cannot be given sets of fields; use gates or plain, or one "
        "of {}",
        name_in(run.experiment()["model"]), fmt::join(searchable_models(), ", "));
  }

  void run(SearchRun& run) override {
    if (o_.base) run.stage({.name = "base", .experiment = run.experiment()});
    SearchFindings found;
    std::vector<FieldWidths> widths;
    std::vector<std::string> fields;
    std::optional<StageResult> before;
    for (int64_t order = 2; order <= o_.orders; ++order) {
      std::vector<Interaction> candidates;
      if (order > 2) {
        candidates = grow(of_order(order - 1, found.interactions), o_.grow > 0 ? size_t(o_.grow) : fields.size(),
                          fields, o_.by_sign && order > 3);
        if (candidates.empty()) break;  // all fields are in the sets there are
      }
      before = search_order(run, order, candidates, before, found, widths);
      if (order == 2) fields = fields_of(found.interactions);
    }
    const bool any = std::any_of(found.interactions.begin(), found.interactions.end(), is_kept);
    if (o_.dimensions && !o_.unified && any) search_dimensions(run, found, widths);
    const Config gated = retrained(run, found, widths);
    Config plain = without_gate_rules(gated);
    plain.set("model.gates", flag(false));
    std::vector<Retraining> ways{{.with = "gates", .experiment = gated}, {.with = "plain", .experiment = plain}};
    if (takes_sets(run)) ways.push_back({.with = "sets", .experiment = with_sets(run, found)});
    interplay::retrain(run, found, o_.retrain, by_valid_, ways);
  }

 private:
  /// The model `aim` with what the experiment says of it, or of the like parts of another model.
  static Config aim_model(const SearchRun& run) {
    const Config given = run.experiment()["model"], resolved = models().resolve(given);
    Config model;
    model.set("name", text("aim"));
    const bool is_aim = resolved["name"].as<std::string>() == "aim";
    for (const auto& key : resolved.keys()) {
      const bool shared = key == "embedding_dim" || key == "hidden" || key == "dropout" || key == "norm" ||
                          key == "activation" || (given.is_map() && given.has(key) && key.starts_with("gate_"));
      if (is_aim ? key != "name" && key != "interactions" : shared) model.set_key(key, resolved[key]);
    }
    return model;
  }

  static bool is_kept(const Interaction& i) { return i.kept; }

  GrdaOptions grda() const { return by_valid_ ? o_.grda.without_threshold() : o_.grda.over({}); }
  GrdaOptions dimension_grda() const {
    return by_valid_ ? o_.dimension_grda.without_threshold() : o_.dimension_grda.over({.c = 5e-3, .mu = 0.55});
  }

  SearchLength length(const SearchRun& run) const {
    if (o_.epochs || !by_valid_) return {.epochs = o_.epochs.value_or(1)};
    return until_valid_stops(run.experiment(), run.train_rows());
  }

  /// Candidates of an order, in the order of their gates.
  static std::vector<std::string> gate_names(int64_t order, const Model& model) {
    std::vector<std::string> names;
    for (const auto& i : of_order(order, interactions_of(model))) names.push_back(interaction_name(i));
    return names;
  }

  /// The stage in which GRDA moves the gates of a model. Without gates of interactions, those that it has are `found`.
  StageResult search_stage(SearchRun& run, const std::string& name, Config model, int64_t order,
                           const SearchFindings& found, const std::optional<StageResult>& before = {}) const {
    model.set("hidden", Config::sequence({}));  // the MLP comes with re-training
    SearchStage stage{.name = name};
    std::map<std::string, GrdaOptions> groups;
    const bool gates = model["gates"].as<bool>(), of_dimensions = model["dimension_gates"].as<bool>();
    if (gates) {
      groups["gates"] = grda();
      stage.read_gates = [order](Trainer& trainer) {
        return read_named_gates(trainer, "gates", gate_names(order, trainer.model()));
      };
    }
    if (of_dimensions) {
      groups["dimension_gates"] = dimension_grda();
      stage.read_dimension_gates = [](Trainer& trainer) {
        return read_named_gates(trainer, "dimension_gates", names_of(dimension_gates_of(trainer.model())));
      };
    }
    if (by_valid_) {
      model = ready_to_rank(model);
      if (before) {  // what earlier orders tell is told, so that no set of this one stands in for it
        stage.started = [from = run.directory(*before)](Trainer& trainer) {
          continue_from(trainer.model(), *Bundle::open(from).model());
        };
      }
      stage.choose = [=, &run, &found](Trainer& trainer) {
        ValidChoice choice(trainer, open_split(run, "train"), open_split(run, "valid"));
        std::vector<KeptCurve> curves;
        auto interactions = found.interactions;
        if (gates) {
          curves.push_back(choice.choose("gates", gate_names(order, trainer.model())));
          interactions = of_order(order, interactions_of(trainer.model()));
          keep_chosen(interactions, curves.back());
        }
        if (of_dimensions) curves.push_back(choose_dimensions(choice, trainer.model(), interactions));
        return curves;
      };
    }
    Config experiment = run.experiment();
    experiment.set("model", model);
    stage.experiment = with_grda(experiment, groups, length(run));
    return run.stage(stage);
  }

  /// Of fields that no kept interaction reads, gates count for nothing.
  static KeptCurve choose_dimensions(ValidChoice& choice, const Model& model,
                                     const std::vector<Interaction>& interactions) {
    const auto gates = dimension_gates_of(model);
    std::vector<bool> are_read;
    for (const auto& g : gates) {
      for (const auto& field : g.fields)
        are_read.insert(are_read.end(), size_t(g.gate.size(1)), is_read(g, field, interactions));
    }
    KeptCurve curve = choice.choose("dimension_gates", names_of(gates), are_read);
    curve.gates = "dimensions";
    return curve;
  }

  StageResult search_order(SearchRun& run, int64_t order, const std::vector<Interaction>& candidates,
                           const std::optional<StageResult>& before, SearchFindings& found,
                           std::vector<FieldWidths>& widths) const {
    Config model = aim_model(run);
    model.set("gates", flag(true));
    model.set("dimension_gates", flag(o_.unified));
    model.set("searched_order", number(order));
    set_narrow(model, run.schema(), widths);  // of earlier orders
    if (order == 2) {
      std::vector<Config> functions;
      for (const auto& f : o_.functions) functions.push_back(text(f));
      model.set("order", number(2));
      model.set("functions", Config::sequence(std::move(functions)));
    } else {
      std::vector<Interaction> all = found.interactions;  // those of earlier orders that were kept
      all.insert(all.end(), candidates.begin(), candidates.end());
      model.set("interactions", listed(all));
    }
    const StageResult searched = search_stage(run, fmt::format("search-{}", order), model, order, found, before);
    const auto candidates_now = select(run, searched, order, found);
    found.interactions.insert(found.interactions.end(), candidates_now.begin(), candidates_now.end());
    if (o_.unified) take_widths(run, searched, found, widths);
    return searched;
  }

  /// The candidates of an order, those marked that the valid split or the threshold keeps.
  std::vector<Interaction> select(const SearchRun& run, const StageResult& searched, int64_t order,
                                  SearchFindings& found) const {
    auto candidates = of_order(order, interactions_of(*Bundle::open(run.directory(searched)).model()));
    if (by_valid_) {
      const KeptCurve curve = run.curves(searched).at(0);
      keep_chosen(candidates, curve);
      log::info("kept {} of {} interactions of {} fields {}", curve.chosen, candidates.size(), order,
                curve_text(curve));
      return candidates;
    }
    const GateCourse course = read_course(run.directory(searched) / "gates.jsonl");
    const auto& values = course.values.back();
    const size_t wanted = wanted_gates(o_.keep, values.size());
    found.grda.push_back(closing_grda(searched, grda(), course.thresholds.back(), values, wanted));
    const GrdaSummary& closed = found.grda.back();
    if (wanted > 0) set_gates(candidates, values, closed.threshold);
    const auto kept = std::count_if(candidates.begin(), candidates.end(), is_kept);
    INTERPLAY_CHECK(kept > 0 || order > 2,
                    "search: every gate is closed after {} steps: the threshold {:.4g} is beyond all of them; make "
                    "search.c smaller than {}, or say how many to keep (search.keep, --keep)",
                    searched.steps, closed.threshold, closed.searched_c);
    log::info("kept {} of {} interactions of {} fields; {}", kept, candidates.size(), order, grda_text(closed));
    return candidates;
  }

  void search_dimensions(SearchRun& run, SearchFindings& found, std::vector<FieldWidths>& widths) const {
    Config model = aim_model(run);
    model.set("gates", flag(false));
    model.set("dimension_gates", flag(true));
    model.set("interactions", listed(found.interactions));
    take_widths(run, search_stage(run, "dimensions", model, 0, found), found, widths);
  }

  /// What the gates of dimensions of a stage leave. Also takes away interactions that are left without numbers to
  /// multiply. Of fields that no kept interaction reads, gates count for nothing: no gradient comes to them.
  void take_widths(const SearchRun& run, const StageResult& searched, SearchFindings& found,
                   std::vector<FieldWidths>& widths) const {
    auto gates = dimension_gates_of(*Bundle::open(run.directory(searched)).model());
    if (by_valid_) {
      leave_chosen(gates, run.curves(searched).back());
    } else {
      leave_open(gates, run, searched, found);
    }
    for (const auto& g : gates) {
      widths.push_back(widths_of(g, found.interactions));
      for (const auto& [field, width] : widths.back().widths) found.widths[table_name(g, field)] = width;
    }
    INTERPLAY_CHECK(by_valid_ || std::any_of(found.interactions.begin(), found.interactions.end(), is_kept),
                    "search: no interaction is left with numbers to multiply after {} steps; make "
                    "search.dimension_c smaller than {}, or say how many to keep (search.keep_dimensions)",
                    searched.steps, dimension_grda().c);
  }

  /// Sets the gates to what the threshold, as it was or as it would keep the wanted share, leaves of them.
  void leave_open(std::vector<DimensionGates>& gates, const SearchRun& run, const StageResult& searched,
                  SearchFindings& found) const {
    const GateCourse course = read_course(run.directory(searched) / "dimension_gates.jsonl");
    std::vector<double> values;  // of fields that are read
    std::vector<at::Tensor> rows;
    auto next = course.values.back().begin();
    for (auto& g : gates) {
      for (size_t f = 0; f < g.fields.size(); ++f, next += g.gate.size(1)) {
        if (!is_read(g, g.fields[f], found.interactions)) continue;
        values.insert(values.end(), next, next + g.gate.size(1));
        rows.push_back(g.gate[int64_t(f)]);
      }
    }
    const size_t wanted = wanted_gates(o_.keep_dimensions, values.size());
    GrdaSummary grda = closing_grda(searched, dimension_grda(), course.thresholds.back(), values, wanted);
    grda.gates = "dimensions";
    int64_t open = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double beyond = std::max(0.0, std::abs(values[i]) - grda.threshold);
      open += beyond > 0;
      const int64_t width = rows.front().size(0);
      if (wanted > 0) rows[i / size_t(width)][int64_t(i) % width] = beyond;
    }
    log::info("kept {} of {} numbers of embeddings; {}", open, values.size(), grda_text(grda));
    found.grda.push_back(grda);
  }

  /// Whether the experiment's own model can be given sets of fields.
  static bool takes_sets(const SearchRun& run) {
    const auto able = searchable_models();
    const std::string name = name_in(run.experiment()["model"]);
    return name != "aim" && std::find(able.begin(), able.end(), name) != able.end();
  }

  /// The experiment with the sets of fields that are kept under any function.
  static Config with_sets(const SearchRun& run, const SearchFindings& found) {
    std::vector<Interaction> sets;
    size_t order = 2;
    for (const auto& i : found.interactions) {
      const auto same = [&](const Interaction& other) { return other.fields == i.fields; };
      if (!i.kept || std::any_of(sets.begin(), sets.end(), same)) continue;
      sets.push_back(i);
      order = std::max(order, i.fields.size());
    }
    Config out = without_gate_rules(run.experiment());
    out.set("model", models().resolve(run.experiment()["model"]));
    out.set("model.order", number(int64_t(order)));
    out.set("model.interactions", kept_sets(sets));
    out.set("model.gates", flag(false));
    return out;
  }

  static Config retrained(const SearchRun& run, const SearchFindings& found, const std::vector<FieldWidths>& widths) {
    Config experiment = run.experiment(), model = aim_model(run);
    model.set("gates", flag(true));
    model.set("dimension_gates", flag(false));
    model.set("interactions", listed(found.interactions));
    set_narrow(model, run.schema(), widths);
    experiment.set("model", model);
    return experiment;
  }

  /// Lists the tables that are narrower than the model's embeddings.
  static void set_narrow(Config& model, const Schema& schema, const std::vector<FieldWidths>& widths) {
    const auto most = model["embedding_dim"].as<int64_t>();
    std::vector<Config> narrow;
    for (const auto& w : widths) {
      std::map<std::string, int64_t> by_table;  // as wide as the widest of the fields that read it
      for (const auto& [field, width] : w.widths) {
        const Field& f = schema.field(field);
        if (!f.table.empty() && width > 0) by_table[f.table] = std::max(by_table[f.table], width);
      }
      std::map<int64_t, std::vector<Config>> by_width;
      for (const auto& [table, width] : by_table) {
        if (width < most) by_width[width].push_back(text(table));
      }
      for (auto& [width, tables] : by_width) {
        Config item;
        item.set("order", number(w.order));
        item.set("function", text(w.function));
        item.set("width", number(width));
        item.set("tables", Config::sequence(std::move(tables)));
        narrow.push_back(std::move(item));
      }
    }
    if (!narrow.empty()) model.set("narrow", Config::sequence(std::move(narrow)));
  }

  static Config listed(const std::vector<Interaction>& interactions) {
    std::vector<Config> out;
    for (const auto& i : interactions) {
      if (!i.kept) continue;
      Config item;
      item.set("fields", field_names(i));
      item.set("function", text(i.function));
      out.push_back(std::move(item));
    }
    return Config::sequence(std::move(out));
  }

  Options o_;
  bool by_valid_;  // nothing is said of what to keep
};

INTERPLAY_REGISTER(searches(), "aim", Aim,
                   "interactions of growing order, their functions and embedding widths, each closed by GRDA");

}  // namespace
}  // namespace interplay
