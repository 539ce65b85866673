"""Layers: results and gradients on small random inputs, by FuxiCTR's layers or plain PyTorch.

    python -m venv venv && venv/bin/pip install torch==2.15.0 fuxictr==2.3.10 safetensors
    venv/bin/python tests/reference/layers.py

WHAT IS STORED (data/layers.safetensors, float32 and int32), as <layer>/<tensor>
Computed in float64 from float32 inputs, then rounded. `out_grad` is what flows back into `out`: gradients are those of
sum(out * out_grad), d_<tensor> for an input, gradient.<weight> for weight.<weight>. Layers with state are run once in
training mode (out and gradients), `state.<name>` is what that leaves, `eval` the result on the same input in evaluation
mode after it. layers.json says the same tensor by tensor, with shapes.

embedding      ids [3, 4] with repetitions and padding (row 0), weight [6, 5] -> out [3, 4, 5]; gradient.weight [6,
               5], row 0 zero
fm             x [4, 5, 3] -> out [4], bi_interaction [4, 3], inner_products [4, 10] with left, right [10]; d_x is of
               out, d_x_bi_interaction and d_x_inner_products of the others, under out_grad_<...>
mlp_*          x [7, 6], hidden [5, 4], relu, then one output: weight.linear<i>.weight [out, in] and .bias (2 is the
               output). mlp: no norm. mlp_batch: batch norm (eps 1e-5, momentum .1, affine: weight.norm<i>.weight,
               .bias; state norm<i>.running_mean, .running_var, the latter unbiased) between linear and activation.
               mlp_layer: layer norm (eps 1e-5, affine). mlp_dice: Dice as activation. mlp_open: no output layer, the
               last hidden one is the result
cross          x [6, 8], 3 layers: weight.cross<l>.weight [8, 8], .bias [8] -> out [6, 8] (DCN-V2)
dice           x [6, 4], weight.alpha [4] -> out [6, 4]: FuxiCTR's (batch norm without affine, eps 1e-9, momentum 0.01)
activation_*   x [9] -> out [9]: relu leaky_relu (0.01) gelu (erf) silu sigmoid tanh prelu (weight.slope [1], .25)
attention_*    target [5, 3], history h [N, 3] with offsets [6], row 2 being empty, hidden [6], out [5, 3] = sum of
               score h; weight.linear0|1.weight|bias and, with Dice, weight.alpha [6]. The input of the network is [q,
               h, q - h, q * h]. attention_relu, attention_relu_softmax, attention_dice, attention_dice_softmax:
               Dice's statistics are over the N real entries. attention_dice_padded, attention_dice_padded_softmax:
               FuxiCTR's, over all 5 x 4 positions, padding included (h = 0 there). softmax is over a row's real
               entries
pool_*         e [N, 3] with offsets [6] and weights [N] (one of them negative, one row summing to zero) -> sum, mean:
               [5, 3]; mean divides by the count or by sum |w|; an empty row, and one whose weights are all zero, give
               zero. Leave d_weights of a zero weight out of the comparison: |w| has no derivative there
bce_*          logit [10] up to +-60, label, weight -> each [10] unreduced, out [1]: bce: mean; bce_weighted: sum(w l)
               / sum(w); bce_pos_weight: positives count 3 times (mean over rows); bce_weighted_labels: [10, 2]
               logits, weight a row, sum over labels and rows of w l / (2 sum(w)). d_logit is the gradient of out
"""

from common import save_json, save_tensors, to_numpy

import torch
import torch.nn.functional as F
from fuxictr.pytorch.layers import CrossNetV2, Dice, DIN_Attention, InnerProductInteraction, MLP_Block
from torch import nn

torch.set_default_dtype(torch.float64)
store = {}


def random(seed, *shape, std=1.0):
    """float32 values in float64."""
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * std).float().double()


def put(layer, **tensors):
    store.update({f"{layer}/{name}": value.detach().clone() for name, value in tensors.items()})


def randomise(module, seed):
    """FuxiCTR's layers start biases and alpha at 0, where some mistakes do not show."""
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(random(seed + i, *p.shape, std=0.5))


def record(layer, module, names, inputs, seed, apply=None):
    """One training step of a layer and what it leaves. `names`: parameter or buffer of the module -> stored name."""
    apply = apply or (lambda **x: module(*x.values()))
    module.train()
    leaves = {name: x.clone().requires_grad_() for name, x in inputs.items()}
    put(layer, **inputs, **{f"weight.{names[n]}": p for n, p in module.named_parameters()})
    out = apply(**leaves)
    out_grad = random(seed, *out.shape)
    (out * out_grad).sum().backward()
    put(layer, out=out, out_grad=out_grad, **{f"d_{n}": x.grad for n, x in leaves.items()})
    put(layer, **{f"gradient.{names[n]}": p.grad for n, p in module.named_parameters()})
    buffers = {n: b for n, b in module.named_buffers() if not n.endswith("num_batches_tracked")}
    put(layer, **{f"state.{names[n]}": b for n, b in buffers.items()})
    if buffers:
        module.eval()
        put(layer, eval=apply(**inputs))


