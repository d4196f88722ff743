"""Writes links.h5ad with h5py (versions in requirements.txt): a sound file of two cells x three genes, and links that lead
nowhere, in circles, or to another file."""

from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

HERE = Path(__file__).parent
large = HERE / "large.h5ad"
counts = sp.csr_matrix(np.array([[0, 4, 0], [1, 0, 7]], np.float32))
obs = pd.DataFrame({"sound": [1.0, 2.0]}, index=["c0", "c1"])
ad.AnnData(X=counts, obs=obs, var=pd.DataFrame(index=["A", "B", "C"])).write_h5ad(large)
with h5py.File(large) as old, h5py.File(HERE / "links.h5ad", "w", libver=("v110", "v110")) as f:
    for key in ["X", "obs", "var"]:
        old.copy(key, f)
    obs = f["obs"]
    # A categorical column that is its own list of categories.
    loop = obs.create_group("own_categories")
    loop.attrs["encoding-type"] = "categorical"
    loop["codes"] = np.array([0, 0], np.int8)
    loop["categories"] = loop
    # A nullable column that is its own values.
    loop = obs.create_group("own_values")
    loop.attrs["encoding-type"] = "nullable-integer"
    loop["mask"] = np.array([False, False])
    loop["values"] = loop
    obs["soft_circle"] = h5py.SoftLink("/obs/soft_circle_back")
    obs["soft_circle_back"] = h5py.SoftLink("/obs/soft_circle")
    obs["nowhere"] = h5py.SoftLink("/obs/gone")
    obs["soft"] = h5py.SoftLink("/obs/sound")
    obs["elsewhere"] = h5py.ExternalLink("plain.h5ad", "/obs/_index")
    obs["the_file"] = f["/"]
    names = ["sound", "own_categories", "own_values", "soft_circle", "nowhere", "soft", "elsewhere", "the_file"]
    obs.attrs["column-order"] = np.array(names, dtype=h5py.string_dtype())
    layers = f.create_group("layers")
    layers["up"] = f["/"]
    layers["sound"] = f["X"]
    broken = layers.create_group("broken")
    for key, value in f["X"].attrs.items():
        broken.attrs[key] = value
    broken["indptr"] = h5py.SoftLink("/X/indptr")
    broken["indices"] = h5py.SoftLink("/X/indices")
    broken["data"] = h5py.SoftLink("/X/gone")
    raw = f.create_group("raw")
    raw["X"] = h5py.SoftLink("/raw/X")
    raw["var"] = f["var"]
large.unlink()
