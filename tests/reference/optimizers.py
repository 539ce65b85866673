"""Optimizers: a table of 7 rows after each of 12 steps, by torch.optim or by a published formula in numpy.

    python -m venv venv && venv/bin/pip install torch==2.15.0 safetensors
    venv/bin/python tests/reference/optimizers.py

WHAT IS STORED (data/optimizers.safetensors, float32 and int32; computed in float64 from float32 inputs)
    table [7, 5]          before the first step; row 0 is padding and zero
    ids [12, 6]           rows that each step reads, with repetitions; 0 = padding, to be ignored. Row 6 is read in step
                          9 (from 1) only, row 5 in step 2 only; step 7 reads nothing but padding and row 3
    gradients [12, 6, 5]  one per read
    summed [12, 7, 5]     the same added up per row, padding left out
    <run> [12, 7, 5]      the table after each step; runs and their options are in optimizers.json
    clip.a, .b, .c        gradients [3, 4], [5], [2, 2, 2]; clip.norm [1], their norm; clip.a.active ... after
                          clip_grad_norm_(max_norm 1.5), clip.a.idle ... after clip_grad_norm_(max_norm 100)
optimizers.json: "runs", and "schedules", the factor on the learning rate at steps 1, 2, ...: each from its closed form,
    checked here against torch.optim.lr_scheduler. "plateau" is FuxiCTR's rule, a factor for each evaluation, in force
    after it: x 0.1 where it does not improve, never below 1e-6 of an initial 1e-3.

"rows": "touched" runs never change a row that a step does not read; "all" runs (dense) do, by momentum or decay. l2
adds l2 * w to the gradient (torch's weight_decay), in "touched" runs for the rows read. "lr_factors" multiply the rate
step by step.
  sparse_adam*: torch.optim.SparseAdam; its bias correction counts every step, also those in which a row is not read
  adam*, adamw, adagrad*, sgd*: the torch.optim class of that name
  sgd_momentum_touched: v = momentum v + g, w -= lr v for the rows read, nothing for the others
  rowwise_adagrad*: per row a += mean(g^2), w -= lr g / (sqrt(a) + eps) (FBGEMM's EXACT_ROWWISE_ADAGRAD)
  ftrl*: McMahan et al. 2013, algorithm 1, with alpha = lr. "start": "zero" begins with z = n = 0, so w = 0, whatever
      `table` holds; "start": "table" begins with n = 0 and the z whose weight is the table's
"""

import math

from common import save_json, save_tensors

import numpy as np
import torch

