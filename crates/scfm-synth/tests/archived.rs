//! The archived tables of scoring within cell states, re-made from the published simulations where `SCFM_TEST_DATA`
//! names the folder that holds them. Scores are computed here in the plainest manner; columns that rest on a
//! clustering of cells are left out.

use std::collections::HashMap;
use std::path::PathBuf;

use ndarray::{Array2, ArrayView1, Axis};
use scfm_synth::{MixtureParams, StateMixture, published};
use serde_json::Value;

/// Numbers are archived with all their digits; F1 and AUROC are quotients of small whole numbers.
const DIGITS: f64 = 1e-12;

/// Correlations that differ by less are equal, and the rounding of a matrix product has put them in an order.
const EQUAL: f64 = 1e-12;

fn data(file: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("SCFM_TEST_DATA").map(PathBuf::from) else {
        eprintln!("skipped: SCFM_TEST_DATA is not set");
        return None;
    };
    Some(folder.join("archived/NS").join(file))
}

fn table(file: &str) -> Option<Vec<HashMap<String, String>>> {
    let mut reader = csv::Reader::from_path(data(file)?).unwrap();
    Some(reader.deserialize().map(Result::unwrap).collect())
}

fn json(file: &str) -> Option<Value> {
    Some(serde_json::from_slice(&std::fs::read(data(file)?).unwrap()).unwrap())
}

fn number(row: &HashMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap()
}

/// Mid-ranks from 1.
fn ranks(values: ArrayView1<'_, f64>) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    for ties in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = ties.len();
        let before = order.partition_point(|&i| values[i] < values[ties[0]]);
        for &i in ties {
            ranks[i] = before as f64 + (rank as f64 + 1.0) / 2.0;
        }
    }
    ranks
}

/// |Spearman's ρ| of each candidate pair over some cells.
fn correlations(mixture: &StateMixture, cells: &[usize]) -> Vec<f64> {
    let expression = mixture.expression.select(Axis(0), cells);
    let n = cells.len() as f64;
    let standardised: Vec<Vec<f64>> = expression
        .columns()
        .into_iter()
        .map(|gene| {
            let ranks = ranks(gene);
            let mean = ranks.iter().sum::<f64>() / n;
            let sd = (ranks.iter().map(|r| (r - mean) * (r - mean)).sum::<f64>() / n).sqrt();
            ranks.iter().map(|r| (r - mean) / (sd + 1e-12)).collect()
        })
        .collect();
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let pairs = mixture.pairs.iter();
    pairs
        .map(|&(tf, target)| (product(&standardised[tf], &standardised[target]) / n).abs())
        .collect()
}

struct Scores {
    pooled: Vec<f64>,
    max: Vec<f64>,
    mean: Vec<f64>,
}

/// The cells of each state that has at least `fewest` of them.
fn strata(states: &[usize], fewest: usize) -> Vec<Vec<usize>> {
    let n_states = states.iter().max().map_or(0, |&last| last + 1);
    (0..n_states)
        .map(|state| (0..states.len()).filter(|&cell| states[cell] == state).collect())
        .filter(|cells: &Vec<usize>| cells.len() >= fewest)
        .collect()
}

/// The largest and the weighted mean score over strata, of all `n_cells` cells.
fn over_strata(by_stratum: &[(usize, Vec<f64>)], n_cells: usize) -> (Vec<f64>, Vec<f64>) {
    let n_pairs = by_stratum[0].1.len();
    let of_pair = |pair| {
        by_stratum
            .iter()
            .map(move |(n, scores)| (*n as f64, scores[pair]))
    };
    let max = |pair| {
        of_pair(pair)
            .map(|(_, score)| score)
            .fold(f64::NEG_INFINITY, f64::max)
    };
    let mean = |pair| of_pair(pair).map(|(n, score)| n / n_cells as f64 * score).sum();
    ((0..n_pairs).map(max).collect(), (0..n_pairs).map(mean).collect())
}

fn scores(mixture: &StateMixture, states: &[usize], fewest: usize) -> Scores {
    let all: Vec<usize> = (0..states.len()).collect();
    let by_stratum: Vec<(usize, Vec<f64>)> = strata(states, fewest)
        .iter()
        .map(|cells| (cells.len(), correlations(mixture, cells)))
        .collect();
    let (max, mean) = over_strata(&by_stratum, states.len());
    Scores {
        pooled: correlations(mixture, &all),
        max,
        mean,
    }
}

/// True pairs among the first `k`, equal scores in the order of pairs.
fn hits(scores: &[f64], truth: &[bool], k: usize) -> usize {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order[..k].iter().filter(|&&pair| truth[pair]).count()
}

fn f1(scores: &[f64], truth: &[bool], k: usize) -> f64 {
    let n_true = truth.iter().filter(|&&edge| edge).count();
    2.0 * hits(scores, truth, k) as f64 / (k + n_true) as f64
}

