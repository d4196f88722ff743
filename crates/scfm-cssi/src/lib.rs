//! stub
mod error;
mod graph;
mod leiden;
mod neighbours;

pub use error::Error;
pub use graph::Graph;
pub use leiden::{Communities, Partition, Scanned, leiden};
pub use neighbours::{Neighbours, nearest_neighbours};
