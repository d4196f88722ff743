use std::borrow::Borrow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use candle_core::Tensor;
use ndarray::Array2;
use rayon::prelude::*;
use scfm_core::{EdgeMatrix, Layer, Measure, ModelEdge, Orientation, Panel};

use crate::cell_sums::{CellSums, Places};
use crate::edge_sums::{attention_of, checked_add};
use crate::encoder::Input;
use crate::{EdgeSums, Error, Interventions, TokenPanel, TokenisedCell, Transformer};

/// What the score of a pair is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AbsentPairs {
    /// The number of cells that hold both genes: a cell without the pair says nothing about it. A pair that no
    /// cell holds is missing.
    #[default]
    Missing,
    /// The number of all cells: a cell without the pair counts as score 0, so that the score also measures
    /// how often the two genes are detected together.
    Zero,
}

/// Edges of a set of cells.
#[derive(Debug, Clone)]
pub struct Extraction {
    /// What was asked for, in that order: scores averaged over cells, `NaN` where they are missing.
    pub edges: Vec<EdgeMatrix>,
    /// Number of cells that hold both genes, `[source, target]`.
    pub n_cells: Array2<u32>,
    /// Number of all cells that were read.
    pub cells_read: usize,
}

/// Sums of a model's scores over cells, between the genes of two panels: what is left of the cells once they are read.
///
/// Every score of a cell, averaged over the heads of a layer where it is of a layer, is rounded once to a multiple of
/// 2⁻⁴⁰ and summed as an integer. Integer sums do not depend on the order of the terms: however the cells are split
/// among threads or among sums that are later [merged](AttentionSums::merge), the result has the same bits. Memory is 8
/// bytes for each pair of the panels and kind of edges, whatever the number of cells. Sums over some of the cells, by
/// condition or cell state, are sums of their own: [`add_by_group`] fills several in one go, and merged they are the whole.
#[derive(Debug)]
pub struct AttentionSums {
    sources: TokenPanel,
    targets: TokenPanel,
    orientation: Orientation,
    n_layers: usize,
    n_heads: usize,
    slots: Vec<Slot>,
    /// By query gene, the number of cells with both genes, over key genes.
    n_cells: Vec<Mutex<Vec<u32>>>,
    cells_read: usize,
}

/// The sums of one kind of edges.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) edge: ModelEdge,
    /// By query gene, over key genes. A lock for each row, since cells of several threads meet in the same sums and a copy
    /// for each thread would multiply the memory.
    rows: Vec<Mutex<Vec<i64>>>,
}

impl Slot {
    /// Adds a cell's scores of a query gene with some of the key genes; false where a sum leaves 64 bits.
    pub(crate) fn add(&self, query: usize, keys: &[usize], scores: &[i64]) -> bool {
        let mut row = self.rows[query].lock().expect("no thread panicked");
        let mut overflowed = false;
        for (&key, &score) in keys.iter().zip(scores) {
            let (sum, overflow) = row[key].overflowing_add(score);
            row[key] = sum;
            overflowed |= overflow;
        }
        !overflowed
    }
}

impl AttentionSums {
    /// Sums over no cell yet of the attention of each layer of `model`, averaged over its heads.
    pub fn new(
        model: &impl Transformer,
        sources: TokenPanel,
        targets: TokenPanel,
        orientation: Orientation,
    ) -> Self {
        let layers = (0..model.n_layers()).map(|layer| ModelEdge::of_layer(Measure::Attention, Layer(layer)));
        Self::of(model, layers, sources, targets, orientation).expect("the model has its own layers")
    }

