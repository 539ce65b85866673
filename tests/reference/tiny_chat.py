"""A tiny random chat model: a llama of one layer with byte-level BPE tokens and a ChatML template, in one GGUF file.

    python -m venv venv && venv/bin/pip install torch==2.15.0 gguf==0.19.0
    venv/bin/python tests/reference/tiny_chat.py

WHAT IS STORED
data/tiny_chat.gguf: 266 tokens: <|endoftext|>, <|im_start|>, <|im_end|>, the 256 bytes, and what merges make of them:
"Ye" "Yes" "No" " M" " o" "st" "ar". Width 8, 2 heads, hidden 12, weights N(0, .5^2). Tests of systems that ask a language
model run on it; what it answers means nothing.
"""

from common import DATA

import gguf
import torch

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["Y e", "Ye s", "N o", "Ġ M", "Ġ o", "s t", "a r"]
TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
WIDTH, HEADS, HIDDEN = 8, 2, 12


def byte_tokens():
    """GPT-2's printable stand-ins of the 256 bytes."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [b for b in range(256) if b not in plain]
    names = {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(others)}
    return [names[b] for b in range(256)]


tokens = SPECIAL + byte_tokens() + [merge.replace(" ", "") for merge in MERGES]
generator = torch.Generator().manual_seed(11)


def random(*shape, std=0.5):
    return (torch.randn(*shape, generator=generator) * std).numpy()


writer = gguf.GGUFWriter(DATA / "tiny_chat.gguf", "llama")
writer.add_block_count(1)
writer.add_context_length(4096)
writer.add_embedding_length(WIDTH)
writer.add_feed_forward_length(HIDDEN)
writer.add_head_count(HEADS)
writer.add_head_count_kv(1)
writer.add_rope_dimension_count(WIDTH // HEADS)
writer.add_rope_freq_base(10000.0)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("smollm")
writer.add_token_list(tokens)
writer.add_token_types([gguf.TokenType.CONTROL] * len(SPECIAL) + [gguf.TokenType.NORMAL] * (len(tokens) - len(SPECIAL)))
writer.add_token_merges(MERGES)
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)
writer.add_chat_template(TEMPLATE)
writer.add_tensor("token_embd.weight", random(len(tokens), WIDTH))
for name, shape in {
    "attn_q": (WIDTH, WIDTH),
    "attn_k": (WIDTH // HEADS, WIDTH),
    "attn_v": (WIDTH // HEADS, WIDTH),
    "attn_output": (WIDTH, WIDTH),
    "ffn_gate": (HIDDEN, WIDTH),
    "ffn_up": (HIDDEN, WIDTH),
    "ffn_down": (WIDTH, HIDDEN),
}.items():
    writer.add_tensor(f"blk.0.{name}.weight", random(*shape))
for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
    writer.add_tensor(f"{name}.weight", 1 + random(WIDTH, std=0.1))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
