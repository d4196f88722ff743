use rand::Rng;
use scfm_core::{Source, Target};

use crate::{Error, draw, error::check};

/// How far the regulators of a gene together can push its log expression either way: production saturates.
const CEILING: f64 = 2.5;

/// Whether a regulator raises or lowers its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sign {
    /// More regulator, more target.
    Activation,
    /// More regulator, less target.
    Repression,
}

/// A regulatory edge; both ends are positions in the world's panel of genes.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// The transcription factor.
    pub source: Source,
    /// The gene it regulates, itself a transcription factor or not.
    pub target: Target,
    /// The direction of the effect.
    pub sign: Sign,
    /// Change of the target's log expression per unit of the source's, positive.
    pub strength: f64,
    /// The only cell state in which the edge exists, `None` where it exists in all.
    pub state: Option<usize>,
}

impl Edge {
    /// The signed strength.
    pub fn effect(&self) -> f64 {
        match self.sign {
            Sign::Activation => self.strength,
            Sign::Repression => -self.strength,
        }
    }
}

/// Shape of a [`Network`].
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkParams {
    /// Fewest targets of a transcription factor.
    pub min_out_degree: usize,
    /// Most targets of a transcription factor.
    pub max_out_degree: usize,
    /// Exponent γ of the out-degree distribution P(k) ~ k^−γ.
    pub out_degree_exponent: f64,
    /// Share of the genes that are no transcription factors and have no regulator.
    pub unregulated: f64,
    /// SD of the log of a gene's chance to be chosen as a target, which spreads the in-degrees.
    pub in_degree_sd: f64,
    /// Share of transcription factors that mostly repress.
    pub repressors: f64,
    /// Share of a factor's edges that go against its usual direction.
    pub off_sign: f64,
    /// Smallest and largest edge strength.
    pub strength: (f64, f64),
    /// Share of edges that exist in one cell state only.
    pub state_specific: f64,
}

impl Default for NetworkParams {
    fn default() -> Self {
        Self {
            min_out_degree: 4,
            max_out_degree: 60,
            out_degree_exponent: 2.0,
            unregulated: 0.2,
            in_degree_sd: 0.6,
            repressors: 0.3,
            off_sign: 0.15,
            strength: (0.4, 1.2),
            state_specific: 0.15,
        }
    }
}

impl NetworkParams {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check(
            "min_out_degree",
            self.min_out_degree as f64,
            1.0,
            self.max_out_degree as f64,
        )?;
        check("out_degree_exponent", self.out_degree_exponent, 1.1, 10.0)?;
        check("in_degree_sd", self.in_degree_sd, 0.0, 5.0)?;
        check("strength.1", self.strength.1, 0.0, 10.0)?;
        check("strength.0", self.strength.0, 0.0, self.strength.1)?;
        for (name, share) in [
            ("unregulated", self.unregulated),
            ("repressors", self.repressors),
            ("off_sign", self.off_sign),
            ("state_specific", self.state_specific),
        ] {
            check(name, share, 0.0, 1.0)?;
        }
        Ok(())
    }
}

/// A hierarchical regulatory network: transcription factors stand in an order, and each regulates only factors
/// after it and genes that are no factors. There is therefore no cycle, and one steady state.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// All genes, regulators before their targets; the first `n_tfs` are the transcription factors.
    order: Vec<usize>,
    n_tfs: usize,
    edges: Vec<Edge>,
    /// For each gene the range of `edges` that end in it.
    incoming: Vec<std::ops::Range<usize>>,
}

