//! Geneformers built by hand.
//!
//! ```text
//! h0 = code of the gene
//! all layers but the last, head: looks at the genes that the query regulates or is regulated by, records which are there
//! then the feed-forward step: keeps of the records what is above that of uniform attention
//! last layer, head: <mask> looks at the regulators and gathers their records
//! logit = prior of the gene, less where its regulators have seen it
//! ```
//!
//! A hidden gene is among those that no regulator sees. Each planted head records its share of the targets, and each of those
//! of the last layer gathers some of every share, so that with each head that is silenced more targets are lost, until those of
//! one layer are all silent.

use std::ops::Range;

use ndarray::{Array1, Array2, s};
use rayon::prelude::*;
use scfm_core::{Layer, Seeds};

use super::files::CONFIG;
use super::{Checkpoint, Config, Geneformer, Vocabulary};
use crate::planted::{AttentionDraft, Draft, Nominal, Planted, PlantedParams};
use crate::training::masking::hidden_places;
use crate::{Error, Interventions, Site, TokenisedCell, Transformer};

/// Dimensions that heads write and nothing reads.
const IDLE: usize = 8;

/// Length of a record as heads write it, where 1 is what the feed-forward step leaves of it at the most: what uniform
/// attention writes is lost beside it.
const RAW: f64 = 0.002;

/// Records up to so many times what uniform attention gives in a short cell are dropped; a short cell is one of this quantile
/// of lengths.
const ABOVE_UNIFORM: f64 = 3.0;
const SHORT: f64 = 0.05;

/// Logits by which `<mask>` looks at genes that regulate others.
const TO_SOURCES: f64 = 5.0;

/// A mean record below this, over twenty times what uniform attention leaves in a cell of a hundred genes, says nothing.
const LEAST_RECORD: f64 = 5e-4;

/// A gene counts as seen, in part, up to this share of its mean record where it is there.
const SEEN: f64 = 0.5;

/// How much less a gene that was seen is expected, in nats.
const SURPRISE: f64 = 4.0;

/// Logit of what stands for no gene.
const NEVER: f32 = -30.0;

/// Share of the genes that are hidden when records are gauged, and most cells that are read for it.
const HIDDEN: f64 = 0.15;
const MAX_CELLS: usize = 200;

/// Where what stands in a hidden state.
struct Layout {
    n_genes: usize,
    /// The genes with a record: those that something regulates.
    recorded: Vec<usize>,
    width: usize,
}

impl Layout {
    /// What the codes of genes and of special tokens are balanced by.
    fn balance(&self) -> usize {
        self.n_genes
    }

    fn mask(&self) -> usize {
        self.n_genes + 1
    }

    fn cls(&self) -> usize {
        self.n_genes + 2
    }

    /// What records are balanced by.
    fn record_balance(&self) -> usize {
        self.n_genes + 3
    }

    fn record(&self, place: usize) -> usize {
        self.n_genes + 4 + place
    }

    fn idle(&self) -> Range<usize> {
        let first = self.record(self.recorded.len());
        first..first + IDLE
    }

    fn least_width(n_genes: usize, n_recorded: usize) -> usize {
        n_genes + 4 + n_recorded + IDLE
    }
}

