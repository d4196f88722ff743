use std::borrow::Borrow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ndarray::Array2;
use scfm_core::{EdgeKind, EdgeMatrix, Layer, Orientation, Panel};

use crate::encoder::AttentionBlock;
use crate::layer_sums::{ONE, checked_add, mean_score};
use crate::{Error, LayerSums, TokenPanel, TokenisedCell, Transformer};

/// What the score of a pair is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AbsentPairs {
    /// The number of cells that hold both genes: a cell without the pair says nothing about it. A pair that no
    /// cell holds is missing.
    #[default]
    Missing,
    /// The number of all cells: a cell without the pair counts as attention 0, so that the score also measures
    /// how often the two genes are detected together.
    Zero,
}

/// Attention edges of a set of cells.
#[derive(Debug, Clone)]
pub struct Extraction {
    /// For each layer the attention averaged over heads and cells, `NaN` where it is missing.
    pub layers: Vec<EdgeMatrix>,
    /// Number of cells that hold both genes, `[source, target]`.
    pub n_cells: Array2<u32>,
    /// Number of all cells that were read.
    pub cells_read: usize,
}

/// Sums of attention over cells, between the genes of two panels: what is left of the cells once they are read.
///
/// The probabilities of a layer are averaged over its heads, rounded once per cell and pair to a multiple of
/// 2⁻⁴⁰ and summed as integers. Integer sums do not depend on the order of the terms: however the cells are split
/// among threads or among sums that are later [merged](AttentionSums::merge), the result has the same bits.
/// Memory is L · sources · targets · 8 bytes, whatever the number of cells.
#[derive(Debug)]
pub struct AttentionSums {
    sources: TokenPanel,
    targets: TokenPanel,
    orientation: Orientation,
    n_heads: usize,
    /// By layer and query gene, the sums over key genes. A lock for each row, since cells of several threads meet
    /// in the same sums and a copy for each thread would multiply the memory.
    layers: Vec<Vec<Mutex<Vec<i64>>>>,
    /// By query gene, the number of cells with both genes, over key genes.
    n_cells: Vec<Mutex<Vec<u32>>>,
    cells_read: usize,
}

impl AttentionSums {
    /// Sums over no cell yet, for the layers of `model`.
    pub fn new(
        model: &impl Transformer,
        sources: TokenPanel,
        targets: TokenPanel,
        orientation: Orientation,
    ) -> Self {
        let (queries, keys) = by_role(orientation, sources.panel().len(), targets.panel().len());
        let rows = || (0..queries).map(|_| Mutex::new(vec![0; keys])).collect();
        Self {
            layers: (0..model.n_layers()).map(|_| rows()).collect(),
            n_cells: (0..queries).map(|_| Mutex::new(vec![0; keys])).collect(),
            n_heads: model.n_heads(),
            cells_read: 0,
            sources,
            targets,
            orientation,
        }
    }

    /// Adds the attention of `cells`, read in parallel on the current rayon pool. The iterator is drawn from as
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
        assert_eq!(
            (model.n_layers(), model.n_heads()),
            (self.layers.len(), self.n_heads),
            "sums for this model"
        );
        let (queries, keys) = by_role(self.orientation, &self.sources, &self.targets);
        let n_tokens = model.n_tokens();
        let positions = (queries.positions(n_tokens), keys.positions(n_tokens));