def embedding():
    ids = torch.tensor([[1, 3, 1, 0], [5, 1, 0, 0], [3, 3, 3, 2]])
    weight = random(1, 6, 5)
    weight[0] = 0
    leaf, out_grad = weight.clone().requires_grad_(), random(2, 3, 4, 5)
    out = F.embedding(ids, leaf, padding_idx=0)
    (out * out_grad).sum().backward()
    put("embedding", ids=ids, weight=weight, out=out, out_grad=out_grad, **{"gradient.weight": leaf.grad})


def fm():
    x = random(3, 4, 5, 3)
    put("fm", x=x)
    for suffix, output in (
        ("", "product_sum"),
        ("bi_interaction", "bi_interaction"),
        ("inner_products", "inner_product"),
    ):
        leaf = x.clone().requires_grad_()
        out = InnerProductInteraction(5, output=output)(leaf)
        out = out.squeeze(1) if not suffix else out
        out_grad = random(4, *out.shape)
        (out * out_grad).sum().backward()
        tail = f"_{suffix}" if suffix else ""
        put("fm", **{suffix or "out": out, f"out_grad{tail}": out_grad, f"d_x{tail}": leaf.grad})
    left, right = torch.triu_indices(5, 5, offset=1)
    put("fm", left=left, right=right)


def mlp():
    x, hidden = random(5, 7, 6), [5, 4]

    def names_of(module):
        """nn.Sequential's numbers -> linear<i>, norm<i>, dice<i>."""
        names, linears = {}, -1
        for name, child in module.named_children():
            linears += isinstance(child, nn.Linear)
            kind = {nn.Linear: "linear", Dice: "dice"}.get(type(child), "norm")
            for leaf in list(dict(child.named_parameters())) + list(dict(child.named_buffers())):
                names[f"{name}.{leaf}"] = f"{kind}{linears}.{leaf.replace('bn.', '')}"
        return names

    block = lambda **options: (
        MLP_Block(6, hidden_units=hidden, **{"output_dim": 1, "hidden_activations": "ReLU", **options}).mlp
    )
    modules = {
        "mlp": block(),
        "mlp_open": block(output_dim=None),
        "mlp_batch": block(batch_norm=True),
        "mlp_dice": block(hidden_activations=[Dice(width) for width in hidden]),
        "mlp_layer": nn.Sequential(
            nn.Linear(6, 5), nn.LayerNorm(5), nn.ReLU(), nn.Linear(5, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 1)
        ),
    }
    for i, (layer, module) in enumerate(modules.items()):
        names = names_of(module)
        with torch.no_grad():
            for j, (name, p) in enumerate(module.named_parameters()):
                p.copy_(random(100 * i + 200 + j, *p.shape, std=0.5))
                if names[name].startswith("norm") and name.endswith("weight"):
                    p.copy_((1 + 0.3 * p).float().double())
        record(layer, module, names, {"x": x}, seed=6)


def cross():
    module = CrossNetV2(8, 3)
    randomise(module, 20)
    names = {n: n.replace("cross_layers.", "cross") for n, _ in module.named_parameters()}
    record("cross", module, names, {"x": random(7, 6, 8)}, seed=8)


def dice():
    module = Dice(4)
    randomise(module, 30)
    names = {"alpha": "alpha", "bn.running_mean": "running_mean", "bn.running_var": "running_var"}
    record(
        "dice",
        module,
        names,
        {"x": (random(9, 6, 4) * torch.tensor([0.1, 1.0, 4.0, 1.0]) + 0.5).float().double()},
        seed=10,
    )


def activations():
    x = torch.tensor([-30.0, -3.0, -1.0, -0.125, 0.0, 0.125, 1.0, 3.0, 30.0])
    plain = {
        "relu": nn.ReLU(),
        "leaky_relu": nn.LeakyReLU(0.01),
        "gelu": nn.GELU(),
        "silu": nn.SiLU(),
        "sigmoid": nn.Sigmoid(),
        "tanh": nn.Tanh(),
        "prelu": nn.PReLU(init=0.25),
    }
    for name, module in plain.items():
        record(f"activation_{name}", module, {"weight": "slope"}, {"x": x}, seed=11)


LENGTHS = torch.tensor([3, 1, 0, 4, 2])
OFFSETS = torch.cat([torch.zeros(1, dtype=torch.int64), LENGTHS.cumsum(0)])
ROW = torch.repeat_interleave(torch.arange(5), LENGTHS)
MASK = torch.arange(4)[None, :] < LENGTHS[:, None]


