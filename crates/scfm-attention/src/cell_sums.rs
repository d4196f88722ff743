//! One cell on its way into the sums: an observer that turns what the encoder shows into scores of pairs.

use candle_core::{Device, Tensor};
use ndarray::{Array2, ArrayView2, Axis, s};
use scfm_core::{Head, Layer, Measure, ModelEdge};
use scfm_stats::mid_ranks;

use crate::extraction::Slot;
use crate::kernels::to_fixed_point;
use crate::linear::to_array;
use crate::observer::{AttentionBlock, Observer, Seen, Wants};
use crate::product::product;
use crate::{Error, TokenisedCell};

/// Rows of products that are made for scores alone, so that none of them is of the size of a map.
const BLOCK_ROWS: usize = 128;

/// The tokens of a cell in the order in which they are computed: those of the key panel in its order, then the others by
/// token. A layer treats its tokens alike, so any order will do; in this one a row of attention holds its panel side by
/// side, and the bits of a cell do not depend on the order of its tokens where the model does not either.
pub(crate) struct Places {
    /// Where each token stood in the cell.
    pub(crate) order: Vec<usize>,
    /// Position in the query panel of each place.
    queries: Vec<Option<usize>>,
    /// Position in the key panel of the first places; the others are no keys.
    keys: Vec<usize>,
}

impl Places {
    pub(crate) fn new(cell: &TokenisedCell, (queries, keys): &(Vec<Option<u32>>, Vec<Option<u32>>)) -> Self {
        let position = |positions: &[Option<u32>], place: usize| {
            let found = positions.get(cell.tokens[place] as usize).copied().flatten();
            found.map(|position| position as usize)
        };
        let mut order: Vec<usize> = (0..cell.tokens.len()).collect();
        order.sort_by_key(|&place| (position(keys, place).unwrap_or(usize::MAX), cell.tokens[place]));
        Self {
            queries: order.iter().map(|&place| position(queries, place)).collect(),
            keys: order.iter().map_while(|&place| position(keys, place)).collect(),
            order,
        }
    }

    /// Whether the cell holds no pair of the panels.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() || self.queries().next().is_none()
    }

    /// Positions in the query panel.
    pub(crate) fn queries(&self) -> impl Iterator<Item = usize> {
        self.queries.iter().flatten().copied()
    }

    /// Positions in the key panel.
    pub(crate) fn keys(&self) -> &[usize] {
        &self.keys
    }

    /// The places whose attention, contexts or logits are needed of the last layer that is looked at.
    pub(crate) fn needed(&self, measures: impl Iterator<Item = Measure>) -> Vec<u32> {
        let (mut all, mut keys) = (false, false);
        for measure in measures {
            match measure {
                // Ranks are among all tokens.
                Measure::RankedLogits => all = true,
                Measure::ValueCosine | Measure::ValueDot => keys = true,
                _ => (),
            }
        }
        let needed = |&(place, query): &(usize, &Option<usize>)| {
            all || query.is_some() || (keys && place < self.keys.len())
        };
        let places = self.queries.iter().enumerate().filter(needed);
        places.map(|(place, _)| place as u32).collect()
    }
}

/// Adds the scores of one cell to sums as the encoder shows them.
pub(crate) struct CellSums<'a> {
    cell: usize,
    slots: Vec<&'a Slot>,
    n_layers: usize,
    n_heads: usize,
    places: &'a Places,
    /// Of the layer at hand: lengths `[head, place]` where they are wanted, and sums over heads of a block of queries,
    /// `[query, key]`.
    lengths: Array2<f32>,
    plain: Vec<f32>,
    weighted: Vec<f32>,
    ranked: Array2<f64>,
    fixed: Vec<i64>,
    failure: Option<Error>,
}

impl<'a> CellSums<'a> {
    pub(crate) fn new(
        cell: usize,
        slots: Vec<&'a Slot>,
        (n_layers, n_heads): (usize, usize),
        places: &'a Places,
    ) -> Self {
        Self {
            cell,
            slots,
            n_layers,
            n_heads,
            places,
            lengths: Array2::zeros((0, 0)),
            plain: Vec::new(),
            weighted: Vec::new(),
            ranked: Array2::zeros((0, 0)),
            fixed: vec![0; places.keys.len()],
            failure: None,
        }
    }

    /// The first thing that went wrong.
    pub(crate) fn finish(self) -> Result<(), Error> {
        self.failure.map_or(Ok(()), Err)
    }

