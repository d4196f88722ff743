//! Weighted graphs over cells.

use rayon::prelude::*;

use crate::neighbours::Neighbours;

/// How close the sum of memberships of a cell comes to its target, and in how many halvings at most; UMAP's constants.
const TOLERANCE: f64 = 1e-5;
const HALVINGS: usize = 64;
/// A bandwidth is at least this share of the mean distance.
const MIN_BANDWIDTH: f64 = 1e-3;

/// An undirected weighted graph without loops, by rows: both directions of each edge are held.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Where the neighbours of each cell begin, and their end.
    pub(crate) starts: Vec<usize>,
    /// Neighbours, ascending within a cell.
    pub(crate) cells: Vec<u32>,
    pub(crate) weights: Vec<f32>,
}

impl Graph {
    /// Fuzzy memberships of UMAP (McInnes, Healy and Melville 2018), which scanpy calls connectivities: w = a + b − a·b
    /// of the directed a and b, and a = exp(−(d − ρ)/σ) with ρ the distance to the nearest distinct neighbour and σ such
    /// that the memberships of a cell sum to log₂ k.
    ///
    /// Oracle: `scanpy.pp.neighbors`, within 1e-5.
    pub fn fuzzy(neighbours: &Neighbours) -> Self {
        let (n, k) = (neighbours.cells.nrows(), neighbours.k());
        let mean = neighbours.distances.sum() / (n * k) as f64;
        let memberships = (0..n)
            .into_par_iter()
            .map(|cell| {
                let distances = neighbours.distances.row(cell);
                memberships(distances.as_slice().expect("rows are contiguous"), mean)
            })
            .collect();
        Self::union(neighbours, memberships, |a, b| a + b - a * b)
    }

    /// Every pair of which one is a neighbour of the other, with weight 1.
    pub fn unweighted(neighbours: &Neighbours) -> Self {
        let ones = vec![vec![1.0; neighbours.k() - 1]; neighbours.cells.nrows()];
        Self::union(neighbours, ones, f64::max)
    }

    /// A graph of the given edges (a, b, weight), each once.
    ///
    /// # Panics
    /// When an edge leads to a cell beyond `n_cells`, or from a cell to itself.
    pub fn from_edges(n_cells: usize, edges: &[(usize, usize, f64)]) -> Self {
        let mut rows = vec![Vec::new(); n_cells];
        for &(a, b, weight) in edges {
            assert!(a != b, "an edge leads from one cell to another");
            rows[a].push((b as u32, weight));
            rows[b].push((a as u32, weight));
        }
        for row in &mut rows {
            row.sort_unstable_by_key(|&(cell, _)| cell);
        }
        Self::of_rows(&rows)
    }

    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of pairs with an edge.
    pub fn n_edges(&self) -> usize {
        self.cells.len() / 2
    }

    /// The neighbours of `cell`, ascending, and the weights of the edges to them.
    pub fn edges_of(&self, cell: usize) -> impl Iterator<Item = (usize, f64)> {
        let range = self.starts[cell]..self.starts[cell + 1];
        let cells = self.cells[range.clone()].iter().map(|&cell| cell as usize);
        cells.zip(self.weights[range].iter().map(|&weight| f64::from(weight)))
    }

    /// Newman's modularity of a partition at `resolution` γ: Σ over communities of the share of weight within, less γ times
    /// the squared share of ends. 0 for a graph without edges.
    ///
    /// # Panics
    /// When there are not as many labels as cells.
    pub fn modularity(&self, labels: &[usize], resolution: f64) -> f64 {
        assert_eq!(labels.len(), self.n_cells(), "one label for each cell");
        let n_labels = labels.iter().max().map_or(0, |&label| label + 1);
        let (mut within, mut ends) = (0.0, vec![0.0; n_labels]);
        for (cell, &label) in labels.iter().enumerate() {
            for (other, weight) in self.edges_of(cell) {
                ends[label] += weight;
                if labels[other] == label {
                    within += weight;
                }
            }
        }
        let all: f64 = ends.iter().sum();
        if all == 0.0 {
            return 0.0;
        }
        within / all - resolution * ends.iter().map(|end| (end / all).powi(2)).sum::<f64>()
    }

