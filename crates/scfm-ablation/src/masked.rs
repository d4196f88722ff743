use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, Axis};
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use scfm_attention::{Activations, Interventions, Site, TokenisedCell, Transformer};
use scfm_core::Layer;

use crate::intact::{going_on, lowest_layer, shared_sites};
use crate::predictor::{CellOf, cosine_distance};
use crate::{Error, Judgement, Predictor};

/// At most so many genes of a cell are hidden: more would cost more in the vocabulary head than in the layers.
pub const MOST_HIDDEN: usize = 200;

/// Cells whose results stand in memory before they are added up.
const CHUNK: usize = 32;

/// What a cell is asked for: places of hidden genes, and the targets that they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hidden {
    /// Places in the cell, ascending.
    pub places: Vec<u32>,
    /// For each of them the position of the gene among the targets.
    pub targets: Vec<usize>,
}

impl Hidden {
    /// Hides some of the `wanted` genes of a cell: `wanted` has for each column of the counts the gene's position among the
    /// targets, if it is to be asked for. At most `share` of the cell's genes are hidden ([`Predictor::HIDDEN_SHARE`]). All
    /// conditions are asked for the same ones.
    pub fn draw(cell: &TokenisedCell, wanted: &[Option<usize>], share: f64, rng: &mut ChaCha8Rng) -> Self {
        let mut n_genes = 0usize;
        let mut found = Vec::new();
        for (place, column) in (0..).zip(&cell.columns) {
            let Some(column) = column else { continue };
            n_genes += 1;
            if let Some(Some(target)) = wanted.get(*column as usize) {
                found.push((place, *target));
            }
        }
        let most = ((n_genes as f64 * share).round() as usize).max(1);
        let n = most.min(MOST_HIDDEN).min(found.len());
        let mut drawn: Vec<(u32, usize)> = index::sample(rng, found.len(), n)
            .iter()
            .map(|i| found[i])
            .collect();
        drawn.sort_unstable();
        let (places, targets) = drawn.into_iter().unzip();
        Self { places, targets }
    }
}

/// What the hidden genes of some cells say of each condition.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskedReadOut {
    /// In how many cells each target was hidden.
    pub n_cells: Vec<u32>,
    /// Mean loss of the intact model at each target; NaN where it was never hidden.
    pub intact: Vec<f64>,
    /// Mean change of the loss, altered minus intact, `[condition, target]`; NaN where the target was never hidden.
    pub change: Array2<f64>,
    /// Mean change of the rank of the true token, where tokens are predicted.
    pub rank_change: Option<Array2<f64>>,
    /// How far each condition moved the model.
    pub fidelity: Vec<Fidelity>,
    /// Cells with a hidden gene.
    pub cells_read: usize,
    /// Why the model predicts nothing, where it cannot be asked: losses and what is read of predictions are then NaN, and
    /// hidden states those of cells in which nothing is hidden.
    pub mute: Option<String>,
}

impl MaskedReadOut {
    /// The same where conditions stand in for others that are equal to them: of each the place of the one that was read.
    fn of_conditions(self, which: &[usize]) -> Self {
        Self {
            change: self.change.select(Axis(0), which),
            rank_change: self.rank_change.map(|change| change.select(Axis(0), which)),
            fidelity: which.iter().map(|&place| self.fidelity[place].clone()).collect(),
            ..self
        }
    }
}

/// How far a condition moves the model from what it does intact: means over cells, of the tokens of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Fidelity {
    /// Cosine distance of the hidden states after each layer.
    pub hidden: Vec<f64>,
    /// Cosine distance of what the read-out head puts out at the hidden genes.
    pub logits: f64,
    /// Divergence of the prediction, see [`Judgement`](crate::Judgement).
    pub divergence: f64,
}

impl Fidelity {
    /// The largest distance over the layers; below a threshold the intervention is too small to judge.
    pub fn largest(&self) -> f64 {
        self.hidden.iter().copied().fold(0.0, f64::max)
    }
}

