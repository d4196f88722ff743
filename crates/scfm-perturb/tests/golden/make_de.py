"""Writes de.json: a small simulated screen called by NumPy, SciPy and statsmodels.

Run `python make_de.py` in an environment with requirements.txt; the file beside this script is replaced.
"""
import json
import pathlib

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

N_CONTROLS, N_CELLS, N_GENES = 60, (35, 5, 31), 14

rng = np.random.default_rng(20260217)
rates = np.exp(rng.normal(0.0, 1.2, N_GENES))
rates[3] = 0.0  # never seen
library = lambda n: np.exp(rng.normal(0.0, 0.3, n))[:, None]
fold = np.ones((len(N_CELLS), N_GENES))
fold[0, :5] = (0.05, 3.0, 0.3, 1.0, 1.5)
fold[2, 6:9] = (4.0, 0.5, 1.2)


def cells(n, fold):
    depth = library(n)
    counts = rng.poisson(depth * rates * fold)
    outside = rng.poisson(depth[:, 0] * 40.0)  # counts of genes that are not in the panel
    return counts, counts.sum(1) + outside


def expression(counts, totals):
    return np.log1p(counts / np.maximum(totals, 1)[:, None] * 1e4)


control = cells(N_CONTROLS, np.ones(N_GENES))
perturbed = [cells(n, f) for n, f in zip(N_CELLS, fold)]
groups = []
for counts, totals in perturbed:
    a, b = expression(counts, totals), expression(*control)
    # Where neither group varies the means are compared: SciPy gives NaN, this project t = 0, p = 1. A group that does
    # not vary borrows the variance of the other; in all other genes this is ttest_ind.
    var_a, var_b = a.var(0, ddof=1), b.var(0, ddof=1)
    sd_a = np.sqrt(np.where(var_a == 0, var_b, var_a))
    sd_b = np.sqrt(np.where(var_b == 0, var_a, var_b))
    with np.errstate(all="ignore"):
        welch = stats.ttest_ind_from_stats(a.mean(0), sd_a, len(a), b.mean(0), sd_b, len(b), equal_var=False)
        plain = stats.ttest_ind(a, b, equal_var=False)
    both = (var_a > 0) & (var_b > 0)
    assert np.allclose(welch.statistic[both], plain.statistic[both], rtol=1e-12) and not both.all()
    constant = (var_a == 0) & (var_b == 0)
    t, p = np.where(constant, 0.0, welch.statistic), np.where(constant, 1.0, welch.pvalue)
    u = [stats.mannwhitneyu(x, y, alternative="two-sided", method="auto") for x, y in zip(a.T, b.T)]
    u_p = np.where(constant, 1.0, [r.pvalue for r in u])
    groups.append({
        "counts": counts.tolist(),
        "totals": totals.tolist(),
        "mean": a.mean(0).tolist(),
        "lfc": (a.mean(0) - b.mean(0)).tolist(),
        "welch": {"statistic": t.tolist(), "p": p.tolist(), "q": multipletests(p, method="fdr_bh")[1].tolist()},
        "mann_whitney": {
            "statistic": [float(r.statistic) for r in u],
            "p": u_p.tolist(),
            "q": multipletests(u_p, method="fdr_bh")[1].tolist(),
        },
    })
out = {"control": {"counts": control[0].tolist(), "totals": control[1].tolist()}, "perturbed": groups}
pathlib.Path(__file__).with_name("de.json").write_text(json.dumps(out) + "\n")
