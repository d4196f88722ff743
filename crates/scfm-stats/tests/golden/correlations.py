"""Correlations and trends."""

import itertools
import math

import mpmath
import numpy as np
from scipy import stats

from cases import *

oracle("pearson", "`scipy.stats.pearsonr`; p at 60 digits")
oracle("spearman", "`scipy.stats.spearmanr`; p over all arrangements or at 60 digits; interval of Bonett and Wright in NumPy")
oracle("kendall", "`scipy.stats.kendalltau`; normal form at 60 digits; interval of Fieller et al. in NumPy")
oracle("partial_spearman", "the inverse of the matrix of rank correlations, as pingouin; p at 60 digits")
oracle("page_trend", "`scipy.stats.page_trend_test`; two-sided and less by turning the columns; ties in NumPy")
oracle("jonckheere_terpstra", "its formula over all pairs in NumPy, moments over all arrangements where few; p at 60 digits")


def precise(a, b):
    """Pearson's r at 60 digits."""
    a, b = ([mpmath.mpf(float(x)) for x in v] for v in [a, b])
    a, b = ([x - mpmath.fsum(v) / len(v) for x in v] for v in [a, b])
    return mpmath.fdot(a, b) / mpmath.sqrt(mpmath.fdot(a, a) * mpmath.fdot(b, b))


def sides_of_r(r, df):
    return sides_of_t(r * mpmath.sqrt(df / ((1 - r) * (1 + r))), df)


def sides_of_arrangements(ra, rb):
    a, b = np.array(2 * (ra - ra.mean()) * len(ra)), np.array(2 * (rb - rb.mean()) * len(rb))
    products = np.fromiter((np.dot(a, order) for order in itertools.permutations(b)), float)
    observed = np.dot(a, b)
    margin = 1e-6 * np.abs(products).max()
    shares = [abs(products) >= abs(observed) - margin, products >= observed - margin, products <= observed + margin]
    return named([ln(share.mean()) for share in shares])


for kind in ["normal", "ties", "zeros", "heavy", "far"]:
    for n in [4, 7, 8, 11, 40, 200]:
        for slope in [0.0, 3.0, -0.4]:
            a = varied(np.round(samples(kind, n), 3))
            b = varied(np.round(samples(kind, n) + slope * a, 3))
            inputs = {"a": floats(a), "b": floats(b)}
            r = stats.pearsonr(a, b)
            if abs(r.statistic) < 1 - 1e-9:  # beyond, p is made of rounding errors
                interval = r.confidence_interval()
                sides = agreeing(
                    sides_of_r(precise(a, b), n - 2),
                    lambda alternative: stats.pearsonr(a, b, alternative=alternative).pvalue,
                    "pearson",
                )
                case("pearson", inputs, correlation=r.statistic, low=interval.low, high=interval.high, **sides)
            s = stats.spearmanr(a, b).statistic
            if n > 10:
                sides = agreeing(
                    sides_of_r(precise(stats.rankdata(a), stats.rankdata(b)), n - 2), lambda alternative: stats.spearmanr(a, b, alternative=alternative).pvalue, "spearman"
                )
            else:
                sides = sides_of_arrangements(stats.rankdata(a), stats.rankdata(b))
            ends = fisher_ends(s, (1 + s**2 / 2) / (n - 3))
            case("spearman", inputs, correlation=s, **ends, **sides)

# Strong correlations of many values: p below 1e-300.
for n, multiplier, modulus in [(3000, 1, 17), (2000, 5, 301)]:
    words, wave = lattice(n, multiplier, modulus)
    a = np.arange(n, dtype=float)
    b = a + wave
    words_a = lattice(n)[0]
    r = stats.pearsonr(a, b)
    interval = r.confidence_interval()
    inputs = {"a": words_a, "b": floats(b)}
    case("pearson", inputs, correlation=r.statistic, low=interval.low, high=interval.high, **sides_of_r(precise(a, b), n - 2))
    s = stats.spearmanr(a, b).statistic
    case("spearman", inputs, correlation=s, **fisher_ends(s, (1 + s**2 / 2) / (n - 3)), **sides_of_r(precise(stats.rankdata(a), stats.rankdata(b)), n - 2))


