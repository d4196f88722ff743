//! Renders a report of invented numbers: `cargo run -p scfm-report --example render_report -- report.html`.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use scfm_core::{Column, Ledger, Seeds, Table};
use scfm_report::{
    Block, Effect, Estimate, LayerAuroc, Measure, Meta, Plan, Registry, Report, ScoreSet, Section,
    Thresholds, Verdict, auroc_distributions, forest, layer_profile, pair_density,
};
use scfm_stats::{Alternative, EffectKind, Interval, PValue, TestResult};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "report.html".to_owned());
    let plan = Plan::embedded();
    let registry = registry(plan)?.correct(0.05);
    let mut ledger = Ledger::new();
    ledger.kept("perturbations", 49);
    ledger.lost(
        "perturbations",
        "fewer than 30 cells",
        4,
        ["TP53", "MYC", "GATA1", "KLF1"],
    );
    ledger.lost("genes", "not in the vocabulary", 12, ["AC000403.1", "AL627309.1"]);
    let facts = [
        ("model", "Geneformer, 6 layers × 4 heads, layer 3 (pre-specified)"),
        ("data", "simulated CRISPRi screen, 3,012 cells × 300 genes"),
        (
            "cells",
            "1,000 control cells for edges, 1,000 others for responses",
        ),
        ("orientation", "source = query row"),
        ("seed", "0"),
        ("versions", "scfm-audit 0.1.0"),
    ];
    let report = Report {
        meta: Meta {
            title: "RPE1, CRISPRi".to_owned(),
            facts: facts
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
        },
        banner: Some(
            "Simulated data: this report shows the method and says nothing about biology.".to_owned(),
        ),
        verdict: Verdict::reach(&registry, &Thresholds::default(), true),
        ledger,
        sections: sections()?,
        registry,
    };
    std::fs::write(&path, report.render(plan))?;
    println!("{}\nwritten to {path}", report.verdict);
    Ok(())
}

fn registry(plan: &Plan) -> Result<Registry, Box<dyn std::error::Error>> {
    let mut registry = Registry::declare(plan, "rpe1");
    for (id, effect, ln_p) in [
        ("perturbation-first/attention-above-chance", 0.6812, -40.0),
        ("perturbation-first/correlation-above-chance", 0.7034, -61.0),
        ("perturbation-first/attention-vs-correlation", -0.0222, -1.9),
        ("perturbation-first/attention-above-chance-naive", 0.6812, -800.0),
        ("gene-baselines/variance-vs-attention", 0.1312, -22.0),
        ("gene-baselines/mean-vs-attention", 0.0843, -9.3),
        ("gene-baselines/detection-vs-attention", 0.1021, -12.1),
        ("incremental-value/delta-attention", -0.0004, -0.2),
        ("incremental-value/equivalence-attention", -0.0004, -14.0),
        ("coexpression-mapping/coexpression", 0.3521, -9.2),
    ] {
        registry.record(
            id,
            &TestResult {
                effect_kind: kind(id),
                ..result(effect, ln_p)
            },
            "attention-L3 sha256:1f0c…, responses sha256:77ab…",
            Some(0),
        )?;
    }
    registry.undefined(
        "perturbation-first/baseline-configuration",
        "too few perturbations: 7, needs 20",
    )?;
    registry.describe(
        "perturbation-first/n-evaluable",
        Estimate::new(49.0),
        "responses sha256:77ab…",
        None,
    )?;
    registry.not_run_rest("cross-tissue", "no atlas: --data holds one tissue")?;
    Ok(registry)
}

fn kind(id: &str) -> EffectKind {
    match id.split_once('/') {
        Some(("coexpression-mapping", _)) => EffectKind::Correlation,
        Some((_, test)) if test.contains("above-chance") => EffectKind::Auroc,
        _ => EffectKind::DeltaAuroc,
    }
}

