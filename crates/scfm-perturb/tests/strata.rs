//! Differential expression within strata against definitions in NumPy, by properties, and by simulation.

mod common;

use common::{SUMS, Tests, assert_close, assert_row, gene, matrix, totals};
use proptest::prelude::*;
use rand::{Rng, RngExt};
use scfm_core::{CountMatrix, GeneId, Seeds};
use scfm_perturb::{DeParams, DeTable, DeTest, Direction, Error, Screen};
use serde::Deserialize;

type Stratified = (GeneId, CountMatrix, Vec<Option<u32>>);

#[derive(Deserialize)]
struct Golden {
    control: Cells,
    perturbed: Vec<Group>,
}

#[derive(Deserialize)]
struct Cells {
    counts: Vec<Vec<f32>>,
    totals: Vec<f64>,
    strata: Vec<Option<u32>>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(flatten)]
    cells: Cells,
    n_used: usize,
    lfc: Vec<f64>,
    remaining: Vec<Option<f64>>,
    welch: Tests,
    mann_whitney: Tests,
}

fn call(controls: &CountMatrix, strata: &[Option<u32>], batch: &[Stratified], params: DeParams) -> DeTable {
    let mut screen = Screen::stratified(controls, strata, params).unwrap();
    screen.add_stratified(batch).unwrap();
    screen.finish().unwrap()
}

#[test]
fn agrees_with_the_definitions() {
    let golden: Golden = serde_json::from_str(include_str!("golden/strata.json")).unwrap();
    let controls = matrix(&golden.control.counts, golden.control.totals);
    let batch: Vec<_> = golden
        .perturbed
        .iter()
        .enumerate()
        .map(|(i, group)| {
            let cells = matrix(&group.cells.counts, group.cells.totals.clone());
            (gene(i), cells, group.cells.strata.clone())
        })
        .collect();
    for test in [DeTest::Welch, DeTest::MannWhitney] {
        let params = DeParams {
            test,
            min_cells: 2,
            ..DeParams::default()
        };
        let table = call(&controls, &golden.control.strata, &batch, params);
        for (row, group) in golden.perturbed.iter().enumerate() {
            assert_eq!(table.n_cells()[row], group.n_used);
            let expected = match test {
                DeTest::Welch => &group.welch,
                _ => &group.mann_whitney,
            };
            assert_row(&table, row, &group.lfc, expected, &format!("{test:?}"));
            let own = table.self_effects()[row].unwrap();
            assert_close(
                own.remaining,
                group.remaining[row].unwrap(),
                SUMS,
                SUMS,
                "remaining",
            );
        }
        let steps = table.ledger().steps();
        let alone = steps
            .iter()
            .find(|step| step.subject == "perturbed cells")
            .unwrap();
        assert_eq!((alone.count, &*alone.examples), (1, &["G2 (1)".to_owned()][..]));
    }
}

fn few_cells() -> impl Strategy<Value = Vec<Vec<f32>>> {
    prop::collection::vec(prop::collection::vec((0u8..5).prop_map(f32::from), 3), 2..12)
}

