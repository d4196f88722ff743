"""Ranks, curves and the bias-corrected bootstrap interval."""

import numpy as np
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from cases import *

oracle("mid_ranks", "`scipy.stats.rankdata`")
oracle("auroc", "`sklearn.metrics.roc_auc_score`")
oracle("average_precision", "`sklearn.metrics.average_precision_score`")
oracle("bca", "`scipy.stats.bootstrap(method=\"BCa\")`, from its own replicates")

for kind in ["normal", "ties", "zeros"]:
    for n, rate in [(4, 0.5), (12, 0.2), (100, 0.05), (201, 0.6), (1000, 0.01)]:
        scores = np.round(samples(kind, n), 3)
        labels = rng.random(n) < rate
        labels[0], labels[1] = True, False
        inputs = {"scores": floats(scores), "labels": labels.tolist()}
        if n <= 201:
            case("mid_ranks", {"values": floats(scores)}, **{f"rank {i}": r for i, r in enumerate(stats.rankdata(scores))})
        case("auroc", inputs, auroc=roc_auc_score(labels, scores))
        case("average_precision", inputs, value=average_precision_score(labels, scores), base_rate=labels.mean())

for n, level in [(8, 0.95), (25, 0.9), (60, 0.99)]:
    values = np.round(rng.gamma(1.0, size=n), 4)
    result = stats.bootstrap((values,), np.mean, n_resamples=199, confidence_level=level, method="BCa", rng=7)
    leave_one_out = [np.delete(values, i).mean() for i in range(n)]
    inputs = {
        "estimate": values.mean(),
        "replicates": floats(result.bootstrap_distribution),
        "leave_one_out": floats(leave_one_out),
        "level": level,
    }
    case("bca", inputs, low=result.confidence_interval.low, high=result.confidence_interval.high)
