#include <ATen/ATen.h>

#include <interplay/base/random.h>
#include <interplay/bench/peaks.h>
#include <interplay/bench/workload.h>
#include <interplay/lm/model_files.h>
#include <interplay/lm/scorer.h>

namespace interplay::bench {
namespace {

struct LmBenchOptions {
  std::string model, precision, only;
  int64_t sequences = 8, length = 256, rank = 8;
  bool checkpoint = false;
  void visit(auto&& field) {
    field("model", model,
          "a fetched decoder's name, a GGUF file or a folder; empty = made-up weights of SmolLM2-135M's sizes");
    field("precision", precision, "fp32 or bf16; empty = both, one after the other", OneOf{{"", "fp32", "bf16"}});
    field("sequences", sequences, "sequences in a batch", Range{1, 4096});
    field("length", length, "tokens of a sequence", Range{2, 65536});
    field("only", only, "decode: nothing but steps of one token; empty = all", OneOf{{"", "decode"}});
    field("rank", rank, "inner width of the adapters on q_proj and v_proj", Range{1, 4096});
    field("checkpoint", checkpoint, "training steps keep only what each layer reads");
  }
};

/// Weights as drawn: how fast a decoder runs does not depend on them.
lm::Decoder made_up(at::ScalarType type) {
  lm::DecoderConfig c{.layers = 30,
                      .width = 576,
                      .heads = 9,
                      .kv_heads = 3,
                      .head_dim = 64,
                      .hidden = 1536,
                      .vocabulary = 49152,
                      .context = 8192,
                      .rope_base = 100000,
                      .norm_eps = 1e-5};
  const auto random = [&](int64_t out, int64_t in) { return at::randn({out, in}).mul_(0.02).to(type); };
  const auto linear = [&](const std::vector<lm::AdapterLinearImpl::Output>& outputs, int64_t in) {
    int64_t rows = 0;
    for (const auto& o : outputs) rows += o.width;
    return lm::AdapterLinear(random(rows, in), outputs);
  };
  std::vector<lm::DecoderImpl::Layer> layers;
  for (int64_t l = 0; l < c.layers; ++l) {
    const std::string own = fmt::format("layers.{}.", l);
    layers.push_back(
        {at::ones({c.width}), at::ones({c.width}),
         linear({{own + "self_attn.q_proj", 576}, {own + "self_attn.k_proj", 192}, {own + "self_attn.v_proj", 192}},
                c.width),
         linear({{own + "self_attn.o_proj", 576}}, 576),
         linear({{own + "mlp.gate_proj", 1536}, {own + "mlp.up_proj", 1536}}, c.width),
         linear({{own + "mlp.down_proj", 576}}, 1536)});
  }
  const auto embedding = random(c.vocabulary, c.width);
  lm::Decoder decoder(c, embedding, std::move(layers), at::ones({c.width}), embedding, "made up");
  decoder->eval();
  return decoder;
}

/// A decoder's passes beside the matrix products of its layers alone, by at::mm.
class LmBench final : public Workload {
 public:
  using Options = LmBenchOptions;
  explicit LmBench(const Options& options) : options_(options) {}

  Findings run(const Setting& setting) override {
    Findings out;
    out.notes = {{"model", options_.model.empty() ? "made up, SmolLM2-135M's sizes" : options_.model},
                 {"sequences", std::to_string(options_.sequences)},
                 {"tokens each", std::to_string(options_.length)}};
    for (const auto* precision : {"fp32", "bf16"}) {
      if (options_.precision.empty() || options_.precision == precision) measure(precision, setting.repeats, out);
    }
    return out;
  }

