"""One sample and pairs: t, signed ranks, signs, shares, equivalence, power of the paired t test."""

import math

import mpmath
import numpy as np
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ttost_paired

from cases import *

oracle("t_tail", "the incomplete beta function at 60 digits")
oracle("one_sample_t", "`scipy.stats.ttest_1samp`; p at 60 digits")
oracle("paired_t", "`scipy.stats.ttest_rel`; p at 60 digits")
oracle("wilcoxon_signed_rank", "`scipy.stats.wilcoxon`; normal form at 60 digits; interval over all pairs in NumPy")
oracle("sign_test", "as `binomial_test`")
oracle("binomial_test", "`scipy.stats.binomtest`, one-sided p at 60 digits; interval as `clopper_pearson`")
oracle("clopper_pearson", "`statsmodels.stats.proportion.proportion_confint(method=\"beta\")`")
oracle("wilson", "`statsmodels.stats.proportion.proportion_confint(method=\"wilson\")`")
oracle("tost", "`statsmodels.stats.weightstats.ttost_paired`; p at 60 digits")
oracle("non_superiority", "Student's t from below; p at 60 digits")
oracle("paired_t_pairs", "`TTestPower().solve_power`, rounded up")
oracle("paired_t_power", "`statsmodels.stats.power.TTestPower`, good to nine digits")

for df in [1.0, 2.5, 7.0, 15.9, 16.0, 33.3, 400.0, 12345.6, 1e7]:
    for statistic in [1e-9, 0.001, 0.8, 2.0, 11.0, 50.0, 3000.0]:
        case("t_tail", {"statistic": statistic, "df": df}, **sides_of_t(statistic, df))

for kind in ["normal", "ties", "heavy", "far"]:
    for n in [2, 3, 11, 40, 200]:
        values = varied(np.round(samples(kind, n) + 0.2, 3))
        for mu in [0.0, 2.5]:
            t = stats.ttest_1samp(values, mu)
            interval = t.confidence_interval()
            sides = agreeing(
                sides_of_t(t.statistic, n - 1),
                lambda alternative: stats.ttest_1samp(values, mu, alternative=alternative).pvalue,
                "one_sample",
            )
            case(
                "one_sample_t",
                {"values": floats(values), "mu": mu},
                statistic=t.statistic,
                effect=values.mean() - mu,
                low=interval.low - mu,
                high=interval.high - mu,
                **sides,
            )
        other = np.round(samples(kind, n), 3)
        if len(set(values - other)) > 1:
            t = stats.ttest_rel(values, other)
            interval = t.confidence_interval()
            sides = agreeing(
                sides_of_t(t.statistic, n - 1),
                lambda alternative: stats.ttest_rel(values, other, alternative=alternative).pvalue,
                "paired",
            )
            case(
                "paired_t",
                {"a": floats(values), "b": floats(other)},
                statistic=t.statistic,
                effect=(values - other).mean(),
                low=interval.low,
                high=interval.high,
                **sides,
            )


def walsh_error(differences):
    """Standard error of the mean sign of all sums of two."""
    signs = np.sign(differences[:, None] + differences)
    np.fill_diagonal(signs, 0)
    n = len(differences)
    return 2 * (signs.sum(axis=1) / (n - 1)).std(ddof=1) / math.sqrt(n) if n > 1 else 0.0


for kind in ["normal", "ties", "heavy"]:
    for n in [1, 2, 4, 9, 13, 14, 30, 50, 51, 200, 3000]:
        if n == 3000:
            words, differences = lattice(n, 7, 1009 if kind == "ties" else 2**40, scale=0.5, offset=-100.25 if kind == "ties" else -400.25)
            if kind == "heavy":
                continue
        else:
            shift = 1.0 if kind == "ties" else -0.3
            differences = np.round(samples(kind, n) - shift, 3)
            words = None
        if not differences.any():
            differences[0] = 1.0
        for zeros, method in [("drop", "wilcox"), ("pratt", "pratt")]:
            kept = differences if zeros == "pratt" else differences[differences != 0]
            ranks = stats.rankdata(np.abs(kept)) * (kept != 0)
            positive, total = ranks[kept > 0].sum(), ranks.sum()
            scipy = lambda alternative: stats.wilcoxon(differences, zero_method=method, alternative=alternative).pvalue
            tied = len(set(np.abs(differences))) < n or not differences.all()
            if n <= (13 if tied else 50):
                sides = sides_by(scipy)
            else:
                z = (positive - total / 2) / math.sqrt((ranks**2).sum() / 4)
                sides = agreeing(sides_of_z(z), scipy, "wilcoxon")
            r = 2 * positive / total - 1
            inputs = {"differences": words or floats(differences), "zeros": zeros}
            ends = bounded_ends(r, walsh_error(kept), len(kept) - 1)
            case("wilcoxon_signed_rank", inputs, statistic=positive, effect=r, **ends, **sides)


def clopper_pearson(k, n, level=0.95):
    low, high = proportion_confint(k, n, alpha=1 - level, method="beta")
    return {"low": low if k > 0 else 0.0, "high": high if k < n else 1.0}


def binomial_tail(outcomes, n, share):
    """Sum of the probabilities of outcomes that follow each other, the most likely ones first."""
    total = mpmath.mpf(0)
    for k in outcomes:
        mass = mpmath.binomial(n, k) * share**k * (1 - share) ** (n - k)
        total += mass
        if mass < total * mpmath.mpf("1e-40") and abs(k - n * share) > 1:
            break
    return total


