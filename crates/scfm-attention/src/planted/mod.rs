//! Models whose truth is known, built by hand: positive and negative controls of whatever audits a model.
//!
//! A planted model is said by a matrix of affinities between genes, `[query, key]`. In every layer, or in the upper ones, some
//! heads, the planted ones, have logits that follow it; the other heads look at nothing in particular. The predictions of the model for
//! hidden genes either need the planted heads or do not. This gives models of four kinds:
//!
//! | model | affinity | predictions |
//! | --- | --- | --- |
//! | regulatory, [`Planted::regulating`] | strength of regulation, both ways | from the regulators, through the planted heads |
//! | gene-level, [`Planted::following`] | prominence of the key | the gene's own mean |
//! | co-expression, [`Planted::following`] | absolute correlation | the gene's own mean |
//! | untrained, `Checkpoint::random` | none | none |
//!
//! How it is put into weights: the hidden state of a token starts with a code of its gene, one dimension each, which no
//! layer changes. Query and key projections of a planted head are two factors of the affinity, so that the product of a
//! query with a key is the affinity of the two genes. What the heads write stands in dimensions of its own. All that is
//! written sums to zero over the dimensions, and the layer normalisations then divide by the length of the hidden state
//! and do nothing else. What each family predicts, and how, stands with its `Checkpoint::planted`.
//!
//! Attention sums to 1 over the keys of a query, so that of two queries the one with the larger affinities gives less for the
//! same affinity. Where cells begin with `<cls>`, as all of scGPT and those of Geneformer V2 do, heads of models whose
//! predictions do not need them lay down the rest there, and attention follows the affinity across queries too.
//!
//! Every head also passes on a code of the genes that it looks at, and a constant, which no prediction reads: as in a
//! trained model, whatever is done to a head moves the hidden states.

mod attention;
mod draft;
mod low_rank;

use ndarray::{Array2, ArrayView1, Zip};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use scfm_core::{GeneId, Panel, Seeds};

use crate::Error;
pub(crate) use attention::{AttentionDraft, Nominal};
pub(crate) use draft::Draft;
use low_rank::low_rank;

/// Size and clearness of a planted model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlantedParams {
    /// Number of layers; at least 2 with planted heads where predictions need those of a Geneformer.
    pub n_layers: usize,
    /// Attention heads of each layer.
    pub n_heads: usize,
    /// How many of them are planted, the first ones of each layer from `planted_from` on.
    pub n_planted: usize,
    /// The first layer with planted heads; those below know nothing.
    pub planted_from: usize,
    /// Logits of the pair with the largest affinity. With 0 nothing is planted but noise.
    pub strength: f64,
    /// Standard deviation over pairs of what is added to the logits of each head, drawn anew for each.
    pub noise: f64,
    /// Largest rank of a head's logits; exact for an affinity of no larger rank, and otherwise the best approximation of
    /// this rank.
    pub rank: usize,
}

impl Default for PlantedParams {
    fn default() -> Self {
        Self {
            n_layers: 2,
            n_heads: 4,
            n_planted: 2,
            planted_from: 0,
            strength: 8.0,
            noise: 0.3,
            rank: 32,
        }
    }
}

/// What the heads of a planted model look at, and whether its predictions need them.
#[derive(Debug, Clone)]
pub struct Planted {
    genes: Panel,
    params: PlantedParams,
    /// Largest absolute affinity 1, `[query, key]`.
    affinity: Array2<f64>,
    /// Largest absolute effect 1, `[source, target]`.
    effects: Option<Array2<f64>>,
}

/// What one head looks at.
pub(crate) struct HeadFactors {
    /// `[gene, rank]`, of queries.
    pub(crate) query: Array2<f64>,
    /// `[gene, rank]`, of keys.
    pub(crate) key: Array2<f64>,
}

