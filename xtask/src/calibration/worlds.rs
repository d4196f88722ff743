//! The files of a world: a screen, its references and a checkpoint that knows what the world says.

use std::path::Path;

use anyhow::{Context as _, Result};
use ndarray::Array2;
use rand::RngExt;
use scfm_attention::geneformer;
use scfm_attention::planted::{Planted, PlantedParams};
use scfm_attention::scgpt::{self, TokenizerParams};
use scfm_baselines::{features, gene_features, spearman_edges};
use scfm_core::{CountMatrix, Panel, Seeds};
use scfm_synth::{NetworkParams, ScreenParams, WorldParams, draw};

use super::{Family, Truth, World};
use crate::context::Context;
use crate::fixture::{Simulation, vocabulary, write_references};
use crate::inputs::{EdgeFiles, Inputs};
use crate::reference_files;

/// Genes of a world. Most are variable enough for its panel by themselves.
const N_GENES: usize = 88;
/// Its transcription factors, all of which are perturbed.
const N_TFS: usize = 36;
/// Other genes that are perturbed.
const N_OTHERS: usize = 3;
/// The models: layers, heads of each and how many of those follow what the model knows, in the upper layers alone, so that there
/// is something to find along the depth. Few of many, since the heads that are ranked first are compared with random sets of as
/// many, and not so many that one of them is not felt.
const N_LAYERS: usize = 4;
const PLANTED_FROM: usize = 2;
const N_HEADS: usize = 7;
const N_PLANTED: usize = 2;
/// Of the logits of a head: less than that of a network of these factors, whose first dimensions hold most of it.
const RANK: usize = 18;
/// Logits by which the best-liked key stands out at the stated strength.
const STRENGTH: f64 = 9.0;
/// Where a gene that is in no cell would stand at minus infinity.
const LEAST_MEAN: f64 = 1e-6;
const SCREEN: &str = "screen.h5ad";

/// Writes the files of a world to `folder` and says how they are evaluated.
pub fn make(world: &World, seeds: Seeds, folder: &Path) -> Result<Inputs> {
    // Nothing of a world is another's: models draw from streams that do not know for which world.
    let seeds = Seeds::new(seeds.stream("calibration", &world.to_string(), 0).random());
    let simulated = scfm_synth::World::new(params(world), seeds)?;
    let simulation = Simulation::new(simulated, &screen_params(world.truth), seeds.root(), SCREEN)?;
    simulation.write_screen(&folder.join(SCREEN))?;
    write_references(&simulation.world, folder, seeds)?;
    let model = folder.join("model");
    let cells = simulation.control_cells();
    write_model(world, &simulation.world, &cells, seeds, &model)?;

    let mut context: Context = toml::from_str(include_str!("context.toml"))?;
    context.parameters.ablation_cells = ablation_cells(world.family);
    context.parameters.n_ctrl = edge_cells(world.truth);
    let references = reference_files::find(&context, Some(&folder.join("references")), true)?;
    Ok(Inputs {
        context,
        data: folder.join(SCREEN),
        edges: EdgeFiles::Model {
            dictionaries: model.clone(),
            folder: model,
        },
        references,
        embedded: true,
        checkpoint: None,
    })
}

/// Control cells that edges are read from, and at least as many again for differential expression: more where samples and strata of
/// them are looked at.
fn edge_cells(truth: Truth) -> usize {
    match truth {
        Truth::NoSignal => 160,
        _ => 88,
    }
}

/// Cells in which genes are hidden: squared bins are noisier than nats.
fn ablation_cells(family: Family) -> usize {
    match family {
        Family::Geneformer => 18,
        Family::ScGpt => 28,
    }
}

/// What the world is drawn from: that of which control cells must show nothing is left out.
fn params(world: &World) -> WorldParams {
    let common = WorldParams {
        n_genes: N_GENES,
        n_tfs: N_TFS,
        n_states: 1,
        network: NetworkParams {
            min_out_degree: 5,
            max_out_degree: 11,
            // All genes have about as many regulators, or how much a gene varies would tell how often it responds.
            in_degree_sd: 0.1,
            unregulated: 0.0,
            strength: (0.5, 0.7),
            state_specific: 0.0,
            ..NetworkParams::default()
        },
        abundance_sd: 1.0,
        dispersion: (0.05, 0.05),
        state_shift: (0.0, 0.0),
        ..WorldParams::new(world.to_string())
    };
    match world.truth {
        Truth::NoSignal => WorldParams {
            abundance_sd: 0.0,
            tf_abundance: 0.0,
            n_programmes: 0,
            tf_noise: 0.0,
            ..common
        },
        Truth::GeneLevel => WorldParams {
            n_programmes: 0,
            tf_noise: 0.0,
            ..common
        },
        Truth::CoExpression => WorldParams {
            n_programmes: 3,
            programme: (0.5, 0.6),
            tf_noise: 0.0,
            ..common
        },
        // What a regulator does is felt by its targets, and little by theirs. Factors have an activity of their own, which targets
        // follow; programmes make genes vary without regulation.
        Truth::Regulatory => WorldParams {
            network: NetworkParams {
                strength: (0.45, 0.65),
                ..common.network
            },
            n_programmes: 2,
            programme: (0.3, 0.5),
            tf_noise: 1.1,
            ..common
        },
    }
}

