"""A tiny random llama, and what transformers and PEFT compute with it.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2 gguf==0.19.0 safetensors
    venv/bin/python tests/reference/llama.py

WHAT IS STORED
data/llama_tied/ and data/llama_untied/: config.json and model.safetensors as transformers writes them. data/llama_tied.gguf
and data/llama_untied.gguf: the same weights as llama.cpp has them, that is with rows of q and k in the order of its
rotary positions (llama.cpp's convert_hf_to_gguf.py, LlamaModel.permute), and a vocabulary of letters and one merge. 2 layers, width 16, 4 heads of width 6 over 2
key-value heads, hidden 24, 32 tokens; the untied one has a head of its own.

data/llama.safetensors (float32), as <model>/<tensor>, from float64 computations:
  ids [14] with offsets [3]: two sequences of 9 and 5 tokens, each read alone
  logits [14, 32], hidden [14, 16] (after the final norm), logits_bidirectional [14, 32] (no causal mask)
  with LoRA (r 2, alpha 6; tied: q_proj, v_proj; untied: all seven): adapter.<PEFT's name> of A and B, both random;
  adapted [14, 32], their logits; out_grad [14, 32]; gradient.<PEFT's name> of sum(adapted * out_grad), and d_embeddings
  [14, 16], its gradient in respect of the input embeddings
"""

from common import DATA, save_tensors

import gguf
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

NAMES = {
    "embed_tokens": "token_embd",
    "norm": "output_norm",
    "input_layernorm": "attn_norm",
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
    "lm_head": "output",
}
TOKENS = ["<|im_start|>", "<|im_end|>", "\u0120", "\u010a", *"abcdefghijklmnoprstuvwxyz", "so", "Y", "N"]
IDS = [[1, 17, 4, 9, 30, 2, 2, 11, 5], [8, 31, 0, 6, 12]]
EVERYTHING = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
store = {}


def random(seed, *shape, std=1.0):
    """float32 values in float64."""
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * std).float().double()


def make(tied, seed):
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=6,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        rope_theta=100.0,
        tie_word_embeddings=tied,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).double().eval()
    with torch.no_grad():
        for i, (name, p) in enumerate(model.named_parameters()):
            p.copy_(1 + random(seed + i, *p.shape, std=0.3) if "norm" in name else random(seed + i, *p.shape, std=0.4))
    return model


def write_gguf(model, file):
    c = model.config
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(c.num_hidden_layers)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_key_length(c.head_dim)
    writer.add_value_length(c.head_dim)
    writer.add_rope_dimension_count(c.head_dim)
    writer.add_rope_freq_base(100.0)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * 2 + [1] * 30)  # control, normal
    writer.add_token_merges(["s o"])
    writer.add_eos_token_id(1)
    writer.add_chat_template("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n")
    for name, p in model.named_parameters():
        parts = name.split(".")
        w = p.detach().float()
        if parts[-2] in ("q_proj", "k_proj"):
            heads = w.shape[0] // c.head_dim
            w = w.view(heads, 2, c.head_dim // 2, w.shape[1]).transpose(1, 2).reshape(w.shape)
        block = f"blk.{parts[2]}." if parts[1] == "layers" else ""
        writer.add_tensor(f"{block}{NAMES[parts[-2]]}.weight", w.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def record(group, model, targets, seed):
    def put(**tensors):
        store.update({f"{group}/{name}": value.detach().clone() for name, value in tensors.items()})

    def each(run):
        return torch.cat([run(torch.tensor([ids])) for ids in IDS])

    put(ids=torch.tensor(sum(IDS, []), dtype=torch.int32), offsets=torch.tensor([0, 9, 14], dtype=torch.int32))
    put(logits=each(lambda ids: model(ids).logits[0]), hidden=each(lambda ids: model.model(ids).last_hidden_state[0]))
    put(
        logits_bidirectional=each(
            lambda ids: model(
                ids, attention_mask=torch.zeros(1, 1, ids.shape[1], ids.shape[1], dtype=torch.float64)
            ).logits[0]
        )
    )
    tuned = get_peft_model(model, LoraConfig(r=2, lora_alpha=6, lora_dropout=0.0, target_modules=targets)).double()
    adapters = {n.replace(".default", ""): p for n, p in tuned.named_parameters() if "lora_" in n}
    with torch.no_grad():
        for i, p in enumerate(adapters.values()):
            p.copy_(random(seed + i, *p.shape, std=0.3))
    out_grad = random(seed + 500, 14, 32)
    embeddings = [model.get_input_embeddings()(torch.tensor([ids])).detach().requires_grad_() for ids in IDS]
    adapted = torch.cat([tuned(inputs_embeds=e).logits[0] for e in embeddings])
    (adapted * out_grad).sum().backward()
    put(adapted=adapted, out_grad=out_grad, d_embeddings=torch.cat([e.grad[0] for e in embeddings]))
    put(**{f"adapter.{n}": p for n, p in adapters.items()}, **{f"gradient.{n}": p.grad for n, p in adapters.items()})


for name, tied, targets, seed in (("tied", True, ["q_proj", "v_proj"], 100), ("untied", False, EVERYTHING, 200)):
    model = make(tied, seed)
    folder = DATA / f"llama_{name}"
    folder.mkdir(parents=True, exist_ok=True)
    make(tied, seed).float().save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    write_gguf(model, DATA / f"llama_{name}.gguf")
    record(name, model, targets, seed + 50)
save_tensors("llama", store)
