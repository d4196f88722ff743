//! False discovery rate and power of pairs called correlated within any stratum, over the number of strata: true states, the same
//! in random order, and states that were found.
//!
//! ```text
//! cargo run --release -p scfm-cssi --example edge_error_rates -- 20 > edge_error_rates.csv
//! ```
//!
//! Writes CSV: for each number of strata, 100 cells each, means over the given number of draws at a nominal rate of 0.05, and
//! the mean of the largest |z| over strata of a pair that is no edge beside what to expect of nothing. The same on every run.

use ndarray::Array2;
use rayon::prelude::*;
use scfm_core::Seeds;
use scfm_cssi::benchmark::clusters;
use scfm_cssi::{
    Discoveries, Error, Strata, closed_form_p, correlations_by_stratum, expected_largest, fisher_z,
    permutation_p, shuffled_labels,
};
use scfm_synth::{MixtureParams, Separation, StateMixture};

const LEVEL: f64 = 0.05;
const CELLS: usize = 100;
const PERMUTATIONS: usize = 999;
const KINDS: [&str; 3] = ["true states", "shuffled", "k-means"];

fn main() -> Result<(), Error> {
    let n_draws = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(20);
    println!(
        "strata,kind,permutation_fdr,permutation_power,closed_form_fdr,closed_form_power,largest_null_z,expected_largest_z"
    );
    for n_states in [2, 3, 5, 7, 10, 15, 20] {
        let draws: Vec<[[f64; 6]; 3]> = (0..n_draws)
            .into_par_iter()
            .map(|index| of_draw(n_states, index))
            .collect::<Result<_, _>>()?;
        for (at, kind) in KINDS.into_iter().enumerate() {
            let mean = |value: usize| draws.iter().map(|draw| draw[at][value]).sum::<f64>() / n_draws as f64;
            let values: Vec<String> = (0..6).map(|value| format!("{:.4}", mean(value))).collect();
            println!("{n_states},{kind},{}", values.join(","));
        }
    }
    Ok(())
}

fn of_draw(n_states: usize, index: u64) -> Result<[[f64; 6]; 3], Error> {
    let seeds = Seeds::new(0);
    let stream = |purpose| seeds.stream("edge error rates", purpose, index);
    let params = MixtureParams::new(n_states, CELLS);
    let cells = StateMixture::identifiable(&params, Separation::default(), seeds, index)?;
    let genes: Vec<usize> = (0..cells.expression.ncols()).collect();
    let labels = [
        cells.states.clone(),
        shuffled_labels(&cells.states, &mut stream("shuffled")),
        clusters(&cells, &genes, n_states, &mut stream("k-means"))?,
    ];
    let rates = labels.map(|labels| rates(&cells, &labels, index));
    let [a, b, c] = rates;
    Ok([a?, b?, c?])
}

fn rates(cells: &StateMixture, labels: &[usize], index: u64) -> Result<[f64; 6], Error> {
    let (expression, truth) = (cells.expression.view(), cells.truth());
    let strata = Strata::new(labels, 20)?;
    let seeds = Seeds::new(index);
    let rng_of = |permutation| seeds.stream("edge error rates", "permutation", permutation);
    let permuted = permutation_p(expression, &cells.pairs, &strata, PERMUTATIONS, rng_of)?;
    let within = correlations_by_stratum(expression, &cells.pairs, &strata)?;
    let sizes = strata.sizes();
    let sizes = Array2::from_shape_fn(within.dim(), |(stratum, _)| sizes[stratum] as f64);
    let closed = closed_form_p(within.view(), sizes.view())?;

    let z = fisher_z(within.view(), sizes.view());
    let nulls: Vec<f64> = (0..truth.len())
        .filter(|&pair| !truth[pair])
        .map(|pair| {
            z.values
                .column(pair)
                .iter()
                .fold(0.0_f64, |largest, z| largest.max(z.abs()))
        })
        .collect();
    let expected = expected_largest(&z.standard_errors.column(0).to_vec());
    let permuted = Discoveries::at(LEVEL, &permuted, &truth)?;
    let closed = Discoveries::at(LEVEL, &closed, &truth)?;
    Ok([
        permuted.false_rate,
        permuted.power,
        closed.false_rate,
        closed.power,
        nulls.iter().sum::<f64>() / nulls.len() as f64,
        expected,
    ])
}