impl Network {
    /// Draws a network over the genes of which `is_tf` tells the transcription factors: hierarchy, degrees and
    /// attraction of targets from `rng`, the edges of the factor at each position from a stream of its own, so that
    /// worlds can have some regulons in common.
    ///
    /// Out-degrees follow a truncated power law and fall along the hierarchy: the hubs stand at its top. A factor
    /// with fewer permitted targets than its degree takes all of them.
    pub(crate) fn draw<R: Rng>(
        params: &NetworkParams,
        is_tf: &[bool],
        n_states: usize,
        rng: &mut impl Rng,
        mut regulon: impl FnMut(usize) -> R,
    ) -> Self {
        let (mut hierarchy, others): (Vec<usize>, Vec<usize>) =
            (0..is_tf.len()).partition(|&gene| is_tf[gene]);
        draw::shuffle(rng, &mut hierarchy);

        let mut attraction: Vec<f64> = is_tf
            .iter()
            .map(|is_tf| {
                let unregulated = draw::chance(rng, params.unregulated);
                let weight = libm::exp(params.in_degree_sd * draw::normal(rng));
                if unregulated && !is_tf { 0.0 } else { weight }
            })
            .collect();
        let mut degrees: Vec<usize> = hierarchy.iter().map(|_| out_degree(params, rng)).collect();
        degrees.sort_unstable_by(|a, b| b.cmp(a));

        let mut edges = Vec::new();
        for (&tf, degree) in hierarchy.iter().zip(degrees) {
            // Neither this factor nor one above it is chosen from here on.
            attraction[tf] = 0.0;
            let rng = &mut regulon(tf);
            let represses = draw::chance(rng, params.repressors);
            for target in draw::weighted_sample(rng, &attraction, degree) {
                let sign = if represses == draw::chance(rng, params.off_sign) {
                    Sign::Activation
                } else {
                    Sign::Repression
                };
                let strength = draw::uniform_between(rng, params.strength.0, params.strength.1);
                let one_state = draw::chance(rng, params.state_specific);
                let state = draw::below(rng, n_states);
                edges.push(Edge {
                    source: Source(tf),
                    target: Target(target),
                    sign,
                    strength,
                    state: one_state.then_some(state),
                });
            }
        }
        let n_tfs = hierarchy.len();
        hierarchy.extend(others);
        Self::new(hierarchy, n_tfs, edges)
    }

    fn new(order: Vec<usize>, n_tfs: usize, mut edges: Vec<Edge>) -> Self {
        edges.sort_unstable_by_key(|edge| (edge.target, edge.source));
        let incoming = (0..order.len())
            .map(|gene| {
                let start = edges.partition_point(|edge| edge.target.0 < gene);
                start..edges.partition_point(|edge| edge.target.0 <= gene)
            })
            .collect();
        Self {
            order,
            n_tfs,
            edges,
            incoming,
        }
    }

    /// Number of genes, with and without edges.
    pub fn n_genes(&self) -> usize {
        self.order.len()
    }

    /// The transcription factors from the top of the hierarchy down, as positions in the panel.
    pub fn tfs(&self) -> &[usize] {
        &self.order[..self.n_tfs]
    }

    /// All edges, by target and then by source.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// The edges that end in a gene.
    ///
    /// # Panics
    /// When `target` is no position of the panel.
    pub fn regulators(&self, target: Target) -> &[Edge] {
        &self.edges[self.incoming[target.0].clone()]
    }

    /// Whether `source` regulates `target` in any state.
    ///
    /// # Panics
    /// When `target` is no position of the panel.
    pub fn contains(&self, source: Source, target: Target) -> bool {
        self.regulators(target).iter().any(|edge| edge.source == source)
    }

    /// Number of targets of each gene.
    pub fn out_degrees(&self) -> Vec<usize> {
        let mut degrees = vec![0; self.n_genes()];
        self.edges.iter().for_each(|edge| degrees[edge.source.0] += 1);
        degrees
    }

    /// The steady state of log expression in a cell state: x = own + c·tanh(Σ effect·x of regulators / c), where
    /// `own` is what each gene has without its regulators and c how far they can push it. Found exactly in one
    /// pass, regulators before targets, and left in the place of `own`.
    ///
    /// # Panics
    /// When `own` does not have a value per gene.
    pub fn steady_state(&self, own: &mut [f64], state: usize) {
        assert_eq!(own.len(), self.n_genes(), "a value per gene of the network");
        for &gene in &self.order {
            own[gene] += self.regulation(Target(gene), state, own);
        }
    }

    /// What a gene's regulators add to its log expression in a cell state, at the log levels `x` of all genes.
    pub(crate) fn regulation(&self, target: Target, state: usize, x: &[f64]) -> f64 {
        let push: f64 = self
            .regulators(target)
            .iter()
            .filter(|edge| edge.state.is_none_or(|only| only == state))
            .map(|edge| edge.effect() * x[edge.source.0])
            .sum();
        CEILING * libm::tanh(push / CEILING)
    }
}

/// A whole number of the truncated power law, by inversion of the continuous one.
fn out_degree(params: &NetworkParams, rng: &mut impl Rng) -> usize {
    let (low, high) = (params.min_out_degree as f64, params.max_out_degree as f64 + 1.0);
    let power = 1.0 - params.out_degree_exponent;
    let (at_low, at_high) = (libm::pow(low, power), libm::pow(high, power));
    let degree = libm::pow(draw::uniform_between(rng, at_low, at_high), 1.0 / power);
    (degree as usize).clamp(params.min_out_degree, params.max_out_degree)
}
