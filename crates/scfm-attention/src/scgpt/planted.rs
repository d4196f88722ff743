//! scGPTs built by hand.
//!
//! ```text
//! h0 = code of the gene + value + flag of a hidden value
//! head: looks at the regulators of one sign, passes on the deviation of their bins from their means
//! expression = baseline of the gene + gain · what the heads passed on
//! ```
//!
//! Heads of activation and of repression take turns, the latter pass the deviation on with the other sign. Genes whose value
//! is hidden, and `<cls>` where it has the value of padding, are not looked at. Baseline and gain are fitted by least squares
//! to cells in which a share of the genes is hidden.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, s};
use rayon::prelude::*;
use scfm_core::{Layer, Seeds};

use super::checkpoint::CONFIG;
use super::model::SLOPE;
use super::training::MaskedCell;
use super::{Checkpoint, Config, ScGpt, Vocabulary};
use crate::planted::{AttentionDraft, Draft, HeadFactors, Idle, Nominal, Planted};
use crate::{Error, Interventions, Site, Transformer, ValuedCell};

/// Dimensions that heads write and nothing reads.
const IDLE: usize = 16;

/// In the encoder of values, what stands beside a bin so that the normalisation hardly knows the bin: that of 50 is shrunk
/// by half a percent.
const BESIDE_VALUE: f32 = 500.0;

/// Length of the value of one bin, and of a hidden value, beside the 1 of the code of a gene.
const VALUE: f32 = 0.005;
const FLAG: f32 = 0.25;

/// Subtracted from the logits of a hidden gene.
const OUT_OF_SIGHT: f64 = 20.0;

/// Bins in the unit in which deviations are passed on.
const BINS: f64 = 50.0;

/// Share of the genes that are hidden when baseline and gain are fitted, and most cells that they are fitted to.
const HIDDEN: f64 = 0.15;
const MAX_CELLS: usize = 200;

/// Where what stands in a hidden state; pairs are of opposite sign.
struct Layout {
    n_genes: usize,
    width: usize,
}

impl Layout {
    /// What the codes of genes are balanced by.
    fn balance(&self) -> usize {
        self.n_genes
    }

    fn value(&self) -> [usize; 2] {
        [self.n_genes + 1, self.n_genes + 2]
    }

    fn flag(&self) -> [usize; 2] {
        [self.n_genes + 3, self.n_genes + 4]
    }

    /// What the decoder reads.
    fn prediction(&self) -> [usize; 2] {
        [self.n_genes + 5, self.n_genes + 6]
    }

    fn idle(&self) -> std::ops::Range<usize> {
        self.n_genes + 7..Self::least_width(self.n_genes)
    }

