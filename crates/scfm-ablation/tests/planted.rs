//! Planted models are found out: predictions of regulatory ones need the heads that attention names, of gene-level ones not.

#[path = "common/worlds.rs"]
mod worlds;

use ndarray::{Array2, ArrayView1};
use rand::seq::SliceRandom;
use scfm_ablation::{
    CellOf, Halves, HeadId, HeadScore, Hidden, MaskedDesign, MaskedGene, MaskedReadOut, MaskedValue,
    PatchedCell, Predictor, RankedBy, RankingTask, TargetChanges, rank_heads, read_masked,
};
use scfm_attention::geneformer::{self, Geneformer};
use scfm_attention::planted::{Planted, PlantedParams};
use scfm_attention::scgpt::{self, ScGpt};
use scfm_attention::{AbsentPairs, AttentionSums, Interventions, TokenPanel};
use scfm_core::{Head, Layer, Orientation, Panel, Responses, Seeds};
use scfm_stats::CrossedLimits;
use worlds::Simulated;

const GENES: usize = 96;
/// Cells that read-outs are fitted to, and after them those that are asked.
const FITTED: usize = 200;
const ASKED: usize = 24;
/// Layers and heads. Few are planted: random sets that hold half of the heads that matter harm as much as ranked ones.
const SHAPE: (usize, usize) = (2, 12);
const PLANTED: usize = 2;
/// Below it an intervention is too small to judge.
const JUDGED: f64 = 0.02;

fn world() -> Simulated {
    worlds::simulated(GENES, FITTED + ASKED)
}

fn params(strength: f64) -> PlantedParams {
    PlantedParams {
        n_layers: SHAPE.0,
        n_heads: SHAPE.1,
        n_planted: PLANTED,
        strength,
        rank: 16,
        ..PlantedParams::default()
    }
}

fn regulating(world: &Simulated, strength: f64) -> Planted {
    Planted::regulating(world.genes.clone(), world.effects.clone(), params(strength)).unwrap()
}

/// Heads look at genes that are detected often.
fn gene_level(world: &Simulated) -> Planted {
    let counts = world.counts.counts().to_csc();
    let prominence: Vec<f64> = counts
        .outer_iterator()
        .map(|gene| {
            gene.iter()
                .map(|(_, count)| f64::from(*count).ln_1p())
                .sum::<f64>()
                / counts.rows() as f64
        })
        .collect();
    let affinity = Array2::from_shape_fn((GENES, GENES), |(_, key)| prominence[key]);
    Planted::following(world.genes.clone(), affinity, params(4.0)).unwrap()
}

fn is_regulated(world: &Simulated, gene: usize) -> bool {
    world.effects.column(gene).iter().any(|&effect| effect != 0.0)
}

/// Asks for regulated genes.
fn ask<P: Predictor>(
    predictor: &P,
    world: &Simulated,
    cells: &[CellOf<P>],
    conditions: &[Interventions],
) -> MaskedReadOut {
    let wanted: Vec<Option<usize>> = (0..GENES)
        .map(|gene| is_regulated(world, gene).then_some(gene))
        .collect();
    let hide = |index: usize, cell: &CellOf<P>| {
        let mut rng = Seeds::new(5).stream("test", "hidden", index as u64);
        Hidden::draw(cell.as_ref(), &wanted, P::HIDDEN_SHARE, &mut rng)
    };
    read_masked(predictor, cells, conditions, GENES, hide, |_| ()).unwrap()
}

fn mean(values: ArrayView1<'_, f64>) -> f64 {
    let known: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    known.iter().sum::<f64>() / known.len() as f64
}

fn silenced(heads: &[HeadId]) -> Interventions {
    heads.iter().fold(Interventions::none(), |done, at| {
        done.scale_head(at.layer, at.head, 0.0)
    })
}

/// The planted heads, of both layers in turn, and as many others.
fn kinds() -> [Vec<HeadId>; 2] {
    let of = |heads: [usize; PLANTED]| {
        let of_layers = |head| {
            (0..SHAPE.0).map(move |layer| HeadId {
                layer: Layer(layer),
                head: Head(head),
            })
        };
        heads.into_iter().flat_map(of_layers).collect()
    };
    [of([0, 1]), of([2, 3])]
}

/// But for rounding.
fn grows(harms: &[f64]) -> bool {
    harms
        .windows(2)
        .all(|pair| pair[1] > pair[0] - 1e-6 * pair[0].abs())
}

/// What silencing 1 to 4 planted heads, all others, and making the planted ones uniform does to the mean loss.
struct Harms {
    intact: f64,
    of_dose: Vec<f64>,
    of_others: f64,
    of_uniform: f64,
    fidelity: Vec<f64>,
}

