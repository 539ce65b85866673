"""Models of several labels, for trajectories.py: their initial weights, plain PyTorch twins, and FuxiCTR's and
torch-rechub's classes with their parameters under the names that trajectories.py stores.

All read the five categorical fields alone, and learn two labels: loss = sum over labels of the mean cross-entropy.
"""

import importlib.util
import os
import pathlib

import torch
import torch.nn.functional as F
from torch import nn

from plain_models import K, LEARNING_RATE, REGULARISED, SEED, TABLES, Plain

LABELS = ["label", "second"]
BOTTOM, EXPERT, TOWER = [16, 8], [16, 8], [8]
EXPERTS, LEVELS, OWN, SHARED = 3, 2, 2, 2
MODELS = ("shared_bottom", "mmoe", "ple")


def make_weights(model, seed=SEED):
    """As plain_models.make_weights: tables N(0, 0.1), matrices Xavier normal. Gates have no bias."""
    g = torch.Generator().manual_seed(seed)
    normal = lambda *shape, std: torch.randn(*shape, generator=g) * std
    w, width = {}, K * len(TABLES)

    def matrix(name, out, into):
        w[f"{name}.weight"] = normal(out, into, std=(2 / (out + into)) ** 0.5)

    def mlp(name, sizes):
        for i, (into, out) in enumerate(zip(sizes, sizes[1:])):
            matrix(f"{name}.{i}", out, into)
            w[f"{name}.{i}.bias"] = normal(out, std=0.05)

    for name, rows in TABLES.items():
        w[f"embedding.{name}"] = normal(rows, K, std=0.1)
        w[f"embedding.{name}"][0] = 0
    if model == "shared_bottom":
        mlp("bottom", [width] + BOTTOM)
    if model == "mmoe":
        for k in range(EXPERTS):
            mlp(f"expert{k}", [width] + EXPERT)
        for t in range(len(LABELS)):
            matrix(f"gate{t}", EXPERTS, width)
    if model == "ple":
        for l in range(LEVELS):
            into = width if l == 0 else EXPERT[-1]
            for t in range(len(LABELS)):
                for k in range(OWN):
                    mlp(f"level{l}.own{t}.expert{k}", [into] + EXPERT)
                matrix(f"level{l}.gate{t}", OWN + SHARED, into)
            for k in range(SHARED):
                mlp(f"level{l}.shared.expert{k}", [into] + EXPERT)
            if l + 1 < LEVELS:
                matrix(f"level{l}.shared_gate", len(LABELS) * OWN + SHARED, into)
    for t in range(len(LABELS)):
        mlp(f"tower{t}", [BOTTOM[-1]] + TOWER + [1])
    return w


class PlainMultitask(Plain):
    """The models by their definitions: MMoE with one matrix as a gate (Ma et al. 2018, eq. 6 and 7), PLE whose shared
    gate sees every label's experts and the shared ones, on all levels but the last (Tang et al. 2020, eq. 5)."""

    def body(self, x, name, sizes):
        return self.mlp(x, name, len(sizes), lambda x, _: torch.relu(x), last=False)

    def mixed(self, x, gate, said):
        g = torch.softmax(F.linear(x, self.w[f"{gate}.weight"]), 1)
        return (g[:, :, None] * torch.stack(said, 1)).sum(1)

    def each(self, x0):
        labels = range(len(LABELS))
        if self.model == "shared_bottom":
            return [self.body(x0, "bottom", BOTTOM)] * len(LABELS)
        if self.model == "mmoe":
            said = [self.body(x0, f"expert{k}", EXPERT) for k in range(EXPERTS)]
            return [self.mixed(x0, f"gate{t}", said) for t in labels]
        x = [x0] * (len(LABELS) + 1)
        for l in range(LEVELS):
            own = [[self.body(x[t], f"level{l}.own{t}.expert{k}", EXPERT) for k in range(OWN)] for t in labels]
            shared = [self.body(x[-1], f"level{l}.shared.expert{k}", EXPERT) for k in range(SHARED)]
            out = [self.mixed(x[t], f"level{l}.gate{t}", own[t] + shared) for t in labels]
            if l + 1 < LEVELS:
                out.append(self.mixed(x[-1], f"level{l}.shared_gate", sum(own, []) + shared))
            x = out
        return x

    def logit(self, rows):  # [B, T]
        x0 = torch.cat([self.look_up(f"embedding.{name}", rows.ids[:, f]) for f, name in enumerate(TABLES)], 1)
        relu = lambda x, _: torch.relu(x)
        towers = enumerate(self.each(x0))
        return torch.cat([self.mlp(x, f"tower{t}", len(TOWER) + 1, relu, last=True) for t, x in towers], 1)

    def losses(self, rows):
        each = F.binary_cross_entropy_with_logits(self.logit(rows), rows.every_label, reduction="none")
        bce = each.mean(0).sum()
        return bce, bce + self.l2 / 2 * sum((v**2).sum() for n, v in self.w.items() if n.startswith(REGULARISED))


