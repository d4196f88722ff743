"""Writes recovery.json: a small network and edge scores with ties and gaps, judged by scikit-learn.

Run `python make_recovery.py` in an environment with requirements.txt; the file beside this script is replaced.
"""
import json
import pathlib

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

rng = np.random.default_rng(3)
genes = [f"G{i}" for i in range(25)]
edges = sorted({(int(a), int(b)) for a, b in zip(rng.integers(0, 6, 40), rng.integers(0, 25, 40))})
truth = np.zeros((25, 25), bool)
for a, b in edges:
    truth[a, b] = True
scores = np.round(rng.normal(size=truth.shape) + 0.8 * truth, 1)
scores[rng.random(truth.shape) < 0.15] = np.nan

# Rows are the sources with an edge to another gene; no self pairs.
np.fill_diagonal(truth, False)
candidate = truth.any(1)[:, None] & ~np.eye(25, dtype=bool)
ranked = candidate & ~np.isnan(scores)
y, x = truth[ranked], scores[ranked]
out = {
    "edges": [[genes[a], genes[b]] for a, b in edges],
    "genes": genes,
    "scores": [[None if np.isnan(v) else v for v in row] for row in scores.tolist()],
    "n_candidates": int(candidate.sum()),
    "n_pairs": int(ranked.sum()),
    "n_pos": int(y.sum()),
    "n_missing_pos": int((truth & candidate & np.isnan(scores)).sum()),
    "auroc": roc_auc_score(y, x),
    "average_precision": average_precision_score(y, x),
    "auroc_of_magnitude": roc_auc_score(y, np.abs(x)),
}
pathlib.Path(__file__).with_name("recovery.json").write_text(json.dumps(out) + "\n")
