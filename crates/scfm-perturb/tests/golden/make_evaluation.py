"""Writes evaluation.json: within-perturbation AUROCs by scikit-learn and the tests that the field runs over them.

Run `python make_evaluation.py` in an environment with requirements.txt; the file beside this script is replaced.
"""
import json
import pathlib

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score

N_PERTURBED, N_GENES = 9, 30  # the perturbed genes are the first of the panel

rng = np.random.default_rng(7)
positive = rng.random((N_PERTURBED, N_GENES)) < 0.3
positive[4] = False  # not evaluable
attention = np.round(rng.normal(size=positive.shape) + 1.5 * positive, 1)  # with ties
correlation = np.round(rng.uniform(-1, 1, positive.shape), 2) * (1 + 0.5 * positive)
attention[rng.random(positive.shape) < 0.1] = np.nan
attention[7] = np.nan  # a perturbed gene without scores
correlation[rng.random(positive.shape) < 0.05] = np.nan

rows, aurocs = [], []
for p in range(N_PERTURBED):
    ok = ~np.isnan(attention[p]) & ~np.isnan(correlation[p])
    ok[p] = False
    if (positive[p] & ok).sum() >= 3 and (~positive[p] & ok).sum() >= 3:
        rows.append(p)
        aurocs.append([roc_auc_score(positive[p, ok], s[p, ok]) for s in (attention, np.abs(correlation))])
aurocs = np.array(aurocs)
t = stats.ttest_1samp(aurocs[:, 0], 0.5)
w = stats.wilcoxon(aurocs[:, 0] - aurocs[:, 1])
clean = lambda scores: [[None if np.isnan(x) else x for x in row] for row in scores.tolist()]
out = {
    "positive": positive.tolist(),
    "attention": clean(attention),
    "correlation": clean(correlation),
    "rows": rows,
    "auroc_attention": aurocs[:, 0].tolist(),
    "auroc_correlation": aurocs[:, 1].tolist(),
    "naive_t": {"statistic": t.statistic, "p": t.pvalue},
    "naive_wilcoxon_p": w.pvalue,
}
pathlib.Path(__file__).with_name("evaluation.json").write_text(json.dumps(out) + "\n")
