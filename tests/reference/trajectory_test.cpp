// 200 steps beside PyTorch: the same first weights, batches, dense Adam and whole-table L2 give the same losses, and
// the first step the same gradients. The stored values and their scripts: tests/reference/trajectories.py.
#include <filesystem>
#include <map>
#include <regex>
#include <string>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <interplay/core/model.h>
#include <interplay/nn/embedding.h>
#include <interplay/nn/safetensors.h>
#include <interplay/nn/table_storage.h>
#include <interplay/train/trainer.h>

namespace interplay::trajectory_test {
namespace {

constexpr int64_t kBatch = 64, kRows = 3200, kSteps = 200;

struct Run {
  const char* file;
  const char* model;  // its configuration
  const char* optimizer;
  double clip;
  bool history = false, lazy = false, two_labels = false;
};

void PrintTo(const Run& run, std::ostream* out) { *out << run.file; }

const std::string kAdam = "{embedding: {name: adam, lr: 1e-3, l2: 1e-3, mode: dense}, dense: {name: adam, lr: 1e-3}}";

std::filesystem::path data_file(const std::string& name) {
  return std::filesystem::path(INTERPLAY_TESTS_DIR) / "reference" / "data" / name;
}

Schema schema_of(const Run& run) {
  const std::vector<std::pair<std::string, int64_t>> tables{
      {"user_id", 60}, {"city", 30}, {"device", 32}, {"hour", 26}, {"item_id", 50}};
  std::vector<Field> fields;
  for (const auto& [name, rows] : tables) {
    Field f;
    f.name = f.table = name;
    f.rows = rows;
    fields.push_back(f);
  }
  if (run.two_labels) return Schema(fields, {"click", "like"});
  for (const char* name : {"price", "age"}) {
    Field f;
    f.name = name;
    f.kind = FieldKind::numeric;
    fields.push_back(f);
  }
  if (run.history) {
    Field f;
    f.name = "hist_item_ids";
    f.kind = FieldKind::sequence;
    f.table = f.target = "item_id";
    f.rows = 50;
    f.max_length = 12;
    fields.push_back(f);
  }
  return Schema(fields, {"click"});
}

const std::pair<const char*, const char*> kOfTwoLabels[] = {{R"((tower\d)\.0\.(.*))", "towers.$1.linear0.$2"},
                                                            {R"((tower\d)\.1\.(.*))", "towers.$1.output.$2"},
                                                            {R"(bottom\.(\d)\.(.*))", "bottom.linear$1.$2"},
                                                            {R"((gate\d)\.(.*))", "$1.linear.$2"},
                                                            {R"((expert\d)\.(\d)\.(.*))", "experts.$1.linear$2.$3"},
                                                            {R"((level.*expert\d)\.(\d)\.(.*))", "$1.linear$2.$3"},
                                                            {R"((level.*gate\d?)\.(.*))", "$1.linear.$2"}};

/// Our name of a stored weight, and which layer of a stacked parameter it is (-1: the whole).
std::pair<std::string, int64_t> our_name(const std::string& name, const std::string& model) {
  const auto after = [&](const char* prefix) { return name.substr(std::string(prefix).size()); };
  if (name.starts_with("embedding.")) return {"fields." + after("embedding.") + ".weight", -1};
  if (name.starts_with("linear.")) return {"linear.weights." + after("linear.") + ".weight", -1};
  if (name == "numeric_embedding") return {"fields.numeric", -1};
  if (name == "numeric_linear") return {"linear.weights.numeric", -1};
  if (name == "bias") return {"linear.bias", -1};
  if (name.starts_with("cross.")) return {"cross." + name.substr(8), name[6] - '0'};
  if (name.starts_with("attention.mlp.0")) return {"attention_0.mlp.linear0" + after("attention.mlp.0"), -1};
  if (name.starts_with("attention.mlp.1")) return {"attention_0.mlp.output" + after("attention.mlp.1"), -1};
  for (const auto& [pattern, ours] : kOfTwoLabels) {
    if (std::regex_match(name, std::regex(pattern))) return {std::regex_replace(name, std::regex(pattern), ours), -1};
  }
  if (name == "attention.dice.0.alpha") return {"attention_0.mlp.dice0.alpha", -1};
  if (name.starts_with("mlp.")) {
    const std::string mlp = model == "dcnv2" ? "parallel" : "mlp";
    return {name[4] == '2' ? "mlp.output" + name.substr(5) : mlp + ".linear" + name.substr(4), -1};
  }
  return {name, -1};
}

struct Stored {
  explicit Stored(const Run& run)
      : data(data_file("trajectory_data.safetensors")),
        values(data_file(std::string("trajectory_") + run.file + ".safetensors")) {}
  nn::Safetensors data, values;

