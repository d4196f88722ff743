"""Tables of counts, and families of p-values."""

import math

import mpmath
import numpy as np
from scipy import stats
from statsmodels.stats import contingency_tables
from statsmodels.stats.multitest import multipletests

from cases import *
from one_sample import clopper_pearson, sides_of_binomial

oracle("fisher_exact", "sums over all tables at 60 digits, as `scipy.stats.fisher_exact`; interval of `odds_ratio(kind=\"sample\")`")
oracle("chi_squared", "`scipy.stats.chi2_contingency(correction=False)`, `association(method=\"cramer\")`; p at 60 digits")
oracle("hypergeometric_enrichment", "sums at 60 digits, as `scipy.stats.hypergeom.sf`")
oracle("mcnemar", "`statsmodels.stats.contingency_tables.mcnemar(exact=True)`; one-sided p and interval as `binomial_test`")
for name, method in [("benjamini_hochberg", "fdr_bh"), ("benjamini_yekutieli", "fdr_by"), ("holm", "holm"), ("bonferroni", "bonferroni")]:
    oracle(name, f"`statsmodels.stats.multitest.multipletests(method=\"{method}\")`")
    for n in [1, 2, 9, 40, 300]:
        p = np.round(rng.random(n) ** 3, 3) if n > 1 else np.array([0.03])
        adjusted = multipletests(p, method=method)[1]
        case(name, {"p": floats(p)}, **{f"adjusted {i}": q for i, q in enumerate(adjusted)})


def ln_fisher(a, b, c, d, alternative):
    total, first, draws = a + b + c + d, a + b, a + c
    low, high = max(0, first + draws - total), min(first, draws)
    ways = {k: mpmath.binomial(first, k) * mpmath.binomial(total - first, draws - k) for k in range(low, high + 1)}
    keep = {
        "two-sided": lambda k: ways[k] <= ways[a] * (1 + mpmath.mpf("1e-7")),
        "greater": lambda k: k >= a,
        "less": lambda k: k <= a,
    }[alternative]
    return ln(sum(w for k, w in ways.items() if keep(k)) / sum(ways.values()))


tables = [
    (3, 1, 1, 3), (10, 2, 3, 15), (0, 5, 6, 1), (8, 8, 8, 8), (1, 40, 300, 12_000), (60, 9_940, 120, 1_990_000),
    (400, 100, 90, 410), (0, 1, 1, 0), (1, 0, 0, 1), (2, 0, 5, 9), (900, 20, 10, 700), (17, 2_983, 4_000, 993_000),
]
for a, b, c, d in tables:
    sides = named([ln_fisher(a, b, c, d, alternative) for alternative in ALTERNATIVES])
    agreeing(sides, lambda alternative: stats.fisher_exact([[a, b], [c, d]], alternative=alternative).pvalue, "fisher")
    ends = {}
    if min(a, b, c, d) > 0:
        interval = stats.contingency.odds_ratio([[a, b], [c, d]], kind="sample").confidence_interval()
        ends = {"low": interval.low, "high": interval.high, "effect": a * d / (b * c)}
    case("fisher_exact", {"table": [[a, b], [c, d]]}, **ends, **sides)


def chi_squared(table):
    chi = stats.chi2_contingency(table, correction=False)
    half = mpmath.mpf(float(chi.statistic)) / 2
    ln_p = ln(mpmath.gammainc(mpmath.mpf(chi.dof) / 2, half, mpmath.inf, regularized=True))
    effect = stats.contingency.association(np.array(table), method="cramer")
    case("chi_squared", {"table": [[int(x) for x in row] for row in table]}, statistic=chi.statistic, effect=effect, ln_p=ln_p)


for a, b, c, d in tables:
    chi_squared([[a, b], [c, d]])
for shape in [(2, 5), (4, 3), (6, 6)]:
    for scale in [8, 3000]:
        chi_squared(rng.integers(1, scale, size=shape))

for hits, population, successes, draws in [
    (3, 20, 5, 8), (0, 20, 5, 8), (60, 2_000_000, 10_000, 180), (40, 18_000, 300, 200), (5, 5, 5, 5), (199, 18_000, 300, 200), (1, 2_000_000, 3, 4),
]:
    ways = lambda k: mpmath.binomial(successes, k) * mpmath.binomial(population - successes, draws - k)
    upper = sum(ways(k) for k in range(hits, min(successes, draws) + 1))
    inputs = {"hits": hits, "population": population, "successes": successes, "draws": draws}
    case("hypergeometric_enrichment", inputs, ln_p=ln(upper / mpmath.binomial(population, draws)))

for first, second in [(1, 0), (8, 2), (30, 51), (0, 12), (900, 30)]:
    n = first + second
    sides = sides_of_binomial(first, n, 0.5)
    p = contingency_tables.mcnemar([[3, first], [second, 4]], exact=True).pvalue
    assert abs(math.log(p) - sides["ln_p_two-sided"]) < 1e-6
    case("mcnemar", {"first": first, "second": second}, effect=first / n, **clopper_pearson(first, n), **sides)
