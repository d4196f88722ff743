//! Reference networks, the candidate pairs that a reference and two panels leave to be ranked, and how well edge
//! scores recover the reference among them.
//!
//! A reference file becomes a [`ReferenceNetwork`]; with the panels of an edge matrix it becomes a
//! [`CandidateUniverse`], whose ledger says what was lost on the way; [`recovery`] ranks its candidates.
//!
//! ```
//! use ndarray::array;
//! use scfm_core::{EdgeKind, EdgeMatrix, Layer, Panel};
//! use scfm_grn::{CandidateUniverse, Format, GeneNames, ReferenceNetwork, recovery};
//!
//! let trrust = "STAT1\tIRF1\tActivation\t10764778\nIRF1\tSTAT1\tUnknown\t12032141;9687379\n";
//! let reference = ReferenceNetwork::from_reader("trrust.tsv", trrust.as_bytes(), Format::Trrust)?;
//!
//! let panel = Panel::new(["STAT1", "IRF1", "ACTB"])?;
//! let universe = CandidateUniverse::new(&reference, &panel, &panel, GeneNames::default())?;
//! assert_eq!((universe.n_positives(), universe.n_candidates()), (2, 4));
//!
//! let scores = array![[0.0, 0.9, 0.3], [0.8, 0.0, 0.1], [0.5, 0.5, 0.5]];
//! let edges = EdgeMatrix::new(EdgeKind::attention(Layer(3)), panel.clone(), panel, scores)?;
//! let recovered = recovery(&edges, &universe, &[1])?;
//! assert_eq!(recovered.auroc, Ok(1.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Scored pairs of any other tool are an [`EdgeList`]; [`beeline`] and [`dream5`] score it as these benchmarks do, and
//! [`degree_null`] asks what is left beyond the number of partners of each gene.
//!
//! References without a direction become pairs of a panel: [`GeneSets`] (Reactome, KEGG, GO) and [`ScoredPairs`] (STRING).
//! [`layer_relations`] judges every layer of a model against them, [`tf_recovery`] one factor at a time, [`circularity`] the
//! pairs with a known mode, and [`match_expression`] draws negatives that are expressed as the positives are.
//!
//! ```
//! use scfm_core::Panel;
//! use scfm_grn::{GeneSets, SetSizes};
//!
//! let gmt = "Interferon signalling\tR-HSA-913531\tSTAT1\tIRF1\tISG15\nActin\t\tACTB\tACTG1\n";
//! let sets = GeneSets::from_reader("pathways.gmt", gmt.as_bytes())?;
//! let panel = Panel::new(["STAT1", "IRF1", "ACTB"])?;
//! let related = sets.pairs(&panel, SetSizes::default(), None)?;
//! assert!(related.pairs.contains(0, 1) && related.pairs.len() == 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A pair of genes may stand on several lines of a file; its modes are kept together:
//!
//! ```
//! use scfm_grn::{Format, ReferenceNetwork};
//!
//! let list = "source,target,mode,weight\nMYC,TERT,activation,0.5\nMYC,TERT,repression,2\n";
//! let reference = ReferenceNetwork::from_reader("list.csv", list.as_bytes(), Format::EdgeList)?;
//! let edge = &reference.edges()[0];
//! assert!(edge.modes.activation && edge.modes.repression && !edge.modes.unknown);
//! assert_eq!(edge.weight, Some(2.0));
//! # Ok::<(), scfm_grn::Error>(())
//! ```

mod benchmarks;
mod circularity;
mod crosswalk;
mod degree_null;
mod edge_list;
mod error;
mod expression_matching;
mod fixed_degrees;
mod gene_sets;
mod layer_relations;
mod level;
mod lines;
mod list_reader;
mod mixing;
mod network;
mod pair_set;
mod partial_relations;
mod recovery;
mod scaling;
mod scored_list;
mod shared_genes;
mod string_links;
mod tf_recovery;
mod tfs;
mod universe;

pub use benchmarks::{BeelineScore, Dream5Score, beeline, dream5};
pub use circularity::{Circularity, TfModes, circularity};
pub use crosswalk::{Crosswalk, is_ensembl};
pub use degree_null::{DegreeNull, DegreeNullParams, MIN_NETWORKS, degree_null};
pub use edge_list::Format;
pub use error::Error;
pub use expression_matching::{ExpressionIndex, MatchedPair, MatchedPairs, MatchingParams, match_expression};
pub use fixed_degrees::FixedDegrees;
pub use gene_sets::{GeneSet, GeneSets, RelatedPairs, SetSizes};
pub use layer_relations::{
    Enrichment, LayerRelations, NamedRelation, Relation, RelationParams, RelationProfile, layer_relations,
};
pub use level::Level;
pub use mixing::Mixing;
pub use network::{Edge, Modes, ReferenceNetwork};
pub use pair_set::PairSet;
pub use partial_relations::{PartialRelation, partial_memberships};
pub use recovery::{Recovery, recovery, recovery_of_scores};
pub use scaling::{Metric, SampleRecovery, overlap, sample_recoveries, trend};
pub use scored_list::{Absent, EdgeList, ListGenes, Ranking, ScoredEdge, Truncation, thousands};
pub use string_links::{ScoreScale, ScoredPairs, read_protein_names};
pub use tf_recovery::{TfComparison, TfRecovery, compare_tfs, feature_of_tfs, tf_recovery};
pub use tfs::{TfClass, TfClasses, read_tf_list};
pub use universe::{CandidateUniverse, GeneNames};