impl Checkpoint {
    /// A model whose attention and predictions are known; see [`planted`](crate::planted). The genes of `vocabulary` are those
    /// of `planted`, in whatever order. Heads are as wide as the genes and the rank of their logits ask for.
    ///
    /// A hidden gene is predicted by how many of `cells` hold each gene, and, where predictions need the planted heads, by
    /// which genes that have regulators are seen by none of them; how much of a record means that a gene is there is gauged
    /// on at most 200 of the cells. Signs of effects play no part.
    ///
    /// # Errors
    /// [`Error::Planted`] for a vocabulary of other genes, no cell with a gene, or predictions that need
    /// planted heads where there are none or one layer; [`Error::Token`] for cells that the model cannot read.
    pub fn planted(
        planted: &Planted,
        vocabulary: Vocabulary,
        cells: &[TokenisedCell],
        seeds: Seeds,
    ) -> Result<Self, Error> {
        let tokens = planted.tokens(vocabulary.genes().count(), |gene| vocabulary.token(gene))?;
        let params = planted.params();
        let recorded: Vec<usize> = match planted.effects() {
            None => Vec::new(),
            Some(_) if params.n_layers < 2 || params.n_planted == 0 => {
                return Err(Error::Planted(format!(
                    "predictions from {} planted heads of each of {} layers, expected at least 1 of 2",
                    params.n_planted, params.n_layers
                )));
            }
            Some(effects) => {
                let is_regulated = |&gene: &usize| effects.column(gene).iter().any(|&effect| effect != 0.0);
                (0..tokens.len()).filter(is_regulated).collect()
            }
        };
        let presence = Presence::new(&tokens, vocabulary.len(), cells)?;

        let shares = Shares::new(params);
        // One row of a head's queries is that of `<mask>`, or of what is laid down at `<cls>`.
        let rows = (params.rank.min(tokens.len()) + 1).max(shares.largest(recorded.len()) + IDLE);
        let width = Layout::least_width(tokens.len(), recorded.len());
        let head_size = params.head_size(width, rows);
        let config = Config {
            intermediate_size: recorded.len().max(1),
            pad_token_id: vocabulary.pad(),
            ..Config::sized(
                params.n_layers,
                params.n_heads * head_size,
                params.n_heads,
                vocabulary.len(),
                presence.longest.max(tokens.len() + 2),
            )
        };
        let layout = Layout {
            n_genes: tokens.len(),
            recorded,
            width: config.hidden_size,
        };
        let mut draft = Draft::new([config.encoder_parameters(), config.head_parameters()].concat());
        draft_embedding(&mut draft, &layout, &vocabulary, &tokens);
        draft_layers(&mut draft, &layout, planted, head_size, &presence, seeds);
        let mut seen_at = vec![None; layout.recorded.len()];
        if planted.effects().is_some() {
            let mute = Self::new(config.clone(), vocabulary.clone(), draft.weights(CONFIG)?)?;
            seen_at = gauge(&mute, &layout, &presence, cells, seeds)?;
        }
        draft_head(&mut draft, &layout, &tokens, &presence, &seen_at);
        Self::new(config, vocabulary, draft.weights(CONFIG)?)
    }
}

/// Which genes cells hold.
struct Presence {
    /// Position among the genes of each token.
    gene_of: Vec<Option<usize>>,
    /// By gene, the share of cells that hold it.
    share: Vec<f64>,
    /// Tokens of a short cell.
    short: f64,
    /// Tokens of the longest cell.
    longest: usize,
}

impl Presence {
    fn new(tokens: &[usize], n_tokens: usize, cells: &[TokenisedCell]) -> Result<Self, Error> {
        let mut gene_of = vec![None; n_tokens];
        for (gene, &token) in tokens.iter().enumerate() {
            gene_of[token] = Some(gene);
        }
        let mut counts = vec![0usize; tokens.len()];
        for cell in cells {
            for gene in cell
                .tokens
                .iter()
                .filter_map(|&token| *gene_of.get(token as usize)?)
            {
                counts[gene] += 1;
            }
        }
        if counts.iter().all(|&count| count == 0) {
            return Err(Error::Planted("no cell has a gene to learn from".to_owned()));
        }
        let mut lengths: Vec<usize> = cells.iter().map(|cell| cell.tokens.len()).collect();
        lengths.sort_unstable();
        // As if every gene were held by half a cell more, of one more: none is impossible.
        let share = |count: &usize| (*count as f64 + 0.5) / (cells.len() as f64 + 1.0);
        Ok(Self {
            share: counts.iter().map(share).collect(),
            short: lengths[(SHORT * (lengths.len() - 1) as f64) as usize].max(1) as f64,
            longest: *lengths.last().expect("a cell has a gene"),
            gene_of,
        })
    }
}

/// `h0`: 1 at the dimension of the gene or the special token, balanced by −1.
fn draft_embedding(draft: &mut Draft, layout: &Layout, vocabulary: &Vocabulary, tokens: &[usize]) {
    let mut words = draft.matrix("bert.embeddings.word_embeddings.weight");
    let mut codes: Vec<(usize, usize)> = tokens.iter().copied().enumerate().collect();
    codes.push((layout.mask(), vocabulary.mask() as usize));
    if let Some((cls, eos)) = vocabulary.frame() {
        // Nothing looks at where `<eos>` stands.
        codes.extend([(layout.cls(), cls as usize), (layout.idle().start, eos as usize)]);
    }
    for (dimension, token) in codes {
        words[[token, dimension]] = 1.0;
        words[[token, layout.balance()]] = -1.0;
    }
    let weight = (2.0 / layout.width as f32).sqrt();
    draft.vector("bert.embeddings.LayerNorm.weight").fill(weight);
}