def kendall_z(a, b):
    """The normal form, over all pairs."""
    n = len(a)
    score = np.sum(np.sign(a[:, None] - a) * np.sign(b[:, None] - b)) / 2
    t, u = (np.unique(x, return_counts=True)[1].astype(float) for x in [a, b])
    m = n * (n - 1.0)
    weighted = lambda t: (t * (t - 1) * (2 * t + 5)).sum()
    variance = (m * (2 * n + 5) - weighted(t) - weighted(u)) / 18
    variance += (t * (t - 1)).sum() * (u * (u - 1)).sum() / (2 * m)
    variance += (t * (t - 1) * (t - 2)).sum() * (u * (u - 1) * (u - 2)).sum() / (9 * m * (n - 2))
    return score / math.sqrt(variance)


for kind in ["normal", "ties", "zeros"]:
    for n in [4, 9, 33, 34, 60, 250]:
        for slope in [0.0, 2.0, -0.7]:
            a = varied(np.round(samples(kind, n), 3))
            b = varied(np.round(samples(kind, n) + slope * a, 3))
            test = lambda alternative: stats.kendalltau(a, b, alternative=alternative).pvalue
            tau = stats.kendalltau(a, b).statistic
            ties = len(set(a)) < n or len(set(b)) < n
            sides = sides_by(test) if not ties and n <= 33 else agreeing(sides_of_z(kendall_z(a, b)), test, "kendall")
            ends = fisher_ends(tau, 0.437 / (n - 4)) if n > 4 else {}
            case("kendall", {"a": floats(a), "b": floats(b)}, correlation=tau, **ends, **sides)
# Perfect orders and one inversion, whose p is below the smallest float.
for n in [33, 200]:
    for swap in [False, True]:
        a, b = np.arange(n, dtype=float), np.arange(n, dtype=float)
        if swap:
            b[[4, 5]] = b[[5, 4]]
        orders = mpmath.factorial(n)
        greater, rest = ((n if swap else 1) / orders), (1 / orders if swap else 0)
        sides = named([ln(2 * greater), ln(greater), float(mpmath.log1p(-rest))])
        tau = 1 - (4 / (n * (n - 1)) if swap else 0)
        case("kendall", {"a": floats(a), "b": floats(b)}, correlation=tau, **fisher_ends(tau, 0.437 / (n - 4)), **sides)

for kind in ["normal", "ties", "zeros"]:
    for n, k in [(9, 1), (12, 3), (40, 2), (300, 4), (300, 1)]:
        if kind == "zeros" and n < 40:  # too often constant
            continue
        covariates = np.round(np.array([samples(kind, n) for _ in range(k)]), 3)
        a = np.round(samples(kind, n) + covariates.sum(axis=0), 3)
        b = np.round(samples(kind, n) + 0.3 * a - covariates[0], 3)
        inverse = np.linalg.inv(np.corrcoef([stats.rankdata(v) for v in [a, b, *covariates]]))
        r = -inverse[0, 1] / math.sqrt(inverse[0, 0] * inverse[1, 1])
        inputs = {"a": floats(a), "b": floats(b), "covariates": [floats(c) for c in covariates]}
        ends = fisher_ends(r, (1 + r * r / 2) / (n - k - 3))
        case("partial_spearman", inputs, correlation=r, **ends, **sides_of_r(r, n - 2 - k))

