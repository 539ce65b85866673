#include "serve/forward_graph.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include <interplay/base/error.h>
#include <interplay/nn/plain_scope.h>

#include "serve/known_calls.h"
#include "serve/simplify.h"

namespace interplay {
namespace {

constexpr size_t kMostPieces = 128;

/// Watches this thread's calls of the dispatcher that no other one made, with what they were given and what they gave.
class Recorder {
 public:
  Recorder(ForwardGraph& graph, const Features& probe) : calls_(graph, probe) {
    current_ = this;
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(&Recorder::begin, &Recorder::end)
                                             .needsInputs(true)
                                             .needsOutputs(true)
                                             .scopes({at::RecordScope::FUNCTION}));
  }
  ~Recorder() { stop(); }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// Throws Unknown where a call could not be understood, or `output` does not come from the inputs.
  int finish(const at::Tensor& output) {
    stop();
    if (!problem_.empty()) throw Unknown{problem_};
    return calls_.node_of(output);
  }

 private:
  struct Call : at::ObserverContext {
    std::vector<c10::IValue> inputs;
  };

  static std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& fn) {
    auto call = std::make_unique<Call>();
    if (!current_ || current_->depth_++ > 0) return call;
    call->inputs.assign(fn.inputs().begin(), fn.inputs().end());
    if (std::string_view(fn.name()).ends_with('_') && !call->inputs.empty() && call->inputs[0].isTensor())
      call->inputs[0] = current_->calls_.before(call->inputs[0].toTensor());  // it is changed in place
    return call;
  }
  static void end(const at::RecordFunction& fn, at::ObserverContext* context) {
    Recorder* const self = current_;
    if (!self || --self->depth_ > 0 || !self->problem_.empty()) return;
    ++self->depth_;  // what is called below is no call of the model's
    try {
      self->calls_.take(fn, static_cast<Call*>(context)->inputs, fn.outputs());
    } catch (const Unknown& unknown) {
      self->problem_ = unknown.what;
    } catch (const std::exception& error) {
      self->problem_ = fmt::format("{}: {}", fn.name(), error.what());
    }
    --self->depth_;
  }
  void stop() {
    if (current_ != this) return;
    at::removeCallback(handle_);
    current_ = nullptr;
  }

  static thread_local Recorder* current_;
  KnownCalls calls_;
  int64_t depth_ = 0;
  at::CallbackHandle handle_{};
  std::string problem_;
};
thread_local Recorder* Recorder::current_ = nullptr;

}  // namespace

PackedRows::PackedRows(nn::QuantisedRows of)
    : held(std::move(of)),
      type(held.rows.scalar_type() == at::kChar   ? Type::int8
           : held.rows.scalar_type() == at::kHalf ? Type::fp16
                                                  : Type::bf16),
      rows(held.rows.const_data_ptr()),
      scale(held.scale.defined() ? static_cast<const uint16_t*>(held.scale.const_data_ptr()) : nullptr),
      rows_a_scale(held.rows_a_scale()) {}

void ForwardGraph::read_packed(const std::map<const float*, std::shared_ptr<const PackedRows>>& by_rows) {
  for (Node& node : nodes) {
    for (Table& table : node.tables) {
      const auto found = by_rows.find(table.rows);
      if (found == by_rows.end()) continue;
      INTERPLAY_ASSERT(found->second->held.rows.size(1) == table.width);
      table.packed = found->second.get();
      table.rows = nullptr;
      packed.push_back(found->second);
    }
  }
  std::erase_if(held, [&](const at::Tensor& t) {
    return t.scalar_type() == at::kFloat && by_rows.contains(t.const_data_ptr<float>());
  });
}

std::vector<int64_t> ForwardGraph::stages() const {
  std::vector<int64_t> stages;
  for (const Node& node : nodes) {
    const bool of_entries = is_of_entries(node);
    int64_t stage = of_entries ? 1 : 0;
    for (const int i : node.inputs)
      stage = std::max(stage, stages[size_t(i)] + (is_of_entries(nodes[size_t(i)]) == of_entries ? 0 : 1));
    for (const int i : node.inputs) {
      if (nodes[size_t(i)].list >= 0 && stages[size_t(i)] != stage)
        throw Unknown{"it reads entries again after it has summed them up"};
    }
    stages.push_back(stage);
  }
  return stages;
}

std::optional<ForwardGraph> ForwardGraph::record(Model& model, const Features& probe, std::string& why) {
  ForwardGraph graph;
  try {
    const at::NoGradGuard no_grad;
    const nn::PlainScope plain;
    Recorder recorder(graph, probe);
    const auto logit = model.forward(probe).logit;
    graph.output = recorder.finish(logit);
    simplify(graph);
    graph.stages();
    for (const Node& node : graph.nodes) {
      if (node.runs.size() > kMostPieces)
        throw Unknown{fmt::format("it moves the numbers of a row in {} pieces, which its own kernel does faster",
                                  node.runs.size())};
    }
    return graph;
  } catch (const Unknown& unknown) {
    why = unknown.what;
  } catch (const std::exception& error) {
    why = error.what();
  }
  return std::nullopt;
}

}  // namespace interplay