/// Asks the model for hidden genes of each cell, intact and under each condition, on all threads.
///
/// What the intact model does is kept while a cell is looked at: below the first layer in which something is done an altered
/// model is the intact one, and goes on from there, and from what those heads of the layer gather that are left alone. Of
/// conditions that are the same one is computed. `hidden` says which genes of a cell are hidden; it is called once for each
/// cell, with its place in `cells`. `progress` hears how many cells are done. Sums are added in the order of the cells, so that
/// threads change no bit.
///
/// A model that cannot be asked, since its checkpoint came without a head or it takes no hidden gene, is tried with one gene
/// first; what is left is how far its hidden states move.
///
/// # Errors
/// [`Error::Attention`] for a cell that the model cannot read.
pub fn read_masked<P: Predictor>(
    predictor: &P,
    cells: &[CellOf<P>],
    conditions: &[Interventions],
    n_targets: usize,
    hidden: impl Fn(usize, &CellOf<P>) -> Hidden + Sync,
    progress: impl Fn(usize) + Sync,
) -> Result<MaskedReadOut, Error> {
    let model = predictor.model();
    let (conditions, which) = distinct(conditions, model);
    let mut sums = Sums::new(conditions.len(), n_targets, model.n_layers());
    sums.mute = mute(predictor, cells, &hidden);
    let asks = sums.mute.is_none();
    let done = AtomicUsize::new(0);
    for (chunk, of_chunk) in cells.chunks(CHUNK).enumerate() {
        let read = of_chunk.par_iter().enumerate().map(|(i, cell)| {
            let hidden = hidden(chunk * CHUNK + i, cell);
            let reading = match hidden.places.is_empty() {
                true => None,
                false => Some(read_cell(predictor, cell, &hidden, &conditions, asks)?),
            };
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            Ok::<_, Error>((hidden, reading))
        });
        for read in read.collect::<Vec<_>>() {
            if let (hidden, Some(reading)) = read? {
                sums.add(&hidden, &reading);
            }
        }
    }
    Ok(sums.means().of_conditions(&which))
}

/// One of the conditions, and how a model under it goes on from the intact one.
struct Altered<'a> {
    done: &'a Interventions,
    /// The first layer in which something is done; none where nothing is.
    lowest: Option<usize>,
    shared: Vec<Site>,
}

/// Each of the conditions once, and for all of them the place among these.
fn distinct<'a>(conditions: &'a [Interventions], model: &impl Transformer) -> (Vec<Altered<'a>>, Vec<usize>) {
    let mut found: Vec<Altered<'a>> = Vec::new();
    let mut which = Vec::with_capacity(conditions.len());
    for done in conditions {
        let place = found.iter().position(|other| other.done == done);
        which.push(place.unwrap_or(found.len()));
        if place.is_none() {
            let lowest = lowest_layer(done, model.n_layers());
            let shared = lowest.map_or(Vec::new(), |lowest| shared_sites(done, lowest, model.n_heads()));
            found.push(Altered { done, lowest, shared });
        }
    }
    (found, which)
}

/// Why the model predicts nothing, by the first cell with a gene to hide.
fn mute<P: Predictor>(
    predictor: &P,
    cells: &[CellOf<P>],
    hidden: impl Fn(usize, &CellOf<P>) -> Hidden,
) -> Option<String> {
    let mut asked = cells.iter().enumerate().map(|(i, cell)| (cell, hidden(i, cell)));
    let (cell, hidden) = asked.find(|(_, hidden)| !hidden.places.is_empty())?;
    let place = &hidden.places[..1];
    let answer = predictor.answers(&predictor.hide(cell, place), place, &Interventions::none());
    answer.err().map(|error| error.to_string())
}

/// One cell under all conditions.
struct Reading {
    intact: Vec<f64>,
    /// By condition: change of loss and of rank at each place, and how far the model moved.
    changes: Vec<(Vec<f64>, Option<Vec<f64>>, Fidelity)>,
}

fn read_cell<P: Predictor>(
    predictor: &P,
    cell: &CellOf<P>,
    hidden: &Hidden,
    conditions: &[Altered<'_>],
    asks: bool,
) -> Result<Reading, Error> {
    let model = predictor.model();
    let n_layers = model.n_layers();
    let sites: Vec<Site> = (0..n_layers).map(|layer| Site::Hidden(Layer(layer))).collect();
    let masked = predictor.hide(cell, if asks { &hidden.places } else { &[] });
    let shared = conditions.iter().flat_map(|altered| &altered.shared);
    let read: Vec<Site> = sites.iter().chain(shared).copied().collect();
    let clean = model.trace(&masked, &read, &Interventions::none())?;
    let predict = |activations: &Activations| -> Result<Array2<f32>, Error> {
        let last = sites[n_layers - 1];
        let at_the_end = Interventions::none().patch(last, activations[&last].clone());
        Ok(predictor.answers(&masked, &hidden.places, &at_the_end)?)
    };
    let intact = match asks {
        true => Some(predictor.intact(predict(&clean)?)),
        false => None,
    };
    let judge = |prediction: &Array2<f32>| {
        let intact = intact.as_ref();
        intact.map(|intact| predictor.judge(cell, &hidden.places, intact, prediction))
    };
    let nothing = || Judgement {
        losses: vec![f64::NAN; hidden.places.len()],
        ranks: None,
        divergence: f64::NAN,
        logit_distance: f64::NAN,
    };
    let of_intact = intact
        .as_ref()
        .and_then(|intact| judge(intact.prediction()))
        .unwrap_or_else(nothing);

    let read = |altered: &Altered<'_>| -> Result<_, Error> {
        let Some(lowest) = altered.lowest else {
            let nothing = Fidelity {
                hidden: vec![0.0; n_layers],
                logits: 0.0,
                divergence: 0.0,
            };
            let zeros = vec![if asks { 0.0 } else { f64::NAN }; hidden.places.len()];
            return Ok((zeros.clone(), of_intact.ranks.as_ref().map(|_| zeros), nothing));
        };
        let done = going_on(altered.done, &altered.shared, &clean);
        let altered = model.trace(&masked, &sites[lowest..], &done)?;
        let judged = match asks {
            true => judge(&predict(&altered)?).unwrap_or_else(nothing),
            false => nothing(),
        };
        let mut distances = vec![0.0; n_layers];
        for layer in lowest..n_layers {
            let (before, after) = (&clean[&sites[layer]], &altered[&sites[layer]]);
            let tokens = before.outer_iter().zip(after.outer_iter());
            distances[layer] =
                tokens.map(|(a, b)| cosine_distance(a, b)).sum::<f64>() / before.nrows().max(1) as f64;
        }
        let minus = |after: &[f64], before: &[f64]| after.iter().zip(before).map(|(a, b)| a - b).collect();
        let ranks = judged.ranks.as_ref().zip(of_intact.ranks.as_ref());
        Ok((
            minus(&judged.losses, &of_intact.losses),
            ranks.map(|(after, before)| minus(after, before)),
            Fidelity {
                hidden: distances,
                logits: judged.logit_distance,
                divergence: judged.divergence,
            },
        ))
    };
    Ok(Reading {
        changes: conditions.iter().map(read).collect::<Result<_, _>>()?,
        intact: of_intact.losses,
    })
}