fn harms<P: Predictor>(predictor: &P, world: &Simulated, cells: &[CellOf<P>]) -> Harms {
    let [planted, others] = kinds();
    let mut conditions: Vec<Interventions> = (1..=4).map(|dose| silenced(&planted[..dose])).collect();
    conditions.push(silenced(&others));
    conditions.push(planted.iter().fold(Interventions::none(), |done, at| {
        done.uniform_attention(at.layer, at.head)
    }));
    conditions.push(Interventions::none().uniform_attention(Layer(0), Head(0)));
    let found = ask(predictor, world, cells, &conditions);
    let change = |condition: usize| mean(found.change.row(condition));
    Harms {
        intact: mean(ndarray::aview1(&found.intact)),
        of_dose: (0..4).map(change).collect(),
        of_others: change(4),
        of_uniform: change(5),
        fidelity: found
            .fidelity
            .iter()
            .map(scfm_ablation::Fidelity::largest)
            .collect(),
    }
}

fn plant_scgpt(world: &Simulated, planted: &Planted) -> (ScGpt, Vec<scfm_attention::ValuedCell>, TokenPanel) {
    let (vocabulary, cells, panel) = world.for_scgpt();
    let checkpoint =
        scgpt::Checkpoint::planted(planted, vocabulary, &cells[..FITTED], Seeds::new(1)).unwrap();
    (ScGpt::new(&checkpoint).unwrap(), cells[FITTED..].to_vec(), panel)
}

fn plant_geneformer(
    world: &Simulated,
    planted: &Planted,
) -> (Geneformer, u32, Vec<scfm_attention::TokenisedCell>, TokenPanel) {
    let (vocabulary, cells, panel) = world.for_geneformer();
    let mask = vocabulary.mask();
    let checkpoint =
        geneformer::Checkpoint::planted(planted, vocabulary, &cells[..FITTED], Seeds::new(1)).unwrap();
    let model = Geneformer::new(&checkpoint).unwrap();
    (model, mask, cells[FITTED..].to_vec(), panel)
}

fn harms_of_both(world: &Simulated, planted: &Planted) -> [Harms; 2] {
    let (model, cells, _) = plant_scgpt(world, planted);
    let of_scgpt = harms(&MaskedValue { model: &model }, world, &cells);
    let (model, mask, cells, _) = plant_geneformer(world, planted);
    [
        of_scgpt,
        harms(&MaskedGene { model: &model, mask }, world, &cells),
    ]
}

#[test]
fn each_planted_head_that_is_silenced_adds_to_the_harm_and_so_does_uniform_attention() {
    let world = world();
    let without = harms_of_both(&world, &regulating(&world, 0.0));
    for (harms, without) in harms_of_both(&world, &regulating(&world, 8.0))
        .iter()
        .zip(without)
    {
        let of_all = harms.of_dose[3];
        let said = format!(
            "intact {}, doses {:?}, others {}, uniform {}, moved {:?}, doses without affinity {:?}",
            harms.intact, harms.of_dose, harms.of_others, harms.of_uniform, harms.fidelity, without.of_dose
        );
        // Squared bins of about 150 of which the heads explain a quarter; nats of about 4.6.
        assert!(of_all > 0.1 * harms.intact, "{said}");
        // The head of the other layer says most of what the first one did.
        assert!(
            harms.of_dose[0] > 0.03 * of_all && grows(&harms.of_dose),
            "{said}"
        );
        assert!(harms.of_others < 0.1 * of_all, "{said}");
        assert!(harms.of_uniform > 0.7 * of_all, "{said}");
        assert!(harms.fidelity.iter().all(|&moved| moved > JUDGED), "{said}");
        // Heads that look at nothing are not needed.
        assert!(without.of_dose[3].abs() < 0.02 * of_all, "{said}");
    }
}

#[test]
fn gene_level_models_predict_without_any_head() {
    let world = world();
    for (harms, unit) in harms_of_both(&world, &gene_level(&world))
        .iter()
        .zip([130.0, 4.0])
    {
        let said = format!("{:?} {} {}", harms.of_dose, harms.of_others, harms.of_uniform);
        for harm in harms.of_dose.iter().chain([&harms.of_others, &harms.of_uniform]) {
            assert!(harm.abs() < 0.01 * unit, "{said}");
        }
        // Two heads of 32 that are silenced are seen all the same.
        assert!(harms.fidelity[1..5].iter().all(|&moved| moved > JUDGED), "{said}");
    }
}

