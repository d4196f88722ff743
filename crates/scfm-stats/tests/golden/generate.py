"""Reference values for the functions of this crate, from SciPy, scikit-learn, statsmodels and mpmath.

    python -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/python generate.py

writes golden.json beside this file. Each case holds the name of a function, its input and the expected numbers; p-values
are given by their natural logarithm, since many of them are below the smallest float.
"""

import itertools
import json
import math
from pathlib import Path

import mpmath
import numpy as np
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score
from statsmodels.stats.multitest import multipletests

mpmath.mp.dps = 60
rng = np.random.default_rng(20260217)
cases = []


def case(function, expected, **inputs):
    cases.append({"function": function, "input": inputs, "expected": expected})


def floats(values):
    return [float(v) for v in values]


def ln(p):
    return float(mpmath.log(p)) if p > 0 else None


def ln_t(t, df):
    """ln of the two-sided p of Student's t, at 60 digits."""
    t, df = mpmath.mpf(float(t)), mpmath.mpf(float(df))
    return ln(mpmath.betainc(df / 2, mpmath.mpf(1) / 2, 0, df / (df + t * t), regularized=True))


def samples(kind, n):
    """Values to be rounded before use: short decimals are read back to the last bit by every JSON parser."""
    match kind:
        case "normal":
            return rng.normal(size=n)
        case "ties":
            return rng.integers(0, 5, size=n).astype(float)
        case "zeros":
            return np.where(rng.random(n) < 0.7, 0.0, rng.gamma(2.0, size=n))
        case "heavy":
            return rng.standard_t(2, size=n)


# Ranks and curves.
for kind in ["normal", "ties", "zeros"]:
    for n, rate in [(4, 0.5), (12, 0.2), (100, 0.05), (201, 0.6)]:
        scores = np.round(samples(kind, n), 3)
        labels = rng.random(n) < rate
        labels[0], labels[1] = True, False
        case("mid_ranks", floats(stats.rankdata(scores)), values=floats(scores))
        case("auroc", [roc_auc_score(labels, scores)], scores=floats(scores), labels=labels.tolist())
        case(
            "average_precision",
            [average_precision_score(labels, scores), labels.mean()],
            scores=floats(scores),
            labels=labels.tolist(),
        )

# Two samples.
sizes = [(2, 2), (3, 2), (5, 7), (8, 40), (9, 9), (30, 4), (40, 200), (150, 130)]
for kind in ["normal", "ties", "zeros", "heavy"]:
    for na, nb in sizes:
        a, b = np.round(samples(kind, na) + 0.3, 3), np.round(samples(kind, nb), 3)
        if len(set(a)) == 1 or len(set(b)) == 1:
            a[0] += 1.5
            b[0] += 2.5
        t = stats.ttest_ind(a, b, equal_var=False)
        interval = t.confidence_interval()
        case(
            "welch_t",
            [t.statistic, ln_t(t.statistic, t.df), a.mean() - b.mean(), interval.low, interval.high],
            a=floats(a),
            b=floats(b),
        )
        u = stats.mannwhitneyu(a, b)
        case("mann_whitney", [u.statistic, ln(u.pvalue), u.statistic / (na * nb)], a=floats(a), b=floats(b))

# Far tails, below 1e-300 for the last: t ones by mpmath, normal ones by logsf.
for na, nb, shift in [(500, 700, 500), (900, 1100, 900), (1000, 1200, 9000)]:
    a, b = np.arange(na) + float(shift), np.arange(nb) - 0.5
    t = stats.ttest_ind(a, b, equal_var=False)
    interval = t.confidence_interval()
    case(
        "welch_t",
        [t.statistic, ln_t(t.statistic, t.df), a.mean() - b.mean(), interval.low, interval.high],
        a=floats(a),
        b=floats(b),
    )
    u = stats.mannwhitneyu(a, b)
    z = (u.statistic - na * nb / 2 - 0.5) / math.sqrt(na * nb * (na + nb + 1) / 12)
    case("mann_whitney", [u.statistic, stats.norm.logsf(z) + math.log(2), u.statistic / (na * nb)], a=floats(a), b=floats(b))

# One sample and pairs.
for kind in ["normal", "ties", "heavy"]:
    for n in [2, 3, 11, 40, 200]:
        values = np.round(samples(kind, n) + 0.2, 3)
        if len(set(values)) == 1:
            values[0] += 1.0
        for mu in [0.0, 2.5]:
            t = stats.ttest_1samp(values, mu)
            interval = t.confidence_interval()
            case(
                "one_sample_t",
                [t.statistic, ln_t(t.statistic, n - 1), values.mean() - mu, interval.low - mu, interval.high - mu],
                values=floats(values),
                mu=mu,
            )
        other = np.round(samples(kind, n), 3)
        if len(set(values - other)) > 1:
            t = stats.ttest_rel(values, other)
            interval = t.confidence_interval()
            case(
                "paired_t",
                [t.statistic, ln_t(t.statistic, n - 1), (values - other).mean(), interval.low, interval.high],
                a=floats(values),
                b=floats(other),
            )