for rows, columns, slope in [
    (2, 3, 0.0), (4, 5, 1.0), (12, 8, 0.2), (30, 4, 0.1), (5, 12, 0.3), (40, 10, 2.0), (3, 6, -1.0), (300, 5, 0.4), (20, 6, None), (9, 4, None),
]:
    values = np.round(rng.normal(size=(rows, columns)) + (slope or 0.0) * np.arange(columns), 4)
    if slope is None:
        values = rng.integers(0, 3, size=(rows, columns)).astype(float)
        values[:, 0], values[:, -1] = -1.0, 3.0
    ranks = np.array([stats.rankdata(row) for row in values])
    statistic = (ranks * np.arange(1, columns + 1)).sum()
    rho = np.array([np.corrcoef(row, np.arange(columns))[0, 1] for row in ranks])
    ends = bounded_ends(rho.mean(), rho.std(ddof=1) / math.sqrt(rows), rows - 1)
    if slope is not None:
        assert statistic == stats.page_trend_test(values).statistic
    if slope is not None and rows <= 12 and columns <= 8:
        p = [stats.page_trend_test(v, method="exact").pvalue for v in [values, values[:, ::-1]]]
        sides = named([ln(min(1, 2 * min(p))), ln(p[0]), ln(p[1])])
    else:
        spread = columns * (columns**2 - 1) / 12
        z = (statistic - rows * columns * (columns + 1) ** 2 / 4) / math.sqrt(spread * (ranks.var(axis=1, ddof=1)).sum())
        sides = sides_of_z(z)
        if slope is not None and all(len(set(row)) == columns for row in values):
            p = stats.page_trend_test(values, method="asymptotic").pvalue
            assert p < 1e-200 or abs(math.log(p) - sides["ln_p_greater"]) < 1e-6, (rows, columns, p, sides)
    case("page_trend", {"values": [floats(row) for row in values]}, statistic=statistic, effect=rho.mean(), **ends, **sides)


def jonckheere(groups):
    return sum(
        np.sum(high[:, None] > low) + 0.5 * np.sum(high[:, None] == low)
        for i, low in enumerate(groups)
        for high in groups[i + 1 :]
    )


def jonckheere_moments(groups):
    """Mean and standard deviation over all arrangements where there are few, else by Hollander and Wolfe's eq. 6.19."""
    sizes = np.array([len(g) for g in groups], dtype=float)
    pooled = np.concatenate(groups)
    n = len(pooled)
    if n <= 8:
        ends = np.cumsum([len(g) for g in groups])[:-1]
        j = [jonckheere(np.split(np.array(order), ends)) for order in itertools.permutations(pooled)]
        return np.mean(j), np.std(j)
    t = np.unique(pooled, return_counts=True)[1].astype(float)
    a = lambda x: np.sum(x * (x - 1) * (2 * x + 5))
    b = lambda x: np.sum(x * (x - 1) * (x - 2))
    c = lambda x: np.sum(x * (x - 1))
    whole = np.array([float(n)])
    variance = (a(whole) - a(sizes) - a(t)) / 72
    variance += b(sizes) * b(t) / (36 * b(whole)) + c(sizes) * c(t) / (8 * c(whole))
    return (n * n - np.sum(sizes**2)) / 4, math.sqrt(variance)


for kind in ["normal", "ties", "zeros"]:
    for layout, slope in [((2, 3, 2), 1.0), ((1, 4, 3), 0.5), ((4, 4), -1.0), ((5, 8, 6, 10), 0.6), ((40, 2, 30), 0.3), ((60, 60, 60, 60), 1.5)]:
        groups = [np.round(samples(kind, n) + np.round(slope * i), 3) for i, n in enumerate(layout)]
        groups[0] = varied(groups[0]) if len(set(np.concatenate(groups))) == 1 else groups[0]
        statistic = jonckheere(groups)
        mean, sd = jonckheere_moments(groups)
        n, pairs = sum(layout), (sum(layout) ** 2 - sum(k * k for k in layout)) / 2
        squared = 0.0
        for i, group in enumerate(groups):
            # Of each value: pairs in order minus pairs against.
            balance = sum(np.sign(np.sign(j - i) * (other - group[:, None])).sum(axis=1) for j, other in enumerate(groups) if j != i)
            squared += len(group) * balance.var(ddof=1) if len(group) > 1 else math.nan
        effect = 2 * statistic / pairs - 1
        ends = bounded_ends(effect, math.sqrt(squared) / pairs, n - len(layout)) if squared == squared else {}
        inputs = {"groups": [floats(g) for g in groups]}
        case("jonckheere_terpstra", inputs, statistic=statistic, effect=effect, **ends, **sides_of_z((statistic - mean) / sd))
