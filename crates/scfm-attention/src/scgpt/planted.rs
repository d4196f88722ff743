//! scGPTs built by hand.
//!
//! ```text
//! h0 = code of the gene + value + flag of a hidden value
//! head: looks at the regulators of one sign, or at <cls>, and passes on the deviation of their bins from their means
//! expression = baseline of the gene + gain · what the heads passed on
//! ```
//!
//! Heads of activation and of repression take turns, the latter pass the deviation on with the other sign; what the heads of a
//! sign pass on is added up. Genes whose value is hidden are not looked at. Baselines and the gain are fitted to cells in which
//! a share of the genes is hidden.

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView1, s};
use rayon::prelude::*;
use scfm_core::{Layer, Seeds};

use super::checkpoint::CONFIG;
use super::model::SLOPE;
use super::training::{MASK_VALUE, MaskedCell};
use super::{Checkpoint, Config, ScGpt, Vocabulary};
use crate::planted::{AttentionDraft, Draft, Nominal, Planted};
use crate::{Error, Interventions, Site, Transformer, ValuedCell};

/// Dimensions that heads write and nothing reads.
const IDLE: usize = 12;

/// In the encoder of values, what stands beside a bin so that the normalisation hardly knows the bin: that of 50 is shrunk
/// by half a percent.
const BESIDE_VALUE: f32 = 500.0;

/// Length of the value of one bin, and of a hidden value, beside the 1 of the code of a gene.
const VALUE: f32 = 0.005;
const FLAG: f32 = 0.25;

/// Subtracted from the logits of a hidden gene.
const OUT_OF_SIGHT: f64 = 20.0;

/// What `<cls>` weighs as a key of planted heads, in units of all genes without affinity together. A gene without regulators
/// looks there, and not at all others alike, whose mean deviation says nothing of it.
const AT_REST: f64 = 3.0;

/// Bins in the unit in which deviations are passed on.
const BINS: f64 = 25.0;

/// Times the code of a gene, which is 1 at first and shrinks as heads add to the hidden state, this is above 1 at the end.
const PRESENT: f32 = 4.0;

/// Spread of what heads pass on below which the gain shrinks: from heads that hardly look at regulators least squares would
/// make a signal by a gain that blows their noise up.
const LEAST_SPREAD: f64 = 0.03;

/// Share of the genes that are hidden when baseline and gain are fitted, and most cells that they are fitted to.
const HIDDEN: f64 = 0.25;
const MAX_CELLS: usize = 200;

/// Where what stands in a hidden state; pairs are of opposite sign.
struct Layout {
    n_genes: usize,
    /// Of each planted head whose deviations the decoder reads: 1 of activation, −1 of repression.
    signs: Vec<f64>,
    width: usize,
}

impl Layout {
    /// What the codes of genes and of `<cls>` are balanced by.
    fn balance(&self) -> usize {
        self.n_genes
    }

    fn cls(&self) -> usize {
        self.n_genes + 1
    }

    fn value(&self) -> [usize; 2] {
        [self.n_genes + 2, self.n_genes + 3]
    }

    fn flag(&self) -> [usize; 2] {
        [self.n_genes + 4, self.n_genes + 5]
    }

    /// What the decoder reads.
    fn channel(&self, channel: usize) -> [usize; 2] {
        [0, 1].map(|side| self.n_genes + 6 + 2 * channel + side)
    }

    fn idle(&self) -> Range<usize> {
        let first = self.channel(self.signs.len())[0];
        first..first + IDLE
    }

    fn least_width(n_genes: usize, n_channels: usize) -> usize {
        n_genes + 6 + 2 * n_channels + IDLE
    }

    /// What the heads passed on.
    fn passed_on(&self, hidden: ArrayView1<'_, f32>) -> f64 {
        let channels = 0..self.signs.len();
        channels
            .map(|channel| f64::from(hidden[self.channel(channel)[0]]))
            .sum()
    }
}

