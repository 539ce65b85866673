"""What ReLLaX's parts compute, from their definitions in float64 (numpy alone).

    python tests/reference/rellax.py

Reads the inputs that data/systems/rellax.json holds (names below) and writes its results anew:
cflora        base + alpha / r ((x A^T) G) B^T, of G = I, full, diagonal, and G^T, which is the wrong one; the loss
              sum(y * upstream_gradient) with its gradients by G and x; a mixture of two experts as a block diagonal, with
              the same W and scale
gate_network  G = reshape(W2 gelu(W1 norm(h) + b1) + b2), and what an adapter makes of it
spa           token embeddings with vectors put in at the markers
ctr_base_din  the DIN of ReLLaX's authors: entries relu(W [e_item; e_rating] + b), attention MLP on [t, h, t - h, t * h]
              without softmax, MLP on fields and pooled history
"""

import json
from math import erf

import numpy as np
from common import DATA, save_parts

FILE = DATA / "systems" / "rellax.json"


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def arrays(entry):
    return {k: np.array(v, float) if isinstance(v, list) and not isinstance(v[0], (str, dict)) else v
            for k, v in entry.items()}


def adapter(x, W, A, B, G, scale):
    """x [S, T, in], G [S, r, r]"""
    return x @ W.T + scale * np.einsum("str,srq->stq", x @ A.T, G) @ B.T


def cflora(e):
    a = arrays(e)
    x, W, A, B, G, scale = a["x"], a["W"], a["A"], a["B"], a["G"], a["alpha"] / a["rank"]
    eye = np.broadcast_to(np.eye(a["rank"]), G.shape)
    up = a["upstream_gradient"]
    e["base"] = (x @ W.T).tolist()
    e["lora_equals_core_identity"] = adapter(x, W, A, B, eye, scale).tolist()
    e["core_full"] = adapter(x, W, A, B, G, scale).tolist()
    e["G_diagonal"] = (G * np.eye(a["rank"])).tolist()
    e["core_diagonal"] = adapter(x, W, A, B, G * np.eye(a["rank"]), scale).tolist()
    e["transposed_core_is_wrong"] = adapter(x, W, A, B, G.transpose(0, 2, 1), scale).tolist()
    e["loss"] = float((adapter(x, W, A, B, G, scale) * up).sum())
    inner, back = x @ A.T, scale * up @ B
    e["grad_G"] = np.einsum("str,stq->srq", inner, back).tolist()
    e["grad_x"] = (up @ W + np.einsum("stq,srq->str", back, G) @ A).tolist()
    m = arrays(e["expert_mixture_as_block_diagonal"])
    halves = np.repeat(m["w"], 2)
    e["expert_mixture_as_block_diagonal"]["y"] = (m["x"] @ W.T + scale * (m["x"] @ m["A"].T) * halves @ m["B"].T).tolist()


def gate_network(e, of):
    g, a = arrays(e), arrays(of)
    h = g["h"]
    norm = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-5)
    G = (gelu(norm @ g["W1"].T + g["b1"]) @ g["W2"].T + g["b2"]).reshape(-1, 2, 2)
    e["G"] = G.tolist()
    e["y"] = adapter(a["x"], a["W"], a["A"], a["B"], G, a["alpha"] / a["rank"]).tolist()


def spa(e):
    s = arrays(e)
    vectors = gelu(np.vstack([s["item_vectors_in_prompt_order"], s["target_vector"]]) @ s["P1"].T + s["p1"]) @ s["P2"].T + s["p2"]
    ids = e["ids"]
    rows = list(s["token_embeddings"])  # those of the places, not of the vocabulary
    history = iter(vectors[:-1])
    for i, token in enumerate(ids):
        if token == e["marker_history"]:
            rows[i] = next(history)
        elif token == e["marker_target"]:
            rows[i] = vectors[-1]
    e["result"] = np.array(rows).tolist()


def ctr_base_din(e):
    d = arrays(e)
    history = np.maximum(np.hstack([d["hist_items"], d["hist_ratings"]]) @ d["hist_map_W"].T + d["hist_map_b"], 0)
    t = np.broadcast_to(d["e_item"], history.shape)
    inner = np.maximum(np.hstack([t, history, t - history, t * history]) @ d["att_W"].T + d["att_b"], 0)
    attention = (inner @ d["att_out_w"] + d["att_out_b"]) * d["mask"]
    pooled = attention @ history
    x = np.concatenate([d["e_user"], d["e_item"], pooled])
    e["history"], e["attention"], e["pooled"], e["mlp_input"] = (v.tolist() for v in (history, attention, pooled, x))
    for layer in e["mlp"]:
        x = np.maximum(np.array(layer["W"]) @ x + np.array(layer["b"]), 0)
    e["hidden_state_h_for_CFLoRA"] = x.tolist()
    e["logit"] = float(x @ d["out_w"] + d["out_b"])


stored = json.loads(FILE.read_text())
cflora(stored["cflora"])
gate_network(stored["gate_network"], stored["cflora"])
spa(stored["spa"])
ctr_base_din(stored["ctr_base_din"])
save_parts(FILE, stored)
