"""Trajectories: 200 training steps of LR, FM, FFM, DeepFM, DCNv2, DIN, SharedBottom, MMoE and PLE from fixed weights
on fixed batches.

    python -m venv venv && venv/bin/pip install torch==2.15.0 fuxictr==2.3.10 torch-rechub==0.9.0 safetensors
    FUXICTR=<checkout of FuxiCTR> venv/bin/python tests/reference/trajectories.py [RUN...]
    (one thread, about two minutes; on one machine the same bytes. With names of runs, the others stay as they are.)

WHAT IS STORED (data/; float32 and int32)
trajectory_data.safetensors, shared by all runs: ids [3200, 5], dense [3200, 2], labels and second [3200], and the history of
    the item_id field, ragged: history.ids [total], history.offsets [3201]. 0 is padding, 1..n tokens, the last row unseen.
    Step s (from 0) trains on rows 64 (s mod 50) .. 64 (s mod 50) + 63: four passes over the data, never shuffled.
trajectory_<run>.safetensors, one a run:
    weight/<name>          before the first step
    gradient/<name>        first step, of the mean binary cross-entropy alone (dense, tables too)
    gradient_total/<name>  first step, of cross-entropy + regulariser, before clipping
    logit                  [64] ([64, 2] of two labels), first batch, before the first step, in training mode
    loss, loss_bce         [200]: with and without the regulariser, before the step's update
    norm                   [200]: 2-norm of all gradients together, before clipping
    final/<name>           after step 200; also Dice's running_mean, running_var
    final_logit            as logit, after step 200, in evaluation mode
trajectories.json: fields, options and provenance of each run; how far it is from fp64 (loss_vs_fp64, gradient_vs_fp64,
    the latter against the largest entry of each gradient) and from the plain twin, and how much fp64 losses move when
    each initial weight is off by 1e-7 (sensitivity). All are below 2e-6, so 1e-5 tells a fault from rounding.

NAMES OF WEIGHTS
    embedding.<table> [rows, 8]   linear.<table> [rows, 1]   numeric_embedding [2, 8]   numeric_linear [2]   bias [1]
    of ffm*: embedding.<table> [rows, 28], numeric_embedding [2, 28]: a vector of 4 for each of the 7 fields
    mlp.<i>.weight [out, in], mlp.<i>.bias: hidden layers in order, then (not in dcnv2*) the linear layer to one logit
    cross.<l>.weight [W, W], cross.<l>.bias [W]  output.weight [1, W + H], output.bias [1]: of dcnv2*, over [cross; mlp]
    attention.mlp.<i>.weight|bias, attention.dice.<i>.alpha|running_mean|running_var
    of two labels (embedding.* as above, no linear.*, nothing numeric): tower<t>.<i>, hidden layers and the one to a
    logit; bottom.<i> of shared_bottom; expert<k>.<i>, gate<t> of mmoe; level<l>.own<t>.expert<k>.<i>,
    level<l>.shared.expert<k>.<i>, level<l>.gate<t>, level0.shared_gate of ple; each .weight and, but for gates, .bias
Flat field vectors are categorical fields, numeric fields, pooled history, each in the order of trajectories.json. The
history reads item_id's table.

HOW THE LOSS IS DEFINED, as FuxiCTR does
    loss = mean BCE + l2 / 2 * sum of squares over whole tables, padding row included: embedding.*, linear.* and both
    numeric_* (its numeric embedding is a Linear in the same dictionary); bias, mlp, cross, output and attention are
    free of it. The padding row is zero and its gradient is zero, so whether it is counted makes no difference. A shared
    table counts once. Of two labels the mean BCEs are summed. Then the gradients are clipped to a global norm (clip_grad_norm_, over all parameters,
    regulariser included), then Adam 1e-3 (0.9, 0.999, eps 1e-8) updates every row of every table.

WHERE IT COMES FROM
lr, fm, deepfm*, dcnv2: FuxiCTR's BaseModel, embeddings and layers, put together as its model zoo does (the wheel has no
    class for these four). dcnv2_history: FuxiCTR's own DCNv2 class, which adds the history as the mean of its vectors
    (zero where it is empty). din_padded: FuxiCTR's own DIN class. It sends padded positions through the attention
    network, so Dice's batch statistics depend on how far a batch is padded (here: to history_max_length). din is the
    same in plain PyTorch with statistics over the real entries alone. ffm is plain PyTorch. deepfm_lazy*, ffm_lazy: plain PyTorch, tables by
    torch.optim.SparseAdam on the rows of the batch (l2: on those rows only, added to their summed gradient, and on all
    of numeric_*), the rest by Adam, no clipping; `loss` has no regulariser there, gradient_total and norm do.
shared_bottom, mmoe: FuxiCTR's own classes (gate_hidden_units: []), ple: torch-rechub's, as multitask_models.py says.
Every run of a library is checked here against the plain PyTorch twin below.
"""

import copy
import json
import sys

from common import DATA, save_json, save_tensors

