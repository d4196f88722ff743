"""Rank-value encodings in the arithmetic of Geneformer's tokeniser on a sparse matrix.

Run in this folder in an environment of requirements.txt:
    python generate_tokens.py [token_dictionary.pkl gene_median_dictionary.pkl]
Without arguments it writes tokens_synthetic.json (dictionary and cells made up here); with the published V1
dictionaries, from a source you trust, it writes tokens_v1.json. `ties` are the ranges of equal values in the full
order, so that they can be compared as sets; only the made-up file holds the values themselves.
"""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import scipy.sparse as sp

rng = np.random.default_rng(20260222)


def encode(counts, totals, medians, tokens):
    """Tokens in descending order of value, and the values, for each row of `counts` (float32)."""
    values = sp.csr_matrix(sp.csr_matrix(counts) / totals[:, None] * 10_000 / medians)
    cells = []
    for row in range(values.shape[0]):
        data, indices = values[row].data, values[row].indices
        order = np.argsort(-data, kind="stable")
        data = data[order]
        first = np.flatnonzero(np.r_[True, np.diff(data) != 0, True])
        ties = [[int(a), int(b)] for a, b in zip(first, first[1:]) if b - a > 1]
        cells.append({"tokens": tokens[indices[order]].tolist(), "ties": ties, "values": data.tolist()})
    return cells


def write(name, tokens, medians, n_cells, detection, longest, dictionary):
    counts = rng.poisson(rng.gamma(0.6, 2.5, size=(n_cells, len(tokens)))).astype(np.float32)
    counts[rng.random(counts.shape) > detection] = 0
    totals = counts.sum(axis=1, dtype=np.float64) + rng.integers(0, 500, n_cells)
    cells = encode(counts, totals, medians, tokens)
    for cell, row, total in zip(cells, counts, totals):
        nonzero = np.flatnonzero(row)
        cell |= {"total": total, "columns": nonzero.tolist(), "counts": row[nonzero].astype(int).tolist()}
        if dictionary is None:
            del cell["values"]
    out = {"column_tokens": tokens.tolist(), "max_length": longest, "dictionary": dictionary, "cells": cells}
    (Path(__file__).parent / name).write_text(json.dumps(out) + "\n")
    print(name, [(len(cell["tokens"]), len(cell["ties"])) for cell in cells])


if len(sys.argv) == 1:
    # Medians that repeat, so that ties are common.
    medians = np.round(rng.gamma(2.0, 1.0, 60) + 0.1, 1)
    tokens = np.arange(2, 62)
    order = rng.permutation(60)
    dictionary = {f"ENSG{i:011d}": float(m) for i, m in enumerate(medians)}
    write("tokens_synthetic.json", tokens[order], medians[order], 12, 0.6, 25, dictionary)
else:
    token_of = pickle.loads(Path(sys.argv[1]).read_bytes())
    median_of = pickle.loads(Path(sys.argv[2]).read_bytes())
    genes = [gene for gene in token_of if not gene.startswith("<")]
    genes = [genes[i] for i in rng.permutation(len(genes))[:5000]]
    tokens = np.array([int(token_of[gene]) for gene in genes])
    medians = np.array([float(median_of[gene]) for gene in genes])
    write("tokens_v1.json", tokens, medians, 2, 0.9, 2048, None)