    fn least_width(n_genes: usize) -> usize {
        n_genes + 7 + IDLE
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
    /// A model whose attention and predictions are known, over the genes of `vocabulary` in order of token; see
    /// [`Planted`]. Its heads are as wide as the genes and the rank of their logits ask for.
    ///
    /// A hidden value is predicted by the gene's mean bin over `cells`, and, where predictions need the planted heads, by the
    /// deviations of its regulators from theirs: in favour of those that the affinity makes the heads look at, with one gain
    /// for all, fitted to at most 200 of the cells. A gene that no cell holds has the mean of all bins.
    ///
    /// # Errors
    /// [`Error::Planted`] for affinities of other genes than the vocabulary has, or no cell with a gene; [`Error::Token`] and
    /// [`Error::Value`] for cells that the model cannot read.
    pub fn planted(
        planted: &Planted,
        vocabulary: Vocabulary,
        cells: &[ValuedCell],
        seeds: Seeds,
    ) -> Result<Self, Error> {
        let tokens: Vec<usize> = (0..vocabulary.len())
            .filter(|&token| vocabulary.gene(token as u32).is_some())
            .collect();
        planted.check_genes(tokens.len())?;
        let means = MeanBins::new(&tokens, vocabulary.len(), cells)?;

        let params = planted.params();
        // One row of a head keeps hidden genes out of sight, and contexts have a row beside the idle ones.
        let rows = params.rank.min(tokens.len()).max(IDLE) + 1;
        let head_size = params.head_size(Layout::least_width(tokens.len()), rows);
        let config = Config {
            d_hid: 1,
            ..Config::sized(params.n_layers, params.n_heads * head_size, params.n_heads)
        };
        let layout = Layout {
            n_genes: tokens.len(),
            width: config.embsize,
        };
        let mut draft = Draft::new(
            [
                config.encoder_parameters(vocabulary.len()),
                config.decoder_parameters(),
            ]
            .concat(),
        );
        draft_embedding(&mut draft, &layout, &tokens);
        draft_layers(&mut draft, &layout, planted, head_size, &means, seeds);
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
            return Err(Error::Planted("no cell has a gene to learn its mean from".to_owned()));
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
fn draft_embedding(draft: &mut Draft, layout: &Layout, tokens: &[usize]) {
    let root_width = (layout.width as f32).sqrt();
    let mut embedding = draft.matrix("encoder.embedding.weight");
    for (gene, &token) in tokens.iter().enumerate() {
        embedding[[token, gene]] = 1.0;
        embedding[[token, layout.balance()]] = -1.0;
    }
    // Normalised, a code has the length √width.
    draft.vector("encoder.enc_norm.weight").fill(2f32.sqrt() / root_width);

    // Of a positive value the first unit is the value, of a negative one the second.
    let mut first = draft.matrix("value_encoder.linear1.weight");
    (first[[0, 0]], first[[1, 0]]) = (1.0, -1.0);
    let mut second = draft.matrix("value_encoder.linear2.weight");
    for (unit, pair) in [layout.value(), layout.flag()].into_iter().enumerate() {
        (second[[pair[0], unit]], second[[pair[1], unit]]) = (1.0, -1.0);
    }
    let mut beside = draft.vector("value_encoder.linear2.bias");
    (beside[0], beside[1]) = (BESIDE_VALUE, -BESIDE_VALUE);
    let of_one = root_width / (2f32.sqrt() * BESIDE_VALUE);
    let mut norm = draft.vector("value_encoder.norm.weight");
    for (pair, length) in [(layout.value(), VALUE), (layout.flag(), FLAG)] {
        pair.map(|dimension| norm[dimension] = length / of_one);
    }
}

fn draft_layers(
    draft: &mut Draft,
    layout: &Layout,
    planted: &Planted,
    head_size: usize,
    means: &MeanBins,
    seeds: Seeds,
) {
    let params = planted.params();
    let idle = Idle::new(layout.idle(), layout.n_genes, seeds);
    let nominal = Nominal::new(params.n_heads);
    let of_signs: Vec<(f64, Array2<f64>)> = [1.0, -1.0]
        .into_iter()
        .filter_map(|sign| Some((sign, planted.affinity_of_sign(sign)?)))
        .collect();
    for layer in 0..params.n_layers {
        let mut attention = AttentionDraft::new(params.n_heads, head_size);
        for head in 0..params.n_heads {
            let index = layer * params.n_heads + head;
            let is_planted = head < params.n_planted;
            let of_sign = of_signs.get(head % of_signs.len().max(1));
            let affinity = match of_sign {
                Some((_, affinity)) => affinity,
                None => planted.affinity(),
            };
            let factors = planted.factors(is_planted.then_some(affinity), seeds, index);
            attention.look(head, &factors);
            keep_hidden_out_of_sight(&mut attention, layout, head, &factors);
            let mut rng = seeds.stream("planted", "constant", index as u64);
            attention.pass_on_idle(head, &idle, &mut rng);
            if let (true, Some(&(sign, _))) = (is_planted, of_sign) {
                pass_on_deviations(&mut attention, layout, head, sign, means);
            }
        }
        let path = format!("transformer_encoder.layers.{layer}");
        let width = layout.width;
        let mut stack = draft.matrix(&format!("{path}.self_attn.Wqkv.weight"));
        for (part, weights) in [&attention.query, &attention.key, &attention.value].into_iter().enumerate() {
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
        for norm in ["norm1", "norm2"] {
            let mut weight = draft.vector(&format!("{path}.{norm}.weight"));
            weight.fill(nominal.norm_weight(layer, width));
        }
    }
}

/// Every query has the same logit, far below all others, for keys whose value is hidden.
fn keep_hidden_out_of_sight(
    attention: &mut AttentionDraft,
    layout: &Layout,
    head: usize,
    factors: &HeadFactors,
) {
    let row = attention.row(head, factors.query.ncols());
    attention.query_bias[row] = attention.scale() * OUT_OF_SIGHT;
    attention.key[[row, layout.flag()[0]]] = -1.0 / f64::from(FLAG);
}

/// The bin of a key less its gene's mean, to where the decoder reads it.
fn pass_on_deviations(
    attention: &mut AttentionDraft,
    layout: &Layout,
    head: usize,
    sign: f64,
    means: &MeanBins,
) {
    let row = attention.row(head, 0);
    attention.value[[row, layout.value()[0]]] = sign / (f64::from(VALUE) * BINS);
    for (gene, mean) in means.of_genes.iter().enumerate() {
        attention.value[[row, gene]] = -sign * mean / BINS;
    }
    let [plus, minus] = layout.prediction();
    attention.output[[plus, row]] = 1.0;
    attention.output[[minus, row]] = -1.0;
}

/// `baseline[gene] + gain · prediction`.
///
/// A gene's own unit is 1 − relu(1 − 2 x) of the code x of the gene: it is 1 whatever the length of the code, which depends on
/// what heads add to a hidden state. What is negative leaks through, and is taken into account: of x = 1 the unit is 1 + 0.01.
fn draft_decoder(draft: &mut Draft, layout: &Layout, read_out: &ReadOut) {
    let n_genes = layout.n_genes;
    let mut first = draft.matrix("decoder.fc.0.weight");
    for gene in 0..n_genes {
        first[[gene, gene]] = -2.0;
    }
    let [plus, minus] = [n_genes, n_genes + 1];
    first[[plus, layout.prediction()[0]]] = 1.0;
    first[[minus, layout.prediction()[0]]] = -1.0;
    draft.vector("decoder.fc.0.bias").slice_mut(s![..n_genes]).fill(1.0);

    // A number and its negative, each through the leaky step, differ by (1 + slope) times the number.
    let through = f64::from(1.0 + SLOPE);
    let mut second = draft.matrix("decoder.fc.2.weight");
    let mut constant = 0.0;
    for (gene, baseline) in read_out.baseline.iter().enumerate() {
        let step = baseline / through;
        second[[0, gene]] = -step as f32;
        constant += step;
    }
    let gain = (read_out.gain / through) as f32;
    (second[[0, plus]], second[[0, minus]]) = (gain, -gain);
    let negative = second.row(0).mapv(|x| -x);
    second.row_mut(1).assign(&negative);
    let mut bias = draft.vector("decoder.fc.2.bias");
    (bias[0], bias[1]) = (constant as f32, -constant as f32);
    let mut last = draft.matrix("decoder.fc.4.weight");
    (last[[0, 0]], last[[0, 1]]) = (1.0 / through as f32, -1.0 / through as f32);
}

impl ReadOut {
    /// Least squares of bin on gene and prediction, over hidden genes of some of the cells; baselines from all cells.
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
                let prediction = hidden[[place as usize, layout.prediction()[0]]];
                (gene, f64::from(prediction), f64::from(answer))
            };
            Ok(masked.places.iter().zip(&masked.answers).map(of_place).collect())
        };
        let observed: Vec<Vec<_>> = chosen.par_iter().enumerate().map(observed).collect::<Result<_, _>>()?;
        let mut of_genes: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
        for (gene, prediction, answer) in observed.into_iter().flatten() {
            of_genes.entry(gene).or_default().push((prediction, answer));
        }
        let (mut products, mut squares) = (0.0, 0.0);
        let mut mean_predictions = vec![0.0; layout.n_genes];
        for (gene, pairs) in of_genes {
            let n = pairs.len() as f64;
            let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / n;
            let (prediction, answer) = (mean(|pair| pair.0), mean(|pair| pair.1));
            mean_predictions[gene] = prediction;
            for (x, y) in &pairs {
                products += (x - prediction) * (y - answer);
                squares += (x - prediction).powi(2);
            }
        }
        let gain = if squares > 0.0 { products / squares } else { 0.0 };
        let of_gene = |(mean, prediction): (&f64, &f64)| mean - gain * prediction;
        Ok(Self {
            baseline: means.of_genes.iter().zip(&mean_predictions).map(of_gene).collect(),
            gain,
        })
    }
}