/// What the decoder makes of a gene and of what the heads passed on.
struct ReadOut {
    /// By gene, in bins.
    baseline: Vec<f64>,
    /// Bins in the unit of what was passed on.
    gain: f64,
}

impl Checkpoint {
    /// A model whose attention and predictions are known; see [`planted`](crate::planted). The genes of `vocabulary` are those
    /// of `planted`, in whatever order. Heads are as wide as the genes and the rank of their logits ask for.
    ///
    /// A hidden value is predicted by the gene's mean bin over `cells`, and, where predictions need the planted heads, by the
    /// deviations of its regulators from theirs: in favour of those that the affinity makes the heads look at, with one gain
    /// for all, fitted to at most 200 of the cells. A gene that no cell holds has the mean of all bins.
    ///
    /// # Errors
    /// [`Error::Planted`] for a vocabulary of other genes, or no cell with a gene; [`Error::Token`] and
    /// [`Error::Value`] for cells that the model cannot read.
    pub fn planted(
        planted: &Planted,
        vocabulary: Vocabulary,
        cells: &[ValuedCell],
        seeds: Seeds,
    ) -> Result<Self, Error> {
        let tokens = planted.tokens(vocabulary.genes().count(), |gene| vocabulary.token(gene))?;
        let means = MeanBins::new(&tokens, vocabulary.len(), cells)?;

        let params = planted.params();
        let signs: Vec<(f64, Array2<f64>)> = [1.0, -1.0]
            .into_iter()
            .filter_map(|sign| Some((sign, planted.affinity_of_sign(sign)?)))
            .collect();
        let n_planted = params.planted_layers() * params.n_planted;
        let of_heads = signs.iter().map(|(sign, _)| *sign).cycle().take(n_planted);
        let of_heads: Vec<f64> = of_heads.collect();
        // Two rows of a head are for hidden genes and `<cls>`, and contexts have a row beside the idle ones.
        let rows = (params.rank.min(tokens.len()) + 2).max(IDLE + 1);
        let head_size = params.head_size(Layout::least_width(tokens.len(), of_heads.len()), rows);
        let config = Config {
            d_hid: 1,
            ..Config::sized(params.n_layers, params.n_heads * head_size, params.n_heads)
        };
        let layout = Layout {
            n_genes: tokens.len(),
            signs: of_heads,
            width: config.embsize,
        };
        let mut draft = Draft::new(
            [
                config.encoder_parameters(vocabulary.len()),
                config.decoder_parameters(),
            ]
            .concat(),
        );
        draft_embedding(&mut draft, &layout, &tokens, vocabulary.cls() as usize);
        let planted_heads = PlantedHeads {
            planted,
            signs: &signs,
            head_size,
            means: &means,
        };
        draft_layers(&mut draft, &layout, &planted_heads, seeds);
        let read_out = match planted.effects() {
            None => ReadOut {
                baseline: means.of_genes.clone(),
                gain: 0.0,
            },
            Some(_) => {
                let weights = draft.weights(CONFIG)?;
                let mute = Self::new(config.clone(), vocabulary.clone(), weights)?;
                ReadOut::fit(&mute, &layout, &means, cells, seeds)?
            }
        };
        draft_decoder(&mut draft, &layout, &read_out);
        Self::new(config, vocabulary, draft.weights(CONFIG)?)
    }
}

/// Mean bins over cells.
struct MeanBins {
    /// Position among the genes of each token.
    gene_of: Vec<Option<usize>>,
    of_genes: Vec<f64>,
}

