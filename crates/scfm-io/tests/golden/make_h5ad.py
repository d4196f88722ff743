"""Writes the h5ad files beside this script with anndata and h5py (versions in requirements.txt).

Every matrix holds the same counts, so that a test can work out what it should read:
count(i, j) = (i + 2 j) % 6 + 1 where (3 i + 5 j) % 4 == 0, else 0, for 23 cells x 9 genes.
"""

from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

HERE = Path(__file__).parent
N_CELLS, N_GENES = 23, 9
i, j = np.indices((N_CELLS, N_GENES))
COUNTS = np.where((3 * i + 5 * j) % 4 == 0, (i + 2 * j) % 6 + 1, 0)
GENES = [f"ENSG{j:011d}.{j + 1}" for j in range(N_GENES)]
CELLS = [f"cell {i}" for i in range(N_CELLS)]


def frames():
    obs = pd.DataFrame(index=pd.Index(CELLS))
    var = pd.DataFrame({"symbol": [f"G{j // 2}" for j in range(N_GENES)]}, index=pd.Index(GENES))
    return obs, var


def matrices(name, **options):
    obs, var = frames()
    layers = {
        "counts": sp.csr_matrix(COUNTS.astype(np.int64)),
        "csc_f64": sp.csc_matrix(COUNTS.astype(np.float64)),
        "csc_u8": sp.csc_matrix(COUNTS.astype(np.uint8)),
        "csr_u32": sp.csr_matrix(COUNTS.astype(np.uint32)),
        "dense_f32": COUNTS.astype(np.float32),
        "dense_i32": COUNTS.astype(np.int32),
        "dense_u16": COUNTS.astype(np.uint16),
        "log1p": sp.csr_matrix(np.log1p(COUNTS.astype(np.float32))),
    }
    a = ad.AnnData(X=sp.csr_matrix(COUNTS.astype(np.float32)), obs=obs, var=var, layers=layers)
    a.write_h5ad(HERE / name, **options)


def shuffled():
    """CSR whose columns are unsorted, one of them stored in two parts, with 64-bit indices; dense in 2-D chunks."""
    obs, var = frames()
    ad.AnnData(X=sp.csr_matrix(COUNTS.astype(np.float32)), obs=obs, var=var).write_h5ad(HERE / "shuffled.h5ad")
    indptr, indices, data = [0], [], []
    for row in COUNTS:
        columns = np.flatnonzero(row)[::-1]
        for column in columns:
            if row[column] > 1 and column == columns[0]:
                indices += [column, column]
                data += [1, row[column] - 1]
            else:
                indices.append(column)
                data.append(row[column])
        indices.append(8)
        data.append(0)  # a stored zero
        indptr.append(len(indices))
    with h5py.File(HERE / "shuffled.h5ad", "a") as f:
        for key, values in {"data": data, "indices": indices, "indptr": indptr}.items():
            del f["X"][key]
            kind = np.float32 if key == "data" else np.int64
            f["X"].create_dataset(key, data=np.array(values, kind), chunks=(16,), compression="gzip", shuffle=True)
        dense = f["layers"].create_dataset("dense_chunks", data=COUNTS.astype(np.float64), chunks=(5, 4), compression="lzf")
        dense.attrs["encoding-type"] = "array"
        dense.attrs["encoding-version"] = "0.2.0"


def columns():
    n = 6
    obs = pd.DataFrame(
        {
            "target": pd.Categorical(["STAT1", "NT", None, "NT", "NT", "JAK2"], categories=["JAK2", "NT", "STAT1", "unused"]),
            "donor": pd.Categorical([3, 1, 1, 3, 2, 2]),
            "note": ["plain", "", "naïve", "T細胞", "a,b", '"q"'],
            "n_counts": np.array([10, 20, 30, 40, 50, 2**40], np.int64),
            "fraction": np.array([0.5, np.nan, 1.0, 0.25, 0.0, -1.5], np.float32),
            "passed": [True, False, True, True, False, False],
            "n_guides": pd.array([1, None, 3, 4, None, 6], dtype="Int64"),
            "doublet": pd.array([True, None, False, False, True, None], dtype="boolean"),
            "guide": pd.array(["g1", None, "g3", "", "g5", "g6"], dtype="string"),
        },
        index=pd.Index([f"c{i}" for i in range(n)], name="barcode"),
    )
    uns = {"simulated": True, "seed": 7, "scale": 0.5, "title": "six cells", "model": {"name": "none"}, "list": ["a", "b"]}
    with ad.settings.override(allow_write_nullable_strings=True):
        ad.AnnData(obs=obs, var=pd.DataFrame(index=pd.Index(["A", "B"])), uns=uns).write_h5ad(
            HERE / "columns.h5ad", convert_strings_to_categoricals=False
        )


def normalised():
    """log-normalised X, scaled raw: no counts anywhere."""
    obs, var = frames()
    x = np.log1p(COUNTS / np.maximum(COUNTS.sum(1, keepdims=True), 1) * 1e4).astype(np.float32)
    a = ad.AnnData(X=x - x.mean(0), obs=obs, var=var)
    a.raw = a
    a.X = sp.csr_matrix(x)
    a.write_h5ad(HERE / "normalised.h5ad")


def huge():
    """Declares 2^40 values that were never written."""
    obs, var = frames()
    ad.AnnData(X=sp.csr_matrix(COUNTS.astype(np.float32)), obs=obs, var=var).write_h5ad(HERE / "huge.h5ad")
    with h5py.File(HERE / "huge.h5ad", "a") as f:
        for key in ["data", "indices", "indptr"]:
            del f["X"][key]
        f["X"].create_dataset("data", shape=(2**40,), dtype=np.float32, chunks=(1024,))
        f["X"].create_dataset("indices", shape=(2**40,), dtype=np.int32, chunks=(1024,))
        f["X"]["indptr"] = np.array([0] + [2**40] * N_CELLS)


huge()
matrices("plain.h5ad")
matrices("gzip.h5ad", compression="gzip")
shuffled()
columns()
normalised()
with h5py.File(HERE / "plain.h5ad") as old, h5py.File(HERE / "latest.h5ad", "w", libver="latest") as new:
    for key, value in old.attrs.items():
        new.attrs[key] = value
    for key in ["X", "obs", "var"]:
        old.copy(key, new)
