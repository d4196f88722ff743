//! Differential expression against SciPy, and by properties.

mod common;

use common::{SUMS, Tests, assert_close, assert_row, gene, matrix, totals};
use ndarray::ArrayView1;
use proptest::prelude::*;
use scfm_core::{CountMatrix, GeneId};
use scfm_perturb::{DeParams, DeTable, DeTest, Direction, Error, Screen};
use scfm_stats::Moments;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    control: Cells,
    perturbed: Vec<Group>,
}

#[derive(Deserialize)]
struct Cells {
    counts: Vec<Vec<f32>>,
    totals: Vec<f64>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(flatten)]
    cells: Cells,
    mean: Vec<f64>,
    lfc: Vec<f64>,
    welch: Tests,
    mann_whitney: Tests,
}

impl Golden {
    fn read() -> Self {
        serde_json::from_str(include_str!("golden/de.json")).unwrap()
    }

    /// The control cells, and the cells of each perturbation.
    fn cells(&self) -> (CountMatrix, Vec<(GeneId, CountMatrix)>) {
        let cells = |cells: &Cells| matrix(&cells.counts, cells.totals.clone());
        let perturbed = self.perturbed.iter().enumerate();
        (
            cells(&self.control),
            perturbed
                .map(|(i, group)| (gene(i), cells(&group.cells)))
                .collect(),
        )
    }
}

fn call(controls: &CountMatrix, batches: &[Vec<(GeneId, CountMatrix)>], params: DeParams) -> DeTable {
    let mut screen = Screen::new(controls, params).unwrap();
    for batch in batches {
        screen.add(batch).unwrap();
    }
    screen.finish().unwrap()
}

#[test]
fn agrees_with_scipy_and_statsmodels() {
    let golden = Golden::read();
    let (controls, batch) = golden.cells();
    for test in [DeTest::Welch, DeTest::MannWhitney] {
        let params = DeParams {
            test,
            min_cells: 2,
            ..DeParams::default()
        };
        let table = call(&controls, std::slice::from_ref(&batch), params);
        for (row, group) in golden.perturbed.iter().enumerate() {
            let expected = match test {
                DeTest::Welch => &group.welch,
                _ => &group.mann_whitney,
            };
            assert_row(&table, row, &group.lfc, expected, &format!("{test:?}"));
            for g in 0..controls.genes().len() {
                let what = |name| format!("{test:?}, perturbation {row}, gene {g}, {name}");
                let positive = group.lfc[g].abs() > 0.5 && expected.q[g] < 0.05;
                assert_eq!(table.is_positive(row, g), positive, "{}", what("positive"));
            }
        }
        let long = table.to_table(1..2);
        assert_eq!(long.n_rows(), controls.genes().len());
        let mean = long.column("mean_perturbed").unwrap().display(4).parse().unwrap();
        assert_close(mean, golden.perturbed[1].mean[4], SUMS, 0.0, "mean");
        assert_eq!(long.column("perturbation").unwrap().display(0), "G1");
    }
}

fn few_cells() -> impl Strategy<Value = Vec<Vec<f32>>> {
    prop::collection::vec(prop::collection::vec((0u8..5).prop_map(f32::from), 4), 2..12)
}

fn moments(column: ArrayView1<'_, f64>) -> Moments {
    Moments::of(&column.to_vec())
}

