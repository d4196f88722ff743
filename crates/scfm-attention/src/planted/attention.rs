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

/// The hidden states that layers are built for: those of a cell that holds every gene.
#[derive(Debug)]
pub(crate) struct Nominal {
    /// `[token, width]`.
    states: Array2<f64>,
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
    /// Those that go into the first layer of this width: of each token 1 in a dimension of its own, balanced in one of all.
    pub(crate) fn new(width: usize, dimensions: &[usize], balance: usize) -> Self {
        let mut states = Array2::zeros((dimensions.len(), width));
        for (mut state, &dimension) in states.rows_mut().into_iter().zip(dimensions) {
            state[dimension] = 1.0;
            state[balance] = -1.0;
        }
        Self { states }
    }

    /// Goes through the attention step of a layer. The weight of its normalisations with which the codes in the states keep their
    /// length on average.
    pub(crate) fn norm_weight(&mut self, attention: &AttentionDraft) -> f32 {
        let added = attention.adds(&self.states);
        self.states += &added;
        let lengths = (&self.states * &self.states).sum_axis(Axis(1)).sqrt();
        // The harmonic mean: what of a state was 1 before it got longer is then 1 on average.
        let length = 1.0 / lengths.recip().mean().expect("a token");
        for (mut state, own) in self.states.rows_mut().into_iter().zip(&lengths) {
            state *= length / own;
        }
        (length / (self.states.ncols() as f64).sqrt()) as f32
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

    /// What the step adds to hidden states, `[token, width]`.
    fn adds(&self, states: &Array2<f64>) -> Array2<f64> {
        let query = states.dot(&self.query.t()) + &self.query_bias;
        let key = states.dot(&self.key.t());
        let value = states.dot(&self.value.t()) + &self.value_bias;
        let mut contexts = Array2::zeros(states.dim());
        for first in (0..states.ncols()).step_by(self.head_size) {
            let of_head = s![.., first..first + self.head_size];
            let mut attention = query.slice(of_head).dot(&key.slice(of_head).t()) / self.scale();
            for mut row in attention.rows_mut() {
                let largest = row.fold(f64::NEG_INFINITY, |largest, &x| largest.max(x));
                row.mapv_inplace(|x| (x - largest).exp());
                row /= row.sum();
            }
            contexts
                .slice_mut(of_head)
                .assign(&attention.dot(&value.slice(of_head)));
        }
        contexts.dot(&self.output.t())
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
        let adds = |factor: f64| AttentionDraft {
            value_bias: Array1::from(vec![0.0, 0.0, 0.0, 0.0, factor, -factor]),
            output: Array2::eye(6),
            ..AttentionDraft::new(1, 6)
        };
        let mut nominal = Nominal::new(6, &[0, 1, 2], 3);
        // Squared lengths 2 + 2, 2 + 8 and 2 + 2 again, of six dimensions.
        for (factor, squared_length) in [(1.0, 4.0f32), (1.0, 10.0), (-1.0, 4.0)] {
            let weight = nominal.norm_weight(&adds(factor));
            assert!((weight - (squared_length / 6.0).sqrt()).abs() < 1e-6, "{weight}");
        }
    }

    #[test]
    fn what_a_head_passes_on_is_what_it_looks_at() {
        // The first token looks at the second alone, which looks at both alike; three times what is seen is passed on.
        let mut head = AttentionDraft::new(1, 4);
        (head.query[[0, 0]], head.key[[0, 1]]) = (2.0 * 50.0, 1.0);
        (head.value[[1, 1]], head.output[[3, 1]]) = (3.0, 1.0);
        let added = head.adds(&Nominal::new(4, &[0, 1], 2).states);
        assert!(
            (added[[0, 3]] - 3.0).abs() < 1e-9 && (added[[1, 3]] - 1.5).abs() < 1e-9,
            "{added}"
        );
    }

    #[test]
    fn balanced_waves_stand_at_right_angles() {
        for n in [2, 5, 12] {
            for (k, l) in (1..n).flat_map(|k| (1..n).map(move |l| (k, l))) {
                let (a, b) = (balanced_wave(n, k), balanced_wave(n, l));
                let expected = if k == l { 1.0 } else { 0.0 };
                assert!(
                    (a.dot(&b) - expected).abs() < 1e-12 && a.sum().abs() < 1e-12,
                    "{n}: {k}, {l}"
                );
            }
        }
    }
}