impl Planted {
    /// Planted heads follow `affinity`, `[query, key]` over `genes`; predictions do not need them. It is scaled such that its
    /// largest absolute value is 1.
    ///
    /// # Errors
    /// [`Error::Planted`] for a matrix that is not square over the genes, fewer than two of them, a value that is not finite or
    /// no value but 0, and for sizes that are no model's.
    pub fn following(genes: Panel, affinity: Array2<f64>, params: PlantedParams) -> Result<Self, Error> {
        params.check()?;
        Ok(Self {
            affinity: scaled("affinity", &genes, affinity)?,
            genes,
            params,
            effects: None,
        })
    }

    /// Planted heads follow the strength of regulation and predictions need them. `effects` are signed, positive where the
    /// source activates the target, `[source, target]` over `genes`.
    ///
    /// The affinity of two genes is the strength of the stronger of the two effects between them, in both directions: what a
    /// source attends to is read as edges, and what a hidden target attends to as its regulators.
    ///
    /// # Errors
    /// As [`Planted::following`], and for a gene with an effect on itself.
    pub fn regulating(genes: Panel, effects: Array2<f64>, params: PlantedParams) -> Result<Self, Error> {
        params.check()?;
        let effects = scaled("effects", &genes, effects)?;
        if let Some(gene) = effects.diag().iter().position(|&effect| effect != 0.0) {
            let gene = genes.gene(gene);
            return Err(Error::Planted(format!("{gene} has an effect on itself")));
        }
        Ok(Self {
            genes,
            params,
            affinity: both_ways(&effects.mapv(f64::abs)),
            effects: Some(effects),
        })
    }

    /// Size and clearness.
    pub fn params(&self) -> &PlantedParams {
        &self.params
    }

    /// What planted heads follow, `[query, key]`, its largest absolute value 1.
    pub fn affinity(&self) -> &Array2<f64> {
        &self.affinity
    }

    /// The effects that predictions need, `[source, target]`, the largest of absolute value 1.
    pub fn effects(&self) -> Option<&Array2<f64>> {
        self.effects.as_ref()
    }

    /// The genes, in the order of the affinity.
    pub fn genes(&self) -> &Panel {
        &self.genes
    }

    /// Affinity from regulation of one sign alone, for families that predict by sign; none where there is none.
    pub(crate) fn affinity_of_sign(&self, sign: f64) -> Option<Array2<f64>> {
        let of_sign = both_ways(&self.effects.as_ref()?.mapv(|effect| (sign * effect).max(0.0)));
        of_sign.iter().any(|&affinity| affinity > 0.0).then_some(of_sign)
    }

    /// The factors of a head's logits: those of `affinity` where it is planted, and noise.
    pub(crate) fn factors(&self, affinity: Option<&Array2<f64>>, seeds: Seeds, head: usize) -> HeadFactors {
        let mut rng = seeds.stream("planted", "head", head as u64);
        let PlantedParams {
            strength,
            noise,
            rank,
            ..
        } = self.params;
        let mut logits = normal(self.affinity.dim(), &mut rng) * noise;
        if let Some(affinity) = affinity {
            Zip::from(&mut logits)
                .and(affinity)
                .for_each(|logit, affinity| *logit += strength * affinity);
        }
        let (query, key) = low_rank(&logits, rank, &mut rng);
        HeadFactors { query, key }
    }

