//! Worlds in which no head knows anything: what ranking heads on the pairs that judge them would make of that, and whether
//! ranked heads are told from random ones where their ranking says nothing.

use ndarray::{Array1, Array2};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use scfm_ablation::{
    Altered, EdgeEffectParams, HALVES, Halves, HeadId, HeadScore, MaskedDesign, RankedBy, RankingTask,
    TargetChanges, edge_effect, perturbation_aurocs, rank_heads,
};
use scfm_core::{EdgeMatrix, Panel, Responses, Seeds};
use scfm_stats::{CrossedLimits, page_trend};

const PERTURBED: usize = 40;
const TARGETS: usize = 80;

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

fn panels() -> (Panel, Panel) {
    (
        Panel::new((0..PERTURBED).map(|i| format!("P{i}"))).unwrap(),
        Panel::new((0..TARGETS).map(|i| format!("T{i}"))).unwrap(),
    )
}

/// Genes respond with a propensity of their own, as in any screen.
fn responses(rng: &mut ChaCha8Rng) -> Responses {
    let (perturbed, targets) = panels();
    let odds: Vec<f64> = (0..TARGETS).map(|_| (1.5 * normal(rng) - 1.5).exp()).collect();
    let positive = Array2::from_shape_fn((PERTURBED, TARGETS), |(_, g)| {
        rng.random::<f64>() < odds[g] / (1.0 + odds[g])
    });
    Responses::new(perturbed, targets, positive).unwrap()
}

/// Attention of a head that knows nothing: a part that belongs to the target, and noise.
fn head(at: HeadId, rng: &mut ChaCha8Rng) -> EdgeMatrix {
    let (perturbed, targets) = panels();
    let of_target: Vec<f64> = (0..TARGETS).map(|_| normal(rng)).collect();
    let scores = Array2::from_shape_fn((PERTURBED, TARGETS), |(_, g)| (of_target[g] + normal(rng)) as f32);
    EdgeMatrix::new(at.attention().into(), perturbed, targets, scores).unwrap()
}

const PARAMS: EdgeEffectParams = EdgeEffectParams {
    min_positives: 1,
    min_negatives: 1,
    equivalence: 0.005,
    limits: CrossedLimits {
        min_rows: 20,
        min_effective_genes: 20.0,
    },
};

/// AUROC of the head that ranks first: on the pairs that judge it, on other perturbations and targets but judged by all
/// targets, and on other perturbations and targets.
fn best_heads(world: u64) -> [f64; 3] {
    let rng = &mut Seeds::new(7).stream("test", "world", world);
    let responses = responses(rng);
    let (perturbed, targets) = panels();
    let halves = Halves::draw(&perturbed, &perturbed, &targets, Seeds::new(world), "test");
    let task = RankingTask {
        reference: None,
        responses: &responses,
        halves: &halves,
        evaluable: (1, 1),
    };
    let heads: Vec<EdgeMatrix> = HeadId::all((4, 5)).map(|at| head(at, rng)).collect();
    let scores: Vec<HeadScore> = HeadId::all((4, 5))
        .zip(&heads)
        .map(|(at, edges)| task.score(at, edges).unwrap())
        .collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let leaked = scores.iter().filter_map(|score| score.auroc).fold(0.0, f64::max);
    let best = HALVES.map(|half| {
        let first = rank_heads(&scores, half, RankedBy::Perturbation).unwrap()[0];
        &heads[HeadId::all((4, 5)).position(|at| at == first).unwrap()]
    });
    let judged = |hold_out_targets| {
        let edges = Altered::Halves {
            edges: best.map(Some),
            halves: &halves,
            hold_out_targets,
        };
        mean(&perturbation_aurocs(edges, &responses, &PARAMS).unwrap())
    };
    [leaked, judged(false), judged(true)]
}

#[test]
fn heads_that_are_judged_on_what_ranked_them_look_good_and_held_out_they_do_not() {
    let worlds: Vec<[f64; 3]> = (0..150).into_par_iter().map(best_heads).collect();
    let [leaked, shared_targets, held_out] = [0, 1, 2].map(|i| {
        let values: Vec<f64> = worlds.iter().map(|world| world[i] - 0.5).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let error = (squares / values.len() as f64 / (values.len() as f64 - 1.0)).sqrt();
        (mean, error)
    });
    // Four standard errors: chance gives less once in 15,000 such tests.
    assert!(held_out.0.abs() < 4.0 * held_out.1, "{held_out:?}");
    assert!(leaked.0 > 0.03 && leaked.0 > 4.0 * leaked.1, "{leaked:?}");
    // Perturbations alone are not enough: targets are shared.
    assert!(
        shared_targets.0 > 0.01 && shared_targets.0 > 4.0 * shared_targets.1,
        "{shared_targets:?}"
    );
}

