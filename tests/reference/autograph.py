"""What AutoGraph's parts compute, from their definitions in float64 (numpy alone).

    python tests/reference/autograph.py

Reads the inputs that data/systems/autograph.json holds and writes its results anew:
rq            residual quantisation: nearest codes, the lowest of equally near ones; residuals, sums, factor nodes, the loss
              L1 + 1/4 of the books' mean squares, and the gradient of that quarter by z
ema           one move of a codebook: moving means of counts and sums, Laplace-smoothed counts
gat           graph attention from one kind of node to another, several edges, the second of them alone, none
user_path     users by the paths U-Qu-U and U-I-Qi-I, and the vector of a user whose edge is left out
softmax_loss  softmax over a positive and what it is told from
ranks         places of targets, equal scores by their mean, and what Recall, NDCG and MRR make of them
squash        |v|^2 / (1 + |v|^2) v / |v|
capsules      dynamic routing from stored logits, two steps
"""

import json

import numpy as np
from common import DATA, save_parts

FILE = DATA / "systems" / "autograph.json"


def rq(e):
    z, x = np.array(e["z"]), np.array(e["input"])
    books = np.array(e["codebooks"])
    size = books.shape[1]
    r, codes, residuals, commitment, gradient = z.copy(), [], [], [], np.zeros_like(z)
    for book in books:
        distance = ((r[:, None] - book[None]) ** 2).sum(2)
        code = distance.argmin(1)  # the first of equals
        r = r - book[code]
        codes.append(code)
        residuals.append(r)
        commitment.append(float((r**2).mean()))
        gradient += 0.25 * 2 * r / r.size
    e["codes"] = np.array(codes).T.tolist()
    e["residual_after_each"] = np.array(residuals).transpose(1, 0, 2).tolist()
    e["quantised"] = (z - r).tolist()
    e["factor_nodes"] = (np.array(codes).T + size * np.arange(len(books))).tolist()
    e["l1"] = float(np.abs(x - np.array(e["reconstruction"])).mean())
    e["commitment_per_book"] = commitment
    e["loss"] = e["l1"] + 0.25 * sum(commitment)
    e["grad_z_of_commitment_part"] = gradient.tolist()


def ema(e):
    old, new = e["decay"], 1 - e["decay"]
    count = old * np.array(e["count"]) + new * np.array(e["batch_count"])
    total = old * np.array(e["sum"]) + new * np.array(e["batch_sum"])
    n = count.sum()
    smoothed = (count + e["eps"]) / (n + len(count) * e["eps"]) * n
    e["new_count"], e["new_sum"], e["smoothed_count"] = count.tolist(), total.tolist(), smoothed.tolist()
    e["new_codebook"] = (total / smoothed[:, None]).tolist()


def attention(layer, source, target, edges):
    """-> [T, H D], shares [E, H]"""
    Ws, Wd, al, ar, b = (np.array(layer[k]) for k in ("Ws", "Wd", "al", "ar", "bias"))
    values = np.einsum("hdi,si->shd", Ws, source)
    left = (values * al).sum(2)
    right = (np.einsum("hdi,ti->thd", Wd, target) * ar).sum(2)
    raw = np.array([left[s] + right[t] for s, t in edges])
    raw = np.where(raw > 0, raw, 0.2 * raw)
    share = np.zeros_like(raw)
    out = np.tile(b, (len(target), 1, 1))
    for t in range(len(target)):
        mine = [i for i, (_, to) in enumerate(edges) if to == t]
        if not mine:
            continue
        w = np.exp(raw[mine] - raw[mine].max(0))
        share[mine] = w / w.sum(0)
        for i in mine:
            out[t] += share[i][:, None] * values[edges[i][0]]
    return out.reshape(len(target), -1), share


def gat(e):
    source, target = np.array(e["x_source"]), np.array(e["x_target"])
    out, share = attention(e, source, target, e["edges_source_target"])
    e["attention_per_edge_and_head"], e["output"] = share.tolist(), out.tolist()
    e["single_edge_output"] = attention(e, source, target, e["edges_source_target"][1:2])[0].tolist()


def user_path(e):
    u, q, i, p = (np.array(e[k]) for k in ("e_user", "e_ucode", "e_item", "e_icode"))
    layers, edges = e["layers"], e["edges"]
    n_q = attention(layers["U2Q"], u, q, edges["U2Q"])[0]
    h_u = attention(layers["Q2U"], np.hstack([n_q, q]), u, edges["Q2U"])[0]
    n_p = attention(layers["I2P"], i, p, edges["I2P"])[0]
    h_i = attention(layers["P2I"], np.hstack([n_p, p]), i, edges["P2I"])[0]
    g = attention(layers["I2U"], h_i, h_u, edges["I2U"])[0]
    e["n_ucode"], e["h_user"], e["n_icode"], e["h_item"], e["g_user"] = (v.tolist() for v in (n_q, h_u, n_p, h_i, g))
    e["output"] = np.maximum(g @ np.array(e["map_W"]).T + np.array(e["map_b"]), 0).tolist()
    left = [edge for edge in edges["I2U"] if edge != [1, 0]]
    e["dropped_edge"]["g_user_0"] = attention(layers["I2U"], h_i, h_u, left)[0][0].tolist()


def softmax_loss(e):
    logits = np.einsum("bk,bjk->bj", np.array(e["user"]), np.array(e["items_positive_first"]))
    e["logits"] = logits.tolist()
    e["loss"] = float((np.log(np.exp(logits).sum(1)) - logits[:, 0]).mean())


def ranks(e):
    scores, target = np.array(e["scores"]), e["target"]
    own = np.array([s[t] for s, t in zip(scores, target)])
    above = (scores > own[:, None]).sum(1)
    ties = (scores == own[:, None]).sum(1)
    e["rank_strictly_greater"] = above.tolist()
    e["rank_ties_averaged"] = (above + (ties - 1) / 2).tolist()
    # of the places that a tie may have, each as likely as another
    places = [np.arange(a, a + n) for a, n in zip(above, ties)]
    e["expected_recall"] = {k: float(np.mean([(p < int(k)).mean() for p in places])) for k in e["recall"]}
    e["expected_ndcg"] = {k: float(np.mean([((p < int(k)) / np.log2(p + 2)).mean() for p in places])) for k in e["ndcg"]}
    e["expected_mrr"] = float(np.mean([(1 / (p + 1)).mean() for p in places]))


def squashed(v):
    squares = (v**2).sum(-1, keepdims=True)
    return squares / (1 + squares) * v / np.sqrt(squares)


def capsules(e):
    h = np.array(e["entries"]) @ np.array(e["S"]).T
    b = np.array(e["routing"])[:, : len(h)]
    for step in range(e["steps"]):
        w = np.exp(b) / np.exp(b).sum(0)
        u = squashed(w @ h)
        b = b + u @ h.T
    e["u"] = u.tolist()


stored = json.loads(FILE.read_text())
for part in (rq, ema, gat, user_path, softmax_loss, ranks, capsules):
    part(stored[part.__name__])
stored["squash"]["y"] = squashed(np.array(stored["squash"]["v"])).tolist()
save_parts(FILE, stored)