import numpy as np
import multitask_models as multitask
import torch
from fuxictr_models import Fuxi
from plain_models import (
    ATTENTION,
    BATCH,
    CROSS,
    FFM_K,
    HIDDEN,
    K,
    LEARNING_RATE,
    MAX_LENGTH,
    NUMERIC,
    REGULARISED,
    ROWS,
    STEPS,
    TABLES,
    Plain,
    Rows,
    make_data,
    make_weights,
)
from torch import nn


def as_dense(grad):
    return grad.to_dense() if grad.is_sparse else grad


PEERS = {"shared_bottom": multitask.FuxiMultitask, "mmoe": multitask.FuxiMultitask, "ple": multitask.RechubPle}


def run_peer(model, weights, data, l2, clip):
    net = PEERS.get(model, Fuxi)(model, weights, l2)
    parameters = list(net.parameters.values())
    read = lambda what: net.gather(weights, what)
    return train(net, net.net, parameters, [net.optimizer], read, data, torch.float32, clip)


def run_plain(model, weights, data, l2, clip, dtype=torch.float32, lazy=False, padded=False):
    twin = multitask.PlainMultitask if model in multitask.MODELS else Plain
    net = twin(model, weights, dtype, l2, lazy, padded)
    tables = [v for n, v in net.w.items() if lazy and n.startswith(("embedding.", "linear."))]
    others = [v for n, v in net.w.items() if not any(v is t for t in tables)]
    optimizers = [torch.optim.Adam(others, lr=LEARNING_RATE)]
    if lazy:
        optimizers.append(torch.optim.SparseAdam(tables, lr=LEARNING_RATE))
    read = lambda what: {name: what(value).detach().clone() for name, value in net.w.items()}
    decay = {n: v for n, v in net.w.items() if n.startswith(REGULARISED)} if lazy and l2 else {}
    result = train(net, net, list(net.w.values()), optimizers, read, data, dtype, clip, decay, l2)
    result.update({f"final/{name}": value for name, value in net.running.items()})
    return result


def add_lazy_l2(parameters, l2):
    """l2 * w onto the summed gradient of the rows that have one; onto all of what is not a table."""
    for parameter in parameters.values():
        if parameter.grad.is_sparse:
            grad = parameter.grad.coalesce()
            rows = grad.indices()[0]
            values = grad.values() + l2 * parameter.detach()[rows]
            parameter.grad = torch.sparse_coo_tensor(
                grad.indices(), values, grad.shape, is_coalesced=True, check_invariants=False
            )
        else:
            parameter.grad.add_(parameter.detach(), alpha=l2)


def train(net, module, parameters, optimizers, read, data, dtype, clip, decay=None, l2=0.0):
    module.train()
    out = {f"weight/{n}": v for n, v in read(lambda p: p).items()}
    first = Rows(data, 0, dtype)
    # The forward pass moves Dice's running statistics: look at the first logits on a copy.
    out["logit"] = copy.deepcopy(net).logit(first).detach()
    losses, plain, norms = [], [], []
    for step in range(STEPS):
        rows = Rows(data, step, dtype)
        for p in parameters:
            p.grad = None
        bce, total = net.losses(rows)
        if step == 0:
            bce.backward(retain_graph=True)
            out.update({f"gradient/{n}": v for n, v in read(lambda p: as_dense(p.grad).clone()).items()})
            for p in parameters:
                p.grad = None
        total.backward()
        if decay:
            add_lazy_l2(decay, l2)
        if step == 0:
            out.update({f"gradient_total/{n}": v for n, v in read(lambda p: as_dense(p.grad).clone()).items()})
        norms.append(torch.stack([as_dense(p.grad.detach()).norm() for p in parameters]).norm().item())
        if clip is not None:
            nn.utils.clip_grad_norm_(parameters, clip)
        for optimizer in optimizers:
            optimizer.step()
        losses.append(total.item())
        plain.append(bce.item())
    out.update({f"final/{n}": v for n, v in read(lambda p: p).items()})
    module.eval()
    out["final_logit"] = net.logit(first).detach()
    out.update({"loss": np.array(losses), "loss_bce": np.array(plain), "norm": np.array(norms)})
    return {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in out.items()}


def sensitivity(model, weights, data, exact, options):
    """How much the losses move, in fp64, when every initial weight is off by about one rounding of fp32."""
    worst = 0.0
    for seed in range(3):
        g = torch.Generator().manual_seed(seed)
        moved = {n: w.double() * (1 + 1e-7 * torch.randn(w.shape, generator=g)) for n, w in weights.items()}
        worst = max(
            worst, relative(run_plain(model, moved, data, dtype=torch.float64, **options)["loss"], exact["loss"])
        )
    return worst


def relative(a, b):
    return float(np.max(np.abs(np.asarray(a) - np.asarray(b)) / np.abs(np.asarray(b))))


def gradient_difference(a, b):
    """Largest difference of a first-step gradient, relative to the largest entry of that gradient."""
    names = [n for n in a if n.startswith("gradient/")]
    return max(float((a[n].double() - b[n].double()).abs().max() / b[n].double().abs().max()) for n in names)


