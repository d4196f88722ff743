//! The archived results of the published mediation and of the published counterfactuals, read where `SCFM_TEST_DATA` names
//! the folder that holds them: what they say, to the printed digits, and where their units do not fit.

use std::path::{Path, PathBuf};

use scfm_ablation::{
    BiasModel, LAMBDAS, MediationRun, OverCells, PUBLISHED_QUANTILE, PooledAgreement, Residual,
    certified_share, is_top_certified,
};

/// Half a unit of the last of six printed decimals.
const SIX_DECIMALS: f64 = 5.1e-7;
/// And of four.
const FOUR_DECIMALS: f64 = 5.1e-5;

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("SCFM_TEST_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: SCFM_TEST_DATA is not set");
    }
    folder
}

fn rows(path: &Path) -> Vec<csv::StringRecord> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(b'\t')
        .from_path(path)
        .unwrap();
    reader.records().map(Result::unwrap).collect()
}

fn over_cells(row: &csv::StringRecord, first: usize) -> OverCells {
    let number = |column: usize| row[column].parse::<f64>().unwrap();
    OverCells {
        mean: number(first),
        std: number(first + 1),
        n: number(first + 2) as usize,
    }
}

struct NamedRun {
    name: String,
    run: MediationRun,
}

/// The 16 runs: a pair of genes in a tissue, by heads or by feed-forward steps.
fn archived_runs(data: &Path) -> Vec<NamedRun> {
    let mut runs = Vec::new();
    for tissue in ["kidney", "lung", "immune"] {
        for granularity in ["heads", "mlp"] {
            let folder = data.join("archived/MED").join(tissue).join(granularity);
            let components = rows(&folder.join("circuit_maps.tsv"));
            for row in rows(&folder.join("causal_scores.tsv")) {
                if &row[3] != "ablation" {
                    continue;
                }
                let of_pair = components
                    .iter()
                    .filter(|c| c[0] == row[0] && c[1] == row[1])
                    .map(|c| over_cells(c, 5));
                runs.push(NamedRun {
                    name: format!("{tissue} {granularity} {} {}", &row[0], &row[1]),
                    run: MediationRun {
                        total: over_cells(&row, 4),
                        components: of_pair.collect(),
                    },
                });
            }
        }
    }
    assert_eq!(runs.len(), 16);
    runs
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

#[track_caller]
fn assert_near(found: f64, printed: f64, tolerance: f64) {
    assert!(
        (found - printed).abs() <= tolerance,
        "{found} instead of {printed}"
    );
}

fn published_bound(run: &MediationRun) -> f64 {
    run.published_residual().lower_bound(PUBLISHED_QUANTILE)
}

#[test]
fn the_published_table_of_non_additivity_comes_out() {
    let Some(data) = data() else { return };
    let runs = archived_runs(&data);
    let find = |name: &str| &runs.iter().find(|r| r.name == name).unwrap().run;
    // TE, its error, cells, Σ m, its error, A_lb / |TE|.
    for (name, total, error, n, sum, sum_error, ratio) in [
        (
            "kidney heads GATA3 GATA3",
            -1.068129,
            0.325545,
            5,
            0.716355,
            0.536590,
            0.518988,
        ),
        (
            "kidney heads FOS FOS",
            0.863742,
            0.215503,
            8,
            -0.092783,
            0.215030,
            0.416602,
        ),
        (
            "kidney heads JUN JUN",
            -0.419413,
            0.274990,
            7,
            0.646415,
            0.190855,
            0.976971,
        ),
        (
            "kidney heads FOXP3 IL2RA",
            -0.268681,
            0.0,
            1,
            0.050715,
            0.0,
            1.188755,
        ),
        ("kidney heads JUN TNF", -0.173416, 0.0, 1, 0.265970, 0.0, 2.533710),
        (
            "kidney mlp GATA3 GATA3",
            -1.068129,
            0.325545,
            5,
            -1.407499,
            3.616973,
            0.0,
        ),
        (
            "kidney mlp FOS FOS",
            0.863742,
            0.215503,
            8,
            1.312490,
            0.671289,
            0.0,
        ),
        (
            "kidney mlp JUN JUN",
            -0.419413,
            0.274990,
            7,
            2.198452,
            0.378176,
            4.056613,
        ),
        (
            "kidney mlp FOXP3 IL2RA",
            -0.268681,
            0.0,
            1,
            0.057530,
            0.0,
            1.214120,
        ),
        ("kidney mlp JUN TNF", -0.173416, 0.0, 1, 0.848108, 0.0, 5.890596),
        (
            "lung heads GATA3 GATA3",
            -0.248830,
            0.116521,
            3,
            1.063949,
            0.909658,
            0.0,
        ),
        (
            "lung mlp GATA3 GATA3",
            -0.248830,
            0.116521,
            3,
            4.539257,
            3.129223,
            0.0,
        ),
        (
            "immune heads FOS FOS",
            -0.047760,
            0.465769,
            8,
            0.029016,
            0.233732,
            0.0,
        ),
        (
            "immune heads JUN JUN",
            -1.450267,
            0.199594,
            8,
            0.372463,
            0.134983,
            0.931182,
        ),
        (
            "immune mlp FOS FOS",
            -0.047760,
            0.465769,
            8,
            1.551783,
            0.774601,
            0.0,
        ),
        (
            "immune mlp JUN JUN",
            -1.450267,
            0.199594,
            8,
            1.463087,
            0.365230,
            1.446343,
        ),
    ] {
        let run = find(name);
        assert_eq!(run.total.n, n, "{name}");
        let (found_sum, found_error) = run.sum();
        for (found, printed) in [
            (run.total.mean, total),
            (run.total.standard_error(), error),
            (found_sum, sum),
            (found_error, sum_error),
            (published_bound(run) / run.total.mean.abs(), ratio),
        ] {
            assert_near(found, printed, SIX_DECIMALS);
        }
    }

    let ratios: Vec<f64> = runs
        .iter()
        .map(|r| published_bound(&r.run) / r.run.total.mean.abs())
        .collect();
    let positive: Vec<f64> = ratios.iter().copied().filter(|ratio| *ratio > 0.0).collect();
    assert_eq!(positive.len(), 10);
    assert_near(median(ratios), 0.7250849, SIX_DECIMALS / 10.0);
    assert_near(median(positive), 1.2014, FOUR_DECIMALS);
}

#[test]
fn the_published_certificates_come_out() {
    let Some(data) = data() else { return };
    let runs = archived_runs(&data);
    let certified =
        |lambda: f64, model| {
            mean(runs.iter().map(|r| {
                certified_share(&r.run.components, lambda * published_bound(&r.run), model).unwrap()
            }))
        };
    let printed = [
        0.066_946_64,
        0.033_226_28,
        0.019_330_53,
        0.003_170_29,
        0.003_170_29,
        0.003_170_29,
        0.003_170_29,
    ];
    for (lambda, printed) in LAMBDAS.into_iter().zip(printed) {
        assert_near(certified(lambda, BiasModel::Uniform), printed, 5.1e-9);
    }
    for (granularity, printed) in [("heads", 0.0756), ("mlp", 0.0871)] {
        let of_granularity: Vec<f64> = runs
            .iter()
            .filter(|r| r.name.contains(granularity))
            .map(|r| {
                let bound = published_bound(&r.run);
                certified_share(&r.run.components, bound, BiasModel::Proportional).unwrap()
            })
            .collect();
        assert_near(mean(of_granularity.into_iter()), printed, FOUR_DECIMALS);
    }
    for lambda in LAMBDAS {
        let tops = runs.iter().filter(|r| {
            let budget = lambda * published_bound(&r.run);
            is_top_certified(&r.run.components, budget, BiasModel::Uniform).unwrap()
        });
        assert_eq!(tops.count(), usize::from(lambda == 1.0), "λ = {lambda}");
    }
}

#[test]
fn in_one_unit_most_of_the_published_bound_goes_away() {
    let Some(data) = data() else { return };
    let runs = archived_runs(&data);
    let bounds: Vec<f64> = runs
        .iter()
        .map(|r| r.run.share_residual().lower_bound(PUBLISHED_QUANTILE))
        .collect();
    let positive: Vec<f64> = bounds.iter().copied().filter(|bound| *bound > 0.0).collect();
    assert_eq!(positive.len(), 8);
    assert_near(median(bounds), 0.0759, FOUR_DECIMALS);
    assert_near(median(positive.clone()), 0.592, 5.1e-4);
    assert_near(positive.into_iter().fold(0.0, f64::max), 0.949, 5.1e-4);

    // Four of the ten published ones rest on a single cell, whose error nobody knows.
    let testable = runs.iter().filter(|r| r.run.share_residual().is_testable());
    assert_eq!(testable.count(), 12);
    let single = runs
        .iter()
        .filter(|r| published_bound(&r.run) > 0.0 && !r.run.published_residual().is_testable());
    assert_eq!(single.count(), 4);
    for r in runs.iter().filter(|r| !r.run.share_residual().is_testable()) {
        assert!(
            r.run.share_residual().student_lower_bound().is_err(),
            "{}",
            r.name
        );
    }
}

/// The later runs of the archive, of which the sums are printed: pair and tissue, cells, TE, Σ m, its error, the bound in one
/// unit.
#[test]
fn the_later_runs_have_their_bounds_in_one_unit() {
    for (name, n, sum, error, printed) in [
        ("kidney heads KLF2", 12, 2.102, 5.883, 0.0),
        ("kidney heads STAT4", 6, 0.117, 0.0693, 0.747),
        ("kidney mlp KLF2", 12, 53.73, 24.10, 5.482),
        ("kidney mlp STAT4", 6, 0.4065, 0.2753, 0.054),
        ("lung heads KLF2", 11, -0.2922, 0.1457, 1.007),
        ("lung heads STAT4", 2, 1.2635, 0.4892, 0.0),
        ("lung mlp KLF2", 11, -3.0405, 0.5853, 2.893),
        ("lung mlp STAT4", 2, -0.7264, 2.329, 0.0),
        ("immune heads KLF2", 12, -0.0876, 0.1192, 0.854),
        ("immune heads STAT4", 9, 0.1426, 0.0397, 0.780),
        ("immune mlp KLF2", 12, -1.3947, 0.3513, 1.706),
        ("immune mlp STAT4", 9, 0.3527, 0.1513, 0.351),
    ] {
        let residual = Residual {
            value: 1.0 - sum,
            standard_error: error,
            n_cells: n,
        };
        // The inputs are printed with four digits: the largest sum to a hundredth, its error too.
        let tolerance = if error > 10.0 { 0.025 } else { 6e-4 };
        let bound = residual.lower_bound(PUBLISHED_QUANTILE);
        assert!(
            (bound - printed).abs() < tolerance,
            "{name}: {bound} instead of {printed}"
        );
    }
}

/// What makes ratios of 207 and 331: a total effect that may be none, in the published unit.
#[test]
fn ratios_to_an_effect_next_to_0_are_flagged() {
    let run = |mean: f64, std: f64, n, shares: &[f64]| MediationRun {
        total: OverCells { mean, std, n },
        components: shares
            .iter()
            .map(|&mean| OverCells { mean, std: 0.05, n })
            .collect(),
    };
    let next_to_nothing = run(-0.0009, 0.02, 2, &[0.6, 0.3]);
    assert!(published_bound(&next_to_nothing) / 0.0009 > 300.0);
    assert!(!next_to_nothing.total.is_clear());
    assert!(next_to_nothing.share_residual().lower_bound(PUBLISHED_QUANTILE) < 0.1);
    assert!(run(0.9, 0.2, 8, &[0.6, 0.3]).total.is_clear());
    assert!(!run(0.9, 0.0, 1, &[0.6, 0.3]).total.is_clear());
}

fn pooled(data: &Path, name: &str) -> (PooledAgreement, Vec<csv::StringRecord>) {
    let rows = rows(&data.join(format!("archived/CF/matched_pairs_{name}.tsv")));
    let column = |at: usize| -> Vec<f64> { rows.iter().map(|row| row[at].parse().unwrap()).collect() };
    let baseline = column(4).into_iter().map(f64::ln_1p).collect();
    let covariates = [baseline, column(5)];
    let agreement = PooledAgreement::of(&column(2), &column(3), &covariates).unwrap();
    (agreement, rows)
}

#[test]
fn the_published_counterfactuals_agree_as_archived() {
    let Some(data) = data() else { return };
    // Pairs, ρ of sizes, ρ of what is left of them, share of right signs.
    for (name, n, sizes, adjusted, signs) in [
        ("adamson_adamson_ablation", 31, -0.0694, -0.0448, 0.484),
        ("adamson_adamson_swap", 31, 0.0317, 0.0173, 0.586),
        ("dixit_tiny_neg_dixit_13d_ablation", 40, 0.0515, 0.2816, 0.222),
        ("dixit_tiny_neg_dixit_13d_swap", 40, -0.4039, 0.0133, 0.450),
        ("dixit_tiny_neg_dixit_7d_ablation", 40, 0.2298, 0.1874, 0.500),
        ("dixit_tiny_neg_dixit_7d_swap", 40, -0.0632, 0.1934, 0.600),
        ("shifrut_shifrut_ablation", 40, 0.0636, 0.0935, 0.250),
        ("shifrut_shifrut_swap", 40, 0.1111, 0.0902, 0.650),
    ] {
        let (agreement, _) = pooled(&data, name);
        assert_eq!(agreement.n_pairs, n, "{name}");
        assert_near(agreement.sizes.clone().unwrap(), sizes, FOUR_DECIMALS);
        assert_near(agreement.adjusted.clone().unwrap(), adjusted, FOUR_DECIMALS);
        assert_near(agreement.signs.unwrap().0, signs, 5.1e-4);
    }
}

#[test]
fn most_archived_effects_are_0_and_the_adjustment_for_composition_adjusts_nothing() {
    let Some(data) = data() else { return };
    for (name, zeros) in [
        ("dixit_tiny_neg_dixit_13d_ablation", 22),
        ("dixit_tiny_neg_dixit_7d_ablation", 22),
        ("shifrut_shifrut_ablation", 36),
    ] {
        let (agreement, rows) = pooled(&data, name);
        let zero = |row: &&csv::StringRecord| row[2].parse::<f64>().unwrap() == 0.0;
        assert_eq!(rows.iter().filter(zero).count(), zeros, "{name}");
        assert_eq!(agreement.signs.unwrap().1, 40 - zeros, "{name}");
        assert!(
            rows.iter().all(|row| row[5].parse::<f64>().unwrap() == 0.0),
            "{name}"
        );
    }
}

/// A screen whose perturbed genes no cell of the model holds leaves no pair to compare.
#[test]
fn no_pair_has_no_agreement_and_says_so() {
    let none = PooledAgreement::of(&[], &[], &[Vec::new()]).unwrap();
    assert_eq!((none.n_pairs, none.signs), (0, None));
    for value in [none.sizes, none.adjusted, none.signed] {
        assert!(value.unwrap_err().to_string().contains("pairs"));
    }
}