    /// Sums over no cell yet of the edges that are asked for. A [standard error](Measure::StandardError) brings the
    /// attention with it that it is of. Nothing is computed beyond the last layer that is asked for.
    ///
    /// # Errors
    /// [`Error::NoEdge`] for a layer or head that `model` does not have, and for edges of one head over all layers or
    /// standard errors over all layers.
    pub fn of(
        model: &impl Transformer,
        edges: impl IntoIterator<Item = ModelEdge>,
        sources: TokenPanel,
        targets: TokenPanel,
        orientation: Orientation,
    ) -> Result<Self, Error> {
        let (n_layers, n_heads) = (model.n_layers(), model.n_heads());
        let (queries, keys) = by_role(orientation, sources.panel().len(), targets.panel().len());
        let edges: Vec<ModelEdge> = edges.into_iter().collect();
        for &edge in &edges {
            let has_layer = edge.layer.map_or(
                edge.head.is_none() && edge.measure != Measure::StandardError,
                |layer| layer.0 < n_layers,
            );
            if !has_layer || edge.head.is_some_and(|head| head.0 >= n_heads) {
                return Err(Error::NoEdge {
                    edge,
                    n_layers,
                    n_heads,
                });
            }
        }
        let slot = |edge| Slot {
            edge,
            rows: (0..queries).map(|_| Mutex::new(vec![0; keys])).collect(),
        };
        Ok(Self {
            slots: with_attention(edges).into_iter().map(slot).collect(),
            n_cells: (0..queries).map(|_| Mutex::new(vec![0; keys])).collect(),
            n_layers,
            n_heads,
            cells_read: 0,
            sources,
            targets,
            orientation,
        })
    }

    /// Bytes that sums of these edges between so many sources and targets take: 8 for each pair and kind, and 4 for each pair.
    pub fn bytes(edges: &[ModelEdge], n_sources: usize, n_targets: usize) -> u64 {
        let pairs = (n_sources as u64).saturating_mul(n_targets as u64);
        pairs.saturating_mul(8 * with_attention(edges.iter().copied()).len() as u64 + 4)
    }

    /// What is summed.
    pub fn edges(&self) -> impl Iterator<Item = ModelEdge> {
        self.slots.iter().map(|slot| slot.edge)
    }

    /// Adds the scores of `cells`, read in parallel on the current rayon pool. The iterator is drawn from as
    /// cells are needed, so that cells can be streamed (it must not use rayon itself: other threads wait for it);
    /// `progress` hears how many are done.
    ///
    /// # Errors
    /// Of the first cell, in the order of the iterator, that the model cannot read or whose attention
    /// overflows. The sums are then of no further use.
    ///
    /// # Panics
    /// When `model` has another number of layers or heads than the one that the sums were made for.
    pub fn add<M: Transformer, C>(
        &mut self,
        model: &M,
        cells: C,
        progress: impl Fn(usize) + Sync,
    ) -> Result<(), Error>
    where
        C: IntoIterator<Item: Borrow<M::Cell>, IntoIter: Send>,
    {
        self.add_under(model, &Interventions::none(), cells, progress)
    }

    /// [`AttentionSums::add`] while something is done to the model.
    ///
    /// # Errors
    /// As there; [`Error::NoSite`] for a part that the model does not have, [`Error::PatchShape`] for stored activations of
    /// another cell.
    ///
    /// # Panics
    /// As there.
    pub fn add_under<M: Transformer, C>(
        &mut self,
        model: &M,
        interventions: &Interventions,
        cells: C,
        progress: impl Fn(usize) + Sync,
    ) -> Result<(), Error>
    where
        C: IntoIterator<Item: Borrow<M::Cell>, IntoIter: Send>,
    {
        let cells = cells.into_iter().map(|cell| ([0], cell));
        add_by_group(std::slice::from_mut(self), model, interventions, cells, progress)
    }