impl MeanBins {
    fn new(tokens: &[usize], n_tokens: usize, cells: &[ValuedCell]) -> Result<Self, Error> {
        let mut gene_of = vec![None; n_tokens];
        for (gene, &token) in tokens.iter().enumerate() {
            gene_of[token] = Some(gene);
        }
        let (mut sums, mut counts) = (vec![0.0; tokens.len()], vec![0usize; tokens.len()]);
        for cell in cells {
            for (&token, &bin) in cell.tokens().iter().zip(cell.values()) {
                if let Some(&Some(gene)) = gene_of.get(token as usize) {
                    sums[gene] += f64::from(bin);
                    counts[gene] += 1;
                }
            }
        }
        let n_bins: usize = counts.iter().sum();
        if n_bins == 0 {
            return Err(Error::Planted(
                "no cell has a gene to learn its mean from".to_owned(),
            ));
        }
        let of_all = sums.iter().sum::<f64>() / n_bins as f64;
        let mean = |(sum, count): (&f64, &usize)| if *count == 0 { of_all } else { sum / *count as f64 };
        Ok(Self {
            of_genes: sums.iter().zip(&counts).map(mean).collect(),
            gene_of,
        })
    }
}

/// `h0`: 1 at the gene's own dimension, its value, whether it is hidden; each balanced by what is of opposite sign.
fn draft_embedding(draft: &mut Draft, layout: &Layout, tokens: &[usize], cls: usize) {
    let root_width = (layout.width as f32).sqrt();
    let mut embedding = draft.matrix("encoder.embedding.weight");
    let genes = tokens.iter().copied().enumerate();
    for (dimension, token) in genes.chain([(layout.cls(), cls)]) {
        embedding[[token, dimension]] = 1.0;
        embedding[[token, layout.balance()]] = -1.0;
    }
    // Normalised, a code has the length √width.
    draft
        .vector("encoder.enc_norm.weight")
        .fill(2f32.sqrt() / root_width);

    // Units are the value, and of negative ones how far they lie below 0 and below −1: of the value of a hidden gene, −1, the
    // flag is 1, of that of padding, −2, it is 0 again.
    let mut first = draft.matrix("value_encoder.linear1.weight");
    (first[[0, 0]], first[[1, 0]], first[[2, 0]]) = (1.0, -1.0, -1.0);
    draft.vector("value_encoder.linear1.bias")[2] = MASK_VALUE;
    let mut second = draft.matrix("value_encoder.linear2.weight");
    for (pair, unit, weight) in [
        (layout.value(), 0, 1.0),
        (layout.flag(), 1, 1.0),
        (layout.flag(), 2, -2.0),
    ] {
        (second[[pair[0], unit]], second[[pair[1], unit]]) = (weight, -weight);
    }
    let mut beside = draft.vector("value_encoder.linear2.bias");
    (beside[0], beside[1]) = (BESIDE_VALUE, -BESIDE_VALUE);
    let of_one = root_width / (2f32.sqrt() * BESIDE_VALUE);
    let mut norm = draft.vector("value_encoder.norm.weight");
    for (pair, length) in [(layout.value(), VALUE), (layout.flag(), FLAG)] {
        for dimension in pair {
            norm[dimension] = length / of_one;
        }
    }
}

/// What the planted heads of all layers are made of.
struct PlantedHeads<'a> {
    planted: &'a Planted,
    /// Affinity by sign of regulation, where predictions need it.
    signs: &'a [(f64, Array2<f64>)],
    head_size: usize,
    means: &'a MeanBins,
}

