"""What LIBER's parts compute, from their definitions in float64 (numpy alone).

    python tests/reference/liber.py

Reads the inputs that data/systems/liber.json holds and writes its results anew:
stream, stream_time  partitions of a user's events, and how many a row at each event may see
cost                 tokens that a language model reads: one prompt a partition, or one an event
fusion               partitions' vectors with recency through causal self-attention, then attention of a target
adaptor              a gate over two shared experts and two own ones
"""

import json

import numpy as np
from common import DATA, save_parts

FILE = DATA / "systems" / "liber.json"


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def cut(events, count, gap=None):
    """events: (name, time); partitions, the cache at the end, and what is closed before each event"""
    done, cache, seen, last = [], [], {}, None
    for name, time in events:
        seen[str(name)] = len(done)
        if cache and gap and time - last > gap:
            done, cache = done + [cache], []
        cache, last = cache + [name], time
        if len(cache) == count:
            done, cache = done + [cache], []
    return done, cache, seen


def stream(e):
    done, cache, seen = cut([(name, 0) for name in e["events"]], e["K"])
    e["partitions"], e["cache_at_end"], e["visible_partitions"] = done, cache, seen


def stream_time(e):
    e["partitions"], e["cache"], _ = cut([tuple(event) for event in e["events"]], e["K"], e["max_gap"])


def cost(e):
    count = e["events"] // e["K"]
    read = lambda events, summaries: e["instruction"] + events * e["tokens_per_event"] + summaries * e["tokens_per_summary"]
    e["partitioned"] = sum(read(e["K"], min(p, 1)) for p in range(count))
    e["last_30_at_every_event"] = sum(read(min(30, n), 0) for n in range(1, e["events"] + 1))


def fusion(e):
    a = {key: np.array(value) for key, value in e.items() if isinstance(value, list)}
    x = a["partition_vectors"] + a["recency"]
    q, k, v = (x @ a[name].T for name in ("Wq", "Wk", "Wv"))
    scores = np.where(np.tril(np.ones((3, 3))) > 0, q @ k.T / np.sqrt(2), -np.inf)
    y = x + softmax(scores) @ v @ a["Wo"].T
    e["after_self_attention"] = y.tolist()
    weights = softmax(y @ a["target_query"])
    e["weights"], e["z"] = weights.tolist(), (weights @ y).tolist()
    e["masked_two"]["z"] = (softmax(y[:2] @ a["target_query"]) @ y[:2]).tolist()


def adaptor(e):
    a = {key: np.array(value) for key, value in e.items() if isinstance(value, list)}
    hidden = np.maximum(np.einsum("eoi,i->eo", a["W1"], a["x"]) + a["b1"], 0)
    experts = np.maximum(np.einsum("eoi,ei->eo", a["W2"], hidden) + a["b2"], 0)
    gate = softmax(a["gate_W"] @ a["x"] + a["gate_b"])
    e["gate"], e["experts"], e["y"] = gate.tolist(), experts.tolist(), (gate @ experts).tolist()


stored = json.loads(FILE.read_text())
for part in (stream, stream_time, cost, fusion, adaptor):
    part(stored[part.__name__])
save_parts(FILE, stored)