#[test]
fn edges_that_did_not_change_have_no_effect_and_reversed_ones_all_of_it() {
    let rng = &mut Seeds::new(8).stream("test", "world", 0);
    let responses = responses(rng);
    let at = HeadId::all((1, 1)).next().unwrap();
    let (perturbed, targets) = panels();
    let with_sign = |sign: f32, rng: &mut ChaCha8Rng| {
        let scores = Array2::from_shape_fn((PERTURBED, TARGETS), |place| {
            sign * (f32::from(u8::from(responses.positive()[place])) + 0.5 * rng.random::<f32>())
        });
        EdgeMatrix::new(at.attention().into(), perturbed.clone(), targets.clone(), scores).unwrap()
    };
    let good = with_sign(1.0, rng);
    let same = edge_effect(&good, Altered::Whole(&good), &responses, &PARAMS).unwrap();
    assert_eq!(same.difference.unwrap().mean, 0.0);
    assert_eq!(same.intact, Ok(1.0));
    let reversed = with_sign(-1.0, rng);
    let lost = edge_effect(&good, Altered::Whole(&reversed), &responses, &PARAMS).unwrap();
    let by_hand = lost.difference.map(|crossed| crossed.mean);
    // All of it is lost in every row, so there is no variance to judge it by.
    assert!(by_hand.is_err() || by_hand == Ok(-1.0));
    let halves = Halves::draw(&perturbed, &perturbed, &targets, Seeds::new(0), "test");
    let one_half = Altered::Halves {
        edges: [Some(&good), None],
        halves: &halves,
        hold_out_targets: true,
    };
    let judged = edge_effect(&good, one_half, &responses, &PARAMS).unwrap();
    assert!(judged.n > 0 && judged.n <= PERTURBED / 2);
    assert!(judged.difference.is_err(), "20 rows are needed");
    let nobody = Altered::Halves {
        edges: [None, None],
        halves: &halves,
        hold_out_targets: true,
    };
    assert!(
        edge_effect(&good, nobody, &responses, &PARAMS)
            .unwrap()
            .intact
            .is_err()
    );
}

/// One world of heads that matter to a different degree, few of them much, ranked without looking: p of the trend, and p of
/// Page's test with genes as blocks.
fn trends(world: u64) -> (f64, f64) {
    const HEADS: usize = 40;
    const DOSES: [usize; 3] = [2, 4, 8];
    const DRAWS: usize = 10;
    let rng = &mut Seeds::new(9).stream("test", "world", world);
    let responses = responses(rng);
    let (perturbed, targets) = panels();
    let halves = Halves::draw(&perturbed, &perturbed, &targets, Seeds::new(world), "test");
    let limits = CrossedLimits {
        min_rows: 20,
        min_effective_genes: 20.0,
    };
    let design = MaskedDesign::new(&responses, &halves, (1, 1), limits);
    let importance: Vec<f64> = (0..HEADS).map(|_| normal(rng).exp()).collect();
    let harm = Array2::from_shape_fn((HEADS, TARGETS), |(head, _)| {
        importance[head] * (1.0 + 0.5 * normal(rng))
    });
    let mut chain = || -> Vec<Array1<f64>> {
        let mut order: Vec<usize> = (0..HEADS).collect();
        order.shuffle(rng);
        let of_dose = |n: usize| {
            order[..n]
                .iter()
                .fold(Array1::<f64>::zeros(TARGETS), |sum, &head| sum + harm.row(head))
        };
        DOSES.map(of_dose).to_vec()
    };
    let case = chain();
    let draws: Vec<Vec<Array1<f64>>> = (0..DRAWS).map(|_| chain()).collect();
    let whole = |changes: &Array1<f64>| TargetChanges::whole(changes.clone());
    let ranked: Vec<_> = case.iter().map(whole).collect();
    let by_dose = |dose: usize| draws.iter().map(|draw| whole(&draw[dose])).collect();
    let random: Vec<Vec<_>> = (0..DOSES.len()).map(by_dose).collect();
    let trend = design.trend(&ranked, &random).unwrap().unwrap();
    let blocks = Array2::from_shape_fn((TARGETS, DOSES.len()), |(gene, dose)| {
        let average = draws.iter().map(|draw| draw[dose][gene]).sum::<f64>() / DRAWS as f64;
        case[dose][gene] - average
    });
    (trend.p.p(), page_trend(blocks.view()).unwrap().p.p())
}

#[test]
fn a_ranking_without_information_has_no_trend_where_genes_as_blocks_find_one() {
    let worlds: Vec<(f64, f64)> = (0..600).into_par_iter().map(trends).collect();
    let share = |of: fn(&(f64, f64)) -> f64| {
        worlds.iter().filter(|world| of(world) < 0.05).count() as f64 / worlds.len() as f64
    };
    let (crossed, page) = (share(|world| world.0), share(|world| world.1));
    assert!((0.02..=0.08).contains(&crossed), "{crossed}");
    assert!(page > 0.2, "Page's test over genes passes: {page}");
}