fn draft_layers(draft: &mut Draft, layout: &Layout, heads: &PlantedHeads<'_>, seeds: Seeds) {
    let params = heads.planted.params();
    let tokens: Vec<usize> = (0..layout.n_genes).chain([layout.cls()]).collect();
    let mut nominal = Nominal::new(layout.width, &tokens, layout.balance());
    for layer in 0..params.n_layers {
        let mut attention = AttentionDraft::new(params.n_heads, heads.head_size);
        for head in 0..params.n_heads {
            let index = layer * params.n_heads + head;
            let channel = params.planted_number(layer, head);
            let affinity = channel.map(|channel| match heads.signs {
                [] => heads.planted.affinity(),
                signs => &signs[channel % signs.len()].1,
            });
            let factors = heads.planted.factors(affinity, seeds, index);
            attention.look(head, &factors);
            let row = attention.row(head, factors.query.ncols());
            look_past_hidden(&mut attention, layout, row);
            let mut rng = seeds.stream("planted", "idle", index as u64);
            attention.pass_on_idle(head, index, layout.n_genes, layout.idle(), &mut rng);
            if heads.signs.is_empty() {
                attention.rest(row + 1, layout.cls(), &heads.planted.rests(channel.is_some()));
            } else if let Some(channel) = channel {
                attention.key[[row, layout.cls()]] = (AT_REST * layout.n_genes as f64).ln();
                pass_on_deviations(&mut attention, layout, head, channel, heads.means);
            }
        }
        let path = format!("transformer_encoder.layers.{layer}");
        let width = layout.width;
        let mut stack = draft.matrix(&format!("{path}.self_attn.Wqkv.weight"));
        for (part, weights) in [&attention.query, &attention.key, &attention.value]
            .into_iter()
            .enumerate()
        {
            let rows = s![part * width..(part + 1) * width, ..];
            stack.slice_mut(rows).assign(&weights.mapv(|x| x as f32));
        }
        let mut biases = draft.vector(&format!("{path}.self_attn.Wqkv.bias"));
        let assign = |mut place: ndarray::ArrayViewMut1<'_, f32>, from: &Array1<f64>| {
            place.assign(&from.mapv(|x| x as f32));
        };
        assign(biases.slice_mut(s![..width]), &attention.query_bias);
        assign(biases.slice_mut(s![2 * width..]), &attention.value_bias);
        let mut output = draft.matrix(&format!("{path}.self_attn.out_proj.weight"));
        output.assign(&attention.output.mapv(|x| x as f32));
        let norm_weight = nominal.norm_weight(&attention);
        for norm in ["norm1", "norm2"] {
            draft.vector(&format!("{path}.{norm}.weight")).fill(norm_weight);
        }
    }
}

/// In this row of a head every query has the same logit, far below all others, for keys whose value is hidden.
fn look_past_hidden(attention: &mut AttentionDraft, layout: &Layout, row: usize) {
    attention.query_bias[row] = attention.scale();
    attention.key[[row, layout.flag()[0]]] = -OUT_OF_SIGHT / f64::from(FLAG);
}

/// The bin of a key less its gene's mean, to where the decoder reads it.
fn pass_on_deviations(
    attention: &mut AttentionDraft,
    layout: &Layout,
    head: usize,
    channel: usize,
    means: &MeanBins,
) {
    let row = attention.row(head, 0);
    let sign = layout.signs[channel];
    attention.value[[row, layout.value()[0]]] = sign / (f64::from(VALUE) * BINS);
    for (gene, mean) in means.of_genes.iter().enumerate() {
        attention.value[[row, gene]] = -sign * mean / BINS;
    }
    let [plus, minus] = layout.channel(channel);
    attention.output[[plus, row]] = 1.0;
    attention.output[[minus, row]] = -1.0;
}