struct Sums {
    n_cells: Vec<u32>,
    intact: Vec<f64>,
    change: Array2<f64>,
    rank_change: Array2<f64>,
    has_ranks: bool,
    fidelity: Vec<Fidelity>,
    cells_read: usize,
    mute: Option<String>,
}

impl Sums {
    fn new(n_conditions: usize, n_targets: usize, n_layers: usize) -> Self {
        let nothing = Fidelity {
            hidden: vec![0.0; n_layers],
            logits: 0.0,
            divergence: 0.0,
        };
        Self {
            n_cells: vec![0; n_targets],
            intact: vec![0.0; n_targets],
            change: Array2::zeros((n_conditions, n_targets)),
            rank_change: Array2::zeros((n_conditions, n_targets)),
            has_ranks: false,
            fidelity: vec![nothing; n_conditions],
            cells_read: 0,
            mute: None,
        }
    }

    fn add(&mut self, hidden: &Hidden, reading: &Reading) {
        // A gene is one token of a cell.
        debug_assert_eq!(
            hidden.targets.iter().collect::<BTreeSet<_>>().len(),
            hidden.targets.len()
        );
        self.cells_read += 1;
        for (&target, loss) in hidden.targets.iter().zip(&reading.intact) {
            self.n_cells[target] += 1;
            self.intact[target] += loss;
        }
        for (condition, (losses, ranks, fidelity)) in reading.changes.iter().enumerate() {
            for (&target, change) in hidden.targets.iter().zip(losses) {
                self.change[[condition, target]] += change;
            }
            if let Some(ranks) = ranks {
                self.has_ranks = true;
                for (&target, change) in hidden.targets.iter().zip(ranks) {
                    self.rank_change[[condition, target]] += change;
                }
            }
            let sum = &mut self.fidelity[condition];
            for (sum, distance) in sum.hidden.iter_mut().zip(&fidelity.hidden) {
                *sum += distance;
            }
            sum.logits += fidelity.logits;
            sum.divergence += fidelity.divergence;
        }
    }

    fn means(mut self) -> MaskedReadOut {
        // A target that was never hidden has 0 / 0.
        let of_cells = |mut sums: Array2<f64>, n: &[u32]| {
            for mut row in sums.rows_mut() {
                row.iter_mut().zip(n).for_each(|(sum, &n)| *sum /= f64::from(n));
            }
            sums
        };
        let cells = self.cells_read.max(1) as f64;
        for fidelity in &mut self.fidelity {
            fidelity.hidden.iter_mut().for_each(|distance| *distance /= cells);
            fidelity.logits /= cells;
            fidelity.divergence /= cells;
        }
        let intact = self.intact.iter().zip(&self.n_cells);
        MaskedReadOut {
            intact: intact.map(|(sum, &n)| sum / f64::from(n)).collect(),
            change: of_cells(self.change, &self.n_cells),
            rank_change: self.has_ranks.then(|| of_cells(self.rank_change, &self.n_cells)),
            fidelity: self.fidelity,
            cells_read: self.cells_read,
            mute: self.mute,
            n_cells: self.n_cells,
        }
    }
}