def sides_of_binomial(k, n, share):
    """One-sided tails at 60 digits; two-sided ones by SciPy, or twice the tail of a symmetric share where SciPy's is 0."""
    share = mpmath.mpf(share)
    if k > n * share:
        upper = binomial_tail(range(k, n + 1), n, share)
        lower = 1 - upper + mpmath.binomial(n, k) * share**k * (1 - share) ** (n - k)
    else:
        lower = binomial_tail(range(k, -1, -1), n, share)
        upper = 1 - lower + mpmath.binomial(n, k) * share**k * (1 - share) ** (n - k)
    two_sided = stats.binomtest(k, n, float(share)).pvalue
    if two_sided < 1e-290:
        assert share == 0.5
        two_sided = 2 * min(upper, lower)
    sides = named([ln(two_sided), ln(upper), ln(lower)])
    return agreeing(sides, lambda alternative: stats.binomtest(k, n, float(share), alternative=alternative).pvalue, "binomial")


for k, n, share in [
    (0, 5, 0.5), (5, 5, 0.5), (3, 10, 0.5), (5, 10, 0.5), (7, 9, 0.2), (1, 40, 0.2), (60, 100, 0.5), (0, 1, 0.5), (1, 1, 0.3),
    (700, 1000, 0.5), (512, 1024, 0.49), (9_000, 10_000, 0.5), (20, 100_000, 1e-4), (1, 3, 0.3333333333333333), (150, 10_000, 0.5),
]:
    case("binomial_test", {"successes": k, "n": n, "share": share}, effect=k / n, **clopper_pearson(k, n), **sides_of_binomial(k, n, share))
for k, n, level in [(0, 7, 0.95), (7, 7, 0.95), (3, 11, 0.8), (41, 90, 0.99), (2, 100_000, 0.95), (999, 1000, 0.5)]:
    for function, method in [("clopper_pearson", "beta"), ("wilson", "wilson")]:
        low, high = proportion_confint(k, n, alpha=1 - level, method=method)
        case(function, {"successes": k, "n": n, "level": level}, low=low, high=high)
for n_positive, n_negative, n_zero in [(1, 0, 0), (4, 9, 2), (30, 30, 1), (200, 90, 0), (2000, 100, 50)]:
    n = n_positive + n_negative
    differences = [0.5] * n_positive + [-2.0] * n_negative + [0.0] * n_zero
    sides = sides_of_binomial(n_positive, n, 0.5)
    case("sign_test", {"differences": differences}, statistic=n_positive, effect=n_positive / n, **clopper_pearson(n_positive, n), **sides)

# Equivalence, of paired samples by statsmodels and of estimates beyond its floats.
for n, mean, bound in [(5, 0.0, 1.5), (12, 0.3, 0.5), (40, -0.2, 0.6), (200, 0.05, 0.4), (30, 1.0, 0.5)]:
    a, b = np.round(rng.normal(size=n) + mean, 3), np.round(0.3 * rng.normal(size=n), 3)
    d = a - b
    error, df = d.std(ddof=1) / math.sqrt(n), n - 1
    p, (t_low, *_), (t_high, *_) = ttost_paired(a, b, -bound, bound)
    t = t_low if t_low < -t_high else t_high
    reach = stats.t.isf(0.05, df) * error
    inputs = {"estimate": float(d.mean()), "standard_error": float(error), "df": float(df), "bound": bound}
    case("tost", inputs, statistic=t, low=d.mean() - reach, high=d.mean() + reach, ln_p=math.log(p))
for estimate, se, df, bound in [(0.01, 0.02, 30, 0.05), (-0.04, 0.02, 12.7, 0.05), (0.2, 0.05, 99, 0.1), (0.0005, 1e-3, 500, 0.05), (0.0, 1e-3, 900, 0.06)]:
    below, above = (estimate - bound) / se, (estimate + bound) / se
    t, side = (above, "greater") if above < -below else (below, "less")
    reach = stats.t.isf(0.05, df) * se
    inputs = {"estimate": estimate, "standard_error": se, "df": df, "bound": bound}
    case("tost", inputs, statistic=t, low=estimate - reach, high=estimate + reach, ln_p=sides_of_t(t, df)[f"ln_p_{side}"])

for d, n, alpha in [(0.0, 10, 0.05), (0.5, 20, 0.05), (-0.2, 280, 0.01), (1.5, 3, 0.05), (0.05, 4000, 0.05), (2.0, 2, 0.001)]:
    case("paired_t_power", {"d": d, "n": n, "alpha": alpha}, power=TTestPower().power(d, n, alpha))
for d, power, alpha in [(0.5, 0.8, 0.05), (-0.21, 0.9, 0.01), (1.3, 0.95, 0.001), (0.04, 0.8, 0.05)]:
    n = math.ceil(TTestPower().solve_power(abs(d), power=power, alpha=alpha))
    case("paired_t_pairs", {"d": d, "power": power, "alpha": alpha}, pairs=n)
for estimate, se, df, bound in [(-0.03, 0.02, 30, 0.01), (0.4, 0.1, 7.7, 0.3), (0.0, 1e-3, 900, 0.06), (-0.2, 0.04, 12, 0.05)]:
    t = (estimate - bound) / se
    reach = stats.t.isf(0.05, df) * se
    inputs = {"estimate": estimate, "standard_error": se, "df": df, "bound": bound}
    case("non_superiority", inputs, statistic=t, low=estimate - reach, high=estimate + reach, ln_p=sides_of_t(t, df)["ln_p_less"])
