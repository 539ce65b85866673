#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <interplay/base/options.h>
#include <interplay/lm/adapter.h>
#include <interplay/lm/tuned_folder.h>

#include "systems/recfound/s2sched.h"

namespace interplay::recfound {

/// An entry of `tasks:`.
struct TaskOptions {
  std::string name, family, train, valid, test, instruction, passage_instruction, frame, positive;
  std::vector<std::string> metrics, answers;
  int64_t max_tokens = 256, passage_tokens = 128, answer_tokens = 16;
  void visit(auto&& field) {
    field("name", name, "by which it is told, and asked for: RUN:NAME");
    field("family", family, "embedding: queries look for passages; generation: prompts are answered",
          OneOf{{"embedding", "generation"}});
    field("train", train,
          "file of a JSON object a line, found beside this one: {query, positive, negatives} or {prompt, answer}");
    field("valid", valid, "likewise: of these rows the ratios are taken that say which tasks converge");
    field("test", test, "likewise: what `lm eval` judges by");
    field("instruction", instruction, "what is told before a query or prompt");
    field("passage_instruction", passage_instruction, "what is told before a passage");
    field("frame", frame, "of this task, in place of that in `frames`");
    field("metrics", metrics,
          "what `lm eval` tells, ranks being by the first: mrr@K, ndcg@K, recall@K; accuracy, exact, substring, f1, "
          "macro_f1");
    field("answers", answers, "all answers that there are; another one is wrong");
    field("positive", positive, "the answer that f1 is of; by default the first of `answers`");
    field("max_tokens", max_tokens, "most tokens of a query or prompt, its frame aside; a longer one loses its end",
          Range{1, 1e6});
    field("passage_tokens", passage_tokens, "likewise of a passage", Range{1, 1e6});
    field("answer_tokens", answer_tokens, "most tokens of an answer", Range{1, 1e5});
  }
};

struct FrameOptions {
  std::string embedding = "<|im_start|>user\n{instruction}<|im_end|>\n<|im_start|>embed\n{text}";
  std::string generation = "<|im_start|>user\n{instruction}\n{text}<|im_end|>\n<|im_start|>assistant\n";
  void visit(auto&& field) {
    field("embedding", embedding,
          "around what becomes a vector: {text} is it, {instruction} the task's; control tokens may be written out");
    field("generation", generation, "around what is answered; the answer follows, and after it the end token");
  }
};

/// `adapters:`: lm::AdapterOptions with experts by their kinds.
struct TunedAdapterOptions {
  std::string experts = "tasks";
  int64_t embedding = 2, shared = 2, generation = 2, rank = 8, router_width = 512;
  double alpha = 32, dropout = 0.05;
  std::vector<std::string> targets = {"q_proj", "k_proj", "v_proj", "o_proj"};
  void visit(auto&& field) {
    field("experts", experts,
          "tasks: adapters side by side, weighed by task (TMoLE); none: one adapter of about as many weights",
          OneOf{{"tasks", "none"}});
    field("embedding", embedding, "experts of tasks of embedding alone", Range{0, 64});
    field("shared", shared, "experts of all tasks", Range{0, 64});
    field("generation", generation, "experts of tasks of generation alone", Range{0, 64});
    field("rank", rank, "inner width r of an expert", Range{1, 65536});
    field("alpha", alpha, "adapters are scaled by alpha / r, r being an expert's, also where there is one adapter");
    field("dropout", dropout, "share of an adapter's inputs that is dropped while it is trained", Range{0, 0.99});
    field("router_width", router_width, "numbers of a task's vector", Range{1, 65536});
    field("targets", targets, "projections that have adapters",
          OneOf{{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}});
  }
  lm::ExpertCounts counts() const { return {embedding, shared, generation}; }
};

/// `batch:`
struct BatchOptions {
  int64_t embedding = 16, generation = 16, group = 2, chunk = 64;
  void visit(auto&& field) {
    field("embedding", embedding, "rows of tasks of embedding in a step", Range{1, 1e6});
    field("generation", generation, "rows of tasks of generation in a step", Range{1, 1e6});
    field("group", group, "passages of a query: its positive and group - 1 of its negatives", Range{1, 1000});
    field("chunk", chunk,
          "texts that are held for the backward pass at once: more are read twice (GradCache), to the same gradients",
          Range{1, 1e6});
  }
};

/// `sampling:`
struct SamplingOptions : S2SchedOptions {
  std::string by = "s2sched";
  double keep = 0.25;
  int64_t valid_batches = 4, valid_rows = 8;
  void visit(auto&& field) {
    field("by", by, "how many rows a task has in a step: by size, or as S2Sched says", OneOf{{"s2sched", "size"}});
    field("keep", keep, "share that is kept of the rows that are drawn, where S2Sched chooses among them",
          Range{1e-3, 1});
    field("valid_batches", valid_batches, "tasks whose validation loss is taken after a step, by turns", Range{1, 1e6});
    field("valid_rows", valid_rows, "rows of such a loss, always the same ones of a task", Range{1, 1e6});
    S2SchedOptions::visit(field);
  }
};

/// The file of `interplay lm tune`.
struct TuneOptions {
  std::string lm = "smollm2-135m", precision = "auto";
  std::vector<TaskOptions> tasks;
  FrameOptions frames;
  TunedAdapterOptions adapters;
  BatchOptions batch;
  SamplingOptions sampling;
  double temperature = 0.02, generation_weight = 1, clip_norm = 1, warmup = 0.03;
  int64_t steps = 600, checkpoint_every = 50, seed = 1;
  Config optimizer = Config::parse("{name: adam, lr: 2e-4}"), schedule = Config::scalar("linear", true);
  void visit(auto&& field) {
    field("lm", lm, "the decoder that is tuned: a fetched name or a path");
    field("precision", precision, "of its weights: fp32, bf16, or auto = bf16 where the processor multiplies it itself",
          OneOf{{"auto", "fp32", "bf16"}});
    field("tasks", tasks, "what it is tuned for");
    field("frames", frames, "what is written around texts");
    field("adapters", adapters, "what learns");
    field("batch", batch, "rows of a step");
    field("sampling", sampling, "which rows");
    field("temperature", temperature, "that cosines are divided by", Range{1e-6, 1e6});
    field("generation_weight", generation_weight, "of the loss of answers, beside that of vectors", Range{0, 1e6});
    field("steps", steps, "how many", Range{1, 1e9});
    field("checkpoint_every", checkpoint_every, "steps between checkpoints, whose adapters are kept, for `lm merge`",
          Range{1, 1e9});
    field("optimizer", optimizer, "an update rule with its lr, as a group of `optimizer:` of an experiment");
    field("schedule", schedule, "of the learning rate, as train.schedule");
    field("warmup", warmup, "share of the steps over which the learning rate rises at first", Range{0, 1});
    field("clip_norm", clip_norm, "global norm that gradients are clipped to; 0 = off", Range{0, 1e12});
    field("seed", seed, "of first weights, draws and dropout", Range{0, 1e15});
  }
};

}  // namespace interplay::recfound
