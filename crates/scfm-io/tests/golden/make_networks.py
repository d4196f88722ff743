"""Writes h5ad files that hold a network of four genes, in every form that tools store one. Every form holds the same
pairs, `PAIRS`; dense matrices also hold the zeros of all other pairs.

`prediction.h5ad` is what task_grn_inference of OpenProblems asks for: no cells, no genes, weights as text in
`uns/prediction`. `grnndata.h5ad` is what GRnnData (scPRINT) writes: one matrix, in `varp/GRN`. `declared.h5ad` declares a
matrix of 2^40 values that were never written.
"""

from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

HERE = Path(__file__).parent
GENES = ["STAT1", "IRF1", "JAK2", "HLA-A"]
SYMBOLS = ["s1", "i1", "j2", "h"]
PAIRS = [(0, 1, 0.75), (0, 3, -0.5), (1, 3, 0.25), (2, 2, 1.0), (3, 0, 0.0625)]

source, target, weight = ([pair[part] for pair in PAIRS] for part in range(3))
frame = pd.DataFrame({"source": [GENES[s] for s in source], "target": [GENES[t] for t in target], "weight": weight})
matrix = np.zeros((4, 4), np.float32)
for s, t, w in PAIRS:
    matrix[s, t] = w


def genes(**more):
    var = pd.DataFrame({"symbol": SYMBOLS}, index=pd.Index(GENES))
    return ad.AnnData(X=np.ones((2, 4), np.float32), var=var, **more)


records = np.empty(len(PAIRS), dtype=[("regulator", h5py.string_dtype()), ("target", h5py.string_dtype()), ("score", "f4")])
for name, values in zip(records.dtype.names, [frame["source"], frame["target"], weight]):
    records[name] = values
categorical = frame.astype({"source": "category", "target": "category"})
uns = {
    "title": "networks",
    "neighbors": {"params": {"n": 15}},
    "grn": categorical.assign(weight=weight, celltype="T cell"),
    "record_array": records,
    "method": {
        "columns": {"tf": np.array(frame["source"], object), "gene": np.array(frame["target"], object), "score": np.array(weight)},
        "deeper": {"frame": frame},
    },
    "simulated": True,
}
varp = {"GRN": sp.csr_matrix(matrix), "by_target": sp.csc_matrix(matrix.astype(np.float64)), "dense": matrix}
genes(uns=uns, varp={**varp, "heads": np.stack([matrix, matrix], axis=2)}).write_h5ad(HERE / "networks.h5ad", compression="gzip")
genes(varp={"GRN": varp["GRN"]}).write_h5ad(HERE / "grnndata.h5ad", compression="gzip")

prediction = frame.assign(weight=frame["weight"].astype(str))
of_open_problems = ad.AnnData(X=None, uns={"method_id": "grnboost2", "dataset_id": "norman", "prediction": prediction})
of_open_problems.write_h5ad(HERE / "prediction.h5ad", compression="gzip")

genes(varp={"GRN": varp["GRN"]}).write_h5ad(HERE / "declared.h5ad")
with h5py.File(HERE / "declared.h5ad", "a") as f:
    grn = f["varp/GRN"]
    for part, kind in [("data", np.float32), ("indices", np.int32)]:
        del grn[part]
        grn.create_dataset(part, shape=(2**40,), dtype=kind, chunks=(1024,))
    del grn["indptr"]
    grn["indptr"] = np.array([0] + [2**40] * 4)
