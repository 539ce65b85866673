#include <interplay/lm/adapter.h>

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/custom_function.h>

#include <interplay/base/error.h>
#include <interplay/nn/safetensors.h>

namespace interplay::lm {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// x W^T, and onto the rows of W that outputs have, scale T_p B_p^T. T [N, P R]: what P adapters made of x, side by
/// side; B [sum of their widths, R]. In place on slices: as a graph of narrow() each slice would cost, backwards, a
/// gradient as wide as all of W.
struct AdaptedProduct : torch::autograd::Function<AdaptedProduct> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& t, const at::Tensor& b, const std::vector<int64_t>& first,
                            const std::vector<int64_t>& width, double scale) {
    auto y = at::linear(x, weight);
    const int64_t inner = b.size(1);
    int64_t row = 0;
    for (size_t p = 0; p < first.size(); row += width[p++]) {
      y.narrow(1, first[p], width[p])
          .addmm_(t.narrow(1, int64_t(p) * inner, inner), b.narrow(0, row, width[p]).t(), 1, scale);
    }
    context->save_for_backward({weight, t, b});
    context->saved_data["first"] = first;
    context->saved_data["width"] = width;
    context->saved_data["scale"] = scale;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &weight = saved[0], &t = saved[1], &b = saved[2];
    const auto first = context->saved_data["first"].toIntVector(), width = context->saved_data["width"].toIntVector();
    const double scale = context->saved_data["scale"].toDouble();
    const auto g = gradients[0].contiguous();
    const int64_t inner = b.size(1);
    auto d_t = at::empty_like(t), d_b = at::empty_like(b);
    int64_t row = 0;
    for (size_t p = 0; p < first.size(); row += width[p++]) {
      const auto flow = g.narrow(1, first[p], width[p]) * scale;  // [N, width]
      const auto part = t.narrow(1, int64_t(p) * inner, inner);
      d_t.narrow(1, int64_t(p) * inner, inner).copy_(at::mm(flow, b.narrow(0, row, width[p])));
      d_b.narrow(0, row, width[p]).copy_(at::mm(flow.t(), part));
    }
    at::Tensor d_x;
    if (context->needs_input_grad(0)) d_x = at::mm(g, weight);
    return {d_x, at::Tensor(), d_t, d_b, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

const char kTargets[] = "targets";

}  // namespace

AdapterLinearImpl::AdapterLinearImpl(const at::Tensor& weight, std::vector<Output> outputs)
    : weight_(register_buffer("weight", weight)), outputs_(std::move(outputs)) {
  int64_t rows = 0;
  for (const auto& output : outputs_) rows += output.width;
  INTERPLAY_CHECK(weight.dim() == 2 && weight.size(0) == rows, "AdapterLinear: a weight of shape [{}] for {} outputs",
                  fmt::join(weight.sizes(), ", "), rows);
}

void AdapterLinearImpl::adapt(const std::string& output, const AdapterOptions& options, uint64_t seed) {
  INTERPLAY_CHECK(options.rank >= 1 && options.experts >= 1, "adapter: rank {} and {} experts; expected at least 1",
                  options.rank, options.experts);
  INTERPLAY_CHECK(options.dropout >= 0 && options.dropout < 1, "adapter: dropout {}; expected 0 <= dropout < 1",
                  options.dropout);
  Adapter adapter;
  for (const auto& o : outputs_) {
    if (o.name == output) {
      adapter.width = o.width;
      break;
    }
    adapter.first += o.width;
    ++adapter.output;
  }
  INTERPLAY_CHECK(adapter.width > 0, "adapter: no projection '{}' here", output);
  for (const auto& other : adapters_)
    INTERPLAY_CHECK(other.output != adapter.output, "adapter: '{}' has an adapter already", output);
  const int64_t in = weight_.size(1), inner = options.experts * options.rank;
  const double bound = 1 / std::sqrt(double(in));  // sqrt(6 / ((1 + a^2) in)) with a^2 = 5
  auto generator = at::detail::createCPUGenerator(seed);
  const auto f32 = at::TensorOptions().dtype(at::kFloat);
  const std::string own = output.substr(output.rfind('.') + 1);
  adapter.a = register_parameter(own + "_lora_A",
                                 at::empty({inner, in}, f32).uniform_(-bound, bound, generator).to(weight_.device()));
  adapter.b = register_parameter(own + "_lora_B", at::zeros({adapter.width, inner}, f32.device(weight_.device())));
  adapters_.push_back(adapter);
  std::sort(adapters_.begin(), adapters_.end(), [](const auto& l, const auto& r) { return l.output < r.output; });
  options_ = options;
}

at::Tensor AdapterLinearImpl::inner(const at::Tensor& t, const Adapter& adapter, const AdapterCall* call,
                                    const at::Tensor& sample) {
  const auto& name = outputs_[size_t(adapter.output)].name;
  AdapterMix mix;
  if (call) {
    const auto found = call->mixes.find(name);
    if (found != call->mixes.end()) mix = found->second;
  }
  const int64_t e = options_.experts, r = options_.rank, n = t.size(0);
  if (!mix.core.defined() && !mix.experts.defined()) return e == 1 ? t : t * (1.0 / double(e));
  INTERPLAY_CHECK(sample.defined() && sample.numel() == n, "{}: a core or experts by sample, and no sample of each row",
                  name);
  auto out = t.view({n, e, r});
  if (mix.core.defined()) {
    INTERPLAY_CHECK(mix.core.dim() == 3 && mix.core.size(1) == r && mix.core.size(2) == r,
                    "{}: a core of shape [{}]; expected [samples, {}, {}]", name, fmt::join(mix.core.sizes(), ", "), r,
                    r);
    out = at::bmm(out, mix.core.to(t.scalar_type()).index_select(0, sample));  // [N, E, r]
  }
  if (mix.experts.defined()) {
    INTERPLAY_CHECK(mix.experts.dim() == 2 && mix.experts.size(1) == e,
                    "{}: experts of shape [{}]; expected [samples, {}]", name, fmt::join(mix.experts.sizes(), ", "), e);
    out = out * mix.experts.to(t.scalar_type()).index_select(0, sample).unsqueeze(2);
  } else if (e > 1) {
    out = out * (1.0 / double(e));
  }
  return out.reshape({n, e * r});
}

at::Tensor AdapterLinearImpl::forward(const at::Tensor& x, const AdapterCall* call, const at::Tensor& sample) {
  if (adapters_.empty()) return at::linear(x, weight_);
  const auto type = x.scalar_type();
  std::vector<at::Tensor> a, b, t;
  std::vector<int64_t> first, width;
  for (const auto& adapter : adapters_) {
    a.push_back(adapter.a), b.push_back(adapter.b);
    first.push_back(adapter.first), width.push_back(adapter.width);
  }
  const bool drop = is_training() && options_.dropout > 0;
  const auto all = at::linear(drop ? at::dropout(x, options_.dropout, true) : x, at::cat(a).to(type));  // [N, P E r]
  const auto parts = all.chunk(int64_t(a.size()), 1);
  bool plain = options_.experts == 1;
  for (size_t p = 0; p < parts.size(); ++p) {
    t.push_back(inner(parts[p], adapters_[p], call, sample));
    plain = plain && t.back().is_same(parts[p]);
  }
  return AdaptedProduct::apply(x, weight_, plain ? all : at::cat(t, 1), at::cat(b).to(type), first, width,
                               options_.scale());
}

void AdapterLinearImpl::merge() {
  const at::NoGradGuard off;
  for (const auto& adapter : adapters_) {
    auto rows = weight_.narrow(0, adapter.first, adapter.width);
    const double scale = options_.scale() / double(options_.experts);
    rows.copy_(at::addmm(rows.to(at::kFloat), adapter.b, adapter.a, 1, scale));
  }
  remove_adapters();
}

void AdapterLinearImpl::remove_adapters() {
  for (const auto& adapter : adapters_) {
    const auto& name = outputs_[size_t(adapter.output)].name;
    const std::string own = name.substr(name.rfind('.') + 1);
    parameters_.erase(own + "_lora_A");
    parameters_.erase(own + "_lora_B");
  }
  adapters_.clear();
}

std::string AdapterFile::name_a(const std::string& output) {
  return "base_model.model.model." + output + ".lora_A.weight";
}
std::string AdapterFile::name_b(const std::string& output) {
  return "base_model.model.model." + output + ".lora_B.weight";
}

void AdapterFile::save(const std::filesystem::path& file) const {
  nn::save_safetensors(file, weights,
                       {{"format", "interplay-adapter 1"},
                        {"base", base},
                        {"rank", std::to_string(options.rank)},
                        {"alpha", fmt::format("{}", options.alpha)},
                        {"dropout", fmt::format("{}", options.dropout)},
                        {"experts", std::to_string(options.experts)},
                        {kTargets, fmt::format("{}", fmt::join(options.targets, " "))}});
}

AdapterFile AdapterFile::load(const std::filesystem::path& file) {
  const nn::Safetensors stored(file);
  stored.check();
  AdapterFile out;
  const auto text = [&](const char* key) {
    const auto found = stored.metadata().find(key);
    INTERPLAY_CHECK_DATA(found != stored.metadata().end(),
                         "{}: has no metadata entry '{}'; expected a file that Interplay saved adapters to",
                         file.string(), key);
    return found->second;
  };
  const auto number = [&](const char* key, double low, double high) {
    const std::string value = text(key);
    char* end = nullptr;
    const double found = std::strtod(value.c_str(), &end);
    INTERPLAY_CHECK_DATA(!value.empty() && *end == 0 && found >= low && found <= high,
                         "{}: metadata entry '{}' is '{}'; expected a number from {} to {}", file.string(), key, value,
                         low, high);
    return found;
  };
  const std::string format = text("format");
  INTERPLAY_CHECK_DATA(format == "interplay-adapter 1", "{}: format '{}'; expected 'interplay-adapter 1'",
                       file.string(), format);
  out.base = text("base");
  out.options.rank = int64_t(number("rank", 1, 65536));
  out.options.alpha = number("alpha", -1e12, 1e12);
  out.options.dropout = number("dropout", 0, 0.99);
  out.options.experts = int64_t(number("experts", 1, 1024));
  out.options.targets.clear();
  const std::string targets = text(kTargets) + " ";
  for (size_t begin = 0, end; (end = targets.find(' ', begin)) != std::string::npos; begin = end + 1) {
    if (end > begin) out.options.targets.push_back(targets.substr(begin, end - begin));
  }
  for (const auto& [name, tensor] : stored.tensors()) out.weights.emplace(name, tensor.clone());
  return out;
}

}  // namespace interplay::lm
