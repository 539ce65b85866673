"""Logits of SmolLM2-135M-Instruct as transformers computes them in float32 from the same GGUF file.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.24.0 gguf==0.19.0 safetensors
    venv/bin/python tests/reference/smollm2.py .deps/models/smollm2-135m/<file>.gguf

WHAT IS STORED (data/smollm2.safetensors), for each prompt below as <number>/<tensor>: ids [T] (its token ids), logits
[1540]: of the tokens 10539 (Yes), 5230 (No), 9230 ( Yes), 2838 ( No), then of each 32nd, after the last token; log_p, the
sum of log P of all tokens but the first; mean [576], the mean of the hidden states after the final norm over all tokens.
"""

import pathlib
import sys

from common import save_tensors

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

SYSTEM = "<|im_start|>system\nYou judge whether a person will enjoy an item.<|im_end|>\n"
PROMPTS = [
    "The capital of France is",
    SYSTEM + "<|im_start|>user\nIs the sky blue on a clear day? Answer Yes or No.<|im_end|>\n<|im_start|>assistant\n",
    SYSTEM
    + "<|im_start|>user\nProfile: woman, 25-34, job writer. Watched, oldest first, with stars out of 5:\n"
    + "".join(f"{i}. The {n} Lighthouse (19{50 + i}) - {1 + i % 5} stars\n" for i, n in enumerate(["Red", "Old", "Last"] * 6))
    + "Candidate: The Quiet Harbour (1994). Will they like the candidate? Answer Yes or No.<|im_end|>\n"
    "<|im_start|>assistant\n",
    "def f(x):\n    return x ** 2\n\nprint(f(12))  # ",
]

file = pathlib.Path(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
dense = GgufConfig(dequantize=True)
model = AutoModelForCausalLM.from_pretrained(
    file.parent, gguf_file=file.name, dtype=torch.float32, quantization_config=dense
).eval()
chosen = torch.tensor([10539, 5230, 9230, 2838] + list(range(0, 49152, 32)))
store = {}
for i, prompt in enumerate(PROMPTS):
    ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids
    with torch.no_grad():
        out = model(ids, output_hidden_states=True)
    logits = out.logits[0]
    store[f"{i}/mean"] = out.hidden_states[-1][0].mean(0)  # the last are those behind the final norm
    log_p = logits[:-1].double().log_softmax(-1).gather(1, ids[0, 1:, None]).sum()
    store |= {f"{i}/ids": ids[0], f"{i}/logits": logits[-1, chosen], f"{i}/log_p": log_p.reshape(1)}
    print(i, ids.shape[1], logits[-1, chosen[:4]].tolist(), log_p.item())
save_tensors("smollm2", store)
