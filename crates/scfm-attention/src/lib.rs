//! Transformer inference over genes, and attention between genes streamed from it cell by cell.
//!
//! A single-cell foundation model reads a cell as a sequence of genes. This crate reads checkpoints of
//! [Geneformer](geneformer) and [scGPT](scgpt) as their authors publish them, turns counts into the model's tokens, and
//! averages the model's attention between the genes of two panels over any number of cells in memory that depends
//! on the panels alone. It can also [train](training) small models of both, and [build](planted) some whose truth is known.
//! What the two models share, which is all but what a cell looks like to them and what their weights are called, stands
//! once: see [`Transformer`].
//!
//! From counts to edges:
//!
//! ```
//! use scfm_attention::geneformer::{Checkpoint, Config, Geneformer, Tokenizer, Vocabulary};
//! use scfm_attention::{AbsentPairs, extract};
//! use scfm_core::{CountMatrix, Orientation, Panel, Seeds, Source, Target};
//!
//! // A published model comes from `Checkpoint::load(folder)`; this one has random weights.
//! let genes = ["ENSG01", "ENSG02", "ENSG03"];
//! let vocabulary = Vocabulary::of_genes(genes.map(|gene| (gene.to_owned(), 1.5)))?;
//! let mut stream = Seeds::new(0).stream("example", "weights", 0);
//! let checkpoint = Checkpoint::random(Config::sized(2, 8, 2, vocabulary.len(), 16), vocabulary, &mut stream)?;
//! let model = Geneformer::new(&checkpoint)?;
//!
//! let counts = ndarray::array![[4.0, 0.0, 1.0], [2.0, 3.0, 0.0]];
//! let counts = sprs::CsMat::csr_from_dense(counts.view(), 0.0);
//! let counts = CountMatrix::new(Panel::new(genes)?, counts, vec![5.0, 5.0])?;
//!
//! let panel = checkpoint.vocabulary().panel(counts.genes())?;
//! let tokenizer = Tokenizer::new(checkpoint.vocabulary(), panel.clone(), model.config().max_position_embeddings);
//! let (cells, ledger) = tokenizer.cells(&counts)?;
//! let edges = extract(&model, &cells, panel.clone(), panel, Orientation::Query, AbsentPairs::Missing, |_| ())?;
//!
//! assert_eq!(edges.edges.len(), 2);
//! assert!(edges.edges[1].get(Source(0), Target(2)).is_some());
//! assert_eq!(edges.edges[1].get(Source(1), Target(2)), None); // no cell holds both
//! # let _ = ledger;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! scGPT reads genes by symbol, with the bin of each count among those of its cell:
//!
//! ```
//! use scfm_attention::scgpt::{Checkpoint, Config, ScGpt, Tokenizer, TokenizerParams, Vocabulary};
//! use scfm_attention::{AbsentPairs, extract};
//! use scfm_core::{CountMatrix, Orientation, Panel, Seeds, Source, Target};
//!
//! // The released model comes from `Checkpoint::load(folder)`; this one has random weights.
//! let genes = ["STAT1", "IRF1", "MYC"];
//! let vocabulary = Vocabulary::of_genes(genes.map(str::to_owned))?;
//! let mut stream = Seeds::new(0).stream("example", "weights", 0);
//! let checkpoint = Checkpoint::random(Config::sized(2, 8, 2), vocabulary, &mut stream)?;
//! let model = ScGpt::new(&checkpoint)?;
//!
//! let counts = ndarray::array![[4.0, 0.0, 1.0], [2.0, 3.0, 0.0]];
//! let counts = sprs::CsMat::csr_from_dense(counts.view(), 0.0);
//! let counts = CountMatrix::new(Panel::new(genes)?, counts, vec![5.0, 5.0])?;
//!
//! let panel = checkpoint.vocabulary().panel(counts.genes())?;
//! let params = TokenizerParams::zero_shot(model.config());
//! let mut tokenizer = Tokenizer::new(checkpoint.vocabulary(), panel.clone(), params)?;
//! let (cells, _) = tokenizer.cells(&counts, &[0, 1])?;
//! assert_eq!(cells[0].values(), [-2.0, 50.0, 1.0]); // <cls>, the highest count, the lowest
//! let edges = extract(&model, &cells, panel.clone(), panel, Orientation::Query, AbsentPairs::Missing, |_| ())?;
//! assert!(edges.edges[1].get(Source(0), Target(2)).is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Attention of models that are not computed here is read from tensors in files, and summed in the same way: see
//! [`given`].
//!
//! What happens inside, and what becomes of it when a part is changed, is asked by [`Site`] and said by [`Interventions`];
//! other scores than the mean attention of a layer are [`ModelEdge`](scfm_core::ModelEdge)s that [`AttentionSums::of`] takes:
//!
//! ```
//! use scfm_attention::geneformer::{Checkpoint, Config, Geneformer, Vocabulary};
//! use scfm_attention::{AbsentPairs, AttentionSums, Interventions, Site, TokenisedCell, Transformer};
//! use scfm_core::{Head, Layer, Measure, ModelEdge, Orientation, Panel, Seeds};
//!
//! let vocabulary = Vocabulary::of_genes(["A", "B", "C"].map(|gene| (gene.to_owned(), 1.0)))?;
//! let mut stream = Seeds::new(0).stream("example", "weights", 0);
//! let checkpoint = Checkpoint::random(Config::sized(3, 8, 2, 5, 16), vocabulary, &mut stream)?;
//! let model = Geneformer::new(&checkpoint)?;
//! let cell = TokenisedCell { cell: 0, tokens: vec![3, 2, 4], columns: vec![Some(1), Some(0), Some(2)] };
//!
//! let silenced = Interventions::none().scale_head(Layer(1), Head(0), 0.0);
//! let site = Site::Context(Layer(1), Head(0));
//! assert!(model.trace(&cell, &[site], &silenced)?[&site].iter().all(|&x| x == 0.0));
//!
//! let panel = checkpoint.vocabulary().panel(&Panel::new(["A", "B", "C"])?)?;
//! let edges = [ModelEdge::of_layer(Measure::NormWeighted, Layer(2)), ModelEdge::of_head(Measure::Attention, Layer(2), Head(1))];
//! let mut sums = AttentionSums::of(&model, edges, panel.clone(), panel, Orientation::Query)?;
//! sums.add_under(&model, &silenced, [&cell], |_| ())?;
//! assert_eq!(sums.mean(AbsentPairs::Missing)?.edges[1].kind().to_string(), "attention-L2-H1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A model made to order, for a world whose truth is known:
//!
//! ```
//! use scfm_attention::TokenisedCell;
//! use scfm_attention::geneformer::training::{TrainingParams, train};
//! use scfm_attention::geneformer::{Config, Vocabulary};
//! use scfm_core::Seeds;
//!
//! let vocabulary = Vocabulary::of_genes((0..8).map(|i| (format!("G{i}"), 1.0)))?;
//! let cells: Vec<_> = (0..32)
//!     .map(|cell| {
//!         let tokens: Vec<u32> = if cell % 2 == 0 { (2..6).collect() } else { (6..10).collect() };
//!         TokenisedCell { cell, columns: tokens.iter().map(|t| Some(t - 2)).collect(), tokens }
//!     })
//!     .collect();
//! let config = Config::sized(1, 16, 2, vocabulary.len(), 4);
//! let params = TrainingParams { learning_rate: 5e-3, epochs: 20, ..TrainingParams::default() };
//! let (checkpoint, log) = train(&config, &vocabulary, &cells, &params, Seeds::new(0), |_| ())?;
//! assert!(log.epoch_losses()[19] < log.baseline_loss);
//! # let _ = checkpoint;
//! # Ok::<(), scfm_attention::Error>(())
//! ```
//!
//! Or [built by hand](planted), with regulation in its attention and predictions that need the heads that hold it:
//!
//! ```
//! use scfm_attention::planted::{Planted, PlantedParams};
//! use scfm_attention::scgpt::{Checkpoint, ScGpt, Vocabulary};
//! use scfm_attention::{TokenisedCell, ValuedCell};
//! use scfm_core::{Panel, Seeds};
//!
//! // The first gene activates the second and represses the third.
//! let genes = Panel::new(["STAT1", "IRF1", "MYC"])?;
//! let effects = ndarray::array![[0.0, 1.0, -0.8], [0.0; 3], [0.0; 3]];
//! let planted = Planted::regulating(genes, effects, PlantedParams::default())?;
//! let vocabulary = Vocabulary::of_genes(["STAT1", "IRF1", "MYC"].map(str::to_owned))?;
//! let cell = |bin: f32, [second, third]: [f32; 2]| {
//!     let cell = TokenisedCell { cell: 0, tokens: vec![4, 0, 1, 2], columns: vec![None, Some(0), Some(1), Some(2)] };
//!     ValuedCell::new(cell, vec![-2.0, bin, second, third])
//! };
//! let cells: Vec<ValuedCell> = (0..40u8).map(|i| f32::from(i)).map(|i| cell(5.0 + i, [4.0 + i, 46.0 - i])).collect();
//! let model = ScGpt::new(&Checkpoint::planted(&planted, vocabulary, &cells, Seeds::new(0))?)?;
//!
//! // With its value hidden, the second gene is expected where the first one is.
//! let expected = |bin: f32| model.expression(&cell(bin, [-1.0, 25.0])).map(|bins| bins[2]);
//! assert!(expected(45.0)? > expected(5.0)? + 5.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cell;
mod cell_embeddings;
mod cell_sums;
mod device;
mod edge_sums;
mod encoder;
mod error;
mod extraction;
mod folder;
pub mod geneformer;
pub mod given;
mod group_sums;
mod header;
mod interventions;
mod kernels;
mod layer;
mod linear;
mod mean_contexts;
mod nulls;
mod observer;
mod panel;
pub mod planted;
mod product;
pub mod scgpt;
mod site;
mod steps;
mod trace;
pub mod training;
mod transformer;
mod vocabulary;
mod weights;

pub use cell::{TokenisedCell, ValuedCell};
pub use cell_embeddings::cell_embeddings;
pub use device::Device;
pub use edge_sums::{EdgeSums, add_pair_counts};
pub use error::Error;
pub use extraction::{AbsentPairs, AttentionSums, Extraction, add_by_group, extract};
pub use group_sums::sums_of_groups;
pub use interventions::Interventions;
pub use mean_contexts::MeanContexts;
pub use nulls::{TokenShuffle, permute_expression};
pub use panel::TokenPanel;
pub use site::Site;
pub use trace::Activations;
pub use transformer::Transformer;
pub use weights::Weights;

/// What benchmarks time; no part of the interface.
#[doc(hidden)]
pub mod internals {
    /// `a b`.
    ///
    /// # Errors
    /// Where the shapes do not fit.
    pub fn product(
        a: &candle_core::Tensor,
        b: &candle_core::Tensor,
    ) -> candle_core::Result<candle_core::Tensor> {
        crate::product::product(a, b)
    }
}
