//! Non-targeting guides as perturbations: a screen without faults finds nothing, faults are found.

use ndarray::Array2;
use rand::{Rng, RngExt};
use scfm_core::{CountMatrix, Panel, Seeds};
use scfm_perturb::{DeParams, GuideNulls, guide_nulls};
use sprs::CsMat;

const GENES: usize = 60;

/// Cells of guides, with their strata and counts that `level` raises.
struct World {
    guides: Vec<Option<String>>,
    strata: Vec<Option<u32>>,
    cells: CountMatrix,
}

/// `n_guides` guides of 40 cells; `stratum` of a cell and `level` of a gene in a cell decide the counts.
fn world(
    n_guides: usize,
    rng: &mut impl Rng,
    stratum: impl Fn(usize, usize) -> u32,
    level: impl Fn(usize, u32, usize) -> i32,
) -> World {
    let n = 40 * n_guides;
    let (mut guides, mut strata) = (Vec::new(), Vec::new());
    for cell in 0..n {
        guides.push(Some(format!("NT{:02}", cell / 40)));
        strata.push(Some(stratum(cell / 40, cell % 40)));
    }
    let counts = Array2::from_shape_fn((n, GENES), |(cell, gene)| {
        let level = level(cell / 40, strata[cell].unwrap(), gene);
        (level + rng.random_range(0..6)) as f32
    });
    let genes = Panel::new((0..GENES).map(|g| format!("G{g}"))).unwrap();
    let cells = CountMatrix::new(genes, CsMat::csr_from_dense(counts.view(), 0.0), vec![1e4; n]).unwrap();
    World {
        guides,
        strata,
        cells,
    }
}

fn plain(world: &World) -> GuideNulls {
    guide_nulls(&world.cells, &world.guides, None, DeParams::default()).unwrap()
}

#[test]
fn guides_that_do_nothing_are_found_at_the_level_of_the_test() {
    let mut rng = Seeds::new(1).stream("test", "guides", 0);
    let world = world(30, &mut rng, |_, cell| u32::from(cell < 20), |_, _, _| 1);
    for nulls in [
        plain(&world),
        guide_nulls(
            &world.cells,
            &world.guides,
            Some(&world.strata),
            DeParams::default(),
        )
        .unwrap(),
    ] {
        assert_eq!(nulls.guides.len(), 30);
        assert!(
            nulls
                .guides
                .iter()
                .all(|g| (g.n_cells, g.n_controls, g.n_genes) == (40, 1160, GENES))
        );
        let rate = nulls.rate().unwrap();
        // Five standard errors of a share of 0.05 over 1,800 genes are 0.026.
        assert!(rate.effect.abs() < 0.026 && rate.p.p() > 1e-4, "{rate:?}");
        // At most 5 % of guides are expected to have a discovery; 8 of 30 happen with a chance below 1e-4.
        let (n, share) = nulls.with_discoveries();
        assert!(n < 8 && share.unwrap().contains(0.05), "{n}");
    }
}

#[test]
fn a_guide_with_an_effect_is_found_and_is_no_control_of_its_own() {
    let mut rng = Seeds::new(2).stream("test", "guides", 0);
    let world = world(
        10,
        &mut rng,
        |_, _| 0,
        |guide, _, gene| if guide == 3 && gene < 12 { 9 } else { 1 },
    );
    let nulls = plain(&world);
    assert_eq!(nulls.guides[3].guide, "NT03");
    assert!(nulls.guides[3].n_positive >= 12, "{:?}", nulls.guides[3]);
    let others = nulls.guides.iter().filter(|guide| guide.guide != "NT03");
    assert!(others.map(|guide| guide.n_positive).sum::<usize>() < 3);
    let table = GuideNulls::table_of(&[nulls.clone(), nulls]);
    assert_eq!(table.n_rows(), 20);
    let number = |name| table.column(name).unwrap().display(3).parse::<f64>().unwrap();
    assert!(
        number("nominal_low") < number("nominal_rate") && number("nominal_rate") < number("nominal_high")
    );
}

#[test]
fn batches_that_guides_do_not_share_alike_are_false_effects_unless_they_are_strata() {
    let mut rng = Seeds::new(3).stream("test", "guides", 0);
    // Even guides lie mostly in batch 0, odd ones in batch 1, where every gene has four counts more.
    let world = world(
        12,
        &mut rng,
        |guide, cell| u32::from((cell < 10) == (guide % 2 == 0)),
        |_, stratum, _| 1 + 4 * stratum as i32,
    );
    let across = plain(&world);
    let within = guide_nulls(
        &world.cells,
        &world.guides,
        Some(&world.strata),
        DeParams::default(),
    )
    .unwrap();
    assert!(across.rate().unwrap().effect > 0.5, "{:?}", across.rate());
    assert_eq!(across.with_discoveries().0, 12);
    assert!(within.rate().unwrap().effect.abs() < 0.04, "{:?}", within.rate());
    assert!(within.with_discoveries().0 < 4);
}

#[test]
fn guides_with_few_cells_serve_as_controls_and_cells_without_guide_do_not() {
    let mut rng = Seeds::new(4).stream("test", "guides", 0);
    let mut world = world(3, &mut rng, |_, _| 0, |_, _, _| 1);
    for guide in &mut world.guides[..15] {
        *guide = None;
    }
    let nulls = plain(&world);
    let counts: Vec<_> = nulls
        .guides
        .iter()
        .map(|g| (&*g.guide, g.n_cells, g.n_controls))
        .collect();
    assert_eq!(counts, [("NT01", 40, 65), ("NT02", 40, 65)]);
    let steps: Vec<_> = nulls
        .ledger
        .steps()
        .iter()
        .map(|s| (&*s.subject, s.count))
        .collect();
    assert_eq!(
        steps,
        [
            ("control cells", 15),
            ("non-targeting guides", 1),
            ("non-targeting guides", 2)
        ]
    );

    world.guides = vec![Some("one".to_owned()); 120];
    let nulls = plain(&world);
    assert!(nulls.guides.is_empty() && nulls.rate().is_err());
    assert_eq!(GuideNulls::table_of(&[nulls]).n_rows(), 0);
}
