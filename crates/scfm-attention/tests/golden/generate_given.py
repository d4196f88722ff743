"""Attention tensors as users hand them over, in every form that is read, and what they average to: given/, given_logits/
and given_expected.json.

Run in this folder in an environment of requirements.txt:  python generate_given.py
The means are NumPy's, in 64 bits, of the values as they are stored: over heads, then over the cells that hold both genes.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

HERE = Path(__file__).parent
PANEL = ["STAT1", "IRF1", "JAK2", "HLA-A", "ABSENT"]
LAYERS, HEADS = 2, 3
rng = np.random.default_rng(17)

CELLS = {
    "a_f32": ["<cls>", "STAT1", "IRF1", "JAK2"],
    "b_f16": ["HLA-A", "STAT1", "MYC", "<eos>"],
    "c_bf16": ["JAK2", "IRF1", "<pad>", "<pad>", "STAT1"],
    "d_f64": ["<cls>", "STAT1", "IRF1", "JAK2", "HLA-A"],
    "e_shared": ["<cls>", "STAT1", "IRF1", "JAK2", "HLA-A"],
}


def write(folder, values):
    """Writes each cell in its own form; the values as they are read back, in 64 bits."""
    folder.mkdir(exist_ok=True)
    genes = {name: "\n".join(tokens) + "\n" for name, tokens in CELLS.items()}
    stored = {}
    for name, tokens in CELLS.items():
        x = values(tokens)
        listed = {"genes": json.dumps(tokens)}
        if name == "a_f32":
            x = x.astype(np.float32)
            save_file({"attention": x, "embeddings": x[0, 0]}, folder / f"{name}.safetensors", metadata=listed)
        elif name == "b_f16":
            x = x.astype(np.float16)
            save_file({"attention": x}, folder / f"{name}.safetensors")
            (folder / f"{name}.genes.txt").write_text(genes[name])
        elif name == "c_bf16":
            tensor = torch.from_numpy(x).to(torch.bfloat16)
            save_torch({"attention": tensor}, folder / f"{name}.safetensors", metadata=listed)
            x = tensor.to(torch.float64).numpy()
        elif name == "d_f64":
            np.save(folder / f"{name}.npy", x.astype(np.float64))
        else:
            x = x.astype(np.float32)
            np.save(folder / f"{name}.npy", x)
        stored[name] = x.astype(np.float32).astype(np.float64)
    (folder / "genes.txt").write_text(genes["e_shared"])
    return stored


def expected(stored):
    sums = np.zeros((LAYERS, len(PANEL), len(PANEL)))
    n_cells = np.zeros((len(PANEL), len(PANEL)), int)
    for name, tokens in CELLS.items():
        mean = stored[name].mean(axis=1)
        for i, query in enumerate(PANEL):
            for j, key in enumerate(PANEL):
                if query in tokens and key in tokens:
                    sums[:, i, j] += mean[:, tokens.index(query), tokens.index(key)]
                    n_cells[i, j] += 1
    with np.errstate(invalid="ignore"):
        means = sums / n_cells
    return {
        "panel": PANEL,
        "n_cells": n_cells.tolist(),
        "query_by_key": [[[None if np.isnan(x) else x for x in row] for row in layer] for layer in means.tolist()],
    }


def probabilities(tokens):
    n = len(tokens)
    x = np.exp(rng.normal(size=(LAYERS, HEADS, n, n)))
    # Nothing attends to padding, and what padding attends to is undefined.
    padding = [token == "<pad>" for token in tokens]
    x[..., :, padding] = 0
    x /= x.sum(-1, keepdims=True)
    x[..., padding, :] = np.nan
    return x


def logits(tokens):
    n = len(tokens)
    x = 8 * rng.normal(size=(LAYERS, HEADS, n, n))
    x[..., :, [token == "<pad>" for token in tokens]] = -np.inf
    return x


found = {folder: expected(write(HERE / folder, values)) for folder, values in [("given", probabilities), ("given_logits", logits)]}
(HERE / "given_expected.json").write_text(json.dumps(found) + "\n")