/// Share of pairs of a true and a false candidate of which the true one scores higher, equal scores counted half.
fn auroc(scores: &[f64], truth: &[bool]) -> f64 {
    let (lost, won) = auroc_within(scores, truth, 0.0);
    (lost + won) / 2.0
}

/// The AUROC when all scores less than `equal` apart are lost, and when all of them are won.
fn auroc_within(scores: &[f64], truth: &[bool], equal: f64) -> (f64, f64) {
    let (mut lost, mut won, mut n) = (0, 0, 0);
    for (a, _) in scores.iter().zip(truth).filter(|&(_, &edge)| edge) {
        for (b, _) in scores.iter().zip(truth).filter(|&(_, &edge)| !edge) {
            n += 1;
            lost += usize::from(a - b > equal);
            won += usize::from(a - b >= -equal);
        }
    }
    (lost as f64 / f64::from(n), won as f64 / f64::from(n))
}

#[track_caller]
fn assert_f1(scores: &[f64], truth: &[bool], archived: f64) {
    let n_true = truth.iter().filter(|&&edge| edge).count();
    let found = f1(scores, truth, n_true);
    assert!((found - archived).abs() < DIGITS, "F1 {found} for {archived}");
}

#[track_caller]
fn assert_auroc(scores: &[f64], truth: &[bool], equal: f64, archived: f64) {
    let (lost, won) = auroc_within(scores, truth, equal);
    assert!(
        lost - DIGITS < archived && archived < won + DIGITS,
        "AUROC {lost} to {won} for {archived}"
    );
}

#[test]
fn the_published_table_is_reproduced_in_all_sixty_rows() {
    let Some(rows) = table("scaling_v2_results.csv") else {
        return;
    };
    assert_eq!(rows.len(), 60);
    let sizes = published::SCALING
        .iter()
        .flat_map(|&size| (0..10).map(move |seed| (size, seed)));
    for (row, ((n_states, cells), seed)) in rows.iter().zip(sizes) {
        let params = MixtureParams::new(n_states, cells);
        let mixture = published::mixture(&params, seed * 100 + n_states as u32).unwrap();
        let truth = mixture.truth();
        let n_true = truth.iter().filter(|&&edge| edge).count();
        assert_eq!(number(row, "total"), mixture.states.len() as f64);
        assert_eq!(number(row, "n_true_edges"), n_true as f64);
        let scores = scores(&mixture, &mixture.states, 5);
        for (name, scores) in [
            ("pool", scores.pooled),
            ("cssi_max", scores.max),
            ("cssi_mean", scores.mean),
        ] {
            assert_f1(&scores, &truth, number(row, &format!("{name}_f1")));
            assert_auroc(&scores, &truth, 0.0, number(row, &format!("{name}_auc")));
        }
    }
}

