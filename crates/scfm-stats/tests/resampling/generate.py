"""Writes golden.json: sign flips and clustered intervals by SciPy. Versions: ../golden/requirements.txt.

    python generate.py

Sign flips of few pairs are exact. Intervals are those of 200,000 resamples, so that what is left of chance is small
beside the error of the ten thousand that the tests draw.
"""

import json
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score

rng = np.random.default_rng(20260301)
cases = []


def floats(values):
    return [float(value) for value in np.asarray(values).ravel()]


def flips(differences, exact):
    for alternative in ("two-sided", "greater", "less"):
        result = stats.permutation_test(
            (differences, np.zeros_like(differences)),
            lambda a, b, axis: np.mean(a - b, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=2**20 if exact else 200_000,
            alternative=alternative,
            rng=1,
        )
        cases.append(
            dict(
                function="sign_flip",
                differences=floats(differences),
                alternative=alternative,
                exact=exact,
                expected=[float(result.statistic), float(result.pvalue)],
            )
        )


for n in (2, 3, 5, 8, 9, 12):
    flips(rng.normal(0.4, 1.0, n), True)
    flips(np.round(rng.normal(0.3, 1.0, n), 1), True)
flips(rng.integers(-2, 3, 10).astype(float), True)
flips(rng.normal(0.08, 1.0, 400), False)
flips(np.round(rng.normal(0.05, 1.0, 65), 1), False)


def intervals(function, columns, statistic, clusters, **inputs):
    """The interval over clusters: `columns` hold one value per cluster."""
    for method in ("percentile", "BCa"):
        result = stats.bootstrap(
            columns,
            statistic,
            paired=True,
            vectorized=True,
            n_resamples=200_000,
            batch=20_000,
            method=method,
            rng=2,
        )
        cases.append(
            dict(
                function=function,
                method=method,
                clusters=[int(cluster) for cluster in clusters],
                expected=[float(result.confidence_interval.low), float(result.confidence_interval.high)],
                standard_error=float(result.standard_error),
                **inputs,
            )
        )


sizes = rng.integers(1, 9, 30)
clusters = np.repeat(np.arange(30), sizes)
values = rng.exponential(1.0, 30)[clusters] + rng.normal(0.0, 0.5, clusters.size)
marked = rng.random(clusters.size) < 0.4
sums = lambda of: np.bincount(clusters, of, 30)

intervals(
    "mean",
    (sums(values), sizes.astype(float)),
    lambda total, size, axis: total.sum(axis) / size.sum(axis),
    clusters,
    values=floats(values),
)
intervals(
    "mean_difference",
    (sums(values * marked), sums(1.0 * marked), sums(values * ~marked), sums(1.0 * ~marked)),
    lambda a, na, b, nb, axis: a.sum(axis) / na.sum(axis) - b.sum(axis) / nb.sum(axis),
    clusters,
    values=floats(values),
    labels=[bool(mark) for mark in marked],
)

scores = np.round(rng.normal(0.0, 1.0, 30)[clusters] + rng.normal(0.0, 1.0, clusters.size) + 0.8 * marked, 1)
other = np.round(rng.normal(0.0, 1.0, clusters.size) + 0.5 * marked, 1)


def aurocs(score):
    """Pairs won, by the cluster of the positive and that of the negative."""
    win = (score[:, None] > score[None, :]) + 0.5 * (score[:, None] == score[None, :])
    win = win * marked[:, None] * ~marked[None, :]
    of = np.eye(30)[clusters]
    return of.T @ win @ of


def auroc_of(*tables):
    """AUROC of the first table of pairs won, minus that of the second."""
    positives, negatives = sums(1.0 * marked), sums(1.0 * ~marked)

    def statistic(cluster, axis):
        drawn = cluster.astype(int)
        counts = np.apply_along_axis(np.bincount, -1, drawn, minlength=30).astype(float)
        pairs = (counts @ positives) * (counts @ negatives)
        value = [np.einsum("...i,ij,...j->...", counts, table, counts, optimize=True) / pairs for table in tables]
        return value[0] - value[1] if len(value) == 2 else value[0]

    return statistic


assert abs(aurocs(scores).sum() / (marked.sum() * (~marked).sum()) - roc_auc_score(marked, scores)) < 1e-12
labels = [bool(mark) for mark in marked]
index = (np.arange(30).astype(float),)
intervals("auroc", index, auroc_of(aurocs(scores)), clusters, values=floats(scores), labels=labels)
intervals(
    "auroc_difference",
    index,
    auroc_of(aurocs(scores), aurocs(other)),
    clusters,
    values=floats(scores),
    other=floats(other),
    labels=labels,
)

Path(__file__).with_name("golden.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
