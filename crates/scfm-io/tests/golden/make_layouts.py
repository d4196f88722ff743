"""Writes h5ad files in the layouts of older anndata versions and of every value type, and beside them `layouts.json`:
what anndata itself (versions in requirements.txt) reads from each.

The tables of records are those of anndata 0.5 and 0.6, which wrote `DataFrame.to_records()`: text of fixed width at first
(`df_to_records_fixed_width`), of variable width from 0.6.17, codes of categories as small integers with the categories in
`uns/<column>_categories`, a single category as a scalar.
"""

import json
import warnings
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

HERE = Path(__file__).parent
CELLS = [f"AAAC{i}-1" for i in range(7)]
GENES = ["STAT1", "IRF1", "JAK2", "HLA-A"]
i, j = np.indices((7, 4))
COUNTS = np.where((i + 2 * j) % 3 == 0, (i * j) % 5 + 1, 0)
VLEN = h5py.string_dtype()


def write_h5sparse(file, name, matrix, **options):
    group = file.create_group(name)
    group.attrs["h5sparse_format"] = matrix.format
    group.attrs["h5sparse_shape"] = np.array(matrix.shape)
    for part in ["data", "indices", "indptr"]:
        group.create_dataset(part, data=getattr(matrix, part), **options)


def records(fields):
    table = np.empty(len(fields[0][1]), dtype=[(name, kind) for name, _, kind in fields])
    for name, values, _ in fields:
        table[name] = values
    return table


def legacy(name, text, index, encode, **options):
    """Tables of records, `h5sparse` matrices, raw in `raw.X` and `raw.var`."""
    with h5py.File(HERE / name, "w") as f:
        obs = [
            (index, encode(CELLS), text),
            ("condition", np.array([1, 0, 1, -1, 0, 2, 2]), np.int8),
            ("batch", np.zeros(7), np.int8),
            ("n_genes", [3, 2, 1, 2**40, 0, 7, 9], np.int64),
            ("percent_mito", [0.5, np.nan, 0.25, 1, 0, -1.5, 3], np.float32),
            ("passed", [True, False, True, True, False, False, True], bool),
            ("note", encode(["", "a,b", "x", "long enough to tell", "T cell", "y", "T細胞" if text == VLEN else "z"]), text),
            ("big_endian", [1, -2, 3, -4, 5, -6, 70000], ">i4"),
            ("wide", [2**63 + 2**40, 0, 1, 2, 3, 4, 5], np.uint64),
            ("angle", [1.5, 2.5, -3.5, 0, 1, 2, 3], ">f8"),
        ]
        var = [
            (index, encode(GENES), text),
            ("n_cells", [5, 4, 3, 2], np.uint16),
            ("highly_variable", [True, False, False, True], bool),
        ]
        f.create_dataset("obs", data=records(obs), **options)
        f.create_dataset("var", data=records(var), **options)
        f.create_dataset("uns/condition_categories", data=np.array([b"JAK2", b"control", b"STAT1"]))
        f["uns/batch_categories"] = "only"
        f["uns/n_neighbors"] = np.array([15])
        write_h5sparse(f, "X", sp.csc_matrix(np.log1p(COUNTS).astype(np.float32)), **options)
        raw_var = [(index, encode([*GENES, "EXTRA"]), text)]
        raw = np.hstack([COUNTS, np.arange(7)[:, None]])
        write_h5sparse(f, "raw.X", sp.csr_matrix(raw.astype(np.float32)), **options)
        f.create_dataset("raw.var", data=records(raw_var), **options)


def encoded(texts):
    return [text.encode() for text in texts]


INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]