    /// Both directions of each edge, joined where both exist; of one that has no reverse, the reverse weighs 0.
    fn union(
        neighbours: &Neighbours,
        directed: Vec<Vec<f64>>,
        join: impl Fn(f64, f64) -> f64 + Sync,
    ) -> Self {
        let n = neighbours.cells.nrows();
        let mut rows: Vec<Vec<(u32, f64)>> = vec![Vec::new(); n];
        let mut incoming: Vec<Vec<(u32, f64)>> = vec![Vec::new(); n];
        for (cell, weights) in directed.into_iter().enumerate() {
            for (&other, weight) in neighbours.cells.row(cell).iter().zip(weights) {
                rows[cell].push((other, weight));
                incoming[other as usize].push((cell as u32, weight));
            }
        }
        rows.par_iter_mut().zip(incoming).for_each(|(row, incoming)| {
            row.sort_unstable_by_key(|&(cell, _)| cell);
            *row = joined(row, &incoming, &join);
        });
        Self::of_rows(&rows)
    }

    fn of_rows(rows: &[Vec<(u32, f64)>]) -> Self {
        let mut graph = Self {
            starts: vec![0],
            cells: Vec::new(),
            weights: Vec::new(),
        };
        for row in rows {
            graph.cells.extend(row.iter().map(|&(cell, _)| cell));
            graph.weights.extend(row.iter().map(|&(_, weight)| weight as f32));
            graph.starts.push(graph.cells.len());
        }
        graph
    }
}

/// Two lists in ascending order of cells as one.
fn joined(a: &[(u32, f64)], b: &[(u32, f64)], join: impl Fn(f64, f64) -> f64) -> Vec<(u32, f64)> {
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    std::iter::from_fn(|| match (a.peek().copied(), b.peek().copied()) {
        (None, None) => None,
        (Some((at, left)), Some((other, right))) if at == other => {
            a.next();
            b.next();
            Some((at, join(left, right)))
        }
        (Some((at, left)), right) if right.is_none_or(|(other, _)| at < other) => {
            a.next();
            Some((at, join(left, 0.0)))
        }
        (_, Some((at, right))) => {
            b.next();
            Some((at, join(0.0, right)))
        }
        (Some(_), None) => unreachable!("an edge without a rival comes first"),
    })
    .collect()
}

/// Memberships of one cell's neighbours at ascending `distances`; `mean` is the mean distance of all cells.
fn memberships(distances: &[f64], mean: f64) -> Vec<f64> {
    let nearest = distances.iter().copied().find(|&d| d > 0.0).unwrap_or(0.0);
    let bandwidth = bandwidth(distances, nearest, mean);
    distances
        .iter()
        .map(|d| {
            if *d <= nearest || bandwidth == 0.0 {
                1.0
            } else {
                (-(d - nearest) / bandwidth).exp()
            }
        })
        .collect()
}

fn bandwidth(distances: &[f64], nearest: f64, mean: f64) -> f64 {
    let k = distances.len() + 1;
    let target = (k as f64).log2();
    let (mut low, mut high, mut middle) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..HALVINGS {
        let sum: f64 = distances
            .iter()
            .map(|d| {
                if *d > nearest {
                    (-(d - nearest) / middle).exp()
                } else {
                    1.0
                }
            })
            .sum();
        if (sum - target).abs() < TOLERANCE {
            break;
        }
        if sum > target {
            high = middle;
        } else {
            low = middle;
        }
        middle = if high.is_infinite() {
            middle * 2.0
        } else {
            (low + high) / 2.0
        };
    }
    let scale = if nearest > 0.0 {
        distances.iter().sum::<f64>() / k as f64
    } else {
        mean
    };
    f64::max(middle, MIN_BANDWIDTH * scale)
}