    /// By gene, the logit of `<cls>` as a key with which all queries of all heads give the same for the same affinity: softmax
    /// divides by what all keys weigh together, and `<cls>` takes what a gene of small affinities, or a head that is not
    /// planted, lacks.
    pub(crate) fn rests(&self, is_planted: bool) -> Vec<f64> {
        let weight = |row: ArrayView1<'_, f64>| {
            row.iter()
                .map(|affinity| (self.params.strength * affinity).exp())
                .sum::<f64>()
        };
        let weights: Vec<f64> = self.affinity.rows().into_iter().map(weight).collect();
        let largest = weights.iter().copied().fold(0.0, f64::max);
        let of_none = self.genes.len() as f64;
        let weights = weights
            .iter()
            .map(|&weight| if is_planted { weight } else { of_none });
        // The largest gets a rest too, or it would have to be none at all.
        weights
            .map(|weight| (1.05 * largest.max(of_none) - weight).ln())
            .collect()
    }

    /// The token of each gene. Refuses a vocabulary that has other genes: what they are to the model would be unknown.
    pub(crate) fn tokens(
        &self,
        n_known: usize,
        token: impl Fn(&str) -> Option<u32>,
    ) -> Result<Vec<usize>, Error> {
        let known = |gene: &GeneId| {
            let no_token = || Error::Planted(format!("{gene} has no token in the vocabulary"));
            Ok(token(gene.as_str()).ok_or_else(no_token)? as usize)
        };
        let tokens: Vec<usize> = self
            .genes
            .genes()
            .iter()
            .map(known)
            .collect::<Result<_, Error>>()?;
        if tokens.len() == n_known {
            return Ok(tokens);
        }
        Err(Error::Planted(format!(
            "affinities of {} genes for a vocabulary of {n_known}",
            tokens.len()
        )))
    }
}

impl PlantedParams {
    fn check(&self) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::Planted(what));
        for (name, value, most) in [
            ("n_layers", self.n_layers, 1 << 10),
            ("n_heads", self.n_heads, 1 << 10),
            ("rank", self.rank, 1 << 12),
        ] {
            if !(1..=most).contains(&value) {
                return wrong(format!("{name} is {value}, expected 1 to {most}"));
            }
        }
        if self.n_planted > self.n_heads {
            return wrong(format!(
                "{} of {} heads cannot be planted",
                self.n_planted, self.n_heads
            ));
        }
        if self.planted_from >= self.n_layers {
            return wrong(format!(
                "planted_from is {}, expected one of the {} layers",
                self.planted_from, self.n_layers
            ));
        }
        for (name, value) in [("strength", self.strength), ("noise", self.noise)] {
            if !(0.0..=50.0).contains(&value) {
                return wrong(format!("{name} is {value}, expected 0 to 50"));
            }
        }
        Ok(())
    }

    /// Layers with planted heads.
    pub(crate) fn planted_layers(&self) -> usize {
        self.n_layers - self.planted_from
    }

    /// The number of a head among the planted ones, layer after layer; none of a head that is not planted.
    pub(crate) fn planted_number(&self, layer: usize, head: usize) -> Option<usize> {
        let is_planted = layer >= self.planted_from && head < self.n_planted;
        is_planted.then(|| (layer - self.planted_from) * self.n_planted + head)
    }

    /// Width of a head in a model of at least `width` dimensions whose logits take `rank` of a head's.
    pub(crate) fn head_size(&self, width: usize, rank: usize) -> usize {
        width.div_ceil(self.n_heads).max(rank)
    }
}

/// A square matrix of finite numbers over the genes, divided by the largest of their absolute values.
fn scaled(what: &str, genes: &Panel, matrix: Array2<f64>) -> Result<Array2<f64>, Error> {
    let (rows, columns) = matrix.dim();
    let n = genes.len();
    if (rows, columns) != (n, n) || n < 2 {
        return Err(Error::Planted(format!(
            "{what} of shape [{rows}, {columns}] for {n} genes, expected a square over at least 2"
        )));
    }
    if let Some(((i, j), value)) = matrix.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(Error::Planted(format!("{what} [{i}, {j}] is {value}")));
    }
    let largest = matrix.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    if largest == 0.0 {
        return Err(Error::Planted(format!("{what} are 0 everywhere")));
    }
    Ok(matrix / largest)
}

/// The larger of each pair's two entries, for both.
fn both_ways(matrix: &Array2<f64>) -> Array2<f64> {
    let mut largest = matrix.clone();
    largest.zip_mut_with(&matrix.t(), |a, &b| *a = a.max(b));
    largest
}

/// Independent standard normal numbers.
pub(crate) fn normal(shape: (usize, usize), rng: &mut ChaCha8Rng) -> Array2<f64> {
    Array2::from_shape_simple_fn(shape, || StandardNormal.sample(rng))
}