ROWS, WIDTH, STEPS, READS = 7, 5, 12, 6
LR_FACTORS = [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def make_inputs():
    rng = np.random.default_rng(11)
    single = lambda x: x.astype(np.float32).astype(np.float64)
    table = single(rng.normal(0, 0.3, (ROWS, WIDTH)))
    table[0] = 0
    ids = rng.choice([0, 1, 2, 3, 4], (STEPS, READS), p=[0.15, 0.4, 0.2, 0.15, 0.1])
    ids[1] = [5, 1, 5, 2, 5, 0]
    ids[6] = [3, 0, 0, 3, 0, 3]
    ids[8] = [6, 6, 1, 0, 1, 4]
    gradients = single(rng.normal(0, 1, (STEPS, READS, WIDTH)) * rng.choice([0.01, 1, 3], (STEPS, 1, 1)))
    summed = np.zeros((STEPS, ROWS, WIDTH))
    for s in range(STEPS):
        np.add.at(summed[s], ids[s], gradients[s])
    summed[:, 0] = 0
    return {"table": table, "ids": ids, "gradients": gradients, "summed": summed}


def touched(inputs, step):
    return sorted(set(inputs["ids"][step]) - {0})


def by_torch(inputs, make, factors=None):
    """torch's dense optimizers: every row has a gradient, mostly zero."""
    w = torch.nn.Parameter(torch.tensor(inputs["table"]))
    optimizer = make([w])
    base, out = optimizer.param_groups[0]["lr"], []
    for s in range(STEPS):
        optimizer.param_groups[0]["lr"] = base * (factors[s] if factors else 1)
        w.grad = torch.tensor(inputs["summed"][s])
        optimizer.step()
        out.append(w.detach().numpy().copy())
    return np.stack(out)


def by_torch_sparse(inputs, make, l2=0.0, factors=None):
    w = torch.nn.Parameter(torch.tensor(inputs["table"]))
    optimizer = make([w])
    base, out = optimizer.param_groups[0]["lr"], []
    for s in range(STEPS):
        optimizer.param_groups[0]["lr"] = base * (factors[s] if factors else 1)
        rows = torch.tensor(touched(inputs, s))
        values = torch.tensor(inputs["summed"][s])[rows] + l2 * w.detach()[rows]
        w.grad = torch.sparse_coo_tensor(rows[None], values, w.shape, check_invariants=True)
        optimizer.step()
        out.append(w.detach().numpy().copy())
    return np.stack(out)


def sgd_momentum_touched(inputs, lr, momentum):
    w, v, out = inputs["table"].copy(), np.zeros((ROWS, WIDTH)), []
    for s in range(STEPS):
        r = touched(inputs, s)
        v[r] = momentum * v[r] + inputs["summed"][s][r]
        w[r] -= lr * v[r]
        out.append(w.copy())
    return np.stack(out)


def rowwise_adagrad(inputs, lr, eps, initial=0.0, l2=0.0):
    w, a, out = inputs["table"].copy(), np.full(ROWS, initial), []
    for s in range(STEPS):
        for r in touched(inputs, s):
            g = inputs["summed"][s][r] + l2 * w[r]
            a[r] += np.mean(g * g)
            w[r] -= lr * g / (math.sqrt(a[r]) + eps)
        out.append(w.copy())
    return np.stack(out)


def ftrl(inputs, lr, beta, lambda1, lambda2, start):
    """Per coordinate, as the paper prints it: the weight is computed from (z, n) when it is read, then z and n move."""

    def weight(z, n):
        if abs(z) <= lambda1:
            return 0.0
        return -(z - math.copysign(lambda1, z)) / ((beta + math.sqrt(n)) / lr + lambda2)

    z, n = np.zeros((ROWS, WIDTH)), np.zeros((ROWS, WIDTH))
    w = np.zeros((ROWS, WIDTH))
    if start == "table":
        w = inputs["table"].copy()
        z = -w * (beta / lr + lambda2) - np.sign(w) * lambda1
    out = []
    for s in range(STEPS):
        for r in touched(inputs, s):
            for k in range(WIDTH):
                g = inputs["summed"][s][r, k]
                sigma = (math.sqrt(n[r, k] + g * g) - math.sqrt(n[r, k])) / lr
                z[r, k] += g - sigma * weight(z[r, k], n[r, k])
                n[r, k] += g * g
                w[r, k] = weight(z[r, k], n[r, k])
        out.append(w.copy())
    return np.stack(out)


def make_runs(inputs):
    """run -> (options, tables)."""
    T = torch.optim
    runs = {}

    def add(name, rows, tables, **options):
        runs[name] = ({"rows": rows, **options}, tables)

    add("sparse_adam", "touched", by_torch_sparse(inputs, lambda p: T.SparseAdam(p, lr=0.05)), rule="adam", lr=0.05)
    add(
        "sparse_adam_l2",
        "touched",
        by_torch_sparse(inputs, lambda p: T.SparseAdam(p, lr=0.05), l2=0.1),
        rule="adam",
        lr=0.05,
        l2=0.1,
    )
    add(
        "sparse_adam_schedule",
        "touched",
        by_torch_sparse(inputs, lambda p: T.SparseAdam(p, lr=0.05), factors=LR_FACTORS),
        rule="adam",
        lr=0.05,
        lr_factors=LR_FACTORS,
    )
    add(
        "sparse_adam_eps",
        "touched",
        by_torch_sparse(inputs, lambda p: T.SparseAdam(p, lr=0.05, betas=(0.8, 0.95), eps=0.1)),
        rule="adam",
        lr=0.05,
        beta1=0.8,
        beta2=0.95,
        eps=0.1,
    )
    for name, l2 in (("adam", 0.0), ("adam_l2_small", 1e-3), ("adam_l2", 0.1)):
        add(name, "all", by_torch(inputs, lambda p: T.Adam(p, lr=0.05, weight_decay=l2)), rule="adam", lr=0.05, l2=l2)
    add(
        "adam_schedule",
        "all",
        by_torch(inputs, lambda p: T.Adam(p, lr=0.05), factors=LR_FACTORS),
        rule="adam",
        lr=0.05,
        lr_factors=LR_FACTORS,
    )
    add(
        "adam_eps",
        "all",
        by_torch(inputs, lambda p: T.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=0.1)),
        rule="adam",
        lr=0.05,
        beta1=0.8,
        beta2=0.95,
        eps=0.1,
    )
    add(
        "adamw",
        "all",
        by_torch(inputs, lambda p: T.AdamW(p, lr=0.05, weight_decay=0.1)),
        rule="adam",
        lr=0.05,
        decay=0.1,
    )
    add("adagrad", "touched", by_torch(inputs, lambda p: T.Adagrad(p, lr=0.1)), rule="adagrad", lr=0.1)
    add(
        "adagrad_initial",
        "touched",
        by_torch(inputs, lambda p: T.Adagrad(p, lr=0.1, initial_accumulator_value=0.1, eps=1e-3)),
        rule="adagrad",
        lr=0.1,
        initial=0.1,
        eps=1e-3,
    )
    add(
        "adagrad_l2",
        "all",
        by_torch(inputs, lambda p: T.Adagrad(p, lr=0.1, weight_decay=0.1)),
        rule="adagrad",
        lr=0.1,
        l2=0.1,
    )
    add("sgd", "touched", by_torch(inputs, lambda p: T.SGD(p, lr=0.1)), rule="sgd", lr=0.1)
    add("sgd_l2", "all", by_torch(inputs, lambda p: T.SGD(p, lr=0.1, weight_decay=0.1)), rule="sgd", lr=0.1, l2=0.1)
    add(
        "sgd_momentum",
        "all",
        by_torch(inputs, lambda p: T.SGD(p, lr=0.1, momentum=0.9)),
        rule="sgd",
        lr=0.1,
        momentum=0.9,
    )
    add("sgd_momentum_touched", "touched", sgd_momentum_touched(inputs, 0.1, 0.9), rule="sgd", lr=0.1, momentum=0.9)
    add("rowwise_adagrad", "touched", rowwise_adagrad(inputs, 0.1, 1e-10), rule="rowwise_adagrad", lr=0.1)
    add(
        "rowwise_adagrad_initial",
        "touched",
        rowwise_adagrad(inputs, 0.1, 1e-3, initial=0.1, l2=0.1),
        rule="rowwise_adagrad",
        lr=0.1,
        eps=1e-3,
        initial=0.1,
        l2=0.1,
    )
    for name, options in {
        "ftrl_zero": dict(lambda1=0.0, lambda2=0.0, start="zero"),
        "ftrl_zero_l1": dict(lambda1=2.0, lambda2=0.5, start="zero"),
        "ftrl": dict(lambda1=0.0, lambda2=0.0, start="table"),
        "ftrl_l1": dict(lambda1=2.0, lambda2=0.5, start="table"),
    }.items():
        add(name, "touched", ftrl(inputs, lr=0.1, beta=1.0, **options), rule="ftrl", lr=0.1, beta=1.0, **options)
    for name, (options, tables) in runs.items():
        check_rows(inputs, name, options, tables)
    return runs