#[test]
fn the_tables_of_the_first_version_are_reproduced() {
    let Some(scaling) = table("scaling_results.csv") else {
        return;
    };
    for row in scaling {
        let (cells, seed) = (number(&row, "cps") as usize, number(&row, "seed") as u32);
        let params = published::first_version(4, cells, 6);
        let mixture = published::mixture(&params, seed * 100 + cells as u32).unwrap();
        let (truth, scores) = (mixture.truth(), scores(&mixture, &mixture.states, 5));
        assert_f1(&scores.pooled, &truth, number(&row, "pool_f1"));
        assert_f1(&scores.max, &truth, number(&row, "cssi_f1"));
        assert_f1(&scores.mean, &truth, number(&row, "mean_f1"));
        assert_auroc(&scores.pooled, &truth, EQUAL, number(&row, "pool_auc"));
        assert_auroc(&scores.max, &truth, EQUAL, number(&row, "cssi_auc"));
    }
    for row in table("heterogeneity_results.csv").unwrap() {
        let (n_states, seed) = (number(&row, "n_states") as usize, number(&row, "seed") as u32);
        let params = published::first_version(n_states, 400 / n_states, (24 / n_states).max(3));
        let mixture = published::mixture(&params, seed * 1_000 + n_states as u32).unwrap();
        let (truth, scores) = (mixture.truth(), scores(&mixture, &mixture.states, 5));
        assert_f1(&scores.pooled, &truth, number(&row, "pool_f1"));
        assert_f1(&scores.max, &truth, number(&row, "cssi_f1"));
        assert_auroc(&scores.pooled, &truth, EQUAL, number(&row, "pool_auc"));
        assert_auroc(&scores.max, &truth, EQUAL, number(&row, "cssi_auc"));
    }
    for row in table("clustering_results.csv").unwrap() {
        let seed = number(&row, "seed") as u32;
        let mixture = published::mixture(&published::first_version(4, 100, 6), seed * 10_000).unwrap();
        let (truth, scores) = (mixture.truth(), scores(&mixture, &mixture.states, 5));
        assert_f1(&scores.pooled, &truth, number(&row, "pool_f1"));
        assert_f1(&scores.max, &truth, number(&row, "oracle_f1"));
    }
    for row in table("stats_results.csv").unwrap() {
        let seed = number(&row, "seed") as u32;
        let mixture = published::mixture(&published::first_version(4, 200, 6), seed * 7_777).unwrap();
        let (truth, scores) = (mixture.truth(), scores(&mixture, &mixture.states, 5));
        assert_f1(&scores.pooled, &truth, number(&row, "pool_f1"));
        assert_f1(&scores.max, &truth, number(&row, "cssi_f1"));
        assert_auroc(&scores.pooled, &truth, EQUAL, number(&row, "pool_auc"));
        assert_auroc(&scores.max, &truth, EQUAL, number(&row, "cssi_auc"));
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Mean scores of each pair over some cells.
fn mean_scores(scores: &Array2<f64>, cells: &[usize]) -> Vec<f64> {
    scores.select(Axis(0), cells).mean_axis(Axis(0)).unwrap().to_vec()
}

/// Mean scores over all of some cells, and the largest and the weighted mean of those of strata.
fn score_means(scores: &Array2<f64>, states: &[usize], cells: &[usize], fewest: usize) -> Scores {
    let of_cells: Vec<usize> = cells.iter().map(|&cell| states[cell]).collect();
    let by_stratum: Vec<(usize, Vec<f64>)> = strata(&of_cells, fewest)
        .iter()
        .map(|stratum| {
            let stratum: Vec<usize> = stratum.iter().map(|&i| cells[i]).collect();
            (stratum.len(), mean_scores(scores, &stratum))
        })
        .collect();
    let (max, mean) = over_strata(&by_stratum, cells.len());
    Scores {
        pooled: mean_scores(scores, cells),
        max,
        mean,
    }
}

#[test]
fn the_split_half_results_are_reproduced() {
    let Some(archived) = json("cssi_splithalf_results.json") else {
        return;
    };
    for (row, (n_states, cells)) in archived["synthetic_splithalf"]
        .as_array()
        .unwrap()
        .iter()
        .zip(published::SCALING)
    {
        let n_cells = n_states * cells;
        let mut found: HashMap<&str, Vec<f64>> = HashMap::new();
        for seed in 0..10 {
            let mixture = published::split_half_scores(n_cells, n_states, seed * 100 + 7).unwrap();
            let truth = mixture.truth();
            let f1 = |scores: &[f64]| f1(scores, &truth, 40);
            let of_cells = |cells: &[usize]| score_means(&mixture.scores, &mixture.states, cells, 3);
            let all = of_cells(&(0..n_cells).collect::<Vec<_>>());
            found.entry("pooled_full_mean").or_default().push(f1(&all.pooled));
            found.entry("cssi_full_mean").or_default().push(f1(&all.max));
            let (training, test) = published::held_out_half(n_cells, seed + 999);
            let (training, test) = (of_cells(&training), of_cells(&test));
            let chosen = if f1(&training.max) >= f1(&training.mean) {
                test.max
            } else {
                test.mean
            };
            found
                .entry("pooled_heldout_mean")
                .or_default()
                .push(f1(&test.pooled));
            found.entry("cssi_heldout_mean").or_default().push(f1(&chosen));
        }
        for (name, found) in found {
            let archived = row[name].as_f64().unwrap();
            assert!(
                (mean(&found) - archived).abs() < DIGITS,
                "{name} {} for {archived}",
                mean(&found)
            );
        }
    }
}

#[test]
fn the_results_of_the_simulated_immune_types_are_reproduced() {
    let Some(archived) = json("cssi_realdata_tabula_like_results.json") else {
        return;
    };
    for n_cells in [200, 500, 1_000, 2_000, 5_000, 10_000] {
        let mut found: HashMap<(&str, &str), Vec<f64>> = HashMap::new();
        for seed in 0..10 {
            let mixture = published::immune_scores(n_cells, seed * 1_000 + n_cells as u32).unwrap();
            let (truth, states) = (mixture.truth(), &mixture.states);
            let strata: Vec<Vec<f64>> = strata(states, 5)
                .iter()
                .map(|cells| mean_scores(&mixture.scores, cells))
                .collect();
            let over = |aggregate: &dyn Fn(Vec<f64>) -> f64| -> Vec<f64> {
                (0..truth.len())
                    .map(|pair| aggregate(strata.iter().map(|scores| scores[pair]).collect()))
                    .collect()
            };
            let largest = |scores: Vec<f64>| scores.into_iter().fold(f64::NEG_INFINITY, f64::max);
            let pooled = mixture.scores.mean_axis(Axis(0)).unwrap().to_vec();
            for (name, scores) in [
                ("pooled", pooled),
                ("cssi_max", over(&largest)),
                ("cssi_mean", over(&|scores| mean(&scores))),
            ] {
                let sizes: Vec<f64> = scores.iter().map(|score| score.abs()).collect();
                found
                    .entry((name, "f1_mean"))
                    .or_default()
                    .push(f1(&sizes, &truth, 25));
                found
                    .entry((name, "tp_mean"))
                    .or_default()
                    .push(hits(&sizes, &truth, 25) as f64);
                found
                    .entry((name, "auroc_mean"))
                    .or_default()
                    .push(auroc(&sizes, &truth));
            }
        }
        for ((name, measure), found) in found {
            let archived = archived["results"][name][n_cells.to_string()][measure]
                .as_f64()
                .unwrap();
            let found = mean(&found);
            assert!(
                (found - archived).abs() < DIGITS,
                "{name} {measure} {found} for {archived}"
            );
        }
    }
}

#[test]
fn the_results_of_the_simulated_blood_are_reproduced() {
    let Some(archived) = json("cssi_realdata_pbmc_results.json") else {
        return;
    };
    let mixture = published::pbmc(42).mixture;
    let truth = mixture.truth();
    let scores_of = |mixture: &StateMixture| scores(mixture, &mixture.states, 20);
    let all = scores_of(&mixture);
    for row in archived["multi_k"].as_array().unwrap() {
        let k = row["k"].as_u64().unwrap() as usize;
        for (name, scores) in [
            ("pooled", &all.pooled),
            ("cssi_max", &all.max),
            ("cssi_mean", &all.mean),
        ] {
            let archived = row[format!("{name}_tp")].as_u64().unwrap();
            assert_eq!(hits(scores, &truth, k) as u64, archived, "{name} at {k}");
        }
    }
    let cells_of = |mixture: &StateMixture, cells: &[usize]| StateMixture {
        expression: mixture.expression.select(Axis(0), cells),
        states: cells.iter().map(|&cell| mixture.states[cell]).collect(),
        ..mixture.clone()
    };
    for row in archived["heterogeneity"].as_array().unwrap() {
        let n_types = row["n_types"].as_u64().unwrap() as usize;
        let cells: Vec<usize> = (0..mixture.states.len())
            .filter(|&cell| mixture.states[cell] < n_types)
            .collect();
        assert_eq!(cells.len() as u64, row["n_cells"].as_u64().unwrap());
        let scores = scores_of(&cells_of(&mixture, &cells));
        for (name, scores) in [("pooled_f1", scores.pooled), ("cssi_max_f1", scores.max)] {
            assert!((f1(&scores, &truth, 100) - row[name].as_f64().unwrap()).abs() < DIGITS);
        }
    }
}

/// Half a unit of the last of three printed decimals.
const THREE_DECIMALS: f64 = 5.1e-4;

/// Means over ten seeds under the nulls, as computed once with NumPy and scikit-learn: states, AUROC of shuffled and of
/// random states.
const NULLS: [(usize, f64, f64); 6] = [
    (2, 0.951, 0.949),
    (4, 0.834, 0.825),
    (6, 0.722, 0.698),
    (8, 0.737, 0.681),
    (10, 0.651, 0.611),
    (12, 0.599, 0.635),
];

#[test]
fn states_made_meaningless_score_what_they_score_in_numpy() {
    for ((n_states, cells), (_, shuffled, random)) in published::SCALING.into_iter().zip(NULLS) {
        let (mut of_shuffled, mut of_random, mut of_permuted) = (Vec::new(), Vec::new(), Vec::new());
        for seed in 0..10 {
            let params = MixtureParams::new(n_states, cells);
            let mixture = published::mixture(&params, seed * 100 + n_states as u32).unwrap();
            let (truth, nulls) = (mixture.truth(), published::nulls(&mixture, 10_000 + seed));
            of_shuffled.push(auroc(&scores(&mixture, &nulls.shuffled, 5).max, &truth));
            of_random.push(auroc(&scores(&mixture, &nulls.random, 5).max, &truth));
            let permuted = StateMixture {
                expression: nulls.permuted,
                ..mixture
            };
            of_permuted.push(auroc(&scores(&permuted, &permuted.states, 5).max, &truth));
        }
        for (found, expected) in [(of_shuffled, shuffled), (of_random, random)] {
            let found = mean(&found);
            assert!(
                (found - expected).abs() < THREE_DECIMALS,
                "{n_states} states: {found} for {expected}"
            );
        }
        // Nothing is left of any edge; 0.08 is some three standard errors of the mean of ten.
        assert!((mean(&of_permuted) - 0.5).abs() < 0.08);
    }
}
