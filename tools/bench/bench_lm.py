"""A decoder's speed beside its peers, by turns in one run: prefill and decoding against llama.cpp on the same GGUF file,
LoRA steps against transformers + PEFT at the same precision and batch. Medians, with the least and most of all repeats.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2 gguf llama-cpp-python==0.3.36
    venv/bin/python tools/bench/bench_lm.py build/bin/interplay .deps/models/smollm2-135m/<file>.gguf

llama.cpp multiplies by the quantised weights, rounding activations; Interplay by the same weights expanded to fp32 and to
bf16, in decoding by the quantised ones, activations in 16 bits. Decoding is of 1 and of 16 sequences that have --length
tokens, 16 steps of a token each with all logits. Prefill is of one prompt of --prompt tokens, logits of the last; a step is
of --sequences sequences of --length tokens, LoRA of rank 8 on q_proj and v_proj, loss on the last token. PEFT's step is
measured as its users write it, with labels of which all but the last are masked ("labels"), and where it computes no more
logits than are needed ("one logit").
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import time

parser = argparse.ArgumentParser()
parser.add_argument("program")
parser.add_argument("model", type=pathlib.Path)
parser.add_argument("--repeat", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--prompt", type=int, default=512)
parser.add_argument("--sequences", type=int, default=8)
parser.add_argument("--length", type=int, default=256)
parser.add_argument("--skip-llama", action="store_true", help="where llama-cpp-python is not there")
parser.add_argument("--only-decode", action="store_true", help="nothing else, and nothing but llama-cpp-python is needed")
a = parser.parse_args()

results = {}


def keep(name, value):
    results.setdefault(name, []).append(value)


def seconds(work):
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def ours(precision, sequences, length, *whats):
    """tokens/s of what is asked for"""
    command = [a.program, "--threads", str(a.threads), "bench", "lm", "--json", "--repeat", "1", "--model", str(a.model)]
    command += ["--precision", precision, "--sequences", str(sequences), "--length", str(length)]
    command += ["--only", "decode"] if whats == ("decode",) else []
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return [next(f["median"] for f in found["figures"] if f["name"] == f"{what}, {precision}") for what in whats]


class LlamaDecode:
    """Steps of one token for each of some sequences, which have --length tokens before."""

    STEPS = 16

    def __init__(self, sequences):
        import llama_cpp

        self.api, self.sequences = llama_cpp, sequences
        llama_cpp.llama_backend_init()
        self.silent = llama_cpp.llama_log_callback(lambda level, text, data: None)  # called as long as there is a model
        llama_cpp.llama_log_set(self.silent, None)
        self.model = llama_cpp.llama_model_load_from_file(str(a.model).encode(), llama_cpp.llama_model_default_params())
        options = llama_cpp.llama_context_default_params()
        options.n_seq_max = sequences
        options.n_ctx = sequences * (a.length + 64)
        options.n_batch = options.n_ubatch = max(a.length, sequences)
        options.n_threads = options.n_threads_batch = a.threads
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        self.batch = llama_cpp.llama_batch_init(options.n_batch, 0, 1)
        for sequence in range(sequences):
            self.read([(1 + (7 * t + sequence) % 40000, t, sequence, t + 1 == a.length) for t in range(a.length)])

    def read(self, tokens):
        self.batch.n_tokens = len(tokens)
        for i, (token, place, sequence, wanted) in enumerate(tokens):
            self.batch.token[i], self.batch.pos[i], self.batch.logits[i] = token, place, wanted
            self.batch.n_seq_id[i], self.batch.seq_id[i][0] = 1, sequence
        if self.api.llama_decode(self.context, self.batch) != 0:
            raise SystemExit("llama_decode failed")

    def rate(self):
        """tokens/s; the sequences are then as they were"""
        begun = time.perf_counter()
        for step in range(self.STEPS):
            self.read([(1, a.length + step, sequence, True) for sequence in range(self.sequences)])
            self.api.llama_synchronize(self.context)
        rate = self.STEPS * self.sequences / (time.perf_counter() - begun)
        for sequence in range(self.sequences):
            self.api.llama_memory_seq_rm(self.api.llama_get_memory(self.context), sequence, a.length, -1)
        return rate


def compare_decoding():
    for sequences in (1, 16):
        theirs = LlamaDecode(sequences)
        theirs.rate()  # once, so that nothing is measured that happens once
        for _ in range(a.repeat):
            before = theirs.rate()
            rates = {precision: ours(precision, sequences, a.length, "decode")[0] for precision in ("fp32", "bf16")}
            both = (before + theirs.rate()) / 2
            keep(f"decode of {sequences}, llama.cpp", both)
            for precision, rate in rates.items():
                keep(f"decode of {sequences}, {precision}", rate)
                keep(f"decode of {sequences} / llama.cpp, {precision}", rate / both)


def show():
    for name, values in sorted(results.items(), key=lambda x: (" / " not in x[0], x[0])):
        median = statistics.median(values)
        print(f"{name:44} {median:10.3f}   {min(values):10.3f} to {max(values):10.3f}")


if not a.skip_llama:
    compare_decoding()
if a.only_decode:
    show()
    raise SystemExit

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GgufConfig

torch.set_num_threads(a.threads)


class Peft:
    def __init__(self, type):
        dense = GgufConfig(dequantize=True)  # else weights stay packed, and are unpacked in every product
        model = AutoModelForCausalLM.from_pretrained(
            a.model.parent, gguf_file=a.model.name, dtype=type, quantization_config=dense
        )
        self.model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"])).train()
        self.ids = torch.randint(0, 49152, (a.sequences, a.length), generator=torch.Generator().manual_seed(1))
        self.labels = torch.full_like(self.ids, -100)
        self.labels[:, -1] = self.ids[:, -1]

    def labelled(self):
        self.model.zero_grad()
        self.model(input_ids=self.ids, labels=self.labels).loss.backward()

    def one_logit(self):
        self.model.zero_grad()
        logits = self.model(input_ids=self.ids, logits_to_keep=1).logits
        (-logits[:, -1].float().log_softmax(-1)[:, 0].mean()).backward()


def llama():
    from llama_cpp import Llama

    model = Llama(str(a.model), n_ctx=2 * a.prompt, n_batch=a.prompt, n_ubatch=min(a.prompt, 512), n_threads=a.threads,
                  n_threads_batch=a.threads, verbose=False)
    ids = torch.randint(0, 49152, (a.prompt,), generator=torch.Generator().manual_seed(1)).tolist()

    def prefill():
        model.reset()
        model.eval(ids)

    return prefill


peft = {"fp32": Peft(torch.float32), "bf16": Peft(torch.bfloat16)}
prefill = None if a.skip_llama else llama()
for work in (*(p for x in peft.values() for p in (x.labelled, x.one_logit)), *([prefill] if prefill else [])):
    work()  # once, so that nothing is measured that happens once
for _ in range(a.repeat):
    llama_rate = a.prompt / seconds(prefill) if prefill else None
    if prefill:
        keep("prefill, llama.cpp", llama_rate)
    for precision, one in peft.items():
        rate = ours(precision, 1, a.prompt, "prefill", "LoRA step")[0]
        keep(f"prefill, {precision}", rate)
        if prefill:
            keep(f"prefill / llama.cpp, {precision}", rate / llama_rate)
        rate = ours(precision, a.sequences, a.length, "prefill", "LoRA step")[1]
        keep(f"LoRA step, {precision}", rate)
        for name, work in (("labels", one.labelled), ("one logit", one.one_logit)):
            theirs = a.sequences * a.length / seconds(work)
            keep(f"LoRA step, PEFT ({name}), {precision}", theirs)
            keep(f"LoRA step / PEFT ({name}), {precision}", rate / theirs)
show()