def check_rows(inputs, name, options, tables):
    """A "touched" run must not move other rows, an "all" run must, or the label is wrong; padding rests always."""
    before = np.zeros_like(inputs["table"]) if options.get("start") == "zero" else inputs["table"]
    moved = False
    for s in range(STEPS):
        others = sorted(set(range(ROWS)) - set(touched(inputs, s)))
        moved |= bool(np.any(tables[s][others] != before[others]))
        before = tables[s]
    assert moved == (options["rows"] == "all"), name
    assert not np.any(tables[:, 0]), name


def clip_example():
    g = torch.Generator().manual_seed(3)
    shapes, out = {"a": (3, 4), "b": (5,), "c": (2, 2, 2)}, {}
    values = {name: torch.randn(shape, generator=g) for name, shape in shapes.items()}
    for case, limit in (("active", 1.5), ("idle", 100.0)):
        parameters = [torch.nn.Parameter(torch.zeros_like(v)) for v in values.values()]
        for p, v in zip(parameters, values.values()):
            p.grad = v.clone()
        out["clip.norm"] = torch.nn.utils.clip_grad_norm_(parameters, limit).reshape(1)
        out.update({f"clip.{name}.{case}": p.grad for name, p in zip(values, parameters)})
    out.update({f"clip.{name}": v for name, v in values.items()})
    return out


def from_scheduler(make, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, out = make(optimizer), []
    for _ in range(steps):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return out


def make_schedules():
    S, total, steps = torch.optim.lr_scheduler, 10, range(1, 11)
    cosine = lambda low: [low + (1 - low) * 0.5 * (1 + math.cos(math.pi * (s - 1) / (total - 1))) for s in steps]
    schedules = {
        "step": {"every": 4, "factor": 0.5, "values": [0.5 ** ((s - 1) // 4) for s in steps]},
        "cosine": {"total_steps": total, "minimum": 0, "values": cosine(0.0)},
        "cosine_minimum": {"total_steps": total, "minimum": 0.1, "values": cosine(0.1)},
        "warmup": {"warmup_steps": 4, "values": [min(1.0, s / 4) for s in steps]},
    }
    checks = {
        "step": lambda o: S.StepLR(o, step_size=4, gamma=0.5),
        "cosine": lambda o: S.CosineAnnealingLR(o, T_max=total - 1),
        "cosine_minimum": lambda o: S.CosineAnnealingLR(o, T_max=total - 1, eta_min=0.1),
        "warmup": lambda o: S.LinearLR(o, start_factor=1 / 4, total_iters=3),
    }
    for name, make in checks.items():
        np.testing.assert_allclose(from_scheduler(make, total), schedules[name]["values"], rtol=1e-9, atol=1e-12)
    improved, rate, values = [True, False, True, True, False, False, True, False, False], 1e-3, []
    for better in improved:
        rate = rate if better else max(rate * 0.1, 1e-6)
        values.append(rate / 1e-3)
    schedules["plateau"] = {"factor": 0.1, "minimum": 1e-3, "improved": improved, "values": values}
    return schedules


def main():
    inputs = make_inputs()
    runs = make_runs(inputs)
    save_tensors("optimizers", {**inputs, **clip_example(), **{name: tables for name, (_, tables) in runs.items()}})
    save_json(
        "optimizers",
        {
            "torch": torch.__version__,
            "runs": {name: options for name, (options, _) in runs.items()},
            "clip": {"active": 1.5, "idle": 100.0},
            "schedules": make_schedules(),
        },
    )


if __name__ == "__main__":
    main()