for kind in ["normal", "ties"]:
    for n in [1, 4, 9, 13, 14, 30, 50, 51, 200]:
        differences = np.round(samples(kind, n) - (1.0 if kind == "ties" else -0.3), 3)
        if not differences.any():
            differences[0] = 1.0
        for zeros, method in [("drop", "wilcox"), ("pratt", "pratt")]:
            w = stats.wilcoxon(differences, zero_method=method)
            # SciPy reports the smaller rank sum.
            case("wilcoxon", [w.statistic, ln(w.pvalue)], differences=floats(differences), zeros=zeros)

for k, n, share in [
    (0, 5, 0.5), (5, 5, 0.5), (3, 10, 0.5), (5, 10, 0.5), (7, 9, 0.2), (1, 40, 0.2), (60, 100, 0.5),
    (700, 1000, 0.5), (512, 1024, 0.49), (9_000, 10_000, 0.5), (20, 100_000, 1e-4), (1, 3, 0.3333333333333333),
]:
    b = stats.binomtest(k, n, share)
    if b.pvalue > 1e-290:
        ln_p = ln(b.pvalue)
    else:  # a symmetric share: twice the upper tail
        ln_p = ln(2 * mpmath.betainc(k, n - k + 1, 0, mpmath.mpf(share), regularized=True))
    exact, score = b.proportion_ci(method="exact"), b.proportion_ci(method="wilson")
    case("binomial_test", [ln_p, exact.low, exact.high, score.low, score.high], successes=k, n=n, share=share)

# Correlations.
for kind in ["normal", "ties", "zeros", "heavy"]:
    for n in [4, 7, 11, 40, 200]:
        for slope in [0.0, 3.0]:
            a = np.round(samples(kind, n), 3)
            b = np.round(samples(kind, n) + slope * a, 3)
            if len(set(a)) == 1 or len(set(b)) == 1:
                a[0] += 1.0
                b[0] += 1.0
            r = stats.pearsonr(a, b)
            if abs(r.statistic) < 1 - 1e-9:  # beyond, p is made of rounding errors
                t = r.statistic * math.sqrt((n - 2) / ((1 - r.statistic) * (1 + r.statistic)))
                interval = r.confidence_interval()
                case("pearson", [r.statistic, ln_t(t, n - 2), interval.low, interval.high], a=floats(a), b=floats(b))
            s = stats.spearmanr(a, b)
            if n > 10:
                t = s.statistic * math.sqrt((n - 2) / ((1 - s.statistic) * (1 + s.statistic)))
                ln_p = ln_t(t, n - 2)
            else:
                ra, rb = stats.rankdata(a), stats.rankdata(b)
                null = [abs(np.dot(ra - ra.mean(), p)) for p in itertools.permutations(rb - rb.mean())]
                observed = abs(np.dot(ra - ra.mean(), rb - rb.mean()))
                ln_p = ln(np.mean(np.array(null) >= observed - 1e-9))
            reach = stats.norm.isf(0.025) * math.sqrt((1 + s.statistic**2 / 2) / (n - 3))
            z = math.atanh(s.statistic) if abs(s.statistic) < 1 else math.copysign(math.inf, s.statistic)
            case(
                "spearman",
                [s.statistic, ln_p, math.tanh(z - reach), math.tanh(z + reach)],
                a=floats(a),
                b=floats(b),
            )

# Equivalence, and the tails themselves.
for estimate, se, df, bound in [(0.01, 0.02, 30, 0.05), (-0.04, 0.02, 12.7, 0.05), (0.2, 0.05, 99, 0.1), (0.0005, 1e-3, 500, 0.05)]:
    below = stats.t.cdf((estimate - bound) / se, df)
    above = stats.t.sf((estimate + bound) / se, df)
    t = (estimate - bound) / se if below > above else (estimate + bound) / se
    lower = mpmath.betainc(mpmath.mpf(df) / 2, mpmath.mpf(1) / 2, 0, df / (df + mpmath.mpf(t) ** 2), regularized=True) / 2
    claims = abs(estimate) < bound
    case("tost", [t, ln(lower if claims else 1 - lower)], estimate=estimate, standard_error=se, df=df, bound=bound)

for df in [1.0, 2.5, 7.0, 33.3, 400.0, 12345.6, 1e7]:
    for statistic in [0.001, 0.8, 2.0, 11.0, 50.0, 3000.0]:
        case("t_tail", [ln_t(statistic, df)], statistic=statistic, df=df)

for n in [1, 2, 9, 40]:
    p = np.round(rng.random(n) ** 3, 3) if n > 1 else np.array([0.03])
    for method in ["fdr_bh", "fdr_by", "holm", "bonferroni"]:
        case(method, floats(multipletests(p, method=method)[1]), p=floats(p))

out = Path(__file__).with_name("golden.json")
# One case a line.
out.write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
print(f"{len(cases)} cases, {out.stat().st_size / 1024:.0f} KiB")
