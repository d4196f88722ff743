//! Single-cell files in, Parquet tables and edges out.
//!
//! [`H5ad`] reads counts, cell labels and gene names from the files of anndata, by chunk and within a memory
//! budget; [`H5adWriter`] writes such files with reproducible bytes. [`write_edges`] and [`write_table`] put
//! results into Parquet files that pandas, polars and DuckDB read as they are. The dictionaries of Geneformer and
//! scGPT come from [`read_token_dictionary`] and its neighbours, without executing any pickle, and so do the
//! tensors of a `pytorch_model.bin` ([`TorchFile`]). Every file that is
//! written appears whole or not at all ([`atomic_write`]). Files are untrusted: a broken one is an [`Error`] that
//! names the file and the place in it, never a panic.
//!
//! Cells of an h5ad file over the genes of a panel:
//!
//! ```
//! # use scfm_io::{CountType, FrameColumn, H5adWriter};
//! # use sprs::CsMat;
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("screen.h5ad");
//! # let counts = CsMat::new((3, 2), vec![0, 1, 3, 3], vec![1, 0, 1], vec![4.0f32, 2.0, 8.0]);
//! # let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
//! # H5adWriter::new(owned(&["a", "b", "c"]), owned(&["STAT1", "IRF1"]))
//! #     .matrix(MatrixName::X, counts.view(), CountType::F32)
//! #     .obs("target_gene", FrameColumn::Text(["NT", "JAK2", "NT"].map(|l| Some(l.to_owned())).to_vec()))
//! #     .write(&path)?;
//! use scfm_core::Panel;
//! use scfm_io::{GeneMap, H5ad, MatrixName, ReadLimits};
//!
//! let file = H5ad::open(&path, &ReadLimits::default())?;
//! let labels = file.obs()?.column("target_gene")?.labels();
//! let controls: Vec<usize> = (0..file.n_cells()).filter(|&row| labels[row].as_deref() == Some("NT")).collect();
//!
//! let matrix = file.counts_matrix()?;
//! let genes = GeneMap::new(&file.gene_ids(&matrix, None)?).onto(&Panel::new(["IRF1"])?);
//! let counts = file.cells(&matrix, &controls, &genes)?;
//! assert_eq!(counts.counts().get(0, 0), Some(&4.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Edges to Parquet and back:
//!
//! ```
//! use ndarray::array;
//! use scfm_core::{EdgeKind, EdgeMatrix, Panel};
//! use scfm_io::{read_edges, write_edges};
//!
//! let genes = Panel::new(["STAT1", "IRF1"])?;
//! let scores = array![[1.0, 0.5], [0.5, f32::NAN]];
//! let edges = EdgeMatrix::new(EdgeKind::Spearman, genes.clone(), genes, scores)?;
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("spearman.parquet");
//! write_edges(&path, &edges, &[("scfm.seed".to_owned(), "7".to_owned())])?;
//! let (back, metadata) = read_edges(&path)?;
//! assert_eq!(back.align(back.sources(), back.targets())[[0, 1]], 0.5);
//! assert_eq!(metadata[1], ("scfm.seed".to_owned(), "7".to_owned()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod atomic;
mod dictionary;
mod edge_rows;
mod edges;
mod error;
mod h5ad;
mod hash;
mod pickle;
mod tables;
mod torch;

pub use atomic::{atomic_write, remove_partial_files};
pub use dictionary::{read_median_dictionary, read_name_dictionary, read_token_dictionary};
pub use edge_rows::{EdgeRows, is_parquet, read_edge_rows};
pub use edges::{
    PairCounts, PairSums, read_edges, read_pair_counts, read_pair_sums, write_edges, write_edges_csv,
    write_pair_counts, write_pair_sums,
};
pub use error::Error;
pub use h5ad::{
    Backend, ColumnSummary, CountType, Frame, FrameColumn, GeneMap, H5ad, H5adWriter, MatrixName,
    MatrixSummary, ReadLimits, Regulators, Scalar, Summary, is_hdf5, is_matrix_folder, strip_version,
};
pub use hash::content_hash;
pub use tables::{Metadata, read_metadata, read_table, write_csv, write_table, write_table_pieces};
pub use torch::{TorchFile, TorchType};
