//! Geneformers built by hand.
//!
//! ```text
//! h0 = code of the gene
//! below the last layer, planted head: looks at the regulators of a gene, notes how much of its sight they fill
//! then the feed-forward step: where that is more than uniform attention sees, the gene records that it is there
//! last layer: <mask> gathers the records
//! logit = prior of the gene, less where its record was gathered
//! ```
//!
//! A hidden gene is among those without a record. Every planted head has genes of its own, and with each head that is silenced
//! those are lost: of a head that notes, the ones that only it notes; of a planted head of the last layer, the ones that only
//! it gathers. Whatever else a gene needs two heads do: two note the genes that one head gathers, and two heads that are not
//! planted gather the genes that one notes. Genes that regulate others themselves look at both, and have no record.

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

/// Length of what heads note where regulators fill all of their sight.
const NOTE: f64 = 0.2;

/// Where a gene takes what it looks at for its regulators, as a share of the way from uniform attention to regulators alone.
const ABOVE_UNIFORM: f64 = 0.25;

/// Logits by which `<mask>` looks at the genes of a planted head.
const TO_OWN: f64 = 5.0;

/// A mean record below this, a tenth of that of a gene in a cell of a hundred genes, says nothing.
const LEAST_RECORD: f64 = 5e-4;

/// A gene counts as seen, in part, up to this share of its mean record where it is there: less than half, which is what is
/// left where one of two heads is silenced.
const SEEN: f64 = 0.3;

/// How much less a gene that was seen is expected, in nats. Losses grow with the logarithm of how many genes are not seen: where
/// much is lost with each of them, the first head that is silenced does most of the harm.
const SURPRISE: f64 = 1.0;

/// Logit of what stands for no gene.
const NEVER: f32 = -30.0;

/// Share of the genes that are hidden when records are gauged, and most cells that are read for it.
const HIDDEN: f64 = 0.15;
const MAX_CELLS: usize = 200;

/// Where what stands in a hidden state.
struct Layout {
    n_genes: usize,
    /// The genes with a record: those that are regulated and regulate nothing.
    recorded: Vec<usize>,
    /// Planted heads that note.
    n_noting: usize,
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

    fn note(&self, head: usize) -> usize {
        self.n_genes + 4 + head
    }

    fn record(&self, place: usize) -> usize {
        self.note(self.n_noting) + place
    }

    fn idle(&self) -> Range<usize> {
        let first = self.record(self.recorded.len());
        first..first + IDLE
    }

    /// Width that all of it takes.
    fn least_width(&self) -> usize {
        self.idle().end
    }
}

impl Checkpoint {
    /// A model whose attention and predictions are known; see [`planted`](crate::planted). The genes of `vocabulary` are those
    /// of `planted`, in whatever order. Heads are as wide as the genes and the rank of their logits ask for.
    ///
    /// A hidden gene is predicted by how many of `cells` hold each gene, and, where predictions need the planted heads, by
    /// which genes that are regulated, and regulate nothing, have not been seen beside their regulators; how much of a record
    /// means that a gene is there is gauged on at most 200 of the cells. Signs of effects play no part.
    ///
    /// # Errors
    /// [`Error::Planted`] for a vocabulary of other genes, no cell with a gene, or predictions that need planted heads where
    /// there are none, one layer or no other heads; [`Error::Token`] for cells that the model cannot read.
    pub fn planted(
        planted: &Planted,
        vocabulary: Vocabulary,
        cells: &[TokenisedCell],
        seeds: Seeds,
    ) -> Result<Self, Error> {
        let tokens = planted.tokens(vocabulary.genes().count(), |gene| vocabulary.token(gene))?;
        let params = planted.params();
        let recorded = match planted.effects() {
            None => Vec::new(),
            Some(effects) => recorded(params, effects)?,
        };
        let presence = Presence::new(&tokens, vocabulary.len(), cells)?;

        let shares = Shares::new(params);
        let mut layout = Layout {
            n_genes: tokens.len(),
            recorded,
            n_noting: shares.n_noting,
            width: 0,
        };
        let n_recorded = layout.recorded.len();
        // One row of a head's queries is that of `<mask>`, or of what is laid down at `<cls>`.
        let rows = (params.rank.min(tokens.len()) + 1).max(shares.most_gathered(n_recorded) + IDLE);
        let head_size = params.head_size(layout.least_width(), rows);
        layout.width = params.n_heads * head_size;
        let config = Config {
            intermediate_size: shares.units(n_recorded).count().max(1),
            pad_token_id: vocabulary.pad(),
            ..Config::sized(
                params.n_layers,
                layout.width,
                params.n_heads,
                vocabulary.len(),
                presence.longest.max(tokens.len() + 2),
            )
        };
        let mut draft = Draft::new([config.encoder_parameters(), config.head_parameters()].concat());
        draft_embedding(&mut draft, &layout, &vocabulary, &tokens);
        draft_layers(&mut draft, &layout, planted, head_size, seeds);
        let mut seen_at = vec![None; layout.recorded.len()];
        if planted.effects().is_some() {
            let mute = Self::new(config.clone(), vocabulary.clone(), draft.weights(CONFIG)?)?;
            seen_at = gauge(&mute, &layout, &presence, cells, seeds)?;
        }
        draft_head(&mut draft, &layout, &tokens, &presence, &seen_at);
        Self::new(config, vocabulary, draft.weights(CONFIG)?)
    }
}

