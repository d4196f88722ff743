"""Writes the MatrixMarket folders in `market/` with scipy and pandas (versions in requirements.txt).

The counts are those of make_h5ad.py; in `guides/` two features that are no genes stand between the genes.
"""

import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse as sp

HERE = Path(__file__).parent / "market"
N_CELLS, N_GENES = 23, 9
i, j = np.indices((N_CELLS, N_GENES))
COUNTS = np.where((3 * i + 5 * j) % 4 == 0, (i + 2 * j) % 6 + 1, 0)
GENES = [f"ENSG{j:011d}.{j + 1}" for j in range(N_GENES)]
SYMBOLS = [f"G{j // 2}" for j in range(N_GENES)]
CELLS = [f"cell {i}" for i in range(N_CELLS)]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def matrix(path, values, **options):
    out = io.BytesIO()
    scipy.io.mmwrite(out, values, symmetry="general", **options)
    write(path, out.getvalue())


def lines(*columns):
    return "".join("\t".join(row) + "\n" for row in zip(*columns))


# Cell Ranger 3 and later: genes x cells, compressed, three columns; here with guides and a table of cells.
places = [0, 1, 2, 3, None, 4, 5, None, 6, 7, 8]
wide = np.zeros((N_CELLS, len(places)), int)
for at, place in enumerate(places):
    wide[:, at] = 1000 if place is None else COUNTS[:, place]
ids = [f"sg{at}" if place is None else GENES[place] for at, place in enumerate(places)]
symbols = [f"guide {at}" if place is None else SYMBOLS[place] for at, place in enumerate(places)]
kinds = ["CRISPR Guide Capture" if place is None else "Gene Expression" for place in places]
matrix(HERE / "guides/matrix.mtx.gz", sp.csc_matrix(wide.T), comment="metadata_json: {}")
write(HERE / "guides/features.tsv.gz", lines(ids, symbols, kinds))
write(HERE / "guides/barcodes.tsv.gz", lines(CELLS))
table = pd.DataFrame(
    {
        "target_gene": ["NT", "STAT1", "a, b", 'say "x"', None] * 4 + ["NT"] * 3,
        "n_counts": COUNTS.sum(1),
        "fraction": [0.5, np.nan] * 11 + [1e-3],
        "passed": [True, False] * 11 + [True],
        "doubtful": [True, None] * 11 + [False],
    },
    index=pd.Index(CELLS, name="barcode"),
)
extra = pd.DataFrame({"target_gene": ["NT"], "n_counts": [1], "fraction": [0.0], "passed": [True]}, index=["another cell"])
shuffled = pd.concat([table.iloc[::-1], extra])
write(HERE / "guides/metadata.csv.gz", shuffled.to_csv(index_label="barcode"))

# Cell Ranger 2: not compressed, two columns, files named as in GEO; values as reals, in the order of rows.
matrix(HERE / "old/GSM1_matrix.mtx", sp.csr_matrix(COUNTS.T.astype(float)).tocoo())
write(HERE / "old/GSM1_genes.tsv", lines(GENES, SYMBOLS))
write(HERE / "old/GSM1_barcodes.tsv", lines(CELLS).replace("\n", "\r\n"))
# R writes a header without a name for the first column.
write(HERE / "old/obs.tsv", "target_gene\tn\n" + "".join(f'"{cell}"\t"g{n % 3}"\t{n}\n' for n, cell in enumerate(CELLS) if n != 4))

# Cells x genes, one column of symbols, where a value says only that there is one.
matrix(HERE / "pattern/matrix.mtx", sp.coo_matrix(COUNTS > 0), field="pattern")
write(HERE / "pattern/features.tsv", lines([f"S{j}" for j in range(N_GENES)]))
write(HERE / "pattern/barcodes.tsv", lines(CELLS))