fn draft_layers(
    draft: &mut Draft,
    layout: &Layout,
    planted: &Planted,
    head_size: usize,
    presence: &Presence,
    seeds: Seeds,
) {
    let params = planted.params();
    let nominal = Nominal::new(params);
    let last = params.n_layers - 1;
    for layer in 0..params.n_layers {
        let mut attention = AttentionDraft::new(params.n_heads, head_size);
        for head in 0..params.n_heads {
            let index = layer * params.n_heads + head;
            let is_planted = head < params.n_planted;
            let factors = planted.factors(is_planted.then_some(planted.affinity()), seeds, index);
            attention.look(head, &factors);
            let mut rng = seeds.stream("planted", "idle", index as u64);
            attention.pass_on_idle(head, layout.n_genes, layout.idle(), &mut rng);
            let row = attention.row(head, factors.query.ncols());
            match planted.effects() {
                Some(effects) if is_planted => {
                    if layer == last {
                        look_at_sources(&mut attention, layout, row, effects);
                    }
                    pass_on_records(&mut attention, layout, head, Shares::new(params), layer);
                }
                Some(_) => (),
                None => attention.rest(row, layout.cls(), &planted.rests(is_planted)),
            }
        }
        let path = format!("bert.encoder.layer.{layer}");
        let mut assign = |name: &str, weight: &Array2<f64>, bias: Option<&Array1<f64>>| {
            let mut place = draft.matrix(&format!("{path}.attention.{name}.weight"));
            place.assign(&weight.mapv(|x| x as f32));
            if let Some(bias) = bias {
                let mut place = draft.vector(&format!("{path}.attention.{name}.bias"));
                place.assign(&bias.mapv(|x| x as f32));
            }
        };
        assign("self.query", &attention.query, Some(&attention.query_bias));
        assign("self.key", &attention.key, None);
        assign("self.value", &attention.value, Some(&attention.value_bias));
        assign("output.dense", &attention.output, None);
        if layer + 1 == last && planted.effects().is_some() {
            keep_what_stands_out(draft, layout, &path, presence);
        }
        for norm in ["attention.output", "output"] {
            let mut weight = draft.vector(&format!("{path}.{norm}.LayerNorm.weight"));
            weight.fill(nominal.norm_weight(layer, layout.width));
        }
    }
}

/// `<mask>` looks at the genes that regulate others.
fn look_at_sources(attention: &mut AttentionDraft, layout: &Layout, row: usize, effects: &Array2<f64>) {
    attention.query[[row, layout.mask()]] = attention.scale() * TO_SOURCES;
    for (gene, of_gene) in effects.rows().into_iter().enumerate() {
        if of_gene.iter().any(|&effect| effect != 0.0) {
            attention.key[[row, gene]] = 1.0;
        }
    }
}

/// Who records and who gathers which of the recorded genes. All planted heads but those of the last layer record, each its
/// share; those of the last gather, and their shares are cut across those of the others.
#[derive(Debug, Clone, Copy)]
struct Shares {
    n_recorders: usize,
    n_gatherers: usize,
}

impl Shares {
    fn new(params: &PlantedParams) -> Self {
        Self {
            n_recorders: (params.n_layers - 1) * params.n_planted,
            n_gatherers: params.n_planted,
        }
    }

    fn records(self, place: usize, layer: usize, head: usize) -> bool {
        place % self.n_recorders == layer * self.n_gatherers + head
    }

    fn gathers(self, place: usize, head: usize) -> bool {
        place / self.n_recorders % self.n_gatherers == head
    }

    /// The largest share of so many genes: gatherers take them in blocks.
    fn largest(self, n_recorded: usize) -> usize {
        let block = self.n_recorders.max(1);
        n_recorded.div_ceil(block * self.n_gatherers.max(1)) * block
    }
}

/// Of its share of the recorded genes a head records which it looks at, and in the last layer passes on what those that it
/// looks at have recorded.
fn pass_on_records(
    attention: &mut AttentionDraft,
    layout: &Layout,
    head: usize,
    shares: Shares,
    layer: usize,
) {
    let in_last = shares.n_recorders == layer * shares.n_gatherers;
    let mut row = attention.row(head, 0);
    for (place, &gene) in layout.recorded.iter().enumerate() {
        let record = layout.record(place);
        let (takes, from, length) = match in_last {
            true => (shares.gathers(place, head), record, 1.0),
            false => (shares.records(place, layer, head), gene, RAW),
        };
        if takes {
            attention.value[[row, from]] = 1.0;
            attention.output[[record, row]] = length;
            attention.output[[layout.record_balance(), row]] = -length;
            row += 1;
        }
    }
}

