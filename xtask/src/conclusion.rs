//! From the stages' files to the registry, the verdict and the report.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use scfm_core::{EdgeKind, Layer, Ledger};
use scfm_io::{atomic_write, write_csv, write_table};
use scfm_report::{Block, Kind, Meta, Need, Outcome, Plan, Registry, Report, Section, Thresholds, Verdict};

use crate::analyses::{self, Desk};
use crate::evidence::{Evidence, names, read_ledger};
use crate::fingerprint;
use crate::model::{SCGPT, SCGPT_ORIENTATION};
use crate::progress::Progress;
use crate::quality;
use crate::record::RunRecord;
use crate::reference_files::Role;
use crate::run_folder::RunFolder;

/// What the terminal shows of a finished run.
pub struct Conclusion {
    pub verdict: Verdict,
    /// The family in one line.
    pub correction: String,
    /// Confirmatory tests of the chosen analyses that did not run.
    pub n_not_run: usize,
}

/// Runs the chosen analyses over the stored stages and writes registry, verdict and report.
pub fn conclude(run: &RunFolder, record: &RunRecord, progress: Progress) -> Result<Conclusion> {
    close(run, record, find(run, record, progress)?)
}

/// Runs the chosen analyses over the stored stages.
pub fn find(run: &RunFolder, record: &RunRecord, progress: Progress) -> Result<Findings> {
    let plan = Plan::embedded();
    let evidence = Evidence::read(run, record)?;
    let mut registry = Registry::declare(plan, &record.context.name);
    let mut sections = Vec::new();
    let mut ledger = Ledger::new();
    let files = [
        names::GENE_LEDGER,
        names::TOKEN_LEDGER,
        names::DE_LEDGER,
        names::GUIDE_LEDGER,
    ];
    for file in files {
        ledger.extend(read_ledger(run, file)?);
    }
    ledger.extend(evidence.relations.ledger.clone());
    for analysis in analyses::ALL {
        if !record.analyses.iter().any(|id| id == analysis.id) {
            registry.not_run_rest(analysis.id, "not asked for")?;
            continue;
        }
        progress.say(analysis.id);
        let mut desk = Desk {
            evidence: &evidence,
            record,
            registry: &mut registry,
            run,
            blocks: Vec::new(),
        };
        (analysis.run)(&mut desk).with_context(|| format!("analysis {}", analysis.id))?;
        let mut blocks = desk.blocks;
        if analysis.id == analyses::SCREEN_QUALITY {
            blocks.extend(quality::blocks(run)?);
        }
        registry.not_run_rest(analysis.id, "not implemented")?;
        sections.push(Section {
            analysis: analysis.id.to_owned(),
            blocks,
        });
    }

    if record.list.is_some() {
        let mut present = vec![
            Need::Attention,
            Need::Cells,
            Need::Correlation,
            Need::GeneFeatures,
            Need::Screen,
        ];
        present.extend(evidence.reference.is_some().then_some(Need::Trrust));
        let others = [
            (Role::Dorothea, Need::Dorothea),
            (Role::String, Need::String),
            (Role::Reactome, Need::Reactome),
            (Role::Kegg, Need::Kegg),
            (Role::Go, Need::Go),
        ];
        let there = |role: &Role| record.inputs.contains_key(role.name());
        present.extend(
            others
                .into_iter()
                .filter(|(role, _)| there(role))
                .map(|(_, need)| need),
        );
        for analysis in plan.analyses() {
            registry.not_run_rest(&analysis.id, analyses::missing(&analysis.needs, &present))?;
        }
    }
    let mut of_screen = quality::facts(run, record, &ledger)?;
    if record.list.is_none() {
        let file = names::edges(EdgeKind::attention(Layer(record.layer)));
        of_screen.extend(fingerprint::facts(&run.file(&file))?);
    }
    Ok(Findings {
        registry,
        sections,
        ledger,
        meta: meta(record, of_screen),
    })
}

/// What the analyses of a run found, before any correction.
pub struct Findings {
    pub registry: Registry,
    pub sections: Vec<Section>,
    pub ledger: Ledger,
    pub meta: Meta,
}