RUNS = {  # run: (model, whose classes, options)
    "lr": ("lr", "fuxictr", dict(l2=1e-3, clip=10.0)),
    "fm": ("fm", "fuxictr", dict(l2=1e-3, clip=10.0)),
    "ffm": ("ffm", "plain", dict(l2=1e-3, clip=10.0)),
    "ffm_lazy": ("ffm", "plain", dict(l2=0.0, clip=None, lazy=True)),
    "deepfm": ("deepfm", "fuxictr", dict(l2=1e-3, clip=10.0)),
    "deepfm_no_l2": ("deepfm", "fuxictr", dict(l2=0.0, clip=10.0)),
    "deepfm_clipped": ("deepfm", "fuxictr", dict(l2=1e-3, clip=0.05)),
    "deepfm_lazy": ("deepfm", "plain", dict(l2=0.0, clip=None, lazy=True)),
    "deepfm_lazy_l2": ("deepfm", "plain", dict(l2=1e-3, clip=None, lazy=True)),
    "dcnv2": ("dcnv2", "fuxictr", dict(l2=1e-3, clip=10.0)),
    "dcnv2_history": ("dcnv2_history", "fuxictr", dict(l2=1e-3, clip=10.0)),
    "din": ("din", "plain", dict(l2=1e-3, clip=10.0)),
    "din_padded": ("din", "fuxictr", dict(l2=1e-3, clip=10.0, padded=True)),
    "shared_bottom": ("shared_bottom", "fuxictr", dict(l2=1e-3, clip=10.0)),
    "mmoe": ("mmoe", "fuxictr", dict(l2=1e-3, clip=10.0)),
    "ple": ("ple", "torch-rechub", dict(l2=1e-3, clip=10.0)),
}


def main():
    chosen = sys.argv[1:]
    data = make_data()
    save_tensors("trajectory_data", data)
    about = {
        "rows": ROWS,
        "batch_size": BATCH,
        "steps": STEPS,
        "learning_rate": LEARNING_RATE,
        "embedding_dim": K,
        "ffm_embedding_dim": FFM_K,
        "hidden": HIDDEN,
        "attention_hidden": ATTENTION,
        "cross_layers": CROSS,
        "history_max_length": MAX_LENGTH,
        "bottom_hidden": multitask.BOTTOM,
        "expert_hidden": multitask.EXPERT,
        "tower_hidden": multitask.TOWER,
        "mmoe_experts": multitask.EXPERTS,
        "ple": {"levels": multitask.LEVELS, "own_experts": multitask.OWN, "shared_experts": multitask.SHARED},
        "fields": [{"name": n, "kind": "categorical", "rows": r} for n, r in TABLES.items()]
        + [{"name": n, "kind": "numeric"} for n in NUMERIC]
        + [
            {
                "name": "hist_item_ids",
                "kind": "sequence",
                "share": "item_id",
                "runs": ["dcnv2_history", "din", "din_padded"],
            }
        ],
        "torch": torch.__version__,
        "fuxictr": "2.3.10; multi-task classes of commit 0245987f",
        "torch-rechub": "0.9.0",
        "runs": json.loads((DATA / "trajectories.json").read_text())["runs"] if chosen else {},
    }
    for name, (model, source, options) in RUNS.items():
        if chosen and name not in chosen:
            continue
        weights = multitask.make_weights(model) if model in multitask.MODELS else make_weights(model)
        exact = run_plain(model, weights, data, dtype=torch.float64, **options)
        plain = run_plain(model, weights, data, **options)
        result = plain
        if source != "plain":
            result = run_peer(model, weights, data, options["l2"], options["clip"])
            if model == "din":
                result.update({k: v for k, v in plain.items() if "running" in k})
            assert relative(result["loss"], plain["loss"]) < 5e-6, name
            assert gradient_difference(result, plain) < 2e-5, name
        moved = sensitivity(model, weights, data, exact, options)
        # A ReLU at its kink would make a run that no other fp32 implementation can follow: then choose another seed.
        assert moved < 2e-6 and relative(result["loss"], exact["loss"]) < 2e-6, (name, moved)
        save_tensors(f"trajectory_{name}", result)
        clipped = int((result["norm"] > options["clip"]).sum()) if options["clip"] else 0
        about["runs"][name] = {
            "file": f"trajectory_{name}.safetensors",
            "model": model,
            "from": source,
            **options,
            "first_loss": float(result["loss"][0]),
            "last_loss": float(result["loss"][-1]),
            "clipped_steps": clipped,
            "sensitivity": moved,
            "loss_vs_fp64": relative(result["loss"], exact["loss"]),
            "gradient_vs_fp64": gradient_difference(result, exact),
            "loss_vs_twin": relative(result["loss"], plain["loss"]),
        }
        print(
            name,
            {
                k: about["runs"][name][k]
                for k in (
                    "first_loss",
                    "last_loss",
                    "clipped_steps",
                    "sensitivity",
                    "loss_vs_fp64",
                    "gradient_vs_fp64",
                    "loss_vs_twin",
                )
            },
        )
    save_json("trajectories", about)


if __name__ == "__main__":
    main()