    /// Counts `cells` among those that hold their genes, and adds nothing of their attention: what the tutorial of scGPT
    /// does to the first cell of a condition.
    pub fn count_only<'a>(&mut self, cells: impl IntoIterator<Item = &'a TokenisedCell>) {
        for cell in cells {
            let tokens = cell.tokens.iter().map(|&token| token as usize + 1);
            let positions = self.positions(tokens.max().unwrap_or(0));
            self.count(&Places::new(cell, &positions));
            self.cells_read += 1;
        }
    }

    /// Positions in the query and in the key panel of each token.
    fn positions(&self, n_tokens: usize) -> (Vec<Option<u32>>, Vec<Option<u32>>) {
        let (queries, keys) = by_role(self.orientation, &self.sources, &self.targets);
        (queries.positions(n_tokens), keys.positions(n_tokens))
    }

    fn count(&self, places: &Places) {
        for query in places.queries() {
            let mut row = self.n_cells[query].lock().expect("no thread panicked");
            for &key in places.keys() {
                row[key] += 1;
            }
        }
    }

    /// Adds the sums over other cells.
    ///
    /// # Errors
    /// [`Error::Merge`] for sums of other edges, over other panels, another orientation or a model of another shape;
    /// [`Error::SumOverflow`] where the cells are too many, and the sums are then of no further use.
    pub fn merge(&mut self, other: Self) -> Result<(), Error> {
        for (what, same) in [
            ("source panels", self.sources == other.sources),
            ("target panels", self.targets == other.targets),
            ("orientations", self.orientation == other.orientation),
            ("numbers of layers", self.n_layers == other.n_layers),
            ("numbers of heads", self.n_heads == other.n_heads),
            ("kinds of edges", self.edges().eq(other.edges())),
        ] {
            if !same {
                return Err(Error::Merge { what });
            }
        }
        for (mine, theirs) in self.slots.iter_mut().zip(other.slots) {
            for (mine, theirs) in mine.rows.iter_mut().zip(theirs.rows) {
                add_rows(mine, theirs, |a, b| i64::checked_add(*a, *b))?;
            }
        }
        for (mine, theirs) in self.n_cells.iter_mut().zip(other.n_cells) {
            add_rows(mine, theirs, |a, b| u32::checked_add(*a, *b))?;
        }
        self.cells_read += other.cells_read;
        Ok(())
    }

    /// The sums of one kind of edges, `[source, target]`, to be stored and added up elsewhere.
    ///
    /// # Panics
    /// When these edges were not asked for.
    pub fn sums(&self, edge: ModelEdge) -> EdgeSums {
        let slot = self.slots.iter().find(|slot| slot.edge == edge);
        let (sources, targets) = (self.sources.panel(), self.targets.panel());
        let rows = &slot.expect("edges that were asked for").rows;
        let sums = oriented(self.orientation, sources, targets, rows);
        EdgeSums::new(edge, sources.clone(), targets.clone(), sums)
    }

    /// The source and the target genes.
    pub fn panels(&self) -> (&Panel, &Panel) {
        (self.sources.panel(), self.targets.panel())
    }

    /// Number of cells that hold both genes, `[source, target]`.
    pub fn n_cells(&self) -> Array2<u32> {
        oriented(
            self.orientation,
            self.sources.panel(),
            self.targets.panel(),
            &self.n_cells,
        )
    }

    /// Number of all cells that were read.
    pub fn cells_read(&self) -> usize {
        self.cells_read
    }

    /// What the sum of each pair is divided by, `[source, target]`; 0 where the score is missing.
    pub fn divisors(&self, absent: AbsentPairs) -> Array2<u32> {
        let mut divisors = self.n_cells();
        if absent == AbsentPairs::Zero {
            let known = |panel: &TokenPanel, position: usize| panel.tokens()[position].is_some();
            for ((source, target), n) in divisors.indexed_iter_mut() {
                *n = match known(&self.sources, source) && known(&self.targets, target) {
                    true => self.cells_read as u32,
                    false => 0,
                };
            }
        }
        divisors
    }

    /// The mean score of every pair, one edge matrix for each kind of edges.
    ///
    /// A gene that attends to itself is a pair like any other. Genes without a token are missing from every pair. A
    /// standard error is over the cells that hold both genes, whatever the rule for the others.
    /// The sums stay as they are: more cells can be added and the mean taken again.
    ///
    /// # Errors
    /// [`Error::Sum`], which sums of cells do not meet.
    pub fn mean(&self, absent: AbsentPairs) -> Result<Extraction, Error> {
        let (n_cells, divisors) = (self.n_cells(), self.divisors(absent));
        let edges = self.slots.par_iter().map(|slot| match slot.edge.measure {
            Measure::StandardError => {
                let attention = self.sums(attention_of(slot.edge));
                self.sums(slot.edge).standard_error(&attention, &n_cells)
            }
            _ => self.sums(slot.edge).mean(&divisors),
        });
        Ok(Extraction {
            edges: edges.collect::<Result<_, _>>()?,
            n_cells,
            cells_read: self.cells_read,
        })
    }
}