    /// What a layer's scores go into, of the measures that are wanted.
    fn slots(&self, layer: Layer, head: Option<Head>, measures: &[Measure]) -> Vec<&'a Slot> {
        let wanted = |edge: ModelEdge| {
            edge.layer.is_none_or(|of| of == layer) && edge.head == head && measures.contains(&edge.measure)
        };
        self.slots
            .iter()
            .copied()
            .filter(|slot| wanted(slot.edge))
            .collect()
    }

    fn attention(&mut self, layer: Layer, block: &AttentionBlock<'_>) {
        let panel = block.values.slice(s![.., ..self.places.keys.len()]);
        let mut plain = std::mem::take(&mut self.plain);
        self.over_heads(
            layer,
            block,
            &[Measure::Attention, Measure::StandardError],
            panel,
            &mut plain,
        );
        self.plain = plain;
        if self.lengths.is_empty() {
            return;
        }
        let weighted = &panel * &self.lengths.slice(s![block.head.0, ..self.places.keys.len()]);
        let mut sums = std::mem::take(&mut self.weighted);
        self.over_heads(layer, block, &[Measure::NormWeighted], weighted.view(), &mut sums);
        self.weighted = sums;
    }

    /// Adds what `scores`, `[query, key]`, of one head are wanted for: by themselves, and in `sums` over the heads.
    fn over_heads(
        &mut self,
        layer: Layer,
        block: &AttentionBlock<'_>,
        measures: &[Measure],
        scores: ArrayView2<'_, f32>,
        sums: &mut Vec<f32>,
    ) {
        let of_head = self.slots(layer, Some(block.head), measures);
        if !of_head.is_empty() {
            let scores: Vec<f32> = scores.iter().copied().collect();
            self.add(&of_head, layer, block.queries, &scores, 1);
        }
        let of_layer = self.slots(layer, None, measures);
        if of_layer.is_empty() {
            return;
        }
        if block.head.0 == 0 {
            sums.clear();
            sums.resize(scores.len(), 0.0);
        }
        for (sums, row) in sums.chunks_exact_mut(scores.ncols()).zip(scores.outer_iter()) {
            let row = row.to_slice().expect("rows of scores are contiguous");
            sums.iter_mut().zip(row).for_each(|(sum, score)| *sum += score);
        }
        if block.head.0 + 1 == self.n_heads {
            self.add(&of_layer, layer, block.queries, sums, self.n_heads);
        }
    }

    /// Cosines or inner products of the contexts of queries and keys, the mean over heads and single heads.
    fn contexts(
        &mut self,
        layer: Layer,
        positions: &[u32],
        contexts: ArrayView2<'_, f32>,
    ) -> Result<(), Error> {
        let width = contexts.ncols() / self.n_heads;
        let rows_of = |wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
            (0..positions.len())
                .filter(|&row| wanted(positions[row] as usize))
                .collect()
        };
        let n_keys = self.places.keys.len();
        let queries = rows_of(&|place| self.places.queries[place].is_some());
        let keys = rows_of(&|place| place < n_keys);
        for measure in [Measure::ValueCosine, Measure::ValueDot] {
            // The mean over heads of products of heads is one product of all of them side by side.
            let mut parts = vec![(
                self.slots(layer, None, &[measure]),
                0..self.n_heads * width,
                self.n_heads,
            )];
            for head in 0..self.n_heads {
                let slots = self.slots(layer, Some(Head(head)), &[measure]);
                parts.push((slots, head * width..(head + 1) * width, 1));
            }
            parts.retain(|(slots, ..)| !slots.is_empty());
            if parts.is_empty() {
                continue;
            }
            let mut contexts = contexts.to_owned();
            if measure == Measure::ValueCosine {
                for mut row in contexts.outer_iter_mut() {
                    for mut head in row.axis_chunks_iter_mut(Axis(0), width) {
                        let length = head.dot(&head).sqrt();
                        // A context of zeros has no direction, and no cosine but 0 with any other.
                        head.mapv_inplace(|x| if length > 0.0 { x / length } else { 0.0 });
                    }
                }
            }
            let tensor = |rows: &[usize], columns: std::ops::Range<usize>| {
                let part = contexts.select(Axis(0), rows);
                let part = part.slice(s![.., columns]).to_owned();
                Tensor::from_vec(part.iter().copied().collect(), part.dim(), &Device::Cpu)
            };
            for block in queries.chunks(BLOCK_ROWS) {
                let places: Vec<u32> = block.iter().map(|&row| positions[row]).collect();
                for (slots, columns, n_heads) in &parts {
                    let scores = product(
                        &tensor(block, columns.clone())?,
                        &tensor(&keys, columns.clone())?.t()?,
                    )?;
                    let scores = to_array(&scores)?;
                    let values = scores.as_slice().expect("a product is row-major");
                    self.add(slots, layer, &places, values, *n_heads);
                }
            }
        }
        Ok(())
    }

    /// Ranks over the keys of each query, then over the queries of each key, each as a share of the number of tokens; tied
    /// values share the mean of their ranks.
    fn logits(&mut self, layer: Layer, block: &AttentionBlock<'_>) {
        let n = block.values.ncols();
        let mut ranks = Array2::zeros((n, n));
        for (logits, mut ranks) in block.values.outer_iter().zip(ranks.outer_iter_mut()) {
            let logits: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
            match mid_ranks(&logits) {
                Ok(of_row) => ranks.assign(&ndarray::aview1(&of_row)),
                Err(_) => {
                    let edge = ModelEdge::of_layer(Measure::RankedLogits, layer);
                    self.failure.get_or_insert(Error::Score {
                        cell: self.cell,
                        edge,
                    });
                    return;
                }
            }
        }
        for mut column in ranks.columns_mut() {
            let of_column = mid_ranks(&column.to_vec()).expect("ranks are numbers");
            // From 0, as the positions that the tutorial takes for ranks.
            for (share, rank) in column.iter_mut().zip(of_column) {
                *share = (rank - 1.0) / n as f64;
            }
        }
        let of_head = self.slots(layer, Some(block.head), &[Measure::RankedLogits]);
        if !of_head.is_empty() {
            self.add_ranks(&of_head, layer, block.queries, &ranks, 1);
        }
        if block.head.0 == 0 {
            self.ranked = Array2::zeros((n, n));
        }
        self.ranked += &ranks;
        if block.head.0 + 1 == self.n_heads {
            let of_layer = self.slots(layer, None, &[Measure::RankedLogits]);
            let ranked = std::mem::replace(&mut self.ranked, Array2::zeros((0, 0)));
            self.add_ranks(&of_layer, layer, block.queries, &ranked, self.n_heads);
        }
    }

    fn add_ranks(
        &mut self,
        slots: &[&Slot],
        layer: Layer,
        queries: &[u32],
        ranks: &Array2<f64>,
        n_heads: usize,
    ) {
        let panel = ranks.slice(s![.., ..self.places.keys.len()]);
        let values: Vec<f32> = panel.iter().map(|&rank| rank as f32).collect();
        self.add(slots, layer, queries, &values, n_heads);
    }

    /// Adds the rows of `values`, `[query, key]`, each the sum over so many heads.
    fn add(&mut self, slots: &[&Slot], layer: Layer, queries: &[u32], values: &[f32], n_heads: usize) {
        for slot in slots {
            // An edge over all layers is the mean of its layers.
            let layers = slot.edge.layer.map_or(self.n_layers, |_| 1);
            let factor = 1.0 / (n_heads * layers) as f64;
            let squared = slot.edge.measure == Measure::StandardError;
            for (&place, row) in queries.iter().zip(values.chunks_exact(self.places.keys.len())) {
                let Some(query) = self.places.queries[place as usize] else {
                    continue;
                };
                if !to_fixed_point(row, factor, squared, &mut self.fixed) {
                    let (cell, edge) = (self.cell, slot.edge);
                    let error = match edge.measure {
                        Measure::Attention | Measure::StandardError => {
                            Error::NotFinite { cell, layer: layer.0 }
                        }
                        _ => Error::Score { cell, edge },
                    };
                    self.failure.get_or_insert(error);
                    return;
                }
                if !slot.add(query, &self.places.keys, &self.fixed) {
                    self.failure.get_or_insert(Error::SumOverflow);
                    return;
                }
            }
        }
    }
}

impl Observer for CellSums<'_> {
    fn wants(&self, layer: Layer) -> Wants {
        let mut wants = Wants::default();
        for slot in self
            .slots
            .iter()
            .filter(|slot| slot.edge.layer.is_none_or(|of| of == layer))
        {
            match slot.edge.measure {
                Measure::NormWeighted => (wants.attention, wants.lengths) = (true, true),
                Measure::ValueCosine | Measure::ValueDot => wants.contexts = true,
                Measure::RankedLogits => wants.logits = true,
                _ => wants.attention = true,
            }
        }
        wants
    }

    fn see(&mut self, layer: Layer, seen: Seen<'_>) {
        match seen {
            Seen::Logits(block) => self.logits(layer, &block),
            Seen::Attention(block) => self.attention(layer, &block),
            Seen::Lengths(lengths) => self.lengths = lengths.to_owned(),
            Seen::Contexts(positions, contexts) => {
                if let Err(error) = self.contexts(layer, positions, contexts) {
                    self.failure.get_or_insert(error);
                }
            }
            Seen::Mlp(_) | Seen::Hidden(_) => (),
        }
    }
}