#[test]
fn rounding_of_a_prediction_is_no_effect_of_a_source() {
    let world = world();
    let (model, cells, _) = plant_scgpt(&world, &gene_level(&world));
    let read_out = MaskedValue { model: &model };
    // One in 25 of these pairs of predictions differs in its last bits.
    for cell in &cells[..4] {
        for target in 2..40 {
            let patched = PatchedCell::new(&read_out, cell, 1, target).unwrap();
            assert_eq!(patched.total(), 0.0, "place {target}");
        }
    }
}

/// Heads are ranked on one half of the sources and targets, and the other half says what silencing them does.
fn trend_of<P: Predictor>(
    predictor: &P,
    world: &Simulated,
    cells: &[CellOf<P>],
    panel: &TokenPanel,
) -> scfm_stats::TestResult {
    let model = predictor.model();
    let sources: Vec<usize> = (0..GENES)
        .filter(|&gene| world.effects.row(gene).iter().any(|&effect| effect != 0.0))
        .collect();
    let perturbed = Panel::new(sources.iter().map(|&gene| world.genes.gene(gene).to_string())).unwrap();
    let responds = |(row, target): (usize, usize)| world.effects[[sources[row], target]] != 0.0;
    let positive = Array2::from_shape_fn((sources.len(), GENES), responds);
    let responses = Responses::new(perturbed.clone(), world.genes.clone(), positive).unwrap();
    let halves = Halves::draw(&perturbed, &perturbed, &world.genes, Seeds::new(6), "test");
    let task = RankingTask {
        reference: None,
        responses: &responses,
        halves: &halves,
        evaluable: (1, 1),
    };

    let heads: Vec<HeadId> = HeadId::all(SHAPE).collect();
    let edges = heads.iter().map(|head| head.attention());
    let mut sums = AttentionSums::of(model, edges, panel.clone(), panel.clone(), Orientation::Query).unwrap();
    sums.add(model, cells, |_| ()).unwrap();
    let edges = sums.mean(AbsentPairs::Missing).unwrap().edges;
    let scores: Vec<HeadScore> = heads
        .iter()
        .zip(&edges)
        .map(|(&head, edges)| task.score(head, edges).unwrap())
        .collect();

    let doses = [1, 2, 3, 4];
    let n_draws = 12;
    let mut conditions = Vec::new();
    for half in [0, 1] {
        let ranked = rank_heads(&scores, half, RankedBy::Perturbation).unwrap();
        conditions.extend(doses.map(|dose| silenced(&ranked[..dose])));
    }
    for draw in 0..n_draws {
        let mut order = heads.clone();
        order.shuffle(&mut Seeds::new(8).stream("test", "draw", draw));
        conditions.extend(doses.map(|dose| silenced(&order[..dose])));
    }
    let found = ask(predictor, world, cells, &conditions);
    let changes = |condition: usize| found.change.row(condition).to_owned();
    let ranked: Vec<TargetChanges> = (0..4)
        .map(|dose| TargetChanges::of_halves([changes(dose), changes(4 + dose)]))
        .collect();
    let random: Vec<Vec<TargetChanges>> = (0..4)
        .map(|dose| {
            (0..n_draws as usize)
                .map(|draw| TargetChanges::whole(changes(8 + 4 * draw + dose)))
                .collect()
        })
        .collect();
    let limits = CrossedLimits {
        min_rows: 5,
        min_effective_genes: 5.0,
    };
    let design = MaskedDesign::new(&responses, &halves, (1, 1), limits);
    design.trend(&ranked, &random).unwrap().unwrap()
}

#[test]
fn the_harm_of_heads_ranked_on_the_other_half_grows_with_the_dose_where_they_are_needed() {
    let world = world();
    let tests = |planted: &Planted| {
        let (model, cells, panel) = plant_scgpt(&world, planted);
        let of_scgpt = trend_of(&MaskedValue { model: &model }, &world, &cells, &panel);
        let (model, mask, cells, panel) = plant_geneformer(&world, planted);
        [
            of_scgpt,
            trend_of(&MaskedGene { model: &model, mask }, &world, &cells, &panel),
        ]
    };
    for trend in tests(&regulating(&world, 8.0)) {
        assert!(trend.effect > 0.0 && trend.p.p() < 0.05, "{trend:?}");
    }
    // Where no head is needed, the change is what rounding and the length of hidden states leave of squared bins.
    let (model, cells, panel) = plant_scgpt(&world, &gene_level(&world));
    let trend = trend_of(&MaskedValue { model: &model }, &world, &cells, &panel);
    assert!(trend.effect.abs() < 0.5, "{trend:?}");
}
