//! Coverage of nominal 95 % intervals of a mean by the number of clusters, as a table.
//!
//! ```text
//! cargo run --release -p scfm-stats --example clustered_coverage
//! ```

#[path = "../tests/simulation/mod.rs"]
mod simulation;

use scfm_stats::{Clusters, bootstrap_mean, one_sample_t};
use simulation::{SIMULATIONS, clustered, share, stream};

const RESAMPLES: usize = 1_000;

fn main() {
    println!(
        "Coverage of the mean, {SIMULATIONS} simulations, clusters of 2 to 12, half of the variance between them\n"
    );
    println!("| clusters | percentile | BCa | observations one by one | t over cluster means |");
    println!("| --- | --- | --- | --- | --- |");
    for n_clusters in [5, 10, 20, 40, 80] {
        let draw = |rng: &mut _| clustered(rng, n_clusters, 2..=12, 0.5);
        let resampled = |bca: bool| {
            share(1, |rng| {
                let (keys, values) = draw(rng);
                let clusters = Clusters::new("clusters", &keys).expect("two clusters or more");
                let mean = clusters.mean(&values, RESAMPLES, |i| stream(keys.len() as u64, i));
                let mean = mean.expect("values are numbers");
                let interval = if bca {
                    mean.bca.expect("values vary")
                } else {
                    mean.percentile
                };
                interval.contains(0.0)
            })
        };
        let one_by_one = share(1, |rng| {
            let (_, values) = draw(rng);
            bootstrap_mean(&values, RESAMPLES, |i| stream(values.len() as u64, i))
                .expect("values are numbers")
                .contains(0.0)
        });
        let over_means = share(1, |rng| {
            let (keys, values) = draw(rng);
            let means: Vec<f64> = (0..n_clusters)
                .map(|cluster| {
                    let of: Vec<f64> = keys
                        .iter()
                        .zip(&values)
                        .filter(|(key, _)| **key == cluster)
                        .map(|(_, x)| *x)
                        .collect();
                    of.iter().sum::<f64>() / of.len() as f64
                })
                .collect();
            let t = one_sample_t(&means, 0.0).expect("means vary");
            t.ci.expect("a t test has an interval").contains(0.0)
        });
        println!(
            "| {n_clusters} | {:.3} | {:.3} | {one_by_one:.3} | {over_means:.3} |",
            resampled(false),
            resampled(true)
        );
    }
}
