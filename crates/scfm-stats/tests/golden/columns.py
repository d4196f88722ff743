"""Correlations of all pairs of columns, and the sign-flip test by all flips."""

import math

import numpy as np
from scipy import stats

from cases import ALTERNATIVES, case, floats, ln, named, oracle, samples

oracle("spearman_columns", "`scipy.stats.rankdata` and `numpy.corrcoef`; products in single precision")
oracle("pearson_columns", "`numpy.corrcoef`; products in single precision")
oracle("sign_flip_test", '`scipy.stats.permutation_test(permutation_type="samples")`, all flips')

# The third dimension is what is added: a column of large mean next to its spread.
for kind in ["normal", "ties", "zeros", "heavy", "far"]:
    for rows, columns, mean in [(6, 3, 0.0), (40, 7, 0.0), (300, 4, 0.0), (60, 5, 1e4)]:
        values = np.round(samples(kind, rows * columns).reshape(rows, columns), 3)
        values[:, -1] += mean
        inputs = {"matrix": [floats(row) for row in values]}
        pairs = [(i, j) for i in range(columns) for j in range(i)]
        for function, of in [("spearman_columns", stats.rankdata(values, axis=0)), ("pearson_columns", values)]:
            if (of == of[0]).all(axis=0).any():
                continue
            r = np.corrcoef(of, rowvar=False)
            case(function, inputs, **{f"pair_{i}_{j}": r[i, j] for i, j in pairs})

for kind in ["normal", "ties", "zeros", "far"]:
    for n in [1, 2, 5, 9, 12]:
        differences = np.round(samples(kind, n) - (1.0 if kind == "ties" else 0.2), 3)

        def p(alternative):
            if n == 1:
                # SciPy wants two pairs. One difference is as it is or flipped.
                d = differences[0]
                return {"two-sided": 1.0, "greater": 0.5 if d > 0 else 1.0, "less": 0.5 if d < 0 else 1.0}[alternative]
            test = stats.permutation_test(
                (differences, np.zeros(n)),
                lambda x, y, axis: np.mean(x - y, axis=axis),
                permutation_type="samples",
                vectorized=True,
                n_resamples=math.inf,
                alternative=alternative,
            )
            return float(test.pvalue)

        sides = named([ln(p(alternative)) for alternative in ALTERNATIVES])
        case("sign_flip_test", {"differences": floats(differences)}, statistic=differences.mean(), **sides)
