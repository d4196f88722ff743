"""What the published scGPT makes of counts: bins, and the tokens and values of both of its pipelines.

Run in this folder in an environment of requirements.txt with a checkout of github.com/bowang-lab/scGPT:
    python generate_scgpt_input.py <checkout>
It writes scgpt_input.json:
- `draws`: per seed, numbers of np.random.seed(seed); np.random.rand, at some places of the stream;
- `bins`: rows (values as 32-bit floats), their bins under one stream from `seed` in the order of the rows, and the
  lowest and highest bin that each value can get (the same function with numpy's generator replaced by its bounds);
- `zero_shot`: tokens and values of scgpt.tasks.embed_data's data set and collator, where nothing is cut;
- `fine_tuning`: tokens and values of Preprocessor (total 1e4, log1p, binning) and tokenize_batch, with zeros and without.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from scgpt_source import published

preprocess, collator, gene_tokenizer = published("preprocess", "data_collator", "tokenizer.gene_tokenizer")

PAD_VALUE = -2
rng = np.random.default_rng(20260427)


def draws(seed):
    np.random.seed(seed)
    stream = np.random.rand(2000)
    places = [0, 1, 2, 311, 312, 623, 624, 1247, 1999]
    return {"seed": seed, "places": places, "values": [float(stream[i]) for i in places]}


def counts(n, mean):
    """Overdispersed counts with few distinct values, as of molecules."""
    return rng.poisson(rng.gamma(0.7, mean, n)).astype(np.float32)


rows = [counts(400, 2.0), counts(300, 0.6), counts(60, 30.0)]
rows.append(np.log1p(rows[0] / rows[0].sum() * 1e4).astype(np.float32))
rows.append(rng.lognormal(0, 1.5, 200).astype(np.float32))  # all distinct, none zero
rows.append(np.full(7, 3, np.float32))
rows.append(np.array([0, 5, 0], np.float32))
rows.append(np.array([2], np.float32))
rows.append(np.zeros(4, np.float32))
rows.append(np.array([1, 2], np.float32))


def binned(n_bins, rand=None):
    original = np.random.rand
    if rand is not None:
        np.random.rand = lambda n: np.full(n, rand)
    try:
        return [preprocess.binning(row, n_bins).astype(int).tolist() for row in rows]
    finally:
        np.random.rand = original


def bins(seed, n_bins):
    np.random.seed(seed)
    found = binned(n_bins)
    return {
        "seed": seed,
        "n_bins": n_bins,
        "binned": found,
        "low": binned(n_bins, 1 - 1e-9),
        "high": binned(n_bins, 0.0),
    }


n_genes, n_cells, seed = 40, 6, 11
matrix = np.stack([counts(n_genes, 1.5) for _ in range(n_cells)])
matrix[3] *= rng.integers(0, 2, n_genes)
gene_ids = rng.permutation(57)[:n_genes]
vocab = {"<pad>": 57, "<cls>": 58}


def zero_shot():
    """The body of get_batch_cell_embeddings' data set, which is local to it, before its collator."""
    examples = []
    for row in matrix:
        nonzero = np.nonzero(row)[0]
        genes = torch.from_numpy(np.insert(gene_ids[nonzero], 0, vocab["<cls>"])).long()
        values = torch.from_numpy(np.insert(row[nonzero], 0, PAD_VALUE)).float()
        examples.append({"genes": genes, "expressions": values})
    collate = collator.DataCollator(
        do_padding=True, pad_token_id=vocab["<pad>"], pad_value=PAD_VALUE, do_mlm=False, do_binning=True, max_length=1200,
        sampling=True, keep_first_n_tokens=1,
    )  # fmt: skip
    np.random.seed(seed)
    batch = collate(examples)
    kept = [example["genes"].numel() for example in examples]
    return {
        "tokens": [batch["gene"][i, :n].tolist() for i, n in enumerate(kept)],
        "values": [batch["expr"][i, :n].tolist() for i, n in enumerate(kept)],
    }


def fine_tuning(include_zero_gene):
    layers, obsm = {}, {}
    adata = SimpleNamespace(X=matrix.copy(), layers=layers, obsm=obsm)
    scanpy = SimpleNamespace(pp=SimpleNamespace())
    # What scanpy does in these two steps; the packages are stubs here.
    scanpy.pp.normalize_total = lambda a, target_sum, layer, inplace: {
        "X": (a.X / a.X.sum(1, keepdims=True) * target_sum).astype(np.float32)
    }

    def log1p(a, layer):
        layers[layer] = np.log1p(layers[layer])

    scanpy.pp.log1p = log1p
    preprocess.sc = scanpy
    preprocess._get_obs_rep = lambda a, layer=None: a.X if layer is None else layers[layer]
    preprocess._set_obs_rep = lambda a, x, layer=None: layers.__setitem__(layer, x)
    np.random.seed(seed)
    preprocess.Preprocessor(use_key="X", normalize_total=1e4, log1p=True, binning=51)(adata)
    cells = gene_tokenizer.tokenize_batch(
        layers["X_binned"], gene_ids, append_cls=True, include_zero_gene=include_zero_gene, cls_id=vocab["<cls>"]
    )
    return {"tokens": [c[0].tolist() for c in cells], "values": [c[1].tolist() for c in cells]}


out = {
    "versions": {"numpy": np.__version__, "torch": torch.__version__, "python": sys.version.split()[0]},
    "draws": [draws(seed) for seed in [0, 42, 2**32 - 1]],
    "rows": [[float(x) for x in row] for row in rows],
    "bins": [bins(0, 51), bins(7, 51), bins(3, 8)],
    "cells": {"seed": seed, "matrix": matrix.astype(int).tolist(), "gene_ids": gene_ids.tolist()},
    "zero_shot": zero_shot(),
    "fine_tuning": {"with_zeros": fine_tuning(True), "without_zeros": fine_tuning(False)},
}
text = json.dumps(out, separators=(",", ":")).replace('],"', '],\n"')
(Path(__file__).parent / "scgpt_input.json").write_text(text + "\n")