fn result(effect: f64, ln_p: f64) -> TestResult {
    let half = if effect.abs() < 0.01 { 0.003 } else { 0.024 };
    TestResult {
        method: "crossed AUROC",
        alternative: Alternative::TwoSided,
        statistic: 2.5,
        p: PValue::from_ln(ln_p),
        sides: None,
        effect,
        effect_kind: EffectKind::DeltaAuroc,
        ci: Some(Interval {
            low: effect - half,
            high: effect + half,
            level: 0.95,
        }),
        n: 49,
        n_unit: "perturbations",
    }
}

fn sections() -> Result<Vec<Section>, scfm_core::Error> {
    let mut rng = Seeds::new(0).stream("example", "figures", 0);
    let mut values = |centre: f64, n: usize| -> Vec<f64> {
        (0..n)
            .map(|_| (centre + 0.09 * normal(&mut rng)).clamp(0.0, 1.0))
            .collect()
    };
    let named = [
        ("attention, layer 3", 0.68),
        ("correlation", 0.70),
        ("variance of the target", 0.85),
        ("out-degree", 0.5),
    ];
    let sets = named.map(|(name, centre)| (name, values(centre, 49)));
    let sets = sets.each_ref().map(|(name, values)| ScoreSet { name, values });
    let table = Table::new(49)
        .with("perturbation", Column::text((0..49).map(|i| format!("GENE{i}"))))?
        .with("auroc", Column::numbers(sets[0].values.iter().copied()))?
        .with("positives", Column::counts((0..49).map(|i| 3 + i * 7 % 40)))?;
    let layers: Vec<LayerAuroc> = (0..18)
        .map(|layer| {
            let auroc = 0.55 + 0.16 * (layer as f64 / 5.0).sin().abs();
            let ci = Some(Interval {
                low: auroc - 0.03,
                high: auroc + 0.03,
                level: 0.95,
            });
            LayerAuroc { layer, auroc, ci }
        })
        .collect();
    let effects = [
        ("logistic regression, new perturbations", -0.0004, 0.003),
        ("logistic regression, new targets", 0.0011, 0.004),
        ("boosted trees, new pairs", 0.0062, 0.005),
        ("variance − attention", 0.0241, 0.009),
        ("out-degree − attention", -0.0190, 0.008),
    ];
    let effects = effects.map(|(name, estimate, half)| Effect {
        name: name.to_owned(),
        estimate,
        ci: Some(Interval {
            low: estimate - half,
            high: estimate + half,
            level: 0.95,
        }),
    });
    let mut rng = Seeds::new(0).stream("example", "pairs", 0);
    let pairs: Vec<(f32, f32)> = (0..90_000)
        .map(|_| {
            let (a, b) = (normal(&mut rng), normal(&mut rng));
            (10f64.powf(-3.0 + 0.5 * a) as f32, (0.08 * a + 0.13 * b) as f32)
        })
        .collect();
    let figure = |caption: &str, figure| Block::Figure {
        caption: caption.to_owned(),
        figure,
    };
    Ok(vec![
        Section {
            analysis: "perturbation-first".to_owned(),
            blocks: vec![
                figure(
                    "AUROC of each perturbation's candidate targets, by score.",
                    auroc_distributions(&sets),
                ),
                figure(
                    "Mean AUROC of attention edges by layer.",
                    layer_profile(
                        &layers,
                        &[("correlation", 0.703), ("variance of the target", 0.71)],
                        Some(13),
                    ),
                ),
                Block::Table {
                    caption: "AUROC of attention per perturbation".to_owned(),
                    table,
                },
            ],
        },
        Section {
            analysis: "incremental-value".to_owned(),
            blocks: vec![figure(
                "Gain over gene-level features.",
                forest(&effects, "ΔAUROC", Some(0.005)),
            )],
        },
        Section {
            analysis: "coexpression-mapping".to_owned(),
            blocks: vec![figure(
                "Attention against co-expression over all ordered pairs.",
                pair_density(
                    &pairs,
                    Measure::log("attention (mean over co-present cells)"),
                    Measure::linear("Spearman ρ"),
                ),
            )],
        },
    ])
}

/// A standard normal draw by Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}
