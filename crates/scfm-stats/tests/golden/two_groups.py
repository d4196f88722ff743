"""Two samples: Welch, Mann-Whitney, both within strata, DeLong, Newcombe's interval, power of an AUROC."""

import math

import mpmath
import numpy as np
from scipy import stats

from cases import *

oracle("welch_t", "`scipy.stats.ttest_ind(equal_var=False)`; p at 60 digits")
oracle("mann_whitney", "`scipy.stats.mannwhitneyu`; p of the normal form at 60 digits; interval as `auroc_interval`")
oracle("stratified_welch", "its formula in NumPy; p at 60 digits")
oracle("van_elteren", "its formula from pooled ranks in NumPy; p at 60 digits")
oracle("delong_auroc", "placements over all pairs in NumPy; p at 60 digits")
oracle("delong_difference", "placements over all pairs in NumPy; p at 60 digits")
oracle("auroc_interval", "Newcombe 2006, method 5, solved at 60 digits")
oracle("auroc_power", "Obuchowski and McClish 1997 with `scipy.stats.norm`")
oracle("cohen_d", "its formula in NumPy")


def newcombe(auroc, m, n):
    """θ with |θ - auroc| = z standard errors at θ."""
    z2 = mpmath.mpf(stats.norm.isf(0.025)) ** 2
    z2 = (mpmath.sqrt(2) * mpmath.erfinv(mpmath.mpf("0.95"))) ** 2
    star = mpmath.mpf(m + n) / 2 - 1
    a = mpmath.mpf(float(auroc))

    def excess(theta):
        shape = 1 + star * (1 - theta) / (2 - theta) + star * theta / (1 + theta)
        return z2 * theta * (1 - theta) * shape / (m * n) - (theta - a) ** 2

    def end(outside):
        if a == outside:
            return outside
        # The only change of sign between the estimate and the end of the scale, a step inside where the estimate is an end.
        inside = a + (outside - a) * mpmath.mpf("1e-9") if excess(a) == 0 else a
        for _ in range(190):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if excess(middle) >= 0 else (inside, middle)
        return inside

    return {"low": float(end(mpmath.mpf(0))), "high": float(end(mpmath.mpf(1)))}


def welch(a, b, words):
    t = stats.ttest_ind(a, b, equal_var=False)
    interval = t.confidence_interval()
    sides = agreeing(
        sides_of_t(t.statistic, t.df),
        lambda alternative: stats.ttest_ind(a, b, equal_var=False, alternative=alternative).pvalue,
        "welch",
    )
    case("welch_t", words, statistic=t.statistic, effect=a.mean() - b.mean(), low=interval.low, high=interval.high, **sides)


def mann_whitney(a, b, words):
    """SciPy's p where it enumerates; where it approximates its z at 60 digits, and SciPy's p for a look."""
    m, n = len(a), len(b)
    test = lambda alternative: stats.mannwhitneyu(a, b, alternative=alternative).pvalue
    u = stats.mannwhitneyu(a, b).statistic
    _, ties = np.unique(np.concatenate([a, b]), return_counts=True)
    if min(m, n) <= 8 and ties.max() == 1:
        sides = sides_by(test)
    else:
        total = m + n
        error = math.sqrt(m * n / 12 * (total + 1 - (ties.astype(float) ** 3 - ties).sum() / (total * (total - 1))))
        tail = lambda z: mpmath.erfc(mpmath.mpf(float(z)) / mpmath.sqrt(2)) / 2
        greater, less = tail((u - m * n / 2 - 0.5) / error), tail((m * n / 2 - u - 0.5) / error)
        sides = named([ln(min(1, 2 * min(greater, less))), ln(greater), ln(less)])
        agreeing(sides, test, "mann_whitney")
    case("mann_whitney", words, statistic=u, effect=u / (m * n), **newcombe(u / (m * n), m, n), **sides)


sizes = [(2, 2), (3, 2), (5, 7), (8, 40), (9, 9), (30, 4), (40, 200), (150, 130)]
for kind in ["normal", "ties", "zeros", "heavy", "far"]:
    for na, nb in sizes:
        a, b = np.round(samples(kind, na) + 0.3, 3), np.round(samples(kind, nb), 3)
        a, b = varied(a), varied(b)
        welch(a, b, {"a": floats(a), "b": floats(b)})
        mann_whitney(a, b, {"a": floats(a), "b": floats(b)})
        pooled = math.sqrt(((na - 1) * a.var(ddof=1) + (nb - 1) * b.var(ddof=1)) / (na + nb - 2))
        case("cohen_d", {"a": floats(a), "b": floats(b)}, effect=(a.mean() - b.mean()) / pooled)

# Far tails, below 1e-300 for some; unbalanced groups, with and without ties, at either end and in the middle.
for (na, nb), shift, step in [
    ((500, 700), 500.0, 1.0), ((900, 1100), 900.0, 1.0), ((1000, 1200), 9000.0, 1.0), ((1000, 1200), -9000.0, 1.0),
    ((3, 10_000), 5000.25, 7.0), ((3, 10_000), 12_000.25, 1.0), ((3, 10_000), -40.25, 1.0), ((3, 10_000), 50.0, 1.0),
    ((10_000, 3), 9000.25, 1.0), ((12, 10_000), 9990.25, 3.0), ((1, 60), 30.25, 1.0), ((2, 10_000), 9999.25, 2.0),
]:
    words_a, a = lattice(na, scale=step, offset=shift)
    words_b, b = lattice(nb, offset=0.0)
    if min(na, nb) > 1:
        welch(a, b, {"a": words_a, "b": words_b})
    mann_whitney(a, b, {"a": words_a, "b": words_b})