/// Adds the scores of cells to the sums of the groups that each belongs to, by their indices in `sums`, while `interventions`
/// are done to the model: groups are filled in one pass, in parallel across them, and a cell of several groups, such as the
/// strata of several clusterings, is computed once.
///
/// # Errors
/// As [`AttentionSums::add_under`].
///
/// # Panics
/// As there, for a group that there are no sums of, and for sums over different panels or orientations.
pub fn add_by_group<M: Transformer, C, G, B>(
    sums: &mut [AttentionSums],
    model: &M,
    interventions: &Interventions,
    cells: C,
    progress: impl Fn(usize) + Sync,
) -> Result<(), Error>
where
    C: IntoIterator<Item = (G, B), IntoIter: Send>,
    G: AsRef<[usize]>,
    B: Borrow<M::Cell>,
{
    let (n_layers, n_heads) = (model.n_layers(), model.n_heads());
    interventions.check(n_layers, n_heads)?;
    let Some(first) = sums.first() else {
        return Ok(());
    };
    for sums in &*sums {
        assert_eq!(
            (n_layers, n_heads),
            (sums.n_layers, sums.n_heads),
            "sums for this model"
        );
        assert!(
            sums.sources == first.sources
                && sums.targets == first.targets
                && sums.orientation == first.orientation,
            "groups over the same panels"
        );
    }
    let positions = first.positions(model.n_tokens());

    let cells = Mutex::new(cells.into_iter().enumerate());
    let failure: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let (failed, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let done_of_groups: Vec<AtomicUsize> = sums.iter().map(|_| AtomicUsize::new(0)).collect();
    let next = || cells.lock().expect("no thread panicked").next();
    let worker = || {
        while !failed.load(Ordering::Relaxed) {
            let Some((index, (groups, cell))) = next() else {
                break;
            };
            let of_cell: Vec<&AttentionSums> = groups.as_ref().iter().map(|&group| &sums[group]).collect();
            match add_cell(&of_cell, model, interventions, cell.borrow(), &positions) {
                Ok(()) => {
                    for &group in groups.as_ref() {
                        done_of_groups[group].fetch_add(1, Ordering::Relaxed);
                    }
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                }
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    let mut failure = failure.lock().expect("no thread panicked");
                    // Cells are drawn in order, so all before this one are drawn and will report too.
                    if failure.as_ref().is_none_or(|&(first, _)| index < first) {
                        *failure = Some((index, error));
                    }
                }
            }
        }
    };
    // One task per thread that draws cells, not one task per cell, so that never more cells are in memory than there are
    // threads.
    rayon::scope(|scope| (0..rayon::current_num_threads()).for_each(|_| scope.spawn(|_| worker())));

    match failure.into_inner().expect("no thread panicked") {
        Some((_, error)) => Err(error),
        None => {
            for (sums, done) in sums.iter_mut().zip(done_of_groups) {
                sums.cells_read += done.into_inner();
            }
            Ok(())
        }
    }
}

