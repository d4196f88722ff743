"""Writes golden.json beside itself: values of scikit-learn, patsy and scipy for the tests of this crate.

    python -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/python generate.py
"""

import json
import pathlib

import numpy as np
from patsy import dmatrix
from scipy.interpolate import CubicSpline
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

rng = np.random.default_rng(20260217)


def logistic():
    cases = []
    # Rows, features, C, spread of the features, times that every row is repeated.
    for n, k, c, scale, repeat in [(40, 1, 1.0, 1, 1), (60, 3, 1.0, 1, 1), (200, 6, 0.1, 1, 1), (200, 6, 10.0, 5, 1),
                                   (150, 4, 1.0, 1, 30), (30, 2, 1e4, 1, 1)]:
        x = np.round(rng.standard_normal((n, k)) * scale, 3)
        if k > 2:
            x[:, 2] = np.round(x[:, 1] + 0.1 * rng.standard_normal(n), 3)  # nearly collinear
        if k > 3:
            x[:, 3] = 1.0  # constant
        log_odds = -2 + x[:, 0] / scale + 0.5 * x[:, -1] / scale
        y = rng.random(n) < 1 / (1 + np.exp(-log_odds))
        y[:2] = True, False
        z = StandardScaler().fit_transform(np.tile(x, (repeat, 1)))
        fitted = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-13, max_iter=1000).fit(z, np.tile(y, repeat))
        cases.append(
            dict(c=c, repeat=repeat, x=x.tolist(), y=y.tolist(), intercept=fitted.intercept_[0], coefficients=fitted.coef_[0].tolist(),
                 log_odds=fitted.decision_function(z)[:5].tolist())
        )
    return cases


def folds():
    cases = []
    for sizes, n_folds in [([7, 7, 7, 7, 7, 7, 7], 3), (rng.integers(1, 100, 40).tolist(), 5), ([100, 1, 1, 1, 1], 2),
                           (rng.integers(1, 4, 30).tolist(), 4), ([1999] * 280, 5), (rng.integers(1800, 2000, 151).tolist(), 10)]:
        groups = np.repeat(np.arange(len(sizes)), sizes)
        counts = [len(test) for _, test in GroupKFold(n_folds).split(groups, groups=groups)]
        cases.append(dict(group_sizes=sizes, n_folds=n_folds, fold_sizes=counts))
    return cases


def splines():
    cases = []
    for knots in [[0, 1], [0, 0.3, 1], [-2, -1.5, 0, 0.1, 4], np.quantile(rng.exponential(size=50), np.linspace(0, 1, 5)).tolist()]:
        span = knots[-1] - knots[0]
        x = np.sort(np.concatenate([rng.uniform(knots[0], knots[-1], 12), [knots[0], knots[-1]]]))
        natural = CubicSpline(knots, np.eye(len(knots)), bc_type="natural")
        outside = np.array([knots[0] - span / 2, knots[-1] + span])
        at_end = np.array([knots[0], knots[-1]])
        beyond = natural(at_end) + natural(at_end, 1) * (outside - at_end)[:, None]
        case = dict(knots=list(map(float, knots)), x=x.tolist(), basis=natural(x).tolist(),
                    outside=outside.tolist(), basis_outside=beyond.tolist())
        if len(knots) > 2:
            formula = f"cr(x, knots={knots[1:-1]!r}, lower_bound={knots[0]!r}, upper_bound={knots[-1]!r}) - 1"
            regression = np.asarray(dmatrix(formula, {"x": np.concatenate([x, outside])}))
            expected = np.concatenate([natural(x), beyond])
            assert np.allclose(regression, expected, atol=1e-11), abs(regression-expected).max()
            case["patsy"] = regression.tolist()
        cases.append(case)
    values = np.round(rng.exponential(size=37), 4)
    quantiles = dict(values=values.tolist(), df=4, knots=np.quantile(values, np.linspace(0, 1, 5)).tolist())
    return dict(cases=cases, quantiles=quantiles)


def cells():
    counts = rng.poisson(np.exp(rng.normal(-0.5, 1.2, 8)) * rng.lognormal(0, 0.4, (60, 1)))
    counts[:, 5] = 0
    totals = counts.sum(1) + rng.integers(20, 60, 60)
    expression = np.log1p(counts / totals[:, None] * 1e4)
    rho = spearmanr(expression).statistic
    return dict(counts=counts.tolist(), totals=totals.tolist(), mean=expression.mean(0).tolist(),
                variance=expression.var(0, ddof=1).tolist(), detection=(counts > 0).mean(0).tolist(),
                spearman=[[None if np.isnan(r) else r for r in row] for row in rho])


golden = dict(logistic=logistic(), folds=folds(), splines=splines(), cells=cells())
pathlib.Path(__file__).with_name("golden.json").write_text(json.dumps(golden) + "\n")