proptest! {
    #[test]
    fn welch_is_the_dense_test_whatever_is_stored(a in few_cells(), b in few_cells()) {
        let (perturbed, controls) = (matrix(&a, totals(&a)), matrix(&b, totals(&b)));
        let (dense_a, dense_b) = (perturbed.log1p_cp10k().to_dense(), controls.log1p_cp10k().to_dense());
        let params = DeParams { min_cells: 2, ..DeParams::default() };
        let table = call(&controls, &[vec![(gene(0), perturbed)]], params);
        for g in 0..4 {
            let (mut a, mut b) = (moments(dense_a.column(g)), moments(dense_b.column(g)));
            // A group that does not vary borrows the variance of the other.
            (a.variance, b.variance) = (
                if a.variance > 0.0 { a.variance } else { b.variance },
                if b.variance > 0.0 { b.variance } else { a.variance },
            );
            match scfm_stats::welch_t_from_moments(a, b) {
                Ok(test) => {
                    // With two constant columns the two ways to sum may disagree whether a variance is zero.
                    prop_assume!(test.ci.is_some_and(|ci| ci.high - ci.low > 1e-9) || test.statistic == 0.0);
                    prop_assert!((table.statistic()[[0, g]] - test.statistic).abs() <= SUMS * (1.0 + test.statistic.abs()));
                }
                Err(_) => prop_assert!(table.p()[[0, g]].is_nan() && !table.is_positive(0, g)),
            }
        }
    }

    #[test]
    fn mann_whitney_is_the_dense_test(a in few_cells(), b in few_cells()) {
        let (perturbed, controls) = (matrix(&a, totals(&a)), matrix(&b, totals(&b)));
        let (dense_a, dense_b) = (perturbed.log1p_cp10k().to_dense(), controls.log1p_cp10k().to_dense());
        let params = DeParams { min_cells: 2, ..DeParams::baseline() };
        let table = call(&controls, &[vec![(gene(0), perturbed)]], params);
        for g in 0..4 {
            let test = scfm_stats::mann_whitney(&dense_a.column(g).to_vec(), &dense_b.column(g).to_vec()).unwrap();
            prop_assert_eq!(table.statistic()[[0, g]], test.statistic);
            prop_assert_eq!(table.p()[[0, g]], test.p.p());
        }
    }

    #[test]
    fn batches_and_threads_do_not_change_a_bit(cells in prop::collection::vec(few_cells(), 4)) {
        let blocks: Vec<_> = cells[1..]
            .iter()
            .enumerate()
            .map(|(i, counts)| (gene(i), matrix(counts, totals(counts))))
            .collect();
        let controls = matrix(&cells[0], totals(&cells[0]));
        let params = DeParams { min_cells: 2, ..DeParams::baseline() };
        let together = call(&controls, std::slice::from_ref(&blocks), params);
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let apart = one_thread.install(|| {
            call(&controls, &blocks.iter().map(|b| vec![b.clone()]).collect::<Vec<_>>(), params)
        });
        prop_assert_eq!(together.to_table(0..3), apart.to_table(0..3));
    }
}

/// Control cells with 10 of the first gene and 20 of the second; `n` cells of each kind alternate by one count.
fn cells_like(n: usize, first: f32, second: f32) -> CountMatrix {
    let counts: Vec<Vec<f32>> = (0..n)
        .map(|i| vec![first + (i % 2) as f32, second + (i / 2 % 2) as f32, 100.0])
        .collect();
    matrix(&counts, vec![1_000.0; n])
}

#[test]
fn a_planted_knock_down_is_found_and_the_own_gene_is_no_candidate() {
    let controls = cells_like(40, 10.0, 20.0);
    let batch = vec![
        (gene(0), cells_like(30, 1.0, 4.0)),
        (gene(1), cells_like(30, 10.0, 60.0)),
        ("X".into(), cells_like(30, 10.0, 20.0)),
        (gene(2), cells_like(29, 1.0, 1.0)),
    ];
    let table = call(&controls, &[batch], DeParams::default());
    let names: Vec<_> = table.perturbed().genes().iter().map(GeneId::as_str).collect();
    assert_eq!(names, ["G0", "G1", "X"], "29 cells are fewer than 30");
    assert_eq!(table.ledger().steps()[0].examples, ["G2 (29)"]);

    let responses = table.responses();
    assert_eq!(responses.positive().row(0).to_vec(), [true, true, false]);
    assert_eq!(responses.class_sizes(0), (1, 1), "G0 is no candidate of its own");
    assert_eq!(responses.positive().row(2).to_vec(), [false; 3]);
    let per_perturbation = table.perturbation_table();
    assert_eq!(per_perturbation.column("n_positive").unwrap().display(0), "1");
    assert_eq!(per_perturbation.column("self_lfc").unwrap().display(2), "");

    let effects = table.self_effects();
    assert!(effects[0].unwrap().lfc < -1.0 && effects[1].unwrap().lfc > 1.0 && effects[2].is_none());
    for (direction, n_moved) in [(Direction::Down, 1), (Direction::Up, 1)] {
        let check = table.knockdown_check(direction);
        assert_eq!((check.n_moved, check.n_measured), (n_moved, 2));
    }
}

