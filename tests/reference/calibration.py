"""Fits of scikit-learn and SciPy that tests/unit/core/calibrator_test.cpp and reliability_test.cpp carry as numbers.

    python3 tests/reference/calibration.py        wants numpy, scipy, scikit-learn
"""
import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

N = 2000


def rows():
    """Logits with ties, labels that follow a slope of 0.6 and a shift of -0.8, weights 1 to 3."""
    i = np.arange(N)
    z = np.floor(30 * np.sin(1.7 * i) + 0.5) / 10
    y = ((i * 7919 % 2003) / 2003 < expit(0.6 * z - 0.8)).astype(float)
    return z, y, 1.0 + i % 3


def loss(z, y, w):
    return np.sum(w * (np.logaddexp(0, z) - y * z))


def logistic(columns, y, w):
    fit = LogisticRegression(C=np.inf, tol=1e-14, max_iter=10000, solver='newton-cholesky').fit(columns, y, sample_weight=w)
    return fit.coef_[0], fit.intercept_[0]


def beta_columns(z):
    return -np.logaddexp(0, -z), np.logaddexp(0, z)


def bounded_beta(z, y, w):
    x = beta_columns(z)
    of = lambda t: loss(t[2] + t[0] * x[0] + t[1] * x[1], y, w)
    return min((minimize(of, start, method='L-BFGS-B', bounds=[(0, None), (0, None), (None, None)],
                         options={'ftol': 1e-16, 'gtol': 1e-12, 'maxiter': 10000}) for start in ([1, 1, 0], [0.1, 2, 0], [2, 0.1, 0])),
               key=lambda r: r.fun)


def isotonic(z, y, w):
    fitted = IsotonicRegression().fit(z, y, sample_weight=w).predict(z)
    values = np.unique(fitted)
    centres = np.array([np.average(z[fitted == v], weights=w[fitted == v]) for v in values])
    surest = 1 / (w.sum() + 2)
    return fitted, centres, np.clip(values, surest, 1 - surest)


def bins_of(z, count):
    """Bin of each row: equal numbers by rising z, ties together."""
    order, bin, begin = np.argsort(z, kind='stable'), np.empty(len(z), int), 0
    number = 0
    for b in range(1, count + 1):
        end = len(z) * b // count
        if end <= begin:
            continue
        while end < len(z) and z[order[end]] == z[order[end - 1]]:
            end += 1
        bin[order[begin:end]] = number
        begin, number = end, number + 1
    return bin


def ece(bin, w, gap):
    return np.abs(np.bincount(bin, w * gap)).sum() / w.sum()


def errors(name, z, y, w):
    p, bin, draw = expit(z), bins_of(z, 15), np.random.default_rng(1)
    value = ece(bin, w, p - y)
    gaps = np.abs(np.bincount(bin, w * (p - y)) / np.bincount(bin, w))
    chance = np.mean([ece(bin, w, p - (draw.random(len(z)) < p)) for _ in range(20000)])
    drawn = []
    for _ in range(10000):
        rows = draw.integers(len(z), size=len(z))
        drawn.append(ece(bin[rows], w[rows], (p - y)[rows]))
    low, high = np.quantile(drawn, [0.025, 0.975]) - (np.mean(drawn) - value)
    print(name, 'bins', bin.max() + 1, 'ece', repr(value), 'largest', repr(gaps.max()), 'ratio', repr((w * p).sum() / (w * y).sum()))
    print('   by chance', chance, 'interval', low, high)


def main():
    np.set_printoptions(precision=12)
    z, y, w = rows()
    print('rows', y.sum(), (w * y).sum())
    slopes, shift = logistic(z[:, None], y, w)
    print('platt', repr(slopes[0]), repr(shift), 'loss', repr(loss(slopes[0] * z + shift, y, w)))
    t = minimize_scalar(lambda a: loss(a * z, y, w), bounds=(0.01, 10), method='bounded', options={'xatol': 1e-14})
    print('temperature', repr(1 / t.x), 'loss', repr(t.fun))
    (a, b), c = logistic(np.stack(beta_columns(z), 1), y, w)
    print('beta', repr(a), repr(b), repr(c), 'loss', repr(loss(c + a * beta_columns(z)[0] + b * beta_columns(z)[1], y, w)))
    r = bounded_beta(z, y, w)
    print('beta, bounded', r.x, repr(r.fun))
    # Positives at both ends: unbounded, one of a and b is below 0.
    u = ((np.arange(N) * 7919 % 2003) / 2003 < expit(np.abs(z) + 0.3 * z - 2)).astype(float)
    (a, b), c = logistic(np.stack(beta_columns(z), 1), u, w)
    r = bounded_beta(z, u, w)
    print('u-shaped: unbounded', a, b, c, 'bounded', r.x, repr(r.fun))
    fitted, centres, p = isotonic(z, y, w)
    print('isotonic', len(p), 'blocks, loss of the steps',
          repr(-np.sum(w * (y * np.log(np.clip(fitted, 1e-9, 1)) + (1 - y) * np.log(np.clip(1 - fitted, 1e-9, 1))))))
    print('centres', repr(centres[:3]), repr(centres[-3:]), 'p', repr(p[:3]), repr(p[-3:]))
    print('steps at -3, -1, 0, 1.5, 3', [repr(float(fitted[np.flatnonzero(z == v)[0]])) for v in (-3, -1, 0, 1.5, 3)])
    print('line at -9, -2.05, 0.123, 1.5, 9', [repr(float(np.interp(v, centres, p))) for v in (-9, -2.05, 0.123, 1.5, 9)])
    errors('errors', z, y, w)
    errors('errors of 0.6 z - 0.8', 0.6 * z - 0.8, y, w)


if __name__ == '__main__':
    main()
