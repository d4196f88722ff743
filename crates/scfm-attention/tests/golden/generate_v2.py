"""A small checkpoint folder as Geneformer V2 is published, and cells as its tokeniser encodes them.

Run in this folder in an environment of requirements.txt:  python generate_v2.py
It writes v2/ (configuration and weights as transformers saves them, pickled dictionaries under their published
names: tokens with <cls> and <eos>, medians of more genes than have tokens, old to current Ensembl ids, symbols) and
tokens_v2.json. The tokeniser below is a literal port of Geneformer's TranscriptomeTokenizer (file_format h5ad,
model_version V2, collapse_gene_ids, sparse X, integer n_counts) to numpy; `ties` are ranges of equal values.
"""

import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from transformers import BertConfig, BertForMaskedLM

N_GENES = 40
LENGTH = 16  # positions: 14 genes between <cls> and <eos>
rng = np.random.default_rng(20260223)
here = Path(__file__).parent
folder = here / "v2"
folder.mkdir(exist_ok=True)

torch.manual_seed(20260223)
config = BertConfig(
    vocab_size=N_GENES + 4,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    hidden_act="relu",
    max_position_embeddings=LENGTH,
    layer_norm_eps=1e-12,
    pad_token_id=0,
    hidden_dropout_prob=0.1,
    attention_probs_dropout_prob=0.1,
    torch_dtype="float32",
)
BertForMaskedLM(config).eval().save_pretrained(folder)
(folder / "generation_config.json").unlink(missing_ok=True)

current = [f"ENSG{i:011d}" for i in range(100, 100 + N_GENES)]
tokens = {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3} | {gene: i + 4 for i, gene in enumerate(current)}
# Twice as many medians as tokens, as in the published dictionaries.
others = [f"ENSG{i:011d}" for i in range(900, 900 + N_GENES)]
medians = {gene: np.float64(round(rng.gamma(2.0, 1.0) + 0.1, 3)) for gene in current + others}
# Current ids lead to themselves, some old ones to them, some to genes without token; two current ids have no entry.
mapping = {gene: gene for gene in current[:-2]} | {gene: gene for gene in others}
mapping |= {f"ENSG{i:011d}": current[i % 12] for i in range(30)}
mapping |= {f"ENSGR{i:010d}": others[i] for i in range(3)}
names = {f"GENE{i}": gene for i, gene in enumerate(current)}
for stem, dictionary in [
    ("token_dictionary", tokens),
    ("gene_median_dictionary", medians),
    ("ensembl_mapping_dict", mapping),
    ("gene_name_id_dict", names),
]:
    (folder / f"{stem}_gc104M.pkl").write_bytes(pickle.dumps(dictionary, protocol=4))


def collapse(ids, counts):
    """sum_ensembl_ids: columns by current id; unique genes in file order, then summed ones in first-seen order."""
    to_token = {old: new for old, new in mapping.items() if new in tokens}
    collapsed = [to_token.get(gene.upper()) for gene in ids]
    if len({g for g in ids if g in to_token}) == len({to_token[g] for g in ids if g in to_token}) and len(
        [g for g in collapsed if g is not None]
    ) == len({g for g in collapsed if g is not None}):
        return collapsed, counts
    kept = [i for i, gene in enumerate(collapsed) if gene is not None]
    collapsed, counts = [collapsed[i] for i in kept], counts[:, kept]
    repeated = [gene for gene, n in Counter(collapsed).items() if n > 1]
    unique = [i for i, gene in enumerate(collapsed) if gene not in repeated]
    summed = [counts[:, [i for i, g in enumerate(collapsed) if g == gene]].sum(axis=1) for gene in repeated]
    counts = np.column_stack([counts[:, unique], *summed])
    return [collapsed[i] for i in unique] + repeated, counts


def tokenize(ids, counts, n_counts):
    genes, counts = collapse(ids, counts)
    kept = [i for i, gene in enumerate(genes) if gene in tokens]
    median = np.array([medians[genes[i]] for i in kept])
    token = np.array([tokens[genes[i]] for i in kept])
    values = sp.csr_matrix(sp.csr_matrix(counts[:, kept]) / n_counts[:, None] * 10_000 / median)
    cells = []
    for row in range(values.shape[0]):
        data, indices = values[row].data, values[row].indices
        if len(data) == 0:
            continue  # the cell is dropped
        order = np.argsort(-data, kind="stable")
        first = np.flatnonzero(np.r_[True, np.diff(data[order]) != 0, True])
        ties = [[int(a), int(b)] for a, b in zip(first, first[1:]) if b - a > 1]
        encoded = token[indices[order]].tolist()[: LENGTH - 2]
        cells.append({"cell": row, "tokens": [tokens["<cls>"], *encoded, tokens["<eos>"]], "ties": ties})
    return cells


# The file: current ids, old ids of the same genes, ids in small letters, ids without token, unknown and versioned ids.
ids = current[:26] + current[-4:] + [f"ENSG{i:011d}" for i in (2, 14, 7, 29)]
ids += [gene.lower() for gene in current[28:32]] + others[:3] + ["ENSGR0000000001", "unknown", current[33] + ".4"]
ids = [ids[i] for i in rng.permutation(len(ids))]
counts = rng.poisson(rng.gamma(0.6, 3.0, size=(14, len(ids)))).astype(np.float32)
counts[rng.random(counts.shape) > 0.7] = 0
known = {old for old, new in mapping.items() if new in tokens}
counts[3, [i for i, gene in enumerate(ids) if gene.upper() in known]] = 0
counts[5] = 0
totals = counts.sum(axis=1, dtype=np.float64).astype(int) + rng.integers(1, 200, len(counts))
out = {
    "ids": ids,
    "counts": counts.astype(int).tolist(),
    "totals": totals.tolist(),
    "cells": tokenize(ids, counts, totals),
}
(here / "tokens_v2.json").write_text(json.dumps(out) + "\n")
print([len(cell["tokens"]) for cell in out["cells"]])