#[test]
fn a_rare_gene_that_a_small_group_misses_is_no_discovery() {
    // Seen in 2 of 100 control cells and in none of 30 perturbed ones, which is what chance gives.
    let rare = |n: usize, seen: usize| {
        let counts: Vec<Vec<f32>> = (0..n)
            .map(|i| vec![f32::from(u8::from(i < seen)), 5.0, 7.0])
            .collect();
        matrix(&counts, vec![1_000.0; n])
    };
    let table = call(
        &rare(100, 2),
        &[vec![(gene(1), rare(30, 0))]],
        DeParams::default(),
    );
    assert!(table.p()[[0, 0]] > 0.2, "{}", table.p()[[0, 0]]);
    // Seen in every control cell with some spread, it is one.
    let table = call(
        &rare(100, 60),
        &[vec![(gene(1), rare(30, 0))]],
        DeParams::default(),
    );
    assert!(table.p()[[0, 0]] < 1e-4, "{}", table.p()[[0, 0]]);
}

#[test]
fn thresholds_are_strict_and_can_be_moved_without_testing_again() {
    let table = call(
        &cells_like(40, 10.0, 20.0),
        &[vec![(gene(2), cells_like(30, 1.0, 20.0))]],
        DeParams::default(),
    );
    let lfc = table.lfc(0, 0).abs();
    let q = table.q()[[0, 0]];
    assert!(table.is_positive(0, 0));
    let at = |min_lfc, alpha| {
        table
            .clone()
            .with_thresholds(min_lfc, alpha)
            .unwrap()
            .is_positive(0, 0)
    };
    assert!(!at(lfc, 0.05), "|LFC| must exceed the threshold");
    assert!(at(lfc - 1e-9, 0.05));
    assert!(!at(0.5, q), "q must lie below alpha");
    assert!(matches!(
        table.with_thresholds(f64::NAN, 0.05),
        Err(Error::Parameter { name: "min_lfc", .. })
    ));
}

#[test]
fn the_same_perturbation_twice_is_an_error() {
    let mut screen = Screen::new(&cells_like(40, 10.0, 20.0), DeParams::default()).unwrap();
    screen.add(&[(gene(0), cells_like(30, 1.0, 1.0))]).unwrap();
    screen.add(&[(gene(0), cells_like(30, 1.0, 1.0))]).unwrap();
    assert!(matches!(
        screen.finish(),
        Err(Error::Core(scfm_core::Error::DuplicateGene { .. }))
    ));
}

#[test]
fn parameters_outside_their_range_are_named() {
    let controls = cells_like(40, 10.0, 20.0);
    let params = DeParams::default();
    for (name, params) in [
        (
            "min_lfc",
            DeParams {
                min_lfc: -1.0,
                ..params
            },
        ),
        ("alpha", DeParams { alpha: 1.0, ..params }),
        (
            "min_cells",
            DeParams {
                min_cells: 1,
                ..params
            },
        ),
    ] {
        match Screen::new(&controls, params) {
            Err(Error::Parameter { name: found, .. }) => assert_eq!(found, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    let one = cells_like(1, 10.0, 20.0);
    assert!(matches!(
        Screen::new(&one, params),
        Err(Error::FewControls { n: 1, needed: 2 })
    ));
}

/// A panel that is a part of the tested genes gets the calls that it would get alone.
#[test]
fn a_part_of_the_genes_is_corrected_as_if_it_had_been_tested_alone() {
    let golden = Golden::read();
    let (controls, batch) = golden.cells();
    let params = DeParams {
        min_cells: 2,
        min_lfc: 0.0,
        ..DeParams::default()
    };
    let all = call(&controls, std::slice::from_ref(&batch), params);
    // Every other gene, and one that nobody measured.
    let few: Vec<GeneId> = all.genes().genes().iter().step_by(2).cloned().collect();
    let few = scfm_core::Panel::new(few).unwrap();
    let with_unknown =
        scfm_core::Panel::new(few.genes().iter().cloned().chain([GeneId::from("unknown")])).unwrap();
    let alone = call(
        &controls.select_genes(&few).unwrap(),
        &[batch
            .iter()
            .map(|(gene, cells)| (gene.clone(), cells.select_genes(&few).unwrap()))
            .collect()],
        params,
    );
    let part = all.restricted_to(&with_unknown);
    assert_eq!(part.genes(), alone.genes());
    assert_eq!(part.p(), alone.p());
    assert_eq!(part.q(), alone.q());
    assert_eq!(part.responses().positive(), alone.responses().positive());
    // The correction over all genes is another one.
    let differs = (0..few.len()).any(|column| part.q()[[0, column]] != all.q()[[0, 2 * column]]);
    assert!(differs);
}
