"""Golden values of scanpy, umap-learn, scikit-learn and leidenalg for the tests of this crate.

    pip install -r requirements.txt && python generate.py

Writes golden.json beside itself. Distances come from a k-d tree: the brute-force search of scikit-learn gives some cells a
small distance from themselves, which UMAP then takes for that of their nearest neighbour.
"""

import json
import pathlib

import anndata
import igraph
import leidenalg
import networkx
import numpy as np
import scanpy
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsTransformer

rng = np.random.default_rng(0)


def fuzzy_graph(points, k):
    cells = anndata.AnnData(np.zeros((len(points), 1), np.float32))
    cells.obsm["X_pca"] = points
    search = KNeighborsTransformer(n_neighbors=k, algorithm="kd_tree")
    scanpy.pp.neighbors(cells, n_neighbors=k, use_rep="X_pca", transformer=search)
    return cells.obsp["distances"].tocsr(), cells.obsp["connectivities"].tocsr()


def neighbours():
    centres = 3 * rng.standard_normal((4, 6))
    points = np.round(centres[np.arange(80) % 4] + rng.standard_normal((80, 6)), 3)
    distances, weights = fuzzy_graph(points, 10)
    rows, columns = weights.nonzero()
    return {
        "k": 10,
        "points": points.tolist(),
        "distances": [sorted(float(d) for d in distances[i].data if d > 0)[:9] for i in range(80)],
        "edges": [
            [int(i), int(j), float(weights[i, j])] for i, j in zip(rows, columns) if i < j
        ],
    }


def components():
    points = np.round(rng.standard_normal((60, 8)) @ np.diag([4, 3, 2, 1.5, 1, 0.8, 0.5, 0.3]) + 5, 4)
    fit = PCA(4, svd_solver="full").fit(points)
    return {
        "points": points.tolist(),
        "variances": fit.explained_variance_.tolist(),
        "loadings": fit.components_.tolist(),
        "coordinates": fit.transform(points).tolist(),
    }


def communities(name, n, edges, truth=None):
    graph = igraph.Graph(n=n, edges=[(a, b) for a, b, _ in edges])
    weights = [w for _, _, w in edges]
    found = []
    for resolution in (0.5, 1.0, 2.0):
        parts = [
            leidenalg.find_partition(
                graph,
                leidenalg.RBConfigurationVertexPartition,
                weights=weights,
                n_iterations=-1,
                seed=seed,
                resolution_parameter=resolution,
            )
            for seed in range(10)
        ]
        quality = [part.quality() / (2 * sum(weights)) for part in parts]
        best = parts[int(np.argmax(quality))]
        found.append(
            {
                "resolution": resolution,
                "qualities": quality,
                "labels": best.membership,
            }
        )
    return {"name": name, "n": n, "edges": edges, "found": found, "truth": truth}


def planted(n_blocks, size, inside, between):
    truth = np.repeat(np.arange(n_blocks), size)
    edges = []
    for a in range(n_blocks * size):
        for b in range(a + 1, n_blocks * size):
            if rng.random() < (inside if truth[a] == truth[b] else between):
                edges.append([a, b, float(np.round(rng.uniform(0.5, 1.5), 3))])
    return communities("planted partition", n_blocks * size, edges, truth.tolist())


def karate():
    graph = networkx.karate_club_graph()
    return communities("karate club", 34, [[a, b, 1.0] for a, b in graph.edges()])


def clusters():
    centres = 2 * rng.standard_normal((5, 4))
    points = np.round(centres[np.arange(150) % 5] + rng.standard_normal((150, 4)), 3)
    fit = KMeans(5, n_init=50, random_state=0).fit(points)
    return {"points": points.tolist(), "n_clusters": 5, "spread": float(fit.inertia_)}


found = neighbours()
golden = {
    "neighbours": found,
    "components": components(),
    "communities": [
        karate(),
        planted(6, 20, 0.5, 0.03),
        communities("neighbours", 80, found["edges"], [i % 4 for i in range(80)]),
    ],
    "clusters": clusters(),
}
path = pathlib.Path(__file__).with_name("golden.json")
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