  Batch batch(int64_t step, const Run& run) const {
    const int64_t first = step % (kRows / kBatch) * kBatch;
    Batch b;
    b.features.rows = kBatch;
    b.features.ids = data.at("ids").narrow(0, first, kBatch).contiguous();
    b.labels = data.at("labels").narrow(0, first, kBatch).reshape({kBatch, 1}).to(at::kFloat);
    if (run.two_labels) {
      const auto second = data.at("second").narrow(0, first, kBatch).reshape({kBatch, 1}).to(at::kFloat);
      b.labels = at::cat({b.labels, second}, 1);
      return b;
    }
    b.features.dense = data.at("dense").narrow(0, first, kBatch).contiguous();
    if (run.history) {
      const auto offsets = data.at("history.offsets").narrow(0, first, kBatch + 1).to(at::kLong);
      const int64_t begin = offsets[0].item<int64_t>(), end = offsets[kBatch].item<int64_t>();
      b.features.sequences.push_back(
          {data.at("history.ids").narrow(0, begin, end - begin).contiguous(), offsets - begin, {}});
    }
    return b;
  }
};

class Trajectory : public ::testing::TestWithParam<Run> {
 protected:
  Trajectory() : stored_(GetParam()), model_(make_model(Config::parse(GetParam().model), schema_of(GetParam()))) {
    const at::NoGradGuard no_grad;
    auto own = weights_of(*model_);
    for (const auto& [name, value] : stored_.values.tensors()) {
      if (name.starts_with("weight/")) pick(own, name.substr(7)).copy_(value.view_as(pick(own, name.substr(7))));
    }
  }

  at::Tensor pick(const std::map<std::string, at::Tensor>& tensors, const std::string& stored_name) const {
    const auto name = Config::parse(GetParam().model)["name"].as<std::string>();
    const auto [ours, layer] = our_name(stored_name, name);
    return layer >= 0 ? tensors.at(ours)[layer] : tensors.at(ours);
  }

  Config experiment() const {
    Config c;
    c.set("optimizer", Config::parse(GetParam().optimizer));
    c.set("train.precision", Config::scalar("fp32"));
    c.set("train.clip_norm", Config::scalar(fmt::format("{}", GetParam().clip)));
    return c;
  }