/// `baseline[gene] + gain · Σ channels`.
///
/// A gene's own unit is 1 − relu(1 − 4 x) of the code x of the gene: it is 1 whatever the length of the code, which depends on
/// what heads add to a hidden state; what is negative leaks through, and of x = 1/2 the unit is 1 + 0.01.
fn draft_decoder(draft: &mut Draft, layout: &Layout, read_out: &ReadOut) {
    let n_genes = layout.n_genes;
    let mut first = draft.matrix("decoder.fc.0.weight");
    for gene in 0..n_genes {
        first[[gene, gene]] = -PRESENT;
    }
    // A number and its negative, each through the leaky step, differ by (1 + slope) times the number.
    let both_sides = f64::from(1.0 + SLOPE);
    let [plus, minus] = [n_genes, n_genes + 1];
    for channel in 0..layout.signs.len() {
        let from = layout.channel(channel)[0];
        (first[[plus, from]], first[[minus, from]]) = (1.0, -1.0);
    }
    let mut bias = draft.vector("decoder.fc.0.bias");
    bias.slice_mut(s![..n_genes]).fill(1.0);

    let mut second = draft.matrix("decoder.fc.2.weight");
    let mut constant = 0.0;
    for (gene, baseline) in read_out.baseline.iter().enumerate() {
        let step = baseline / both_sides;
        second[[0, gene]] = -step as f32;
        constant += step;
    }
    let gain = (read_out.gain / both_sides) as f32;
    (second[[0, plus]], second[[0, minus]]) = (gain, -gain);
    let negative = second.row(0).mapv(|x| -x);
    second.row_mut(1).assign(&negative);
    let mut bias = draft.vector("decoder.fc.2.bias");
    (bias[0], bias[1]) = (constant as f32, -constant as f32);
    let mut last = draft.matrix("decoder.fc.4.weight");
    (last[[0, 0]], last[[0, 1]]) = (1.0 / both_sides as f32, -1.0 / both_sides as f32);
}

impl ReadOut {
    /// Regression of bins on gene and on what was passed on, over hidden genes of some of the cells; baselines from all cells.
    fn fit(
        mute: &Checkpoint,
        layout: &Layout,
        means: &MeanBins,
        cells: &[ValuedCell],
        seeds: Seeds,
    ) -> Result<Self, Error> {
        let model = ScGpt::new(mute)?;
        let last = Site::Hidden(Layer(model.n_layers() - 1));
        let step = cells.len().div_ceil(MAX_CELLS);
        let chosen: Vec<&ValuedCell> = cells.iter().step_by(step).collect();
        let observed = |(index, cell): (usize, &&ValuedCell)| -> Result<Vec<(usize, f64, f64)>, Error> {
            let mut rng = seeds.stream("planted", "hidden values", index as u64);
            let masked = MaskedCell::new(cell, mute.vocabulary(), HIDDEN, &mut rng);
            let hidden = &model.trace(&masked.cell, &[last], &Interventions::none())?[&last];
            let of_place = |(&place, &answer): (&u32, &f32)| {
                let token = masked.cell.tokens()[place as usize];
                let gene = means.gene_of[token as usize].expect("genes are hidden");
                (
                    gene,
                    layout.passed_on(hidden.row(place as usize)),
                    f64::from(answer),
                )
            };
            Ok(masked.places.iter().zip(&masked.answers).map(of_place).collect())
        };
        let observed: Vec<Vec<_>> = chosen
            .par_iter()
            .enumerate()
            .map(observed)
            .collect::<Result<_, _>>()?;
        let mut of_genes: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
        for (gene, prediction, answer) in observed.into_iter().flatten() {
            of_genes.entry(gene).or_default().push((prediction, answer));
        }
        let (mut products, mut squares) = (0.0, 0.0);
        let mut n_pairs = 0;
        let mut mean_predictions = vec![0.0; layout.n_genes];
        for (gene, pairs) in of_genes {
            let n = pairs.len() as f64;
            let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / n;
            let (prediction, answer) = (mean(|pair| pair.0), mean(|pair| pair.1));
            mean_predictions[gene] = prediction;
            n_pairs += pairs.len();
            for (x, y) in &pairs {
                products += (x - prediction) * (y - answer);
                squares += (x - prediction).powi(2);
            }
        }
        let gain = products / (squares + n_pairs as f64 * LEAST_SPREAD.powi(2));
        let of_gene = |(mean, prediction): (&f64, &f64)| mean - gain * prediction;
        Ok(Self {
            baseline: means
                .of_genes
                .iter()
                .zip(&mean_predictions)
                .map(of_gene)
                .collect(),
            gain,
        })
    }
}
