//! Rejection rates of the tests over simulated designs, and their power, as tables.
//!
//! ```text
//! cargo run --release -p scfm-stats --example crossed_calibration [worlds, 1000] [worlds of 280 × 2000, 0] [worlds for power, 500]
//! ```

#[path = "../tests/worlds/mod.rs"]
mod worlds;

use rayon::prelude::*;
use scfm_stats::{
    CrossedLimits, Zeros, crossed_auroc, crossed_difference, gene_permutation_auroc, one_sample_t,
    row_aurocs, wilcoxon_signed_rank,
};
use worlds::{Draw, World, stream};

const ALPHA: f64 = 0.05;
const PERMUTATIONS: usize = 199;
/// The limits are what is looked for here, so none is set.
const NO_LIMITS: CrossedLimits = CrossedLimits {
    min_rows: 2,
    min_effective_genes: 1.0,
};

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|argument| argument.parse().expect("a number of worlds"));
    let small = arguments.next().unwrap_or(1000);
    let large = arguments.next().unwrap_or(0);
    let power = arguments.next().unwrap_or(500);

    println!("Rejection at nominal {ALPHA}; scores and labels unrelated\n");
    println!(
        "| rows × columns | median positives | propensity SD | shared w | worlds | effective genes | t of AUROC | Wilcoxon of two scores | gene permutation | crossed AUROC | crossed difference |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let world = |rows, columns, median_positives, propensity, shared| World {
        rows,
        columns,
        median_positives,
        propensity,
        shared,
        signal: 0.0,
    };
    for shared in [0.0, 0.5, 1.5] {
        for median_positives in [3.0, 8.0, 25.0, 70.0, 150.0] {
            report(world(60, 300, median_positives, 1.5, shared), small);
        }
    }
    for (rows, columns) in [(10, 300), (20, 300), (40, 300), (150, 300), (60, 100), (60, 1000)] {
        for median_positives in [3.0, 25.0] {
            report(world(rows, columns, median_positives, 1.5, 0.5), small);
        }
    }
    for propensity in [0.0, 2.5, 4.0] {
        for (median_positives, shared) in [(3.0, 0.5), (25.0, 0.5), (3.0, 1.5), (25.0, 1.5)] {
            report(world(60, 300, median_positives, propensity, shared), small);
        }
    }
    for shared in [0.5, 1.5] {
        report(world(280, 2000, 165.0, 1.5, shared), large);
    }

    println!("\nPower: a planted effect of the pair, w = 0.5, 60 × 300\n");
    println!(
        "| median positives | signal | expected AUROC | worlds | gene permutation | crossed AUROC | crossed difference of two such scores |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for median_positives in [3.0, 8.0, 25.0, 70.0] {
        for signal in [0.05, 0.1, 0.2, 0.3, 0.5] {
            let world = World {
                signal,
                ..world(60, 300, median_positives, 1.5, 0.5)
            };
            let [_, _, _, permutation, auroc, difference] = rates(world, power);
            println!(
                "| {median_positives} | {signal} | {:.3} | {power} | {permutation:.3} | {auroc:.3} | {difference:.3} |",
                world.expected_auroc()
            );
        }
    }
}

fn report(world: World, n: u64) {
    if n == 0 {
        return;
    }
    let [effective, t, wilcoxon, permutation, auroc, difference] = rates(world, n);
    let World {
        rows,
        columns,
        median_positives,
        propensity,
        shared,
        ..
    } = world;
    println!(
        "| {rows} × {columns} | {median_positives} | {propensity} | {shared} | {n} | {effective:.0} | {t:.3} | {wilcoxon:.3} | {permutation:.3} | {auroc:.3} | {difference:.3} |"
    );
}

/// Mean effective number of genes, then the share of worlds in which each test rejects.
fn rates(world: World, n: u64) -> [f64; 6] {
    let outcomes: Vec<[f64; 6]> = (0..n)
        .into_par_iter()
        .map(|index| outcome(&world.draw(&mut stream(1, index)), index))
        .collect();
    let mut mean = [0.0; 6];
    for outcome in &outcomes {
        for (mean, value) in mean.iter_mut().zip(outcome) {
            *mean += value / n as f64;
        }
    }
    mean
}

fn outcome(draw: &Draw, index: u64) -> [f64; 6] {
    let rejects = |p: scfm_stats::PValue| if p.p() <= ALPHA { 1.0 } else { 0.0 };
    let [a, b] = [draw.scores[0].view(), draw.scores[1].view()];
    let aurocs = |scores| -> Vec<f64> {
        let rows = row_aurocs(scores, draw.labels()).expect("scores are numbers");
        rows.into_iter()
            .map(|row| row.expect("rows hold both classes"))
            .collect()
    };
    let (of_a, of_b) = (aurocs(a), aurocs(b));
    let differences: Vec<f64> = of_a.iter().zip(&of_b).map(|(a, b)| a - b).collect();
    let permutation = |i| stream(2, index * PERMUTATIONS as u64 + i);
    let crossed = crossed_auroc(a, draw.labels(), &NO_LIMITS).expect("rows vary");
    let difference = crossed_difference(a, b, draw.labels(), &NO_LIMITS).expect("rows vary");
    [
        crossed.effective_genes,
        rejects(one_sample_t(&of_a, 0.5).expect("rows vary").p),
        rejects(
            wilcoxon_signed_rank(&differences, Zeros::Drop)
                .expect("rows vary")
                .p,
        ),
        rejects(
            gene_permutation_auroc(a, draw.labels(), PERMUTATIONS, permutation)
                .expect("a design")
                .p,
        ),
        rejects(crossed.test.p),
        rejects(difference.test.p),
    ]
}
