"""Writes random_state.json: what numpy.random.RandomState gives, seed by seed, one sampler after the other.

Run `python make_random_state.py` in an environment with requirements.txt; the file beside this script is replaced.
Every sampler goes on from the state that the one before it left, so that a word too many shows in all that follow.
"""
import json
import pathlib

import numpy as np

SIZES = [1, 2, 3, 7, 8, 100, 4096, 4097, 2**31, 2**32]
PROBABILITIES = [0.15, 0.0, 0.5, 0.1, 0.25]

states = []
for seed in [0, 1, 42, 10_007, 2**31, 2**32 - 1]:
    rng = np.random.RandomState(seed)
    out = {"seed": seed}
    out["words"] = rng.randint(0, 2**32, 700, dtype=np.uint64).tolist()[-5:]
    out["random_sample"] = rng.random_sample(5).tolist()
    # An odd number, so that the second of a pair is kept over the samplers between.
    out["standard_normal"] = rng.randn(7).tolist()
    out["uniform"] = rng.uniform(-2.0, 5.0, 4).tolist()
    out["below"] = [int(rng.randint(0, n, dtype=np.int64)) for n in SIZES]
    out["choice"] = [int(rng.choice(n)) for n in (1, 5, 50)]
    out["normal"] = rng.normal(2.0, 0.5, 4).tolist()
    out["permutation"] = rng.permutation(23).tolist()
    items = list(range(9))
    rng.shuffle(items)
    out["shuffled_list"] = items
    array = np.arange(12)
    rng.shuffle(array)
    out["shuffled_array"] = array.tolist()
    out["choice_without_replacement"] = rng.choice(50, 6, replace=False).tolist()
    out["choice_weighted"] = rng.choice(len(PROBABILITIES), 30, p=PROBABILITIES).tolist()
    out["below_in_one_call"] = rng.randint(0, 6, 20).tolist()
    out["exponential"] = rng.exponential(0.5, 4).tolist()
    out["last"] = rng.random_sample()
    states.append(out)

out = {"sizes": SIZES, "probabilities": PROBABILITIES, "states": states}
pathlib.Path(__file__).with_name("random_state.json").write_text(json.dumps(out) + "\n")