/// Adds a cell to several sums over the same panels.
fn add_cell<M: Transformer>(
    sums: &[&AttentionSums],
    model: &M,
    interventions: &Interventions,
    cell_of_model: &M::Cell,
    positions: &(Vec<Option<u32>>, Vec<Option<u32>>),
) -> Result<(), Error> {
    let cell: &TokenisedCell = cell_of_model.as_ref();
    let places = Places::new(cell, positions);
    if places.is_empty() {
        // Also a cell without a pair is looked at: whether the model can read it should not depend on the panel.
        model.embed(cell_of_model)?;
        return Ok(());
    }
    sums.iter().for_each(|sums| sums.count(&places));
    let order: Vec<u32> = places.order.iter().map(|&place| place as u32).collect();
    let input = Input {
        n_tokens: order.len(),
        embed: || {
            let hidden = model.embed(cell_of_model)?;
            Ok(hidden.index_select(&Tensor::new(order, hidden.device())?, 0)?)
        },
    };
    let interventions = interventions.reordered(&places.order)?;
    let slots: Vec<&Slot> = sums.iter().flat_map(|sums| &sums.slots).collect();
    let last_places = places.needed(slots.iter().map(|slot| slot.edge.measure));
    let mut sums = CellSums::new(cell.cell, slots, (model.n_layers(), model.n_heads()), &places);
    model
        .encoder()
        .observe(input, &interventions, &last_places, &mut sums)?;
    sums.finish()
}

/// Attention edges of `cells` between two panels, one for each layer: [`AttentionSums`] made, filled and divided.
///
/// # Errors
/// Those of [`AttentionSums::add`].
pub fn extract<M: Transformer, C>(
    model: &M,
    cells: C,
    sources: TokenPanel,
    targets: TokenPanel,
    orientation: Orientation,
    absent: AbsentPairs,
    progress: impl Fn(usize) + Sync,
) -> Result<Extraction, Error>
where
    C: IntoIterator<Item: Borrow<M::Cell>, IntoIter: Send>,
{
    let mut sums = AttentionSums::new(model, sources, targets, orientation);
    sums.add(model, cells, progress)?;
    sums.mean(absent)
}

/// Each of the edges once, and before each standard error the attention that it is of.
fn with_attention(edges: impl IntoIterator<Item = ModelEdge>) -> Vec<ModelEdge> {
    let mut kinds: Vec<ModelEdge> = Vec::new();
    for edge in edges {
        let attention = (edge.measure == Measure::StandardError).then(|| attention_of(edge));
        for edge in attention.into_iter().chain([edge]) {
            if !kinds.contains(&edge) {
                kinds.push(edge);
            }
        }
    }
    kinds
}

/// (queries, keys) of (sources, targets).
fn by_role<T>(orientation: Orientation, sources: T, targets: T) -> (T, T) {
    match orientation {
        Orientation::Query => (sources, targets),
        Orientation::Key => (targets, sources),
    }
}

/// Rows by query gene as an array `[source, target]`.
fn oriented<T: Copy + Default>(
    orientation: Orientation,
    sources: &Panel,
    targets: &Panel,
    rows: &[Mutex<Vec<T>>],
) -> Array2<T> {
    let mut array = Array2::default((sources.len(), targets.len()));
    for (query, row) in rows.iter().enumerate() {
        let row = row.lock().expect("no thread panicked");
        match orientation {
            Orientation::Query => array.row_mut(query),
            Orientation::Key => array.column_mut(query),
        }
        .assign(&ndarray::aview1(row.as_slice()));
    }
    array
}

fn add_rows<T>(
    mine: &mut Mutex<Vec<T>>,
    theirs: Mutex<Vec<T>>,
    sum: impl Fn(&T, &T) -> Option<T>,
) -> Result<(), Error> {
    let mine = mine.get_mut().expect("no thread panicked");
    let theirs = theirs.into_inner().expect("no thread panicked");
    checked_add(mine, &theirs, sum)
}
