"""Interactions behind gates: results, gradients and running statistics of a gated FM, by plain PyTorch.

    python -m venv venv && venv/bin/pip install torch==2.15.0 safetensors
    venv/bin/python tests/reference/interactions.py

WHAT IS STORED (data/interactions.safetensors, float32 and int32), as order<o>/<tensor> for o = 2, 3, 4
Computed in float64 from float32 inputs, then rounded. One step in training mode, then one in evaluation mode.

    x [12, 6, 5]              field vectors
    sets [P, o]               all sets of o fields, as itertools.combinations lists them; P = 15, 20, 15
    weight.gate [P]           gates, two of which are 0
    products [12, P]          sum over k of the product of a set's vectors
    out [12]                  sum over p of gate_p norm(products)_p with BatchNorm1d(P, affine=False, eps=1e-3,
                              momentum=0.01)
    each [12, P]              what is summed
    out_grad [12]             flows back into out: d_x [12, 6, 5] and gradient.gate [P] are those of sum(out * out_grad)
    state.running_mean, .running_var [P]   after the step
    eval [12]                 out in evaluation mode after it, d_x_eval and gradient_eval.gate its gradients
    plain [12], d_x_plain     out without any norm, likewise
"""

import itertools

from common import save_tensors

import torch

torch.set_default_dtype(torch.float64)
BATCH, FIELDS, WIDTH = 12, 6, 5


def random(seed, *shape, std=1.0):
    """float32 values in float64."""
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * std).float().double()


def products(x, sets):
    return torch.stack([x[:, list(fields), :].prod(dim=1).sum(dim=1) for fields in sets], dim=1)


def gated(order):
    sets = list(itertools.combinations(range(FIELDS), order))
    x, gate, out_grad = random(order, BATCH, FIELDS, WIDTH), random(10 + order, len(sets)), random(20, BATCH)
    gate[[1, 7]] = 0
    norm = torch.nn.BatchNorm1d(len(sets), affine=False, eps=1e-3, momentum=0.01)
    found = {"x": x, "sets": torch.tensor(sets), "weight.gate": gate, "products": products(x, sets), "out_grad": out_grad}

    def run(normalise):
        leaf, gates = x.clone().requires_grad_(), gate.clone().requires_grad_()
        each = normalise(products(leaf, sets)) * gates
        (each.sum(dim=1) * out_grad).sum().backward()
        return each.detach(), leaf.grad, gates.grad

    norm.train()
    each, found["d_x"], found["gradient.gate"] = run(norm)
    found |= {"each": each, "out": each.sum(dim=1)}
    found |= {"state.running_mean": norm.running_mean.clone(), "state.running_var": norm.running_var.clone()}
    norm.eval()
    each, found["d_x_eval"], found["gradient_eval.gate"] = run(norm)
    found["eval"] = each.sum(dim=1)
    each, found["d_x_plain"], _ = run(lambda z: z)
    found["plain"] = each.sum(dim=1)
    return {f"order{order}/{name}": value.detach() for name, value in found.items()}


if __name__ == "__main__":
    save_tensors("interactions", {name: t for order in (2, 3, 4) for name, t in gated(order).items()})