for (na, nb), modulus, shift in [((3, 10_000), 5, 2.0), ((300, 10_000), 7, 3.0), ((4000, 6000), 3, 1.0), ((50, 5000), 11, -4.0)]:
    words_a, a = lattice(na, 3, modulus, offset=shift)
    words_b, b = lattice(nb, 5, modulus)
    welch(a, b, {"a": words_a, "b": words_b})
    mann_whitney(a, b, {"a": words_a, "b": words_b})

for auroc, m, n in [
    (0.5, 10, 10), (0.9, 3, 2000), (1.0, 4, 9), (0.0, 4, 9), (1.0, 1, 1), (0.73, 1, 400), (0.999, 40, 3), (0.61, 280, 2000),
    (0.5, 100_000, 100_000), (0.02, 12, 17), (0.875, 4, 2),
]:
    case("auroc_interval", {"auroc": auroc, "n_pos": m, "n_neg": n}, **newcombe(auroc, m, n))


def hanley_mcneil(auroc, m, n):
    q1, q2 = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    return math.sqrt((auroc * (1 - auroc) + (m - 1) * (q1 - auroc**2) + (n - 1) * (q2 - auroc**2)) / (m * n))


for auroc, m, n, alpha in [(0.5, 20, 100, 0.05), (0.6, 20, 100, 0.05), (0.3, 50, 40, 0.01), (0.99, 5, 5, 0.05), (0.55, 1000, 20_000, 0.001), (0.52, 3, 2000, 0.2)]:
    reach = stats.norm.isf(alpha / 2) * hanley_mcneil(0.5, m, n)
    error = hanley_mcneil(auroc, m, n)
    power = stats.norm.sf((0.5 + reach - auroc) / error) + stats.norm.cdf((0.5 - reach - auroc) / error)
    case("auroc_power", {"auroc": auroc, "n_pos": m, "n_neg": n, "alpha": alpha}, power=power, standard_error=error)

# Within strata.
for kind in ["normal", "ties", "zeros"]:
    for layout in [[(4, 9)], [(3, 5), (10, 2)], [(2, 40), (30, 30), (8, 3)], [(5, 300), (40, 200), (2, 2), (9, 7)]]:
        strata = []
        for s, (na, nb) in enumerate(layout):
            strata.append([varied(np.round(samples(kind, na) + 0.4 + s, 3)), varied(np.round(samples(kind, nb) + s, 3))])
        words = {"strata": [[floats(a), floats(b)] for a, b in strata]}
        weights = np.array([len(a) * len(b) / (len(a) + len(b)) for a, b in strata])
        shares = weights / weights.sum()
        effect = sum(g * (a.mean() - b.mean()) for g, (a, b) in zip(shares, strata))
        parts = [(g * g * x.var(ddof=1) / len(x), len(x) - 1) for g, pair in zip(shares, strata) for x in pair]
        variance = sum(c for c, _ in parts)
        df = variance**2 / sum(c * c / d for c, d in parts)
        reach = stats.t.isf(0.025, df) * math.sqrt(variance)
        t = effect / math.sqrt(variance)
        case("stratified_welch", words, statistic=t, effect=effect, low=effect - reach, high=effect + reach, **sides_of_t(t, df))
        if len(strata) == 1:
            continue
        v = expected = variance = pairs = wins = 0.0
        for a, b in strata:
            m, n = len(a), len(b)
            ranks = stats.rankdata(np.concatenate([a, b]))
            v += ranks[:m].sum() / (m + n + 1)
            expected += m / 2
            # The variance of a rank sum from the ranks as they are.
            variance += m * n / (m + n) * ranks.var(ddof=1) / (m + n + 1) ** 2
            wins += (ranks[:m].sum() - m * (m + 1) / 2) / (m + n + 1)
            pairs += m * n / (m + n + 1)
        z = (v - expected) / math.sqrt(variance)
        case("van_elteren", words, statistic=z, effect=wins / pairs, **sides_of_z(z))


def placements(scores, labels):
    positives, negatives = scores[labels], scores[~labels]
    wins = (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    return wins.mean(axis=1), wins.mean(axis=0)


for kind in ["normal", "ties"]:
    for n, gap in [(8, 1.0), (30, 1.0), (30, -0.7), (200, 1.0), (200, 0.0), (600, 2.5)]:
        labels = np.arange(n) % 3 == 0
        first = np.round(samples(kind, n) + gap * labels, 3)
        second = np.round(samples(kind, n) + 0.5 * labels, 3)
        (v10, v01), (w10, w01) = placements(first, labels), placements(second, labels)
        for function, x10, x01, null, floor in [
            ("delong_auroc", v10, v01, 0.5, 0.0),
            ("delong_difference", v10 - w10, v01 - w01, 0.0, -1.0),
        ]:
            error = math.sqrt(x10.var(ddof=1) / x10.size + x01.var(ddof=1) / x01.size)
            effect, reach = x10.mean(), stats.norm.isf(0.025) * error
            inputs = {"first": floats(first), "second": floats(second), "labels": labels.tolist()}
            if function == "delong_auroc":
                inputs.pop("second")
            z = (effect - null) / error
            case(
                function,
                inputs,
                statistic=z,
                effect=effect,
                low=max(floor, effect - reach),
                high=min(1.0, effect + reach),
                **sides_of_z(z),
            )