def attention():
    """FuxiCTR's layer on padded histories; without padding in Dice's statistics, its network on the entries alone."""
    target, history = random(12, 5, 3), random(13, int(OFFSETS[-1]), 3)
    for activation in ("ReLU", "Dice"):
        for softmax in (False, True):
            for padded in (False, True):
                if padded and activation == "ReLU":
                    continue  # the same as without padding
                module = DIN_Attention(3, attention_units=[6], hidden_activations=activation, use_softmax=softmax)
                randomise(module, 40)
                pad = lambda h: torch.zeros(5, 4, 3).index_put((MASK.nonzero(as_tuple=True)), h)
                theirs = lambda target, history: module(target, pad(history), MASK)

                def entries(target, history):
                    q = target[ROW]
                    score = module.attention_layer(torch.cat([q, history, q - history, q * history], 1))[:, 0]
                    if softmax:
                        score = torch.cat([part.softmax(0) for part in score.split(LENGTHS.tolist())])
                    return torch.zeros(5, 3).index_add(0, ROW, score[:, None] * history)

                if activation == "ReLU":
                    torch.testing.assert_close(entries(target, history), theirs(target, history))
                layer = (
                    f"attention_{activation.lower()}" + ("_padded" if padded else "") + ("_softmax" if softmax else "")
                )
                names = {
                    "attention_layer.mlp.0.weight": "linear0.weight",
                    "attention_layer.mlp.0.bias": "linear0.bias",
                    "attention_layer.mlp.2.weight": "linear1.weight",
                    "attention_layer.mlp.2.bias": "linear1.bias",
                    "attention_layer.mlp.1.alpha": "alpha",
                    "attention_layer.mlp.1.bn.running_mean": "running_mean",
                    "attention_layer.mlp.1.bn.running_var": "running_var",
                }
                record(
                    layer,
                    module,
                    names,
                    {"target": target, "history": history},
                    seed=14,
                    apply=theirs if padded else entries,
                )
                put(layer, offsets=OFFSETS)


def pooling():
    e, w = random(15, int(OFFSETS[-1]), 3), random(16, int(OFFSETS[-1])).abs()
    w[1], w[3] = -0.75, 0.0  # row 0 has a negative weight, row 1 nothing but a zero
    w[8], w[9] = 1.5, -1.5  # row 4 sums to zero, but its absolute weights do not
    for how in ("sum", "mean"):
        for weighted in (False, True):
            layer = f"pool_{how}" + ("_weighted" if weighted else "")
            leaves = {"e": e.clone().requires_grad_(), "weights": w.clone().requires_grad_()}
            rows = []
            for a, b in zip(OFFSETS, OFFSETS[1:]):
                weight = leaves["weights"][a:b] if weighted else torch.ones(int(b - a))
                total = (weight[:, None] * leaves["e"][a:b]).sum(0)
                share = weight.abs().sum()
                rows.append(total if how == "sum" else total / share if share > 0 else total * 0)
            out = torch.stack(rows)
            out_grad = random(17, 5, 3)
            (out * out_grad).sum().backward()
            put(layer, e=e, offsets=OFFSETS, out=out, out_grad=out_grad, d_e=leaves["e"].grad)
            if weighted:
                put(layer, weights=w, d_weights=leaves["weights"].grad)


def bce():
    logit = torch.tensor([0.0, 1.5, -2.25, 7.0, -9.0, 30.0, -30.0, 60.0, -60.0, 0.5])
    label = torch.tensor([1.0, 0, 1, 1, 0, 0, 1, 1, 1, 0])
    weight = torch.tensor([1.0, 2, 0.5, 0, 1, 0.25, 1, 3, 1, 1])
    two, labels = torch.stack([logit, logit.flip(0)], 1), torch.stack([label, 1 - label], 1)

    def one(layer, logit, label, reduce, **tensors):
        leaf = logit.clone().requires_grad_()
        each = F.binary_cross_entropy_with_logits(
            leaf, label, reduction="none", pos_weight=torch.tensor(3.0) if layer == "bce_pos_weight" else None
        )
        out = reduce(each)
        out.backward()
        put(layer, logit=logit, label=label, each=each, out=out.reshape(1), d_logit=leaf.grad, **tensors)

    one("bce", logit, label, lambda l: l.mean())
    one("bce_pos_weight", logit, label, lambda l: l.mean())
    one("bce_weighted", logit, label, lambda l: (weight * l).sum() / weight.sum(), weight=weight)
    one("bce_weighted_labels", two, labels, lambda l: (weight[:, None] * l).sum() / (2 * weight.sum()), weight=weight)


def main():
    for make in (embedding, fm, mlp, cross, dice, activations, attention, pooling, bce):
        make()
    save_tensors("layers", store)
    listing = {}
    for name, value in sorted(store.items()):
        layer, tensor = name.split("/")
        listing.setdefault(layer, {})[tensor] = f"{to_numpy(value).dtype} {list(value.shape)}"
    save_json("layers", {"torch": torch.__version__, "fuxictr": "2.3.10", "layers": listing})


if __name__ == "__main__":
    main()