  Stored stored_;
  std::shared_ptr<Model> model_;
};

TEST_P(Trajectory, FirstGradientsAreThoseOfPyTorch) {
  Trainer trainer(*model_, experiment());
  const Batch b = stored_.batch(0, GetParam());
  model_->train();
  const auto logit = model_->forward(b.features).logit.view_as(b.labels);
  const auto loss = at::binary_cross_entropy_with_logits(logit, b.labels) * b.labels.size(1);  // summed over labels
  loss.backward();
  std::map<std::string, at::Tensor> gradients;
  for (const auto& p : model_->named_parameters())
    gradients[p.key()] = p.value().grad().defined() ? p.value().grad() : at::zeros_like(p.value());
  for (const auto& t : nn::tables_of(*model_)) {
    const auto rows = t.table->table().take();
    gradients[t.name + ".weight"] = at::zeros({t.table->rows(), t.table->width()}).index_copy(0, rows.rows, rows.grad);
  }
  int compared = 0;
  for (const auto& [name, value] : stored_.values.tensors()) {
    if (!name.starts_with("gradient/")) continue;
    const auto ours = pick(gradients, name.substr(9)).reshape(-1), theirs = value.reshape(-1);
    const double scale = theirs.abs().max().item<double>();
    EXPECT_LE((ours - theirs).abs().max().item<double>(), 1e-4 * scale + 1e-9) << name;
    ++compared;
  }
  EXPECT_GE(compared, 7);
}

TEST_P(Trajectory, LossesOf200StepsAreThoseOfPyTorch) {
  Trainer trainer(*model_, experiment());
  const auto bce = stored_.values.at("loss_bce"), total = stored_.values.at("loss");
  for (int64_t step = 0; step < kSteps; ++step) {
    const double penalty = trainer.optimizer().penalty();
    const double loss = trainer.step(stored_.batch(step, GetParam()));
    const double expected = bce[step].item<double>();
    ASSERT_NEAR(loss, expected, 1e-5 * expected) << "step " << step;
    if (GetParam().lazy) continue;  // the penalty of rows that a step touched is no part of a loss
    ASSERT_NEAR(loss + penalty, total[step].item<double>(), 1e-5 * total[step].item<double>()) << "step " << step;
  }
}

const std::string kNoL2 = "{embedding: {name: adam, lr: 1e-3, mode: dense}, dense: {name: adam, lr: 1e-3}}";
const std::string kLazy = "{embedding: {name: adam, lr: 1e-3, mode: lazy}, dense: {name: adam, lr: 1e-3}}";
const std::string kLazyL2 = "{embedding: {name: adam, lr: 1e-3, l2: 1e-3, mode: lazy}, dense: {name: adam, lr: 1e-3}}";
constexpr const char* kFfm = "{name: ffm, embedding_dim: 4}";
constexpr const char* kDeepFm = "{name: deepfm, embedding_dim: 8, hidden: [16, 16]}";
constexpr const char* kPle =
    "{name: ple, embedding_dim: 8, levels: 2, own_experts: 2, shared_experts: 2, expert_hidden: [16, 8], "
    "tower_hidden: [8]}";
constexpr const char* kDcnV2 = "{name: dcnv2, embedding_dim: 8, hidden: [16, 16], cross_layers: 3}";

INSTANTIATE_TEST_SUITE_P(
    Every, Trajectory,
    ::testing::Values(
        Run{"lr", "{name: lr}", kAdam.c_str(), 10}, Run{"fm", "{name: fm, embedding_dim: 8}", kAdam.c_str(), 10},
        Run{"ffm", kFfm, kAdam.c_str(), 10}, Run{"ffm_lazy", kFfm, kLazy.c_str(), 0, false, true},
        Run{"deepfm", kDeepFm, kAdam.c_str(), 10}, Run{"deepfm_no_l2", kDeepFm, kNoL2.c_str(), 10},
        Run{"deepfm_clipped", kDeepFm, kAdam.c_str(), 0.05}, Run{"deepfm_lazy", kDeepFm, kLazy.c_str(), 0, false, true},
        Run{"deepfm_lazy_l2", kDeepFm, kLazyL2.c_str(), 0, false, true}, Run{"dcnv2", kDcnV2, kAdam.c_str(), 10},
        Run{"dcnv2_history", kDcnV2, kAdam.c_str(), 10, true},
        Run{"din", "{name: din, embedding_dim: 8, hidden: [16, 16], attention_hidden: [16]}", kAdam.c_str(), 10, true},
        Run{"din_padded", "{name: din, embedding_dim: 8, hidden: [16, 16], attention_hidden: [16], pad_history: true}",
            kAdam.c_str(), 10, true},
        Run{"shared_bottom", "{name: shared_bottom, embedding_dim: 8, bottom_hidden: [16, 8], tower_hidden: [8]}",
            kAdam.c_str(), 10, false, false, true},
        Run{"mmoe", "{name: mmoe, embedding_dim: 8, experts: 3, expert_hidden: [16, 8], tower_hidden: [8]}",
            kAdam.c_str(), 10, false, false, true},
        Run{"ple", kPle, kAdam.c_str(), 10, false, false, true}),
    [](const auto& info) { return std::string(info.param.file); });

}  // namespace
}  // namespace interplay::trajectory_test
