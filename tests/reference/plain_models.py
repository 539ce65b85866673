"""The data, the initial weights and the plain PyTorch models of trajectories.py, which says what they are for."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

ROWS, BATCH, STEPS, K, HIDDEN, ATTENTION, CROSS = 3200, 64, 200, 8, [16, 16], [16], 3
FFM_K = 4  # of each of the vectors that ffm keeps for every field
LEARNING_RATE = 1e-3
SEED = 8  # no ReLU near its kink on the way: see sensitivity() in trajectories.py
TABLES = {"user_id": 60, "city": 30, "device": 32, "hour": 26, "item_id": 50}  # rows, padding and unseen included
NUMERIC = ["price", "age"]
MAX_LENGTH = 12
REGULARISED = ("embedding.", "linear.", "numeric_")


def make_data():
    """Labels follow a planted logistic model with first-order, pair and history effects: something to learn."""
    rng = np.random.default_rng(20211)
    ids, effect = [], np.zeros(ROWS)
    hidden = {name: rng.normal(0, 1, (rows, 3)) for name, rows in TABLES.items()}
    for name, rows in TABLES.items():
        share = 1 / (1 + np.arange(rows - 1))  # popular tokens first, then the unseen id
        column = rng.choice(np.arange(1, rows), ROWS, p=share / share.sum())
        if name == "device":
            column[rng.random(ROWS) < 0.03] = 0  # an absent value: no vector, no gradient
        ids.append(column)
        effect += 0.6 * rng.normal(0, 1, rows)[column]
    dense = rng.normal(0, 1, (ROWS, len(NUMERIC)))
    lengths = np.where(rng.random(ROWS) < 0.1, 0, rng.integers(1, MAX_LENGTH + 1, ROWS))
    offsets = np.concatenate([[0], lengths.cumsum()])
    history = rng.integers(1, TABLES["item_id"] - 1, offsets[-1])  # tokens only
    pair = (hidden["user_id"][ids[0]] * hidden["item_id"][ids[4]]).sum(1)
    liked = np.array([hidden["item_id"][history[a:b]].sum(0) for a, b in zip(offsets, offsets[1:])])
    match = (liked * hidden["item_id"][ids[4]]).sum(1)
    z = -0.7 + effect + 0.6 * pair + 0.15 * match + dense @ [0.5, -0.4]
    labels = rng.random(ROWS) < 1 / (1 + np.exp(-z))
    # Another label of the same rows, for models of several: an effect of each id, half of it that of the first label.
    rng = np.random.default_rng(20212)
    other = sum(0.8 * rng.normal(0, 1, rows)[column] for rows, column in zip(TABLES.values(), ids))
    second = rng.random(ROWS) < 1 / (1 + np.exp(0.5 - 0.5 * effect - other))
    return {
        "ids": torch.tensor(np.stack(ids, 1)),
        "dense": torch.tensor(dense, dtype=torch.float32),
        "labels": torch.tensor(labels, dtype=torch.float32),
        "second": torch.tensor(second, dtype=torch.float32),
        "history.ids": torch.tensor(history),
        "history.offsets": torch.tensor(offsets),
    }


class Rows:
    """A batch: ids i64 [B, F], dense [B, D], labels [B], both labels [B, 2], and the history both ragged and padded at its end."""

    def __init__(self, data, step, dtype):
        a = BATCH * (step % (ROWS // BATCH))
        offsets = data["history.offsets"][a : a + BATCH + 1]
        self.ids = data["ids"][a : a + BATCH]
        self.dense = data["dense"][a : a + BATCH].to(dtype)
        self.labels = data["labels"][a : a + BATCH].to(dtype)
        self.every_label = torch.stack([self.labels, data["second"][a : a + BATCH].to(dtype)], 1)
        self.history = data["history.ids"][offsets[0] : offsets[-1]]
        lengths = offsets.diff()
        self.row = torch.repeat_interleave(torch.arange(BATCH), lengths)  # of each history entry
        self.mask = torch.arange(MAX_LENGTH)[None, :] < lengths[:, None]  # [B, L]
        self.padded = torch.zeros(BATCH, MAX_LENGTH, dtype=torch.int64)
        self.padded[self.mask] = self.history


def make_weights(model, seed=SEED):
    """Large enough that every path matters in the first gradient: tables N(0, 0.1), matrices Xavier normal."""
    g = torch.Generator().manual_seed(seed)
    normal = lambda *shape, std: torch.randn(*shape, generator=g) * std
    xavier = lambda out, into: normal(out, into, std=(2 / (out + into)) ** 0.5)
    w, fields = {}, len(TABLES) + len(NUMERIC)

    def table(prefix, width):
        for name, rows in TABLES.items():
            w[f"{prefix}.{name}"] = normal(rows, width, std=0.1)
            w[f"{prefix}.{name}"][0] = 0

    def linear(name, out, into):
        w[f"{name}.weight"], w[f"{name}.bias"] = xavier(out, into), normal(out, std=0.05)

    def mlp(name, sizes):
        for i, (into, out) in enumerate(zip(sizes, sizes[1:])):
            linear(f"{name}.{i}", out, into)

    if model in ("lr", "fm", "ffm", "deepfm"):
        table("linear", 1)
        w["numeric_linear"], w["bias"] = normal(len(NUMERIC), std=0.1), normal(1, std=0.1)
    if model != "lr":
        width = fields * FFM_K if model == "ffm" else K
        table("embedding", width)
        w["numeric_embedding"] = normal(len(NUMERIC), width, std=0.1)
    if model == "deepfm":
        mlp("mlp", [fields * K] + HIDDEN + [1])
    if model.startswith("dcnv2"):
        fields += model == "dcnv2_history"
        mlp("mlp", [fields * K] + HIDDEN)
        for i in range(CROSS):
            linear(f"cross.{i}", fields * K, fields * K)
        linear("output", 1, fields * K + HIDDEN[-1])
    if model == "din":
        mlp("mlp", [(fields + 1) * K] + HIDDEN + [1])
        mlp("attention.mlp", [4 * K] + ATTENTION + [1])
        for i, width in enumerate(ATTENTION):
            w[f"attention.dice.{i}.alpha"] = 0.25 + normal(width, std=0.1)
    return w


class Plain(nn.Module):
    """The models by their definitions, on weights under their stored names."""

    def __init__(self, model, weights, dtype, l2, lazy=False, padded=False):
        super().__init__()
        self.model, self.l2, self.lazy, self.padded = model, l2, lazy, padded
        self.w = {name: nn.Parameter(value.to(dtype, copy=True)) for name, value in weights.items()}
        self.running = {}
        for i, width in enumerate(ATTENTION if model == "din" else []):
            self.running[f"attention.dice.{i}.running_mean"] = torch.zeros(width, dtype=dtype)
            self.running[f"attention.dice.{i}.running_var"] = torch.ones(width, dtype=dtype)

    def named(self):
        return self.w

    def look_up(self, table, ids):
        return F.embedding(ids, self.w[table], padding_idx=0, sparse=self.lazy)

    def mlp(self, x, name, layers, activation, last):
        for i in range(layers):
            x = F.linear(x, self.w[f"{name}.{i}.weight"], self.w[f"{name}.{i}.bias"])
            if i + 1 < layers or not last:
                x = activation(x, i)
        return x

    def dice(self, x, i):
        mean, var = (self.running[f"attention.dice.{i}.running_{s}"] for s in ("mean", "var"))
        p = torch.sigmoid(F.batch_norm(x, mean, var, training=self.training, momentum=0.01, eps=1e-9))
        return p * x + (1 - p) * self.w[f"attention.dice.{i}.alpha"] * x

    def attention(self, rows, target):
        ids, row = (
            (rows.padded.flatten(), torch.arange(BATCH).repeat_interleave(MAX_LENGTH))
            if self.padded
            else (rows.history, rows.row)
        )
        h, q = self.look_up("embedding.item_id", ids), target[row]
        score = self.mlp(torch.cat([q, h, q - h, q * h], 1), "attention.mlp", len(ATTENTION) + 1, self.dice, last=True)
        if self.padded:
            score = score * rows.mask.flatten()[:, None]
        return torch.zeros_like(target).index_add(0, row, score * h)

    def mean_history(self, rows):
        h = self.look_up("embedding.item_id", rows.history)
        total = torch.zeros(BATCH, K, dtype=h.dtype).index_add(0, rows.row, h)
        return total / rows.mask.sum(1, keepdim=True).clamp(min=1)

    def logit(self, rows):
        z, names = 0, list(TABLES)
        relu = lambda x, _: torch.relu(x)
        if "bias" in self.w:
            first = [self.look_up(f"linear.{name}", rows.ids[:, f]) for f, name in enumerate(names)]
            z = torch.cat(first, 1).sum(1) + rows.dense @ self.w["numeric_linear"] + self.w["bias"]
        if self.model == "lr":
            return z
        e = torch.stack([self.look_up(f"embedding.{name}", rows.ids[:, f]) for f, name in enumerate(names)], 1)
        e = torch.cat([e, rows.dense[:, :, None] * self.w["numeric_embedding"]], 1)  # [B, F, K]
        x0 = e.flatten(1)
        if self.model == "dcnv2_history":
            x0 = torch.cat([x0, self.mean_history(rows)], 1)
        if self.model in ("fm", "deepfm"):
            pairs = e @ e.transpose(1, 2)
            z = z + torch.triu(pairs, diagonal=1).sum((1, 2))
        if self.model == "ffm":
            kept = e.view(BATCH, e.shape[1], -1, FFM_K)  # [B, F, F, K]: [:, i, j] is what field i keeps for field j
            pairs = (kept * kept.transpose(1, 2)).sum(3)  # [B, F, F]
            z = z + torch.triu(pairs, diagonal=1).sum((1, 2))
        if self.model == "deepfm":
            z = z + self.mlp(x0, "mlp", 3, relu, last=True)[:, 0]
        if self.model.startswith("dcnv2"):
            x = x0
            for i in range(CROSS):
                x = x0 * F.linear(x, self.w[f"cross.{i}.weight"], self.w[f"cross.{i}.bias"]) + x
            both = torch.cat([x, self.mlp(x0, "mlp", 2, relu, last=False)], 1)
            z = F.linear(both, self.w["output.weight"], self.w["output.bias"])[:, 0]
        if self.model == "din":
            u = self.attention(rows, e[:, names.index("item_id")])
            z = self.mlp(torch.cat([x0, u], 1), "mlp", 3, relu, last=True)[:, 0]
        return z

    def losses(self, rows):
        bce = F.binary_cross_entropy_with_logits(self.logit(rows), rows.labels)
        if self.lazy:
            return bce, bce
        return bce, bce + self.l2 / 2 * sum((v**2).sum() for n, v in self.w.items() if n.startswith(REGULARISED))