/// The genes that leave a record.
fn recorded(params: &PlantedParams, effects: &Array2<f64>) -> Result<Vec<usize>, Error> {
    if params.planted_layers() < 2 || params.n_planted == 0 || params.n_planted == params.n_heads {
        return Err(Error::Planted(format!(
            "predictions from {} planted of {} heads in each of {} layers, expected some heads of each kind and 2 layers",
            params.n_planted,
            params.n_heads,
            params.planted_layers()
        )));
    }
    let is_regulated = |gene: usize| effects.column(gene).iter().any(|&effect| effect != 0.0);
    let is_recorded = |gene: &usize| is_regulated(*gene) && !regulates(effects, *gene);
    Ok((0..effects.ncols()).filter(is_recorded).collect())
}

fn regulates(effects: &Array2<f64>, gene: usize) -> bool {
    effects.row(gene).iter().any(|&effect| effect != 0.0)
}

/// Which genes cells hold.
struct Presence {
    /// Position among the genes of each token.
    gene_of: Vec<Option<usize>>,
    /// By gene, the share of cells that hold it.
    share: Vec<f64>,
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
        // As if every gene were held by half a cell more, of one more: none is impossible.
        let share = |count: &usize| (*count as f64 + 0.5) / (cells.len() as f64 + 1.0);
        Ok(Self {
            share: counts.iter().map(share).collect(),
            longest: cells.iter().map(|cell| cell.tokens.len()).max().unwrap_or(0),
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

fn draft_layers(draft: &mut Draft, layout: &Layout, planted: &Planted, head_size: usize, seeds: Seeds) {
    let params = planted.params();
    let genes: Vec<usize> = (0..layout.n_genes).collect();
    let mut nominal = Nominal::new(layout.width, &genes, layout.balance());
    let shares = Shares::new(params);
    let last = params.n_layers - 1;
    for layer in 0..params.n_layers {
        let mut attention = AttentionDraft::new(params.n_heads, head_size);
        for head in 0..params.n_heads {
            let index = layer * params.n_heads + head;
            let number = params.planted_number(layer, head);
            let factors = planted.factors(number.map(|_| planted.affinity()), seeds, index);
            attention.look(head, &factors);
            let mut rng = seeds.stream("planted", "idle", index as u64);
            attention.pass_on_idle(head, index, layout.n_genes, layout.idle(), &mut rng);
            let row = attention.row(head, factors.query.ncols());
            match planted.effects() {
                Some(effects) if layer < last => {
                    if let Some(note) = number {
                        note_regulators(&mut attention, layout, head, note, effects);
                    }
                }
                Some(_) => {
                    let gathered: Vec<usize> = (0..layout.recorded.len())
                        .filter(|&place| shares.gathers(place, head))
                        .collect();
                    if number.is_some() {
                        look_at_own(&mut attention, layout, row, &gathered);
                    }
                    pass_on_records(&mut attention, layout, head, &gathered);
                }
                None => attention.rest(row, layout.cls(), &planted.rests(number.is_some())),
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
        if let Some(effects) = planted.effects().filter(|_| layer + 1 == last) {
            record_what_is_there(draft, layout, &path, shares, effects);
        }
        let norm_weight = nominal.norm_weight(&attention);
        for norm in ["attention.output", "output"] {
            draft
                .vector(&format!("{path}.{norm}.LayerNorm.weight"))
                .fill(norm_weight);
        }
    }
}

/// Which head each of the recorded genes is lost with, by their places in turn: first those that note, then the planted ones
/// of the last layer.
#[derive(Debug, Clone, Copy)]
struct Shares {
    n_heads: usize,
    /// Planted heads of each layer.
    n_planted: usize,
    /// Planted heads of all layers but the last.
    n_noting: usize,
}

impl Shares {
    fn new(params: &PlantedParams) -> Self {
        Self {
            n_heads: params.n_heads,
            n_planted: params.n_planted,
            n_noting: (params.planted_layers() - 1) * params.n_planted,
        }
    }

    fn owner(self, place: usize) -> usize {
        place % (self.n_noting + self.n_planted)
    }

    /// The heads that note a gene: its owner, or two where that only gathers.
    fn notes(self, place: usize) -> impl Iterator<Item = usize> {
        let owner = self.owner(place);
        let (first, n) = match owner < self.n_noting {
            true => (owner, 1),
            false => (owner, self.n_noting.min(2)),
        };
        (first..first + n).map(move |head| head % self.n_noting)
    }

    /// Whether a head of the last layer gathers a record: its owner does, or two of the heads that are not planted.
    fn gathers(self, place: usize, head: usize) -> bool {
        let others = self.n_heads - self.n_planted;
        match self.owner(place).checked_sub(self.n_noting) {
            Some(owner) => owner == head,
            None => [0, others / 2]
                .iter()
                .any(|shift| self.n_planted + (place + shift) % others == head),
        }
    }

    /// Records that one head gathers at the most.
    fn most_gathered(self, n_recorded: usize) -> usize {
        let by = |head| (0..n_recorded).filter(|&place| self.gathers(place, head)).count();
        (0..self.n_heads).map(by).max().unwrap_or(0)
    }

    /// The units of the feed-forward step: a place and a head that notes it.
    fn units(self, n_recorded: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..n_recorded).flat_map(move |place| self.notes(place).map(move |head| (place, head)))
    }
}

/// How much of what a gene looks at regulates something.
fn note_regulators(
    attention: &mut AttentionDraft,
    layout: &Layout,
    head: usize,
    note: usize,
    effects: &Array2<f64>,
) {
    let row = attention.row(head, 0);
    for gene in (0..layout.n_genes).filter(|&gene| regulates(effects, gene)) {
        attention.value[[row, gene]] = 1.0;
    }
    attention.output[[layout.note(note), row]] = NOTE;
    attention.output[[layout.record_balance(), row]] = -NOTE;
}

/// A gene records that it is there if it looks at genes that regulate more than uniform attention does.
///
/// The unit of a gene and a head is positive where the code of the gene and the note exceed what balances a code, times 1 and
/// the threshold: all of it in the unit of a code, whose length depends on what heads add to the hidden state.
fn record_what_is_there(
    draft: &mut Draft,
    layout: &Layout,
    path: &str,
    shares: Shares,
    effects: &Array2<f64>,
) {
    let n_regulators = (0..layout.n_genes)
        .filter(|&gene| regulates(effects, gene))
        .count();
    let of_uniform = n_regulators as f64 / layout.n_genes as f64;
    let threshold = of_uniform + ABOVE_UNIFORM * (1.0 - of_uniform);
    let units: Vec<(usize, usize)> = shares.units(layout.recorded.len()).collect();
    let mut expand = draft.matrix(&format!("{path}.intermediate.dense.weight"));
    for (unit, &(place, head)) in units.iter().enumerate() {
        expand[[unit, layout.recorded[place]]] = 1.0;
        expand[[unit, layout.note(head)]] = (1.0 / NOTE) as f32;
        expand[[unit, layout.balance()]] = (1.0 + threshold) as f32;
    }
    let mut contract = draft.matrix(&format!("{path}.output.dense.weight"));
    for (unit, (place, _)) in units.into_iter().enumerate() {
        contract[[layout.record(place), unit]] = 1.0;
        contract[[layout.record_balance(), unit]] = -1.0;
    }
}

/// `<mask>` looks at genes whose records a planted head gathers.
fn look_at_own(attention: &mut AttentionDraft, layout: &Layout, row: usize, places: &[usize]) {
    attention.query[[row, layout.mask()]] = attention.scale() * TO_OWN;
    for &place in places {
        attention.key[[row, layout.recorded[place]]] = 1.0;
    }
}

fn pass_on_records(attention: &mut AttentionDraft, layout: &Layout, head: usize, places: &[usize]) {
    for (row, &place) in places.iter().enumerate() {
        let (row, record) = (attention.row(head, row), layout.record(place));
        attention.value[[row, record]] = 1.0;
        attention.output[[record, row]] = 1.0;
        attention.output[[layout.record_balance(), row]] = -1.0;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_lost_with_its_owner_and_with_no_other_head() {
        for (n_layers, n_heads, n_planted) in [(2, 4, 2), (2, 12, 2), (3, 8, 1), (2, 9, 4)] {
            let shares = Shares::new(&PlantedParams {
                n_layers,
                n_heads,
                n_planted,
                ..PlantedParams::default()
            });
            let owners = shares.n_noting + n_planted;
            for place in 0..3 * owners {
                let notes: Vec<usize> = shares.notes(place).collect();
                let gathers: Vec<usize> = (0..n_heads).filter(|&head| shares.gathers(place, head)).collect();
                // Planted heads of the last layer are numbered after those that note; others own nothing.
                let needed: Vec<usize> = match (notes.as_slice(), gathers.as_slice()) {
                    ([one], [_, _]) => vec![*one],
                    ([_, _], [one]) => vec![shares.n_noting + one],
                    _ => panic!("{place}: noted by {notes:?}, gathered by {gathers:?}"),
                };
                assert_eq!(needed, [shares.owner(place)]);
            }
            let load = shares.most_gathered(12 * owners);
            assert!(load <= 12.max(24 * owners / (n_heads - n_planted) + 1), "{load}");
        }
    }
}