proptest! {
    #[test]
    fn one_stratum_is_no_stratum(a in few_cells(), b in few_cells()) {
        let (perturbed, controls) = (matrix(&a, totals(&a)), matrix(&b, totals(&b)));
        for test in [DeTest::Welch, DeTest::MannWhitney] {
            let params = DeParams { test, min_cells: 2, ..DeParams::default() };
            let strata = |n| vec![Some(7); n];
            let batch = [(gene(0), perturbed.clone(), strata(a.len()))];
            let stratified = call(&controls, &strata(b.len()), &batch, params);
            let mut plain = Screen::new(&controls, params).unwrap();
            plain.add(&[(gene(0), perturbed.clone())]).unwrap();
            let plain = plain.finish().unwrap();
            for g in 0..3 {
                prop_assert_eq!(plain.lfc(0, g).to_bits(), stratified.lfc(0, g).to_bits());
                prop_assert_eq!(plain.p()[[0, g]].to_bits(), stratified.p()[[0, g]].to_bits());
                prop_assert_eq!(plain.q()[[0, g]].to_bits(), stratified.q()[[0, g]].to_bits());
            }
        }
    }

    #[test]
    fn the_order_of_cells_and_the_numbers_of_strata_do_not_matter(
        a in few_cells(),
        b in few_cells(),
        turn in 0usize..12,
    ) {
        let stratum = |names: [u32; 2]| move |i: usize| Some(names[i % 2]);
        let table = |a: &[Vec<f32>], of_a: Vec<_>, names| {
            let batch = [(gene(0), matrix(a, totals(a)), of_a)];
            let of_b: Vec<_> = (0..b.len()).map(stratum(names)).collect();
            Screen::stratified(&matrix(&b, totals(&b)), &of_b, DeParams { min_cells: 2, ..DeParams::default() })
                .map(|mut screen| {
                    screen.add_stratified(&batch).unwrap();
                    screen.finish().unwrap()
                })
        };
        let of_a = |names| (0..a.len()).map(stratum(names)).collect::<Vec<_>>();
        let (mut turned, mut of_turned) = (a.clone(), of_a([4, 9]));
        turned.rotate_left(turn % a.len());
        of_turned.rotate_left(turn % a.len());
        let (first, second) = (table(&a, of_a([0, 1]), [0, 1]), table(&turned, of_turned, [4, 9]));
        match (first, second) {
            (Ok(first), Ok(second)) => {
                prop_assert_eq!(first.n_cells(), second.n_cells());
                for g in 0..if first.n_cells().is_empty() { 0 } else { 3 } {
                    prop_assert!((first.lfc(0, g) - second.lfc(0, g)).abs() < SUMS);
                    let (p, q) = (first.p()[[0, g]], second.p()[[0, g]]);
                    // Whether two constant columns differ is decided by the last bit of their means.
                    prop_assert!((p.is_nan() && q.is_nan()) || (p - q).abs() < 1e-6 || first.lfc(0, g).abs() < SUMS);
                }
            }
            (first, second) => prop_assert_eq!(first.is_err(), second.is_err()),
        }
    }
}

/// Cells of which the first `n_first` lie in stratum 0 and the rest in stratum 1, where every gene has three counts
/// more; all genes are independent and no gene responds to anything.
fn null_cells(
    n: usize,
    n_first: usize,
    n_genes: usize,
    rng: &mut impl Rng,
) -> (CountMatrix, Vec<Option<u32>>) {
    let counts: Vec<Vec<f32>> = (0..n)
        .map(|cell| {
            let level = if cell < n_first { 0 } else { 3 };
            (0..n_genes)
                .map(|_| (level + rng.random_range(0..6)) as f32)
                .collect()
        })
        .collect();
    let strata = (0..n).map(|cell| Some(u32::from(cell >= n_first))).collect();
    (matrix(&counts, vec![1e4; n]), strata)
}

#[test]
fn where_strata_differ_the_stratified_tests_keep_their_level_and_the_plain_ones_do_not() {
    const GENES: usize = 4_000;
    let mut rng = Seeds::new(20260301).stream("test", "strata", 0);
    // Most perturbed cells lie in stratum 1, most control cells in stratum 0.
    let (controls, of_controls) = null_cells(200, 150, GENES, &mut rng);
    let (perturbed, of_perturbed) = null_cells(50, 15, GENES, &mut rng);
    for test in [DeTest::Welch, DeTest::MannWhitney] {
        let params = DeParams {
            test,
            ..DeParams::default()
        };
        let rate = |table: &DeTable| table.p().iter().filter(|&&p| p < 0.05).count() as f64 / GENES as f64;
        let batch = [(gene(0), perturbed.clone(), of_perturbed.clone())];
        let stratified = rate(&call(&controls, &of_controls, &batch, params));
        // Five standard errors of a share of 0.05 over 4,000 genes are 0.017.
        assert!(
            (stratified - 0.05).abs() < 0.017,
            "{test:?} within strata: {stratified}"
        );
        let mut plain = Screen::new(&controls, params).unwrap();
        plain.add(&[(gene(0), perturbed.clone())]).unwrap();
        let plain = rate(&plain.finish().unwrap());
        assert!(plain > 0.9, "{test:?} across strata: {plain}");
    }
}

#[test]
fn rare_genes_that_a_small_group_misses_are_not_called_for_it() {
    const GENES: usize = 4_000;
    let mut rng = Seeds::new(20260302).stream("test", "rare genes", 0);
    // One cell in sixty shows a gene: half of the genes are in none of the perturbed cells.
    let mut cells = |n: usize| {
        let mut cell = || {
            (0..GENES)
                .map(|_| f32::from(u8::from(rng.random_range(0..60) == 0)))
                .collect()
        };
        let counts: Vec<Vec<f32>> = (0..n).map(|_| cell()).collect();
        matrix(&counts, vec![1e4; n])
    };
    let (controls, perturbed) = (cells(400), cells(40));
    let unseen = (0..GENES).filter(|&g| (0..40).all(|cell| perturbed.counts().get(cell, g).is_none()));
    assert!(unseen.count() > GENES * 2 / 5);
    let mut screen = Screen::new(&controls, DeParams::default()).unwrap();
    screen.add(&[(gene(0), perturbed)]).unwrap();
    let table = screen.finish().unwrap();
    let rate = table.p().iter().filter(|&&p| p < 0.05).count() as f64 / GENES as f64;
    assert!(rate < 0.07, "{rate}");
    assert_eq!(table.q().iter().filter(|&&q| q < 0.05).count(), 0);
}

