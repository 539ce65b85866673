"""What SmolLM2-135M-Instruct goes on with, as transformers computes it in float32 from the same GGUF file.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.24.0 gguf==0.19.0 safetensors
    venv/bin/python tests/reference/generate.py .deps/models/smollm2-135m/<file>.gguf

WHAT IS STORED (data/generate.json), for each prompt below: prompt (its text, control tokens included), ids (its tokens),
greedy (32 tokens of generate(do_sample=False), fewer where an end token comes before), gap (the least difference between
the largest and the second largest logit on the way: where it is small, rounding may decide), and the distribution of the
next token at temperature 0.7, then top-k 40, then top-p 0.9: tokens and p, the likelier first.
"""

import json
import pathlib
import sys

from common import DATA

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, LogitsProcessorList
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

ASK = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
QUESTIONS = [
    "What is the capital of Italy?",
    "Name three films set by the sea.",
    "Write one sentence about the moon.",
    "Summarise in ten words: a reader likes quiet crime novels and old maps.",
    "Is water wet? Answer Yes or No.",
    "Which season comes after winter?",
    "List two colours of the rainbow.",
    "Translate to French: good morning.",
    "How many days has a week?",
    "Give a title for a story about a lighthouse.",
]
TEXTS = [
    "The capital of France is",
    "Once upon a time, in a small harbour town,",
    "def add(a, b):\n    return",
    "1, 2, 3, 4,",
    "The user watched five comedies and rated them highly. The user probably likes",
    "Roses are red,",
    "Water boils at",
    "In 1969, the first man",
    "Ingredients: flour, sugar,",
    "To whom it may concern,\n\n",
]
MOST = 32

file = pathlib.Path(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
model = AutoModelForCausalLM.from_pretrained(
    file.parent, gguf_file=file.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
).eval()
warp = LogitsProcessorList([TemperatureLogitsWarper(0.7), TopKLogitsWarper(40), TopPLogitsWarper(0.9)])
ends = [tokenizer.convert_tokens_to_ids(name) for name in ("<|im_end|>", "<|endoftext|>")]
store = []
for prompt in [ASK.format(question) for question in QUESTIONS] + TEXTS:
    ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids
    with torch.no_grad():
        first = model(ids).logits[:, -1]
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=MOST, eos_token_id=ends,
            pad_token_id=ends[0], return_dict_in_generate=True, output_logits=True,
        )
    greedy = out.sequences[0, ids.shape[1]:].tolist()
    best = [step[0].topk(2).values for step in out.logits]
    if greedy[-1] in ends:
        greedy.pop()
    p = warp(ids, first)[0].double().softmax(-1)
    p, tokens = p.sort(descending=True)
    kept = int((p > 0).sum())
    store.append({
        "prompt": prompt,
        "ids": ids[0].tolist(),
        "greedy": greedy,
        "gap": round(min((a - b).item() for a, b in best), 4),
        "tokens": tokens[:kept].tolist(),
        "p": [round(x, 6) for x in p[:kept].tolist()],
    })
    print(store[-1]["gap"], kept, repr(tokenizer.decode(greedy)))
(DATA / "generate.json").write_text("[\n" + ",\n".join(json.dumps(entry) for entry in store) + "\n]\n")