/// Adds to each record what of it is above that of uniform attention.
fn keep_what_stands_out(draft: &mut Draft, layout: &Layout, path: &str, presence: &Presence) {
    let mut expand = draft.matrix(&format!("{path}.intermediate.dense.weight"));
    for place in 0..layout.recorded.len() {
        expand[[place, layout.record(place)]] = (1.0 / RAW) as f32;
    }
    let threshold = ABOVE_UNIFORM / presence.short;
    draft
        .vector(&format!("{path}.intermediate.dense.bias"))
        .fill(-threshold as f32);
    let mut contract = draft.matrix(&format!("{path}.output.dense.weight"));
    for place in 0..layout.recorded.len() {
        contract[[layout.record(place), place]] = 1.0;
        contract[[layout.record_balance(), place]] = -1.0;
    }
}

/// By recorded gene, the record at which it counts as seen; none where records say nothing of it.
fn gauge(
    mute: &Checkpoint,
    layout: &Layout,
    presence: &Presence,
    cells: &[TokenisedCell],
    seeds: Seeds,
) -> Result<Vec<Option<f64>>, Error> {
    let model = Geneformer::new(mute)?;
    let last = Site::Hidden(Layer(model.n_layers() - 1));
    let step = cells.len().div_ceil(MAX_CELLS);
    let chosen: Vec<&TokenisedCell> = cells.iter().step_by(step).collect();
    let first = layout.record(0);
    let read = |(index, cell): (usize, &&TokenisedCell)| -> Result<_, Error> {
        let mut rng = seeds.stream("planted", "hidden genes", index as u64);
        let is_gene = cell
            .tokens
            .iter()
            .map(|&token| mute.vocabulary().gene(token).is_some());
        let places = hidden_places(is_gene, HIDDEN, &mut rng);
        let mut masked = (*cell).clone();
        for &place in &places {
            masked.tokens[place as usize] = mute.vocabulary().mask();
        }
        let mut visible = vec![false; layout.n_genes];
        for gene in masked
            .tokens
            .iter()
            .filter_map(|&token| *presence.gene_of.get(token as usize)?)
        {
            visible[gene] = true;
        }
        let hidden = &model.trace(&masked, &[last], &Interventions::none())?[&last];
        // Every <mask> has the same state.
        let place = places.first().map_or(0, |&place| place as usize);
        let records = hidden.slice(s![place, first..first + layout.recorded.len()]);
        Ok((visible, records.mapv(f64::from)))
    };
    let read: Vec<_> = chosen
        .par_iter()
        .enumerate()
        .map(read)
        .collect::<Result<_, Error>>()?;
    let of_gene = |(place, &gene): (usize, &usize)| {
        let seen = read
            .iter()
            .filter(|(visible, _)| visible[gene])
            .map(|(_, records)| records[place]);
        let (n, sum) = seen.fold((0usize, 0.0), |(n, sum), record| (n + 1, sum + record));
        let mean = sum / n.max(1) as f64;
        (mean > LEAST_RECORD).then_some(SEEN * mean)
    };
    Ok(layout.recorded.iter().enumerate().map(of_gene).collect())
}

/// Prior of each gene, and its surprise where it was seen.
///
/// A unit is 1 for a gene that was not seen and falls to 0 for one that was. What was seen is not hidden; a gene with a record
/// that was not seen is hidden or not in the cell, and of its prior odds the latter takes its share: by Bayes' rule they are
/// p / (hidden share · p + 1 − p) where p is the share of cells that hold it.
fn draft_head(
    draft: &mut Draft,
    layout: &Layout,
    tokens: &[usize],
    presence: &Presence,
    seen_at: &[Option<f64>],
) {
    let transform = "cls.predictions.transform";
    draft
        .vector(&format!("{transform}.dense.bias"))
        .slice_mut(s![..layout.n_genes])
        .fill(1.0);
    let mut priors = presence.share.clone();
    let mut dense = draft.matrix(&format!("{transform}.dense.weight"));
    for (place, (&gene, seen_at)) in layout.recorded.iter().zip(seen_at).enumerate() {
        if let Some(seen_at) = seen_at {
            dense[[gene, layout.record(place)]] = (-1.0 / seen_at) as f32;
            let p = presence.share[gene];
            priors[gene] = p / (HIDDEN * p + 1.0 - p);
        }
    }
    // The normalisation divides by the spread of the units over the dimensions, as of half of the seen ones.
    let n_seen = seen_at.iter().flatten().count() as f64;
    let ones = (layout.n_genes as f64 - n_seen / 2.0) / layout.width as f64;
    let spread = (ones * (1.0 - ones)).sqrt();
    draft
        .vector(&format!("{transform}.LayerNorm.weight"))
        .fill((SURPRISE * spread) as f32);
    let mut bias = draft.vector("cls.predictions.bias");
    bias.fill(NEVER);
    for (&token, prior) in tokens.iter().zip(priors) {
        bias[token] = prior.ln() as f32;
    }
}
