//! How an effect is shared out among components that act together (Shapley 1953).
//!
//! A set function v gives the effect v(S) that the components of S have together. The Shapley value of a component is
//! the mean over all orders of what it adds when it joins those before it; the values sum to v(N) − v(∅) whatever the
//! function. The effect m_i = v({i}) − v(∅) of a component alone differs from it by all interactions that it takes part in,
//! m_i − φ_i = − Σ μ(S) / |S| over sets S of two or more with i in them, where μ is the Möbius transform of v.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use scfm_stats::Moments;

use crate::Error;

/// A set function given by its value on every set of at most some 20 players.
#[derive(Debug, Clone, PartialEq)]
pub struct SetFunction {
    n_players: usize,
    /// By set: bit i of the index says whether player i is in it.
    values: Vec<f64>,
}

impl SetFunction {
    /// The function with these values; bit i of an index says whether player i is in the set.
    ///
    /// # Errors
    /// [`Error::SetFunction`] unless there is a value for each set.
    pub fn new(values: Vec<f64>) -> Result<Self, Error> {
        if !values.len().is_power_of_two() {
            return Err(Error::SetFunction(values.len()));
        }
        Ok(Self {
            n_players: values.len().ilog2() as usize,
            values,
        })
    }

    /// Number of players n.
    pub fn n_players(&self) -> usize {
        self.n_players
    }

    /// v(N) − v(∅).
    pub fn total(&self) -> f64 {
        self.values[self.values.len() - 1] - self.values[0]
    }

    /// v({i}) − v(∅) of each player.
    pub fn single_effects(&self) -> Vec<f64> {
        (0..self.n_players)
            .map(|player| self.values[1 << player] - self.values[0])
            .collect()
    }

    /// Shapley values, exactly. O(n 2ⁿ).
    pub fn shapley(&self) -> Vec<f64> {
        let n = self.n_players;
        let weights = order_weights(n);
        (0..n)
            .map(|player| {
                let bit = 1 << player;
                let without = (0..self.values.len()).filter(|set| set & bit == 0);
                without
                    .map(|set| {
                        weights[set.count_ones() as usize] * (self.values[set | bit] - self.values[set])
                    })
                    .sum()
            })
            .collect()
    }

    /// The Möbius transform μ: v(S) = Σ μ(T) over the sets T within S, so that μ of two or more players is their
    /// interaction. O(n 2ⁿ).
    pub fn moebius(&self) -> Vec<f64> {
        let mut mu = self.values.clone();
        for player in 0..self.n_players {
            let bit = 1 << player;
            for set in (0..mu.len()).filter(|set| set & bit != 0) {
                mu[set] -= mu[set ^ bit];
            }
        }
        mu
    }

    /// m_i − φ_i of each player: what judging it alone gets wrong.
    pub fn single_effect_bias(&self) -> Vec<f64> {
        let single = self.single_effects();
        single
            .iter()
            .zip(self.shapley())
            .map(|(m, phi)| m - phi)
            .collect()
    }

    /// |v(N) − v(∅) − Σ m_i|: 0 where players act one by one, whatever the interactions are that cancel.
    pub fn non_additivity(&self) -> f64 {
        (self.total() - self.single_effects().iter().sum::<f64>()).abs()
    }
}

/// |S|! (n − |S| − 1)! / n! by |S|: the share of orders in which exactly S comes before a player.
fn order_weights(n: usize) -> Vec<f64> {
    let mut weights = Vec::with_capacity(n);
    // 1 / (n · C(n − 1, s)), by the ratio of consecutive binomials.
    let mut weight = 1.0 / n as f64;
    for s in 0..n {
        weights.push(weight);
        weight *= (s + 1) as f64 / (n - s - 1).max(1) as f64;
    }
    weights
}

/// Shapley values estimated from random orders.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledShapley {
    /// The estimates; their sum is v(N) − v(∅) exactly.
    pub values: Vec<f64>,
    /// Standard errors of the sampling alone; `NaN` from a single pair of orders.
    pub standard_errors: Vec<f64>,
    /// Orders that were gone through.
    pub n_orders: usize,
}

/// Shapley values of `n_players` from `n_pairs` random orders and their reverses (antithetic sampling, Mitchell et al.
/// 2022): a player that comes early in one comes late in the other, so that interactions weigh alike in both.
///
/// `value` is asked for the set function of the players that are `true`, ∅ and N once for all orders. It is asked
/// 2 + 2 · `n_pairs` · (`n_players` − 1) times.
///
/// # Errors
/// The first error of `value`.
///
/// # Panics
/// Without a pair of orders.
pub fn sampled_shapley<E>(
    n_players: usize,
    n_pairs: usize,
    rng: &mut ChaCha8Rng,
    mut value: impl FnMut(&[bool]) -> Result<f64, E>,
) -> Result<SampledShapley, E> {
    assert!(n_pairs > 0, "at least one order and its reverse");
    let nobody = value(&vec![false; n_players])?;
    let everybody = value(&vec![true; n_players])?;
    let mut order: Vec<usize> = (0..n_players).collect();
    let mut of_pairs = vec![Vec::with_capacity(n_pairs); n_players];
    for _ in 0..n_pairs {
        order.shuffle(rng);
        let mut added = vec![0.0; n_players];
        for reversed in [false, true] {
            if reversed {
                order.reverse();
            }
            let mut members = vec![false; n_players];
            let mut before = nobody;
            for (rank, &player) in order.iter().enumerate() {
                members[player] = true;
                let after = if rank + 1 == n_players {
                    everybody
                } else {
                    value(&members)?
                };
                added[player] += 0.5 * (after - before);
                before = after;
            }
        }
        for (of_player, added) in of_pairs.iter_mut().zip(added) {
            of_player.push(added);
        }
    }
    let moments: Vec<Moments> = of_pairs.iter().map(|values| Moments::of(values)).collect();
    Ok(SampledShapley {
        values: moments.iter().map(|m| m.mean).collect(),
        standard_errors: moments
            .iter()
            .map(|m| match n_pairs {
                1 => f64::NAN,
                _ => (m.variance / n_pairs as f64).sqrt(),
            })
            .collect(),
        n_orders: 2 * n_pairs,
    })
}
