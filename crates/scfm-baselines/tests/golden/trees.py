"""Writes trees.json beside itself: how well LightGBM and scikit-learn predict data that both sides make themselves.

    python -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/python trees.py

Features, labels and values come from integers by sums and products alone, so that the Rust test has the same bits.
"""

import json
import pathlib

import lightgbm
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import r2_score, roc_auc_score

N_TRAIN, N_TEST, N_FEATURES = 20_000, 20_000, 4


def uniform(position):
    """SplitMix64 of a position, its upper 53 bits as a number in [0, 1)."""
    with np.errstate(over="ignore"):
        z = (position.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


n = N_TRAIN + N_TEST
u = uniform(np.arange(n * (N_FEATURES + 2))).reshape(n, N_FEATURES + 2)
x, noise, draw = u[:, :N_FEATURES], u[:, N_FEATURES], u[:, N_FEATURES + 1]
hill = 1.0 - 4.0 * (x[:, 0] - 0.5) * (x[:, 0] - 0.5)
signal = hill + x[:, 1] * x[:, 2]
label = draw < 0.01 + 0.15 * signal * signal
value = signal + 2.0 * (noise - 0.5)
train, test = slice(0, N_TRAIN), slice(N_TRAIN, n)

shape = dict(n_estimators=200, num_leaves=31, learning_rate=0.05, min_child_samples=40, verbosity=-1, random_state=0)
sklearn_shape = dict(max_iter=200, max_leaf_nodes=31, learning_rate=0.05, min_samples_leaf=40, early_stopping=False)
golden = dict(n_train=N_TRAIN, n_test=N_TEST, n_features=N_FEATURES, n_pos_train=int(label[train].sum()),
              sum_value=float(np.sum(value[:10])))
for balanced in [False, True]:
    weight = "balanced" if balanced else None
    models = dict(lightgbm=lightgbm.LGBMClassifier(class_weight=weight, **shape),
                  sklearn=HistGradientBoostingClassifier(class_weight=weight, **sklearn_shape))
    for name, model in models.items():
        p = model.fit(x[train], label[train]).predict_proba(x[test])[:, 1]
        golden[f"auroc_{name}_{'balanced' if balanced else 'plain'}"] = roc_auc_score(label[test], p)
for name, model in dict(lightgbm=lightgbm.LGBMRegressor(**shape), sklearn=HistGradientBoostingRegressor(**sklearn_shape)).items():
    golden[f"r2_{name}"] = r2_score(value[test], model.fit(x[train], value[train]).predict(x[test]))

path = pathlib.Path(__file__).with_name("trees.json")
path.write_text(json.dumps(golden, indent=1) + "\n")