#[test]
fn a_knock_down_is_judged_by_the_expression_that_remains() {
    // 8 of 10 counts of G0 are gone, G1 is as before; the strata differ fourfold in level.
    let cells = |counts: [[f32; 2]; 2]| {
        let rows: Vec<Vec<f32>> = (0..8).map(|i| counts[i / 4].to_vec()).collect();
        matrix(&rows, vec![1e4; 8])
    };
    let strata: Vec<_> = (0..8).map(|i| Some(i / 4)).collect();
    let controls = cells([[10.0, 20.0], [40.0, 80.0]]);
    let batch = [
        (gene(0), cells([[2.0, 20.0], [8.0, 80.0]]), strata.clone()),
        (gene(1), cells([[10.0, 20.0], [40.0, 80.0]]), strata.clone()),
        ("X".into(), cells([[10.0, 20.0], [40.0, 80.0]]), strata.clone()),
    ];
    let params = DeParams {
        min_cells: 4,
        ..DeParams::default()
    };
    let table = call(&controls, &strata, &batch, params);
    let remaining: Vec<_> = table
        .self_effects()
        .iter()
        .map(|e| e.map(|e| e.remaining))
        .collect();
    assert_close(remaining[0].unwrap(), 0.2, SUMS, 0.0, "remaining");
    assert_eq!((remaining[1], remaining[2]), (Some(1.0), None));
    assert_eq!(table.weak_knockdowns(Direction::Down, 0.3), [gene(1)]);
    assert_eq!(table.weak_knockdowns(Direction::Down, 0.85), [gene(0), gene(1)]);
    assert_eq!(table.weak_knockdowns(Direction::Up, 0.3), [gene(0), gene(1)]);
    assert_eq!(table.weak_knockdowns(Direction::Down, 0.0), [] as [GeneId; 0]);

    let q = table.q().row(0).to_vec();
    let strong = table.without(&[gene(1)], "own gene fell by less than 30 %");
    assert_eq!(strong.perturbed().genes(), [gene(0), "X".into()]);
    assert_eq!(strong.q().row(0).to_vec(), q);
    assert_eq!(strong.n_cells(), [8, 8]);
    let steps = strong.ledger().steps();
    let lost = steps
        .iter()
        .find(|step| step.reason.starts_with("own gene"))
        .unwrap();
    assert_eq!(
        (&*lost.subject, lost.count, &*lost.examples[0]),
        ("perturbations", 1, "G1")
    );
    assert_eq!(
        strong
            .perturbation_table()
            .column("self_remaining")
            .unwrap()
            .display(1),
        ""
    );
}

#[test]
fn cells_without_partner_or_stratum_are_counted() {
    let cells = |n: usize| matrix(&vec![vec![1.0, 2.0]; n], vec![10.0; n]);
    let controls = cells(5);
    let of_controls = [Some(0), Some(0), Some(1), None, Some(2)];
    let batch = [
        (gene(0), cells(4), vec![Some(0), Some(0), Some(1), None]),
        (gene(1), cells(3), vec![Some(1), Some(1), Some(2)]),
    ];
    let params = DeParams {
        min_cells: 2,
        ..DeParams::default()
    };
    let table = call(&controls, &of_controls, &batch, params);
    assert_eq!(
        (table.perturbed().genes(), table.n_cells()),
        (&[gene(0)][..], &[2][..])
    );
    let steps: Vec<_> = table
        .ledger()
        .steps()
        .iter()
        .map(|s| (&*s.subject, s.count))
        .collect();
    assert!(
        steps.contains(&("control cells", 1)) && steps.contains(&("perturbed cells", 5)),
        "{steps:?}"
    );
    assert!(steps.contains(&("perturbations", 1)), "{steps:?}");

    let apart: Vec<_> = (0..5).map(Some).collect();
    let error = Screen::stratified(&controls, &apart, params).unwrap_err();
    assert!(matches!(error, Error::NoStratum { n_strata: 5 }), "{error}");
}