 private:
  void measure(const std::string& name, int64_t repeats, Findings& out) const {
    const auto precision = nn::parse_precision(name);
    const auto type = precision == nn::Precision::bf16 ? at::kBFloat16 : at::kFloat;
    lm::Decoder decoder =
        options_.model.empty() ? made_up(type) : lm::load_decoder(lm::find_model(options_.model), precision);
    const auto& c = decoder->config();
    const int64_t tokens = options_.sequences * options_.length;
    std::vector<lm::TokenIds> sequences;
    for (int64_t s = 0; s < options_.sequences; ++s) {
      sequences.emplace_back();
      for (int64_t t = 0; t < options_.length; ++t)
        sequences.back().push_back(int64_t(random_bits(1, uint64_t(s), uint64_t(t)) % uint64_t(c.vocabulary)));
    }
    const auto batch = lm::TokenBatch::of(sequences);
    const auto answers = at::tensor({0, 1}, at::kLong);

    // A few layers stand for all; a training step multiplies by each matrix twice, once transposed.
    constexpr int64_t kLayers = 3;
    const int64_t heads = c.heads * c.head_dim, keys = c.kv_heads * c.head_dim;
    std::vector<MatrixProducts::Shape> forward, both;
    for (int64_t l = 0; l < kLayers; ++l) {
      for (const auto& shape : std::vector<MatrixProducts::Shape>{
               {c.width, heads + 2 * keys}, {heads, c.width}, {c.width, 2 * c.hidden}, {c.hidden, c.width}}) {
        forward.push_back(shape);
        both.push_back(shape);
        both.push_back({shape.out, shape.in});
      }
    }
    const auto passes = MatrixProducts::Passes::forward;
    const MatrixProducts reading(forward, tokens, type, passes), training(both, tokens, type, passes),
        single(forward, options_.sequences, type, passes);
    const auto limit = [&](const MatrixProducts& products, double rows) {
      return rows / (seconds_each(0.3, [&] { products.run(); }) * double(c.layers) / double(kLayers));
    };
    decode(
        decoder, batch, name, repeats, [&] { return limit(single, double(options_.sequences)); }, out);
    if (options_.only == "decode") return;
    decoder->adapt({.rank = options_.rank}, 1);
    const auto compare = [&](const std::string& what, const MatrixProducts& products, double rows, const auto& work) {
      const double before = limit(products, rows), found = rows / seconds_of(work), after = limit(products, rows);
      out.ratio(fmt::format("{} / its matrix products alone, {}", what, name), found / ((before + after) / 2));
      out.figure(fmt::format("{}, {}", what, name), "tokens/s", found);
      out.figure(fmt::format("{}, products alone, {}", what, name), "tokens/s", (before + after) / 2);
    };

    const auto prefill = [&] {
      const at::NoGradGuard off;
      decoder->logits(decoder->forward(batch, {.rows = batch.last_rows()}), answers);
    };
    const auto step = [&] {
      const auto hidden = decoder->forward(batch, {.checkpoint = options_.checkpoint, .rows = batch.last_rows()});
      decoder->zero_grad();
      (-decoder->logits(hidden).log_softmax(1).select(1, 0).mean()).backward();
    };
    prefill(), step();
    for (int64_t i = 0; i < repeats; ++i) {
      compare("prefill", reading, double(tokens), prefill);
      compare("LoRA step", training, double(tokens), step);
    }
  }

  /// Steps of one token a sequence behind what `batch` holds, by the file's quantised weights where it has any.
  void decode(lm::Decoder& decoder, const lm::TokenBatch& batch, const std::string& name, int64_t repeats,
              const std::function<double()>& products, Findings& out) const {
    constexpr int64_t kDecoded = 16;
    if (!options_.model.empty()) decoder->read_packed(lm::find_model(options_.model));
    lm::KvCache cache(options_.sequences);
    decoder->extend(cache, batch, batch.last_rows());
    const std::vector<int64_t> next(size_t(options_.sequences), 1);
    for (int64_t i = 0; i < repeats; ++i) {
      lm::KvCache own = cache;
      decoder->step(own, next);  // takes memory of its own
      const double seconds = seconds_of([&] {
        for (int64_t t = 0; t < kDecoded; ++t) decoder->step(own, next);
      });
      const double rate = double(kDecoded * options_.sequences) / seconds;
      out.ratio(fmt::format("decode / its matrix products alone, {}", name), rate / products());
      out.figure(fmt::format("decode, {}", name), "tokens/s", rate);
    }
  }

  Options options_;
};

INTERPLAY_REGISTER(workloads(), "lm", LmBench, "a decoder's prefill, decoding and LoRA steps, f32 and bf16");

}  // namespace
}  // namespace interplay::bench