class Peer:
    """A library's model with its parameters under the stored names. Its gates have a bias, which the papers' do not:
    it is 0 and is not trained."""

    def take(self, weights):
        self.parameters = {}
        with torch.no_grad():
            for name, parameter in self.net.named_parameters():
                stored = self.place(name)
                if stored.endswith(".bias") and "gate" in stored:
                    parameter.zero_().requires_grad_(False)
                    continue
                parameter.copy_(weights[stored])
                self.parameters[stored] = parameter
        assert set(self.parameters) == set(weights)

    def gather(self, weights, read):
        return {name: read(self.parameters[name]).detach().clone() for name in weights}

    def place(self, name):
        """The library's name -> the stored one. `bodies` holds its names of MLPs; layers of an nn.Sequential are
        counted without what lies between the Linears."""
        if "embedding" in name:
            return "embedding." + name.split(".")[-2]
        for theirs, ours in self.bodies.items():
            if name.startswith(theirs + "."):
                layer, what = name[len(theirs) + 1 :].removeprefix("mlp.").split(".")
                return f"{ours}.{what}" if "gate" in ours else f"{ours}.{int(layer) // self.stride}.{what}"
        raise KeyError(name)


class FuxiMultitask(Peer):
    """ShareBottom and MMoE (gate_hidden_units: []) of FuxiCTR's model zoo, which its wheel leaves out: FUXICTR names
    a checkout (commit 0245987f)."""

    stride = 2  # Linear, activation

    def __init__(self, model, weights, l2):
        from fuxictr_models import base_options, feature_map

        name = {"shared_bottom": "ShareBottom", "mmoe": "MMoE"}[model]
        file = pathlib.Path(os.environ["FUXICTR"]) / "model_zoo" / "multitask" / name / "src" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        options = base_options(l2) | dict(
            task=["binary_classification"] * 2, num_tasks=2, embedding_dim=K, learning_rate=LEARNING_RATE
        )
        if model == "mmoe":
            options |= dict(num_experts=EXPERTS, expert_hidden_units=EXPERT, gate_hidden_units=[])
        else:
            options |= dict(bottom_hidden_units=BOTTOM)
        self.net = getattr(module, name)(feature_map(model), tower_hidden_units=TOWER, **options)
        self.bodies = {f"tower.{t}": f"tower{t}" for t in range(len(LABELS))} | {"bottom": "bottom"}
        self.bodies |= {f"mmoe_layer.gate.{t}": f"gate{t}" for t in range(len(LABELS))}
        self.bodies |= {f"mmoe_layer.experts.{k}": f"expert{k}" for k in range(EXPERTS)}
        self.take(weights)
        self.optimizer = self.net.optimizer

    def batch(self, rows):
        x = {name: rows.ids[:, f] for f, name in enumerate(TABLES)}
        return x | {name: rows.every_label[:, t] for t, name in enumerate(LABELS)}

    def losses(self, rows):
        batch = self.batch(rows)
        bce = self.net.add_loss(self.net.forward(batch), self.net.get_labels(batch))
        return bce, bce + self.net.regularization_loss()

    def logit(self, rows):
        y = self.net.forward(self.batch(rows))
        return torch.logit(torch.cat([y[f"{name}_pred"] for name in LABELS], 1).double())


class RechubPle(Peer):
    """torch-rechub's PLE, whose MLPs have a batch norm after every Linear: left out here. Its trainer divides the sum
    over labels by their number: not done here. It has no L2 of its own: added here."""

    stride = 4  # Linear, batch norm, activation, dropout

    def __init__(self, model, weights, l2):
        from torch_rechub.basic.features import SparseFeature
        from torch_rechub.models.multi_task import PLE

        features = [SparseFeature(name, rows, K, padding_idx=0) for name, rows in TABLES.items()]
        tower = {"dims": TOWER, "activation": "relu"}
        self.net = PLE(
            features, ["classification"] * 2, LEVELS, OWN, SHARED, {"dims": EXPERT, "activation": "relu"}, [tower] * 2
        )
        for module in list(self.net.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.BatchNorm1d):
                    setattr(module, name, nn.Identity())
        self.bodies = {f"towers.{t}": f"tower{t}" for t in range(len(LABELS))}
        for l in range(LEVELS):
            level = f"cgc_layers.{l}"
            self.bodies[f"{level}.gate_shared"] = f"level{l}.shared_gate"
            for t in range(len(LABELS)):
                self.bodies[f"{level}.gates_specific.{t}"] = f"level{l}.gate{t}"
                for k in range(OWN):
                    self.bodies[f"{level}.experts_specific.{t * OWN + k}"] = f"level{l}.own{t}.expert{k}"
            for k in range(SHARED):
                self.bodies[f"{level}.experts_shared.{k}"] = f"level{l}.shared.expert{k}"
        self.take(weights)
        self.l2 = l2
        self.optimizer = torch.optim.Adam(self.parameters.values(), lr=LEARNING_RATE)

    def probability(self, rows):
        return self.net({name: rows.ids[:, f] for f, name in enumerate(TABLES)})

    def losses(self, rows):
        bce = F.binary_cross_entropy(self.probability(rows), rows.every_label, reduction="none").mean(0).sum()
        return bce, bce + self.l2 / 2 * sum(
            (v**2).sum() for n, v in self.parameters.items() if n.startswith(REGULARISED)
        )

    def logit(self, rows):
        return torch.logit(self.probability(rows).double())
