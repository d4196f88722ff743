"""Writes strata.json: a small simulated screen of three replicates, tested within replicates from definitions.

Run `python make_strata.py` in an environment with requirements.txt; the file beside this script is replaced.
The mean difference is that of statsmodels' least squares with a term per replicate, which the script asserts; van
Elteren's statistic is computed from ranks (SciPy), its variance from the ranks' own variance.
"""
import json
import pathlib

import numpy as np
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests

N_GENES, STRATA = 10, 3
# Cells per replicate; the last group has one cell in replicate 2, which is left out, and none in replicate 0.
N_CONTROLS, N_CELLS = (30, 12, 20), ((8, 20, 9), (15, 2, 3), (0, 31, 1))

rng = np.random.default_rng(20260301)
rates = np.exp(rng.normal(0.5, 1.0, N_GENES))
rates[3] = 0.0
level = np.exp(rng.normal(0.0, 0.6, (STRATA, N_GENES)))
fold = np.ones((len(N_CELLS), N_GENES))
fold[0, :4] = (0.1, 3.0, 0.4, 1.0)
fold[2, 5:7] = (4.0, 0.5)


def cells(sizes, fold):
    strata = np.repeat(np.arange(STRATA), sizes)
    depth = np.exp(rng.normal(0.0, 0.3, len(strata)))
    counts = rng.poisson(depth[:, None] * rates * level[strata] * fold)
    return counts, counts.sum(1) + rng.poisson(depth * 40.0), strata


def expression(counts, totals):
    return np.log1p(counts / np.maximum(totals, 1)[:, None] * 1e4)


def welch(a, b):
    """Groups by stratum -> difference, t, p."""
    w = np.array([len(x) * len(y) / (len(x) + len(y)) for x, y in zip(a, b)])
    g = w / w.sum()
    d = sum(gi * (x.mean() - y.mean()) for gi, x, y in zip(g, a, b))
    parts = []
    for gi, x, y in zip(g, a, b):
        for z, other in ((x, y), (y, x)):
            # A group that does not vary borrows the variance of the other.
            v = z.var(ddof=1) or other.var(ddof=1)
            parts.append((gi**2 * v / len(z), len(z) - 1))
    variance = sum(c for c, _ in parts)
    if variance == 0:
        return d, 0.0, 1.0
    df = variance**2 / sum(c**2 / m for c, m in parts)
    t = d / np.sqrt(variance)
    y = np.concatenate([*a, *b])
    stratum = np.concatenate([np.full(len(x), i) for groups in (a, b) for i, x in enumerate(groups)])
    group = np.r_[np.ones(sum(map(len, a))), np.zeros(sum(map(len, b)))]
    design = np.column_stack([group, *(stratum == i for i in range(len(a)))])
    assert abs(sm.OLS(y, design.astype(float)).fit().params[0] - d) < 1e-9
    return d, t, 2 * stats.t.sf(abs(t), df)


def van_elteren(a, b):
    v = expected = variance = 0.0
    for x, y in zip(a, b):
        ranks, n = stats.rankdata(np.r_[x, y]), len(x) + len(y)
        v += ranks[: len(x)].sum() / (n + 1)
        expected += len(x) / 2
        variance += len(x) * len(y) / (n * (n - 1)) * ((ranks - (n + 1) / 2) ** 2).sum() / (n + 1) ** 2
    if variance == 0:
        return 0.0, 1.0
    z = (v - expected) / np.sqrt(variance)
    # One stratum: the plain test with its continuity correction or exact distribution.
    p = stats.mannwhitneyu(a[0], b[0], method="auto").pvalue if len(a) == 1 else 2 * stats.norm.sf(abs(z))
    return z, p


control = cells(N_CONTROLS, np.ones(N_GENES))
groups = []
for sizes, f in zip(N_CELLS, fold):
    counts, totals, strata = cells(sizes, f)
    a, b = expression(counts, totals), expression(*control[:2])
    usable = [s for s in range(STRATA) if (strata == s).sum() >= 2 and (control[2] == s).sum() >= 2]
    split = lambda e, of, g: [e[of == s, g] for s in usable]
    by_gene = [(split(a, strata, g), split(b, control[2], g)) for g in range(N_GENES)]
    tests = [welch(x, y) for x, y in by_gene]
    ranks = [van_elteren(x, y) for x, y in by_gene]
    cp10k = lambda c, t: c / np.maximum(t, 1)[:, None] * 1e4
    weighted = [
        (
            sum((strata == s).sum() * cp10k(counts, totals)[strata == s, g].mean() for s in usable),
            sum((strata == s).sum() * cp10k(*control[:2])[control[2] == s, g].mean() for s in usable),
        )
        for g in range(N_GENES)
    ]
    q = lambda p: multipletests(p, method="fdr_bh")[1].tolist()
    groups.append({
        "counts": counts.tolist(),
        "totals": totals.tolist(),
        "strata": strata.tolist(),
        "n_used": int(sum((strata == s).sum() for s in usable)),
        "lfc": [t[0] for t in tests],
        "remaining": [x / y if y > 0 else None for x, y in weighted],
        "welch": {"statistic": [t[1] for t in tests], "p": [t[2] for t in tests], "q": q([t[2] for t in tests])},
        "mann_whitney": {"statistic": [r[0] for r in ranks], "p": [r[1] for r in ranks], "q": q([r[1] for r in ranks])},
    })
out = {
    "control": {"counts": control[0].tolist(), "totals": control[1].tolist(), "strata": control[2].tolist()},
    "perturbed": groups,
}
pathlib.Path(__file__).with_name("strata.json").write_text(json.dumps(out) + "\n")
