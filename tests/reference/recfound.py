"""What RecFound's parts compute, from their definitions in float64 (plain Python).

    python tests/reference/recfound.py

Reads the inputs that data/systems/recfound.json holds and writes its results anew:
tmole              experts' weights of a task of embedding, of one of generation and of none; y = W x + alpha / r * sum over
                   e of w_e B_e A_e x with each
info_nce           cosines of queries and passages, the mean loss at two temperatures, and its gradient by the queries
                   (central differences)
s2sched_small      every decision of five tasks in two families from made-up ratios, with what it is made of
s2sched_published  decisions of 13 tasks whose sizes are the paper's, in two families of 3 and 10
allocation         largest remainders, capped, the surplus shared once more
ties               three checkpoints from one beginning, at density 0.8 and 1
slerp              at 0.6 between two vectors, and the mean of the checkpoints of `ties`
"""

import json
import math

from common import DATA, save_parts

FILE = DATA / "systems" / "recfound.json"


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def softmax(v):
    powers = [math.exp(x - max(v)) for x in v]
    return [p / sum(powers) for p in powers]


def tmole(e):
    raw = [dot(row, e["task_vector"]) + b for row, b in zip(e["router_W"], e["router_b"])]
    e["raw"] = raw
    e["weights_embedding"] = softmax(raw[:4]) + [0.0, 0.0]
    e["weights_generation"] = [0.0, 0.0] + softmax(raw[2:])
    e["weights_no_task"] = [1 / 6] * 6
    for name in ("embedding", "generation", "no_task"):
        weights, rows = e[f"weights_{name}"], []
        for x in e["x"]:
            y = [dot(row, x) for row in e["W"]]
            for w, A, B in zip(weights, e["A"], e["B"]):
                inner = [dot(row, x) for row in A]
                y = [v + e["alpha"] / e["rank"] * w * dot(row, inner) for v, row in zip(y, B)]
            rows.append(y)
        e[f"y_{name}"] = rows


def info_nce(e):
    def cosines(queries):
        return [[dot(q, p) / math.sqrt(dot(q, q) * dot(p, p)) for p in e["p"]] for q in queries]

    def loss(queries, tau):
        rows = cosines(queries)
        return sum(math.log(sum(math.exp(s / tau) for s in row)) - row[i * e["group"]] / tau for i, row in enumerate(rows)) / len(rows)

    e["similarity"] = cosines(e["q"])
    for tau in (0.02, 0.5):
        e[f"loss_tau_{tau}".replace(".", "_")] = loss(e["q"], tau)
    step, gradient = 1e-6, []
    for i, q in enumerate(e["q"]):
        row = []
        for k in range(len(q)):
            moved = [[list(v) for v in e["q"]] for _ in range(2)]
            moved[0][i][k] += step
            moved[1][i][k] -= step
            row.append((loss(moved[0], 0.5) - loss(moved[1], 0.5)) / (2 * step))
        gradient.append(row)
    e["grad_q_tau_0_5"] = gradient


def slope(values):
    values = [v for v in values if v != 0]
    n = len(values)
    middle, mean = (n - 1) / 2, sum(values) / n
    return sum((i - middle) * (v - mean) for i, v in enumerate(values)) / sum((i - middle) ** 2 for i in range(n))


def s2sched(e, families, told):
    ratios, window, own = e["rho"], e["window"], []
    group = {name: [] for name, _ in families}
    for t in range(e["warmup"], len(ratios[0]) + 1):
        first = max(1, t - window)
        own.append([slope(r[first - 1 : t - 1]) for r in ratios])
        now, past = own[-1], own[max(0, t - window) :]
        decision = {"slope": now}
        weights = []
        for name, tasks in families:
            n = len(tasks)
            group[name].append(slope([max(ratios[i][s - 1] for i in tasks) for s in range(first, t)]))
            g = group[name]
            total = sum(map(abs, g))
            forgetting = min(1, len(g) * softmax([-e["tau"] * len(g) * x / total for x in g])[-1])
            relative = softmax([n * now[i] / sum(abs(now[j]) for j in tasks) for i in tasks])
            absolute = softmax([-len(past) * now[i] / sum(abs(s[i]) for s in past) for i in tasks])
            before = softmax([n * (forgetting * r + (1 - forgetting) * a) for r, a in zip(relative, absolute)])
            sized = [w * e["sizes"][i] for w, i in zip(before, tasks)]
            after = [w / sum(sized) for w in sized]
            lifted = [0.8 * w + 1 / (5 * n) for w in after] if min(after) < 1 / (5 * n) else after
            weights += lifted
            decision[name] = {"group_slope": g[-1], "DF": forgetting, "RCS": relative, "ACS": absolute,
                              "weights_before_size": before, "weights_after_size": after}
        decision["weights"] = weights
        if told is None or t in told:
            e["decisions"][str(t)] = decision


def largest_remainder(weights, budget):
    exact = [w / sum(weights) * budget for w in weights]
    out = [math.floor(x + 1e-9) for x in exact]
    order = sorted(range(len(out)), key=lambda i: (-round(exact[i] - out[i], 9), i))
    for i in order[: budget - sum(out)]:
        out[i] += 1
    return out


def allocation(e):
    for case in e["cases"]:
        counts = [min(c, a) for c, a in zip(largest_remainder(e["weights"], case["budget"]), case["available"])]
        left = [a - c for c, a in zip(counts, case["available"])]
        again = [w if rest > 0 else 0 for w, rest in zip(e["weights"], left)]
        if sum(again) > 0:
            counts = [c + min(m, rest) for c, m, rest in zip(counts, largest_remainder(again, case["budget"] - sum(counts)), left)]
        case["counts"] = counts


def ties(e):
    n, base = len(e["base"]), e["base"]
    changes = [[c - b for c, b in zip(point, base)] for point in e["checkpoints"]]
    sums = [sum(c[i] for c in changes) for i in range(n)]
    agree = [[c[i] * sums[i] > 0 for i in range(n)] for c in changes]
    for key, density in (("merged", e["density"]), ("merged_density_1", 1)):
        total = [0.0] * n
        for change, same in zip(changes, agree):
            left = [c if s else 0 for c, s in zip(change, same)]
            kept = sorted(range(n), key=lambda i: -abs(left[i]))[: int(density * n)]
            for i in kept:
                total[i] += left[i]
        e[key] = [b + t / (sum(a[i] for a in agree) + 1e-9) for i, (b, t) in enumerate(zip(base, total))]


def slerp(e, checkpoints):
    a, b, t = e["a"], e["b"], e["t"]
    angle = math.acos(dot(a, b) / math.sqrt(dot(a, a) * dot(b, b)))
    e["merged"] = [(math.sin((1 - t) * angle) * x + math.sin(t * angle) * y) / math.sin(angle) for x, y in zip(a, b)]
    e["linear_mean_of_checkpoints"] = [sum(values) / len(values) for values in zip(*checkpoints)]


stored = json.loads(FILE.read_text())
tmole(stored["tmole"])
info_nce(stored["info_nce"])
s2sched(stored["s2sched_small"], [("emb", [0, 1]), ("gen", [2, 3, 4])], None)
s2sched(stored["s2sched_published"], [("emb", [0, 1, 2]), ("gen", list(range(3, 13)))], [32, 33, 48, 64, 65, 66, 100])
allocation(stored["allocation"])
ties(stored["ties"])
slerp(stored["slerp"], stored["ties"]["checkpoints"])
save_parts(FILE, stored)
