"""Prints the values that tests/unit/core/{metric,loss,bootstrap}_test.cpp expect, from scikit-learn, numpy and PyTorch.

Run: python tests/reference/metrics_and_losses.py   (numpy, scikit-learn, torch)
"""
import numpy as np
import torch
import torch.nn.functional as F
from sklearn import metrics as sk

z = np.array([-2.0, -1.0, 0.5, 0.5, 1.5, -1.0, 3.0, 0.0, -0.5, 2.0, 0.5, -3.0])
y = np.array([0, 0, 1, 0, 1, 1, 1, 0, 0, 1, 1, 0])
w = np.array([1, 2, 0.5, 1, 3, 1, 1, 2, 0.5, 1, 4, 1.5])
g = np.array([7, 7, 7, 7, -3, -3, -3, 900, 900, 900, 5, 5])
p = 1 / (1 + np.exp(-z))


def group_auc(weights):
    total, mass = 0.0, 0.0
    for one in np.unique(g):
        i = g == one
        if len(set(y[i])) == 2:
            total += weights[i].sum() * sk.roc_auc_score(y[i], z[i], sample_weight=weights[i])
            mass += weights[i].sum()
    return total / mass


def expected_calibration_error():
    order = np.argsort(z, kind="stable")
    parts = order[0:4], order[4:9], order[9:12]  # thirds, but the second cut moves behind the three rows of logit 0.5
    return sum(len(i) * abs(p[i].mean() - y[i].mean()) for i in parts) / len(z)


for name, weights in (("unweighted", np.ones(len(z))), ("weighted", w)):
    base = np.average(y, weights=weights)
    logloss = sk.log_loss(y, p, sample_weight=weights)
    print(f"# {name}")
    print(f"auc {sk.roc_auc_score(y, z, sample_weight=weights):.15f}")
    print(f"pr_auc {sk.average_precision_score(y, z, sample_weight=weights):.15f}")
    print(f"gauc {group_auc(weights):.15f}")
    print(f"logloss {logloss:.15f}")
    print(f"ne {logloss / -(base * np.log(base) + (1 - base) * np.log(1 - base)):.15f}")
    print(f"calibration {np.average(p, weights=weights) / base:.15f}")
    print(f"rmse {np.sqrt(sk.mean_squared_error(y, p, sample_weight=weights)):.15f}")
    print(f"accuracy {sk.accuracy_score(y, p >= 0.5, sample_weight=weights):.15f}")
print(f"ece 3 bins, unweighted {expected_calibration_error():.15f}")

print("# losses: value, then gradient of the logit")
tz = torch.tensor([[-2.0, 0.5], [1.5, 0.0], [3.0, -0.25]])
ty = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])


def show(name, each):
    logit = tz.clone().requires_grad_(True)
    value = each(logit).mean()
    value.backward()
    print(name, f"{value.item():.9g}", " ".join(f"{v:.9g}" for v in logit.grad.flatten().tolist()))


def focal(logit, gamma, alpha):  # torchvision.ops.sigmoid_focal_loss
    q = torch.sigmoid(logit)
    ce = F.binary_cross_entropy_with_logits(logit, ty, reduction="none")
    pt = q * ty + (1 - q) * (1 - ty)
    loss = ce * (1 - pt) ** gamma
    return loss if alpha is None else (alpha * ty + (1 - alpha) * (1 - ty)) * loss


show("bce", lambda l: F.binary_cross_entropy_with_logits(l, ty, reduction="none"))
show("bce pos_weight 3", lambda l: F.binary_cross_entropy_with_logits(l, ty, reduction="none", pos_weight=torch.tensor([3.0])))
show("mse", lambda l: F.mse_loss(torch.sigmoid(l), ty, reduction="none"))
show("focal 2 .25", lambda l: focal(l, 2.0, 0.25))
show("focal .5 none", lambda l: focal(l, 0.5, None))
rows = torch.tensor([1.0, 2.0, 0.5])
show("bce weights 1 2 .5", lambda l: (F.binary_cross_entropy_with_logits(l, ty, weight=rows[:, None], reduction="none").sum() / 2 / rows.sum()))

print("# bootstrap: DeLong's standard error of the difference")
i = np.arange(2000)
label = (i * 7919 % 10) < 3
a = (np.sin(i * 1.7) + 0.8 * label).astype(np.float32)
b = (np.sin(i * 2.3) + 0.5 * label).astype(np.float32)


def placements(s):
    pos, neg = s[label], s[~label]
    wins = (pos[:, None] > neg[None, :]) + 0.5 * (pos[:, None] == neg[None, :])
    return wins.mean(1), wins.mean(0)


(pa, na), (pb, nb) = placements(a), placements(b)
se = np.sqrt((pa - pb).var(ddof=1) / len(pa) + (na - nb).var(ddof=1) / len(na))
print(f"auc a {sk.roc_auc_score(label, a):.9f} b {sk.roc_auc_score(label, b):.9f} standard error {se:.9f}")
