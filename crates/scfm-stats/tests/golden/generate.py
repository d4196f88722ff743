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
from statsmodels.stats import contingency_tables
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

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

# Tables of counts. Fisher's p at 60 digits, by summing the probabilities of all tables.
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


tables = [(3, 1, 1, 3), (10, 2, 3, 15), (0, 5, 6, 1), (8, 8, 8, 8), (1, 40, 300, 12_000), (60, 9_940, 120, 1_990_000), (400, 100, 90, 410)]
for a, b, c, d in tables:
    for alternative in ["two-sided", "greater", "less"]:
        ln_p = ln_fisher(a, b, c, d, alternative)
        p = stats.fisher_exact([[a, b], [c, d]], alternative=alternative).pvalue
        assert p == 0 or abs(math.log(p) - ln_p) < 1e-6, (a, b, c, d, alternative)
        interval = stats.contingency.odds_ratio([[a, b], [c, d]], kind="sample").confidence_interval()
        ends = [interval.low, interval.high] if min(a, b, c, d) > 0 else []
        case("fisher_exact", [ln_p, *ends], table=[[a, b], [c, d]], alternative=alternative)
    chi = stats.chi2_contingency([[a, b], [c, d]], correction=False)
    tail = ln(mpmath.gammainc(mpmath.mpf(1) / 2, mpmath.mpf(float(chi.statistic)) / 2, mpmath.inf, regularized=True))
    case("chi_squared", [chi.statistic, tail], table=[[a, b], [c, d]])
for shape in [(2, 5), (4, 3), (6, 6)]:
    for scale in [8, 3000]:
        table = rng.integers(1, scale, size=shape)
        chi = stats.chi2_contingency(table, correction=False)
        tail = ln(mpmath.gammainc(mpmath.mpf(chi.dof) / 2, mpmath.mpf(float(chi.statistic)) / 2, mpmath.inf, regularized=True))
        case("chi_squared", [chi.statistic, tail], table=table.tolist())
for hits, population, successes, draws in [(3, 20, 7, 9), (0, 20, 7, 9), (40, 20_000, 300, 500), (12, 2_000_000, 900, 1000), (500, 10_000_000, 800, 5000)]:
    upper = sum(mpmath.binomial(successes, k) * mpmath.binomial(population - successes, draws - k) for k in range(hits, min(successes, draws) + 1))
    case("hypergeometric", [ln(upper / mpmath.binomial(population, draws))], hits=hits, population=population, successes=successes, draws=draws)
for first, second in [(1, 0), (8, 2), (30, 51), (0, 12)]:
    p = contingency_tables.mcnemar([[3, first], [second, 4]], exact=True).pvalue
    case("mcnemar", [ln(p)], first=first, second=second)

# Kendall, partial ranks, trends.
for kind in ["normal", "ties", "zeros"]:
    for n in [4, 9, 33, 60, 250]:
        for slope in [0.0, 2.0]:
            a = np.round(samples(kind, n), 3)
            b = np.round(samples(kind, n) + slope * a, 3)
            if len(set(a)) == 1 or len(set(b)) == 1:
                a[0] += 1.0
                b[0] += 1.0
            k = stats.kendalltau(a, b)
            case("kendall", [k.statistic, ln(k.pvalue)], a=floats(a), b=floats(b))
for kind in ["normal", "ties"]:
    for n, k in [(9, 1), (40, 2), (300, 4)]:
        covariates = np.round(np.array([samples(kind, n) for _ in range(k)]), 3)
        a = np.round(samples(kind, n) + covariates.sum(axis=0), 3)
        b = np.round(samples(kind, n) + 0.3 * a - covariates[0], 3)
        inverse = np.linalg.inv(np.corrcoef([stats.rankdata(v) for v in [a, b, *covariates]]))
        r = -inverse[0, 1] / math.sqrt(inverse[0, 0] * inverse[1, 1])
        df = n - 2 - k
        case(
            "partial_spearman",
            [r, ln_t(r * math.sqrt(df / ((1 - r) * (1 + r))), df)],
            a=floats(a),
            b=floats(b),
            covariates=[floats(c) for c in covariates],
        )
for rows, columns, slope in [(2, 3, 0.0), (4, 5, 1.0), (12, 8, 0.2), (30, 4, 0.1), (5, 12, 0.3), (40, 10, 2.0)]:
    values = np.round(rng.normal(size=(rows, columns)) + slope * np.arange(columns), 4)
    method = "exact" if rows <= 12 and columns <= 8 else "asymptotic"
    page = stats.page_trend_test(values, method=method)
    z = (page.statistic - rows * columns * (columns + 1) ** 2 / 4) / math.sqrt(rows * columns**2 * (columns + 1) * (columns**2 - 1) / 144)
    ln_p = ln(page.pvalue) if method == "exact" else stats.norm.logsf(z)
    case("page_trend", [page.statistic, ln_p], values=[floats(row) for row in values])


# DeLong, over all pairs; the bias-corrected interval, from SciPy's own replicates; power.
def placements(scores, labels):
    positives, negatives = scores[labels], scores[~labels]
    wins = (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    return wins.mean(axis=1), wins.mean(axis=0)


for kind in ["normal", "ties"]:
    for n in [8, 30, 200]:
        labels = np.arange(n) % 3 == 0
        first = np.round(samples(kind, n) + labels, 3)
        second = np.round(samples(kind, n) + 0.5 * labels, 3)
        (v10, v01), (w10, w01) = placements(first, labels), placements(second, labels)
        error = math.sqrt(v10.var(ddof=1) / v10.size + v01.var(ddof=1) / v01.size)
        z = (v10.mean() - 0.5) / error
        case("delong_auroc", [v10.mean(), z, stats.norm.logsf(abs(z)) + math.log(2)], scores=floats(first), labels=labels.tolist())
        error = math.sqrt((v10 - w10).var(ddof=1) / v10.size + (v01 - w01).var(ddof=1) / v01.size)
        z = (v10.mean() - w10.mean()) / error
        case(
            "delong_difference",
            [v10.mean() - w10.mean(), z, stats.norm.logsf(abs(z)) + math.log(2)],
            first=floats(first),
            second=floats(second),
            labels=labels.tolist(),
        )
for n, level in [(8, 0.95), (25, 0.9)]:
    values = np.round(rng.gamma(1.0, size=n), 4)
    result = stats.bootstrap((values,), np.mean, n_resamples=199, confidence_level=level, method="BCa", rng=7)
    leave_one_out = [np.delete(values, i).mean() for i in range(n)]
    case(
        "bca",
        [result.confidence_interval.low, result.confidence_interval.high],
        estimate=values.mean(),
        replicates=floats(result.bootstrap_distribution),
        leave_one_out=floats(leave_one_out),
        level=level,
    )
for d, n, alpha in [(0.0, 10, 0.05), (0.5, 20, 0.05), (-0.2, 280, 0.01), (1.5, 3, 0.05), (0.05, 4000, 0.05), (2.0, 2, 0.001)]:
    case("paired_t_power", [TTestPower().power(d, n, alpha)], d=d, n=n, alpha=alpha)

out = Path(__file__).with_name("golden.json")
# One case a line.
out.write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
print(f"{len(cases)} cases, {out.stat().st_size / 1024:.0f} KiB")
