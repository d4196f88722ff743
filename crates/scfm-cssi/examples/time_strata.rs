//! Times one step from cells to strata on arrays in files, in a process of its own so that its memory can be measured too.
//!
//! ```text
//! cargo run --release -p scfm-cssi --example time_strata -- neighbours inputs/w10_pcs.npy
//! cargo run --release -p scfm-cssi --example time_strata -- components inputs/w10_X.npy
//! cargo run --release -p scfm-cssi --example time_strata -- communities edges.npy weights.npy
//! ```
//!
//! The first reads coordinates `[cells, dimensions]` in single precision and finds 15 neighbours and their fuzzy weights, the
//! second finds 50 principal components and coordinates of expression `[cells, genes]`, the third finds communities at
//! resolution 1 of a graph: pairs of cells `[edges, 2]` as `i64`, each once, and weights `[edges]` as `f64`. Prints a line that
//! starts with `@@` and goes on in JSON.

use std::time::Instant;

use ndarray::{Array1, Array2};
use scfm_cssi::{Covariance, Graph, leiden, nearest_neighbours};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let start = Instant::now();
    let check = match arguments[..] {
        ["neighbours", coordinates] => {
            let coordinates: Array2<f32> = ndarray_npy::read_npy(coordinates)?;
            let neighbours = nearest_neighbours(coordinates.view(), 15)?;
            let graph = Graph::fuzzy(&neighbours);
            let weights = (0..graph.n_cells()).flat_map(|cell| graph.edges_of(cell));
            serde_json::json!({
                "edges": graph.n_edges(),
                "dist_sum": neighbours.distances.sum(),
                "conn_sum": weights.map(|(_, weight)| weight).sum::<f64>(),
            })
        }
        ["components", expression] => {
            let expression: Array2<f32> = ndarray_npy::read_npy(expression)?;
            let genes: Vec<usize> = (0..expression.ncols()).collect();
            let components = Covariance::of(expression.view())?.components(&genes, 50)?;
            let coordinates = components.coordinates(expression.view());
            serde_json::json!({ "pc_var": &components.variances[..5], "cells": coordinates.nrows() })
        }
        ["communities", edges, weights] => {
            let edges: Array2<i64> = ndarray_npy::read_npy(edges)?;
            let weights: Array1<f64> = ndarray_npy::read_npy(weights)?;
            let n_cells = 1 + edges.iter().copied().max().unwrap_or(0) as usize;
            let edges: Vec<_> = edges
                .rows()
                .into_iter()
                .zip(weights)
                .map(|(edge, weight)| (edge[0] as usize, edge[1] as usize, weight))
                .collect();
            let graph = Graph::from_edges(n_cells, &edges);
            let labels = leiden(&graph, 1.0, 0)?;
            serde_json::json!({
                "clusters": labels.iter().max().map(|&label| label + 1),
                "modularity": graph.modularity(&labels, 1.0),
            })
        }
        _ => return Err("which step, and of which file?".into()),
    };
    let line = serde_json::json!({ "task_s": start.elapsed().as_secs_f64(), "check": check });
    println!("@@{line}");
    Ok(())
}
