"""Vectors of texts by Hugging Face's BertModel: a tiny random one with its weights, and MiniLM.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.24.0 tokenizers==0.23.3 safetensors
    interplay fetch minilm-l6
    venv/bin/python tests/reference/encoder.py .deps/models/minilm-l6

WHAT IS STORED
data/bert.safetensors: a BertModel of 2 layers of width 16, 2 heads, 24 hidden, 12 positions, 2 types, 30 words, every
weight drawn with spread 0.3 (its own start would make all vectors alike), under the names that save_pretrained() gives;
and in float32, computed in float64: expected.ids i32 [5, 9], behind a row's length filled up with ids that must not
matter, expected.lengths i32 [5], expected.states [5, 9, 16], zero behind a row's length, expected.vectors [5, 16], the
mean of a row's states made 1 long.
data/minilm.safetensors: vectors f32 [N, 384] of the texts in minilm.json, with the ids that were read: tokenizer.json
cut off at 256 tokens, BertModel in float32 one text at a time, mean over all tokens, made 1 long.
"""

import pathlib
import sys

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from common import save_json, save_tensors
from tokens import texts as mixed_texts

SENTENCES = [
    "", "a", "The quick brown fox jumps over the lazy dog.", "Movie Night of the Grey Harbour (1987), genre Thriller.",
    "Movie Night of the Gray Harbor (1987), genre Thriller.", "Movie A Very Silly Summer (1999), genre Comedy.",
    "Movie Ferien ohne Ärger (1974), genre Children's.", "  leading and trailing spaces  ", "ALL CAPS, all caps",
    "Une phrase en français, avec des accents: é à ç.", "Это предложение на русском языке.", "これは日本語の文です。",
    "He didn't say \"no\" -- did he?", "1 2 3 4 5 6 7 8 9 10", "word " * 60, "many different words of a longer text follow: " * 20,
    "this one is far beyond the greatest length; " * 80,
]


def tiny():
    torch.manual_seed(3)
    config = BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
                        max_position_embeddings=12, type_vocab_size=2, hidden_act="gelu", layer_norm_eps=1e-12)
    model = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.randn_like(weight) * 0.3 + (1 if name.endswith("LayerNorm.weight") else 0))
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    lengths = torch.tensor([9, 1, 4, 9, 6])
    ids = torch.randint(0, 30, (5, 9))
    mask = torch.arange(9) < lengths[:, None]
    with torch.no_grad():
        states = model.double()(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    states = states * mask[:, :, None]
    mean = states.sum(1) / lengths[:, None]
    expected = {"expected.ids": ids, "expected.lengths": lengths, "expected.states": states,
                "expected.vectors": torch.nn.functional.normalize(mean)}
    save_tensors("bert", {**{name: value for name, value in weights.items() if value.is_floating_point()}, **expected})


def minilm(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    model = BertModel(BertConfig.from_json_file(str(folder / "config.json")), add_pooling_layer=False).eval()
    weights = load_file(str(folder / "model.safetensors"))
    missing, _ = model.load_state_dict(weights, strict=False)
    assert not [name for name in missing if "position_ids" not in name and "token_type_ids" not in name], missing
    texts = SENTENCES + mixed_texts()[-40:]
    ids, vectors = [], []
    for text in texts:
        ids.append(tokenizer.encode(text).ids)
        with torch.no_grad():
            states = model(input_ids=torch.tensor([ids[-1]])).last_hidden_state[0]
        vectors.append(torch.nn.functional.normalize(states.mean(0), dim=0))
    save_tensors("minilm", {"vectors": torch.stack(vectors)})
    save_json("minilm", [{"text": text, "ids": one} for text, one in zip(texts, ids)])
    print(f"{len(texts)} texts, up to {max(map(len, ids))} tokens")


if __name__ == "__main__":
    tiny()
    minilm(pathlib.Path(sys.argv[1]))
