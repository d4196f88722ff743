"""Writes filters.h5ad with h5py and hdf5plugin 7.1.0 (other versions in requirements.txt): two cells x three genes, once with
each of the compressions that need a plugin."""

from pathlib import Path

import anndata as ad
import h5py
import hdf5plugin
import numpy as np
import pandas as pd

HERE = Path(__file__).parent
large = HERE / "large.h5ad"
counts = np.array([[0, 4, 0], [1, 0, 7]], np.float32)
ad.AnnData(X=counts, obs=pd.DataFrame(index=["c0", "c1"]), var=pd.DataFrame(index=["A", "B", "C"])).write_h5ad(large)
filters = {"X": hdf5plugin.Blosc(), "layers/zstd": hdf5plugin.Zstd(), "layers/lz4": hdf5plugin.LZ4(), "layers/blosc2": hdf5plugin.Blosc2()}
with h5py.File(large) as old, h5py.File(HERE / "filters.h5ad", "w", libver=("v110", "v110")) as f:
    for key in ["obs", "var"]:
        old.copy(key, f)
    for name, options in filters.items():
        dense = f.create_dataset(name, data=counts, chunks=(2, 3), **options)
        dense.attrs["encoding-type"] = "array"
        dense.attrs["encoding-version"] = "0.2.0"
large.unlink()
