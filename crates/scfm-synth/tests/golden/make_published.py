"""Writes published.json: parts of the published simulations as NumPy draws them, and sums that all of it enters.

Run `python make_published.py` in an environment with requirements.txt; the file beside this script is replaced.
"""
import json
import pathlib

import numpy as np


def summary(values):
    """The corners of a matrix, and its sum weighted by position, which no exchange of entries leaves alone."""
    weights = np.cos(np.arange(values.size)).reshape(values.shape)
    return {"first": float(values[0, 0]), "last": float(values[-1, -1]), "sum": float((weights * values).sum())}


def mixture(n_states, cells, shared, private, strength, seed):
    rng = np.random.RandomState(seed)
    order = [(tf, target) for tf in range(5) for target in range(5, 30)]
    rng.shuffle(order)
    x = rng.randn(n_states * cells, 30)
    active = {pair: list(range(n_states)) for pair in order[:shared]}
    for state in range(n_states):
        own = order[shared + state * private : shared + (state + 1) * private]
        active.update({pair: [state] for pair in own})
        block = x[state * cells : (state + 1) * cells]
        for tf, target in order[:shared] + own:
            block[:, target] += strength * block[:, tf]
    return x, np.repeat(np.arange(n_states), cells), active


mixtures = []
for arguments in [(2, 100, 2, 6, 0.5, 2), (12, 125, 2, 2, 0.5, 912), (4, 20, 3, 6, 0.6, 120), (1, 400, 3, 24, 0.6, 1)]:
    x, states, active = mixture(*arguments)
    rng = np.random.RandomState(10_000)
    shuffled = rng.permutation(states)
    random = rng.randint(0, arguments[0], len(states))
    permuted = np.column_stack([rng.permutation(gene) for gene in x.T])
    mixtures.append({
        "arguments": arguments,
        "expression": summary(x),
        "edges": [[tf, target, active[tf, target]] for tf, target in sorted(active)],
        "shuffled": shuffled.tolist()[:40],
        "random": random.tolist()[:40],
        "permuted": summary(permuted),
    })

N_CELLS, N_STATES, SEED = 60, 4, 307
rng = np.random.RandomState(SEED)
states = np.arange(N_CELLS) % N_STATES
rng.shuffle(states)
edges = {}
while len(edges) < 20:
    pair = tuple(int(gene) for gene in rng.choice(50, 2, replace=False))
    if pair not in edges:
        edges[pair] = int(rng.choice(N_STATES))
scores = rng.randn(N_CELLS, 50, 50) * 0.5
for (i, j), state in edges.items():
    cells = states == state
    scores[cells, i, j] += 0.4 * (1 + rng.randn(cells.sum()) * 0.1)
split_half = {
    "arguments": [N_CELLS, N_STATES, SEED],
    "states": states.tolist(),
    "edges": sorted([i, j, [state]] for (i, j), state in edges.items()),
    "scores": summary(scores[:, ~np.eye(50, dtype=bool)]),
    "training": np.random.RandomState(999).permutation(N_CELLS)[: N_CELLS // 2].tolist(),
}

N_CELLS, SEED = 200, 3200
rng = np.random.RandomState(SEED)
probabilities = [0.15, 0.12, 0.08, 0.06, 0.04, 0.1, 0.05, 0.03, 0.14, 0.04, 0.03, 0.02, 0.08, 0.02, 0.04]
states = rng.choice(15, size=N_CELLS, p=probabilities)
pairs = [(i, j) for i in range(40) for j in range(i + 1, 40)]
scores = rng.randn(N_CELLS, len(pairs)) * 0.3
for state in range(15):
    cells = states == state
    if cells.any():
        scores[cells, pairs.index((2 * state, 2 * state + 1))] += 1.0 + rng.randn(cells.sum()) * 0.2
immune = {"arguments": [N_CELLS, SEED], "states": states.tolist(), "scores": summary(scores)}

TYPES = [0.30, 0.15, 0.10, 0.10, 0.20, 0.05, 0.05, 0.05]
ANY = list(range(8))
# Factor, target, types in the order of drawing, sign.
PBMC = [
    (0, 15, [0, 1, 3], 1), (0, 16, [0, 1], 1), (1, 17, [0], 1), (1, 18, [0], 1), (2, 19, [0], 1), (2, 20, [0], 1),
    (3, 21, [0], 1), (4, 22, [0, 1], 1), (5, 23, [2], 1), (5, 24, [2], 1), (6, 25, [2], 1), (7, 26, [2], -1),
    (8, 27, [4, 5, 6], 1), (8, 28, [4], 1), (9, 29, [4, 5], 1), (10, 30, [4, 5], 1), (11, 31, [6], 1),
    (12, 32, [3, 1], 1), (12, 33, [3, 1], 1), (13, 34, ANY, 1), (13, 35, ANY, 1), (14, 36, ANY, 1),
]
rng = np.random.RandomState(42)
states = np.repeat(ANY, [int(3000 * share) for share in TYPES])
rng.shuffle(states)
x = np.abs(rng.normal(2.0, 0.5, (3000, 245)))
for tf, target, types, sign in PBMC:
    for cells in (states == state for state in types):
        factor = x[cells, tf]
        effect = sign * 0.7 * (factor - factor.mean()) + 2.0
        x[cells, target] = np.maximum(0, effect + rng.normal(0, 0.3, cells.sum()))
x[rng.random_sample(x.shape) < 0.15] = 0
pbmc = {
    "expression": summary(x),
    "states": states.tolist()[:40],
    "edges": [[tf, target, sorted(types)] for tf, target, types, _ in PBMC],
    "bootstrap": rng.choice(3000, 3000).tolist()[:40],
}

out = {"mixtures": mixtures, "split_half": split_half, "immune": immune, "pbmc": pbmc}
pathlib.Path(__file__).with_name("published.json").write_text(json.dumps(out) + "\n")
