use std::f64::consts::PI;
use std::ops::Range;

use ndarray::{Array1, Array2, Axis, s};
use rand_chacha::ChaCha8Rng;

use super::{HeadFactors, normal};

/// Squared length of the constant that each head passes on, where the code of a gene has squared length 2. One silenced head
/// of sixteen then turns the hidden states by a cosine distance above 0.02.
const CONSTANT: f64 = 0.25;

/// Squared length of the code that each head passes on of a gene, if it looks at that gene alone: with it a head that looked at
/// a handful of genes turns the hidden states when it is made uniform.
const CODE: f64 = 4.0;

/// What is left of the squared length of codes in the mean over those that a planted head looks at.
const LEFT_OF_CODES: f64 = 0.25;

/// Hidden states as the layers are built for.
#[derive(Debug)]
pub(crate) struct Nominal {
    /// The sum of what all heads so far add to each token alike.
    constant: Array1<f64>,
    /// Planted heads so far.
    n_planted: usize,
}

/// The attention step of a layer in the making: weights `[output, input]`, and biases.
pub(crate) struct AttentionDraft {
    head_size: usize,
    pub(crate) query: Array2<f64>,
    pub(crate) query_bias: Array1<f64>,
    pub(crate) key: Array2<f64>,
    pub(crate) value: Array2<f64>,
    pub(crate) value_bias: Array1<f64>,
    pub(crate) output: Array2<f64>,
}

impl Nominal {
    /// Those that go into the first layer of this width.
    pub(crate) fn new(width: usize) -> Self {
        Self {
            constant: Array1::zeros(width),
            n_planted: 0,
        }
    }

    /// Adds what a layer adds, so many of whose heads are planted. The weight of its normalisations with which a state of the
    /// nominal length stays as it is.
    pub(crate) fn norm_weight(&mut self, attention: &AttentionDraft, n_planted: usize) -> f32 {
        self.constant += &attention.output.dot(&attention.value_bias);
        self.n_planted += n_planted;
        // The code of the gene has 2.
        let squared_length =
            2.0 + self.constant.dot(&self.constant) + self.n_planted as f64 * LEFT_OF_CODES * CODE;
        (squared_length / self.constant.len() as f64).sqrt() as f32
    }
}

impl AttentionDraft {
    pub(crate) fn new(n_heads: usize, head_size: usize) -> Self {
        let width = n_heads * head_size;
        let square = || Array2::zeros((width, width));
        Self {
            head_size,
            query: square(),
            query_bias: Array1::zeros(width),
            key: square(),
            value: square(),
            value_bias: Array1::zeros(width),
            output: square(),
        }
    }

    /// The row of a head's queries, keys, values, and the column of its contexts.
    pub(crate) fn row(&self, head: usize, row: usize) -> usize {
        assert!(row < self.head_size, "a row of the head");
        head * self.head_size + row
    }

    /// What logits are divided by.
    pub(crate) fn scale(&self) -> f64 {
        (self.head_size as f64).sqrt()
    }

    /// Logits between genes, whose codes stand in the first dimensions, in the first rows of the head.
    pub(crate) fn look(&mut self, head: usize, factors: &HeadFactors) {
        let (n_genes, rank) = factors.query.dim();
        let first = self.row(head, 0);
        let place = s![first..first + rank, ..n_genes];
        let query = &factors.query.t() * self.scale();
        self.query.slice_mut(place).assign(&query);
        self.key.slice_mut(place).assign(&factors.key.t());
    }

    /// In this row of a head, the logit of each gene for the key that stands in a dimension.
    pub(crate) fn rest(&mut self, row: usize, dimension: usize, logits: &[f64]) {
        let scale = self.scale();
        for (gene, logit) in logits.iter().enumerate() {
            self.query[[row, gene]] = scale * logit;
        }
        self.key[[row, dimension]] = 1.0;
    }

    /// Passes on a code of what the head looks at, and a constant, through the last rows of the head to dimensions that nothing
    /// reads. Codes are the head's own, since those of several heads that look at one gene would add up, and cancel over the
    /// genes, or a head that looks at all alike would pass on a second constant.
    ///
    /// `index` is the number of the head in the model. Constants of heads must neither line up nor cancel by chance: silencing one
    /// would change the length of every hidden state, and with it all logits above, more than what a planted head passes on
    /// does. They stand at right angles to each other until directions run out, and those that share one take turns in sign.
    pub(crate) fn pass_on_idle(
        &mut self,
        head: usize,
        index: usize,
        n_genes: usize,
        idle: Range<usize>,
        rng: &mut ChaCha8Rng,
    ) {
        let n = idle.len();
        let first = self.row(head, self.head_size - n);
        let rows = first..first + n;
        let mut codes = directions((n_genes, n), rng) * CODE.sqrt();
        codes -= &codes.mean_axis(Axis(0)).expect("a gene");
        self.value
            .slice_mut(s![rows.clone(), ..n_genes])
            .assign(&codes.t());
        let sign = if (index / (n - 1)).is_multiple_of(2) {
            1.0
        } else {
            -1.0
        };
        let constant = balanced_wave(n, index % (n - 1) + 1) * (sign * CONSTANT.sqrt());
        self.value_bias.slice_mut(s![rows.clone()]).assign(&constant);
        for (row, dimension) in rows.zip(idle) {
            self.output[[dimension, row]] = 1.0;
        }
    }
}

/// One of the n − 1 directions of length 1 that stand at right angles to each other and whose entries sum to 0: a cosine of so many
/// half waves, `k` from 1 to n − 1.
fn balanced_wave(n: usize, k: usize) -> Array1<f64> {
    let angle = |i: usize| PI * k as f64 * (i as f64 + 0.5) / n as f64;
    Array1::from_shape_fn(n, |i| (2.0 / n as f64).sqrt() * angle(i).cos())
}

/// Rows of length 1 in random directions whose entries sum to 0.
fn directions(shape: (usize, usize), rng: &mut ChaCha8Rng) -> Array2<f64> {
    let mut rows = normal(shape, rng);
    for mut row in rows.rows_mut() {
        let mean = row.mean().expect("a dimension");
        row -= mean;
        let length = row.dot(&row).sqrt();
        row /= length;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_layers_add_to_all_tokens_lines_up_or_cancels() {
        let adds = |signs: [f64; 4]| AttentionDraft {
            value_bias: Array1::from(signs.to_vec()),
            output: Array2::eye(4),
            ..AttentionDraft::new(1, 4)
        };
        let constant = [1.0, -1.0, 0.0, 0.0];
        let mut nominal = Nominal::new(4);
        // Squared lengths 2 + 2, 2 + 8 and 2 + 2 again, of four dimensions.
        for (adds, squared_length) in [
            (adds(constant), 4.0f32),
            (adds(constant), 10.0),
            (adds(constant.map(|x| -x)), 4.0),
        ] {
            let weight = nominal.norm_weight(&adds, 0);
            assert!((weight - (squared_length / 4.0).sqrt()).abs() < 1e-6, "{weight}");
        }
        let weight = nominal.norm_weight(&AttentionDraft::new(1, 4), 2);
        assert!(
            (weight - (6.0f32 / 4.0).sqrt()).abs() < 1e-6,
            "planted heads add codes: {weight}"
        );
    }
}