        let cells = Mutex::new(cells.into_iter().enumerate());
        let failure: Mutex<Option<(usize, Error)>> = Mutex::new(None);
        let (failed, done) = (AtomicBool::new(false), AtomicUsize::new(0));
        let next = || cells.lock().expect("no thread panicked").next();
        let worker = || {
            while !failed.load(Ordering::Relaxed) {
                let Some((index, cell)) = next() else { break };
                match self.add_cell(model, cell.borrow(), &positions) {
                    Ok(()) => progress(done.fetch_add(1, Ordering::Relaxed) + 1),
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
        // One task per thread that draws cells, not one task per cell: a thread that waits inside a matrix product
        // takes up whatever task it finds, and so never more cells are in memory than there are threads.
        rayon::scope(|scope| (0..rayon::current_num_threads()).for_each(|_| scope.spawn(|_| worker())));

        match failure.into_inner().expect("no thread panicked") {
            Some((_, error)) => Err(error),
            None => {
                self.cells_read += done.into_inner();
                Ok(())
            }
        }
    }

    fn add_cell<M: Transformer>(
        &self,
        model: &M,
        cell_of_model: &M::Cell,
        (query_positions, key_positions): &(Vec<Option<u32>>, Vec<Option<u32>>),
    ) -> Result<(), Error> {
        let cell: &TokenisedCell = cell_of_model.as_ref();
        // In the order of the panel, so that sums are written from left to right.
        let in_panel = |positions: &[Option<u32>]| {
            let mut genes: Vec<(usize, u32)> = cell
                .tokens
                .iter()
                .zip(0..)
                .filter_map(|(&token, place)| {
                    Some((*positions.get(token as usize)?.as_ref()? as usize, place))
                })
                .collect();
            genes.sort_unstable();
            genes
        };
        let (queries, keys) = (in_panel(query_positions), in_panel(key_positions));
        if queries.is_empty() || keys.is_empty() {
            return Ok(());
        }
        for &(query, _) in &queries {
            let mut row = self.n_cells[query].lock().expect("no thread panicked");
            for &(key, _) in &keys {
                row[key] += 1;
            }
        }

        let mut query_of_place = vec![None; cell.tokens.len()];
        for &(query, place) in &queries {
            query_of_place[place as usize] = Some(query);
        }
        let mut last_queries: Vec<u32> = queries.iter().map(|&(_, place)| place).collect();
        last_queries.sort_unstable();

        let (last_head, scale) = (self.n_heads - 1, ONE / self.n_heads as f64);
        let mut head_sums: Vec<f32> = Vec::new();
        let mut overflow = None;
        let observe = |layer: usize, block: AttentionBlock<'_>| {
            if block.head.0 == 0 {
                head_sums.clear();
                head_sums.resize(block.queries.len() * keys.len(), 0.0);
            }
            let rows = block.queries.iter().zip(block.probabilities.outer_iter());
            for ((&place, probabilities), sums) in rows.zip(head_sums.chunks_exact_mut(keys.len())) {
                let Some(query) = query_of_place[place as usize] else {
                    continue;
                };
                let probabilities = probabilities.to_slice().expect("rows of a block are contiguous");
                for (sum, &(_, key_place)) in sums.iter_mut().zip(&keys) {
                    *sum += probabilities[key_place as usize];
                }
                if block.head.0 == last_head {
                    // A row with one value that is not finite is NaN as a whole, since softmax divides by its sum.
                    if sums[0].is_nan() {
                        overflow.get_or_insert(layer);
                    }
                    let mut row = self.layers[layer][query].lock().expect("no thread panicked");
                    for (&sum, &(key, _)) in sums.iter().zip(&keys) {
                        row[key] += (f64::from(sum) * scale).round_ties_even() as i64;
                    }
                }
            }
        };
        let hidden = model.embed(cell_of_model)?;
        model.encoder().observe(hidden, &last_queries, observe)?;
        match overflow {
            Some(layer) => Err(Error::NotFinite {
                cell: cell.cell,
                layer,
            }),
            None => Ok(()),
        }
    }

    /// Adds the sums over other cells.
    ///
    /// # Errors
    /// [`Error::Merge`] for sums over other panels, another orientation or a model of another shape;
    /// [`Error::SumOverflow`] where the cells are too many, and the sums are then of no further use.
    pub fn merge(&mut self, other: Self) -> Result<(), Error> {
        for (what, same) in [
            ("source panels", self.sources == other.sources),
            ("target panels", self.targets == other.targets),
            ("orientations", self.orientation == other.orientation),
            ("numbers of layers", self.layers.len() == other.layers.len()),
            ("numbers of heads", self.n_heads == other.n_heads),
        ] {
            if !same {
                return Err(Error::Merge { what });
            }
        }
        for (mine, theirs) in self
            .layers
            .iter_mut()
            .flatten()
            .zip(other.layers.into_iter().flatten())
        {
            add_rows(mine, theirs, |a, b| i64::checked_add(*a, *b))?;
        }
        for (mine, theirs) in self.n_cells.iter_mut().zip(other.n_cells) {
            add_rows(mine, theirs, |a, b| u32::checked_add(*a, *b))?;
        }
        self.cells_read += other.cells_read;
        Ok(())
    }

    /// The sums of one layer, `[source, target]`, to be stored and added up elsewhere.
    ///
    /// # Panics
    /// When the model has no such layer.
    pub fn layer_sums(&self, layer: Layer) -> LayerSums {
        let (sources, targets) = (self.sources.panel(), self.targets.panel());
        let sums = oriented(self.orientation, sources, targets, &self.layers[layer.0]);
        LayerSums::new(layer, sources.clone(), targets.clone(), sums)
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

    /// The mean attention of every pair, one edge matrix per layer.
    ///
    /// A gene that attends to itself is a pair like any other. Genes without a token are missing from every pair.
    /// The sums stay as they are: more cells can be added and the mean taken again.
    pub fn mean(&self, absent: AbsentPairs) -> Extraction {
        let (sources, targets) = (self.sources.panel(), self.targets.panel());
        let known = |panel: &TokenPanel, position: usize| panel.tokens()[position].is_some();
        let n_cells = self.n_cells();
        let layers = self.layers.iter().enumerate().map(|(layer, rows)| {
            let sums = oriented(self.orientation, sources, targets, rows);
            let mean = |pair: (usize, usize)| {
                let n = match absent {
                    AbsentPairs::Missing => n_cells[pair] as usize,
                    AbsentPairs::Zero if known(&self.sources, pair.0) && known(&self.targets, pair.1) => {
                        self.cells_read
                    }
                    AbsentPairs::Zero => 0,
                };
                mean_score(sums[pair], n)
            };
            let scores = Array2::from_shape_fn(sums.dim(), mean);
            EdgeMatrix::new(
                EdgeKind::Attention(Layer(layer)),
                sources.clone(),
                targets.clone(),
                scores,
            )
            .expect("a score for every pair of the panels")
        });
        Extraction {
            layers: layers.collect(),
            n_cells: n_cells.clone(),
            cells_read: self.cells_read,
        }
    }
}

/// Attention edges of `cells` between two panels: [`AttentionSums`] made, filled and divided.
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
    Ok(sums.mean(absent))
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