/// Corrects the registry, reaches the verdict and writes both with the report.
pub fn close(run: &RunFolder, record: &RunRecord, findings: Findings) -> Result<Conclusion> {
    let plan = Plan::embedded();
    let registry = findings.registry.correct(record.context.parameters.alpha);
    let verdict = Verdict::reach(&registry, &Thresholds::default(), record.simulated);
    let n_not_run = registry
        .rows()
        .iter()
        .filter(|row| {
            record
                .analyses
                .iter()
                .any(|id| row.planned.id.starts_with(&format!("{id}/")))
        })
        .filter(|row| row.planned.kind == Kind::Confirmatory && !matches!(row.outcome, Outcome::Ran(_)))
        .count();
    let family = registry.correction();
    let correction = format!(
        "{} confirmatory tests ran, {} significant at a false discovery rate of {}; {} planned tests in all",
        family.confirmatory.tests,
        family.confirmatory.significant,
        family.alpha,
        registry.rows().len()
    );

    let table = registry.to_table();
    let simulated = ("scfm.simulated".to_owned(), record.simulated.to_string());
    write_table(&run.file("registry.parquet"), &table, &[simulated])?;
    write_csv(&run.file("registry.csv"), &table)?;
    let json = serde_json::to_string_pretty(&verdict)? + "\n";
    atomic_write(&run.file("verdict.json"), |file| file.write_all(json.as_bytes()))?;
    let report = Report {
        meta: findings.meta,
        banner: banner(record),
        verdict,
        ledger: findings.ledger,
        sections: findings.sections,
        registry,
    };
    let html = report.render(plan);
    atomic_write(&run.file("report.html"), |file| file.write_all(html.as_bytes()))?;
    Ok(Conclusion {
        verdict: report.verdict,
        correction,
        n_not_run,
    })
}

fn banner(record: &RunRecord) -> Option<String> {
    record.simulated.then(|| {
        "Simulated data. Screen, reference network and checkpoint were made by this program; nothing here says \
         anything about biology."
            .to_owned()
    })
}

fn meta(record: &RunRecord, of_screen: Vec<(&'static str, String)>) -> Meta {
    let context = &record.context;
    let parameters = &context.parameters;
    let mut facts: Vec<(&str, String)> = Vec::new();
    facts.push(("Context", context.name.clone()));
    facts.extend(record.inputs.iter().map(|(role, file)| {
        let name = file.path.rsplit('/').next().unwrap_or(&file.path);
        (role.as_str(), format!("{name} (sha256 {}…)", &file.sha256[..12]))
    }));
    match &record.list {
        Some(list) => {
            facts.push((
                "Attention",
                "wherever this report says attention, the scores of the list stand in its place".to_owned(),
            ));
            facts.push(("Absent pairs", list.absent.clone()));
            facts.push(("Ranked by", list.ranked_by.clone()));
        }
        None => facts.extend(model_facts(record)),
    }
    let shared = if record.controls_shared {
        "the same cells, since there are too few for two halves"
    } else {
        "a disjoint set of the same size"
    };
    facts.push((
        "Control cells",
        format!(
            "{} for edges; for differential expression {shared}",
            record.n_edge_cells
        ),
    ));
    facts.push((
        "Differential expression",
        format!(
            "Welch t on log1p(CP10k){}, |LFC| > {} (natural log; {:.3} in log2), Benjamini-Hochberg q < {}, at least {} cells",
            context
                .dataset
                .stratum
                .as_ref()
                .map_or_else(String::new, |column| format!(" within {column}")),
            parameters.lfc,
            parameters.lfc / std::f64::consts::LN_2,
            parameters.de_alpha,
            parameters.min_cells
        ),
    ));
    facts.extend(of_screen);
    facts.push(("Taken for", record.columns.join("; ")));
    facts.push(("Seed", record.seed.to_string()));
    facts.push(("Version", record.version.clone()));
    Meta {
        title: format!("{}, {}", context.cell_type, context.modality),
        facts: facts
            .into_iter()
            .map(|(name, fact)| (name.to_owned(), fact))
            .collect(),
    }
}

fn model_facts(record: &RunRecord) -> [(&'static str, String); 3] {
    let mut orientation = record.orientation.parse().map_or_else(
        |_| record.orientation.clone(),
        |o: scfm_core::Orientation| o.in_words().to_owned(),
    );
    if record.family == SCGPT {
        orientation = format!("{orientation} ({SCGPT_ORIENTATION})");
    }
    let family = match record.family.as_str() {
        "" => String::new(),
        family => format!("{family}, "),
    };
    [
        (
            "Model",
            format!("{family}{} layers × {} heads", record.n_layers, record.n_heads),
        ),
        (
            "Scored layer",
            format!("{} (fixed beforehand; layers count from 0)", record.layer),
        ),
        ("Orientation", orientation),
    ]
}

/// Lets an analysis add a paragraph without a type in the way.
impl<E> Desk<'_, E> {
    pub fn say(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Text(text.into()));
    }
}
