"""Reference values for the functions of this crate, from SciPy, scikit-learn, statsmodels and mpmath.

    python -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/python generate.py

writes golden.json beside this file: the words for each oracle, the versions used, and the cases. A case holds the name of a
function, its input and the expected numbers by name; `cases.py` says how they are compared.
"""

import json
from importlib.metadata import version
from pathlib import Path

from cases import cases, oracles

import curves, two_groups, one_sample, correlations, counts, columns, meta_analysis  # noqa: E401, F401

here = Path(__file__).parent
locked = dict(line.strip().split("==") for line in (here / "requirements.txt").open())
versions = {name: version(name) for name in locked}
assert versions == locked, versions

compact = lambda value: json.dumps(value, separators=(",", ":"))
# One case a line.
lines = ",\n".join(compact(c) for c in cases)
out = here / "golden.json"
out.write_text(f'{{"versions":{compact(versions)},\n"oracles":{compact(oracles)},\n"cases":[\n{lines}\n]}}\n')
print(f"{len(cases)} cases of {len(oracles)} functions, {out.stat().st_size / 1024:.0f} KiB")