def widths():
    """Every width of number, in matrices, columns and nullable columns; lzf; 64-bit indices; text of fixed width."""
    kinds = [*INTEGERS, np.float32, np.float64]
    obs = pd.DataFrame(index=pd.Index(CELLS))
    for kind in kinds:
        obs[np.dtype(kind).name] = np.arange(7).astype(kind) + kind(100)
    for kind in ["Int8", "UInt16", "Int64"]:
        obs[f"nullable {kind}"] = pd.array([0, 1, None, 3, 4, None, 100], dtype=kind)
    obs["nullable boolean"] = pd.array([True, None, False, True, None, False, True], dtype="boolean")
    obs["nullable string"] = pd.array(["a", None, "", "d", "naïve", None, "g"], dtype="string")
    obs["few"] = pd.Categorical(["b", "a", None, "b", "b", "a", "b"], categories=["b", "a"], ordered=True)
    obs["flags"] = pd.Categorical([True, False, True, True, None, False, True])
    layers = {}
    for kind in kinds:
        name = np.dtype(kind).name
        layers[f"dense_{name}"] = COUNTS.astype(kind)
    for kind in [np.int8, np.uint16, np.int64]:
        layers[f"csr_{np.dtype(kind).name}"] = sp.csr_matrix(COUNTS.astype(kind))
    layers["dense_bool"] = COUNTS > 0
    with ad.settings.override(allow_write_nullable_strings=True):
        a = ad.AnnData(X=sp.csc_matrix(COUNTS.astype(np.float32)), obs=obs, var=pd.DataFrame(index=GENES), layers=layers)
        large = HERE / "large.h5ad"
        a.write_h5ad(large, compression="lzf", convert_strings_to_categoricals=False)
    # Copied object by object into the revision of the format of HDF5 1.10, which takes less space.
    with h5py.File(large) as old, h5py.File(HERE / "widths.h5ad", "w", libver=("v110", "v110")) as f:
        for key, value in old.attrs.items():
            f.attrs[key] = value
        for key in old:
            old.copy(key, f)
        for part in ["indices", "indptr"]:
            wide = f["X"][part][()].astype(np.int64)
            del f["X"][part]
            f["X"].create_dataset(part, data=wide, compression="lzf", shuffle=True, fletcher32=True)
        # Text of fixed width, as other writers store it.
        for column, values in {"fixed": np.array([c.encode() for c in CELLS]), "padded": np.array([b"ab", b"", b"c d"] * 2 + [b"e"])}.items():
            f["obs"].create_dataset(column, data=values)
            f["obs"][column].attrs["encoding-type"] = "string-array"
            f["obs"][column].attrs["encoding-version"] = "0.2.0"
        order = [*f["obs"].attrs["column-order"], "fixed", "padded"]
        f["obs"].attrs["column-order"] = np.array(order, dtype=VLEN)
        for order in [">", "<"]:
            kind = "big" if order == ">" else "little"
            dense = f["layers"].create_dataset(f"{kind}_endian", data=COUNTS.astype(f"{order}i2"))
            dense.attrs["encoding-type"] = "array"
            dense.attrs["encoding-version"] = "0.2.0"
    large.unlink()


def plain(value):
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (str, bytes)):
        return value.decode() if isinstance(value, bytes) else value
    number = float(value)
    return int(value) if number == int(number) and abs(int(value)) < 2**53 else number


def table(frame):
    columns = {}
    for name in frame.columns:
        values = frame[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            columns[name] = {"categories": [str(plain(c)) for c in values.cat.categories], "codes": [int(c) for c in values.cat.codes]}
        else:
            columns[name] = [plain(None if pd.isna(v) else v) for v in values]
    return {"index": [str(name) for name in frame.index], "columns": columns}


def dense(matrix):
    matrix = matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)
    return [[plain(v) for v in row] for row in matrix.tolist()]


def as_read(name):
    a = ad.read_h5ad(HERE / name)
    matrices = {"X": dense(a.X), **{f"layers/{layer}": dense(m) for layer, m in a.layers.items()}}
    found = {"obs": table(a.obs), "var": table(a.var), "matrices": matrices}
    if a.raw is not None:
        found["raw_var"] = table(a.raw.var)
        matrices["raw/X"] = dense(a.raw.X)
    return found


warnings.simplefilter("ignore")
legacy("legacy_fixed.h5ad", "S20", "index", encoded)
legacy("legacy_variable.h5ad", VLEN, "barcode", list, compression="gzip", chunks=(3,))
widths()
names = ["legacy_fixed.h5ad", "legacy_variable.h5ad", "widths.h5ad"]
with open(HERE / "layouts.json", "w") as out:
    lines = [f"{json.dumps(name)}: {json.dumps(as_read(name), ensure_ascii=False)}" for name in names]
    out.write("{\n" + ",\n".join(lines) + "\n}\n")