fn screen_params(truth: Truth) -> ScreenParams {
    ScreenParams {
        n_controls: (2 * edge_cells(truth)).max(240),
        n_control_guides: 4,
        n_perturbed_tfs: N_TFS,
        n_perturbed_others: N_OTHERS,
        cells_per_guide: 48,
        depth: 2_500.0,
        stress: (0.05, 0.8),
        // What donors shift in a factor its targets follow, which control cells would show in every world.
        donor_sd: 0.0,
        ..ScreenParams::default()
    }
}

/// What the heads of the world's model look at, and whether it predicts by them.
fn planted(
    world: &World,
    simulated: &scfm_synth::World,
    cells: &CountMatrix,
    seeds: Seeds,
) -> Result<Planted> {
    let n = simulated.genes().len();
    // As the vocabulary of the family calls them.
    let genes = match world.family {
        Family::Geneformer => Panel::new(simulated.ensembl_ids())?,
        Family::ScGpt => simulated.genes().clone(),
    };
    let params = PlantedParams {
        n_layers: N_LAYERS,
        n_heads: N_HEADS,
        n_planted: N_PLANTED,
        planted_from: PLANTED_FROM,
        strength: STRENGTH * f64::from(world.strength) / 100.0,
        rank: RANK,
        ..PlantedParams::default()
    };
    let planted = match world.truth {
        Truth::NoSignal => {
            let rng = &mut seeds.stream("calibration", "affinity", 0);
            let of_key: Vec<f64> = (0..n).map(|_| draw::normal(rng)).collect();
            let affinity = Array2::from_shape_fn((n, n), |(_, key)| of_key[key] + draw::normal(rng));
            Planted::following(genes, affinity, params)
        }
        Truth::GeneLevel => {
            let table = gene_features(cells)?;
            let mean = table.feature(features::MEAN).context("the mean is a feature")?;
            Planted::following(
                genes,
                Array2::from_shape_fn((n, n), |(_, key)| mean[key].max(LEAST_MEAN).ln()),
                params,
            )
        }
        Truth::CoExpression => {
            let edges = spearman_edges(cells, cells.genes(), cells.genes())?;
            let known = |r: f32| if r.is_nan() { 0.0 } else { f64::from(r).abs() };
            // A gene goes with itself more than with any other, which says nothing of the others.
            let affinity = Array2::from_shape_fn((n, n), |pair| {
                if pair.0 == pair.1 {
                    0.0
                } else {
                    known(edges.scores()[pair])
                }
            });
            Planted::following(genes, affinity, params)
        }
        Truth::Regulatory => {
            let mut effects = Array2::zeros((n, n));
            for edge in simulated.network().edges() {
                effects[[edge.source.0, edge.target.0]] = edge.effect();
            }
            Planted::regulating(genes, effects, params)
        }
    };
    Ok(planted?)
}

/// Writes the checkpoint of a world.
fn write_model(
    world: &World,
    simulated: &scfm_synth::World,
    cells: &CountMatrix,
    seeds: Seeds,
    folder: &Path,
) -> Result<()> {
    let planted = planted(world, simulated, cells, seeds)?;
    let genes = simulated.genes();
    match world.family {
        Family::Geneformer => {
            let vocabulary = vocabulary(simulated, std::slice::from_ref(cells))?;
            let names = vocabulary.names().clone();
            let tokens = vocabulary.panel_by(genes, |symbol| names.get(symbol).cloned())?;
            let tokenizer = geneformer::Tokenizer::new(&vocabulary, tokens, genes.len());
            let (cells, _) = tokenizer.cells(cells)?;
            geneformer::Checkpoint::planted(&planted, vocabulary, &cells, seeds)?.save(folder)?;
        }
        Family::ScGpt => {
            let vocabulary = scgpt::Vocabulary::of_genes(genes.genes().iter().map(ToString::to_string))?;
            let params = TokenizerParams::zero_shot(&scgpt::Config::released());
            let mut tokenizer = scgpt::Tokenizer::new(&vocabulary, vocabulary.panel(genes)?, params)?;
            let rows: Vec<usize> = (0..cells.n_cells()).collect();
            let (cells, _) = tokenizer.cells(cells, &rows)?;
            scgpt::Checkpoint::planted(&planted, vocabulary, &cells, seeds)?.save(folder)?;
        }
    }
    Ok(())
}
