//! `score`: the edges of any other tool against reference networks.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use ndarray::Array2;
use scfm_core::{Ledger, Orientation};
use scfm_grn::{CandidateUniverse, DegreeNull, DegreeNullParams, GeneNames, degree_null, thousands};
use scfm_io::{Backend, ReadLimits, content_hash};
use scfm_report::{Block, Meta, Need, Plan, Registry, Section};
use scfm_stats::{TestResult, Undefined};

use crate::analyses::{self, Desk};
use crate::args::{ScoreArgs, Scorer};
use crate::commands::evaluate::{Order, carry_out};
use crate::conclusion::{Findings, close};
use crate::context::{Context, Dataset, Model, Parameters, References};
use crate::edge_source::{self, ListedEdges};
use crate::failure::{self, bad_input};
use crate::inputs::Inputs;
use crate::list_audit::{self, Judgement};
use crate::list_print;
use crate::lists::{self, ListFile, Reference, Role};
use crate::progress::Progress;
use crate::record::{self, InputFile, RunRecord};
use crate::run_folder::{Key, RunFolder};
use crate::{memory, run_folder};

/// Raised when the same inputs and parameters give other results.
const VERSION: u32 = 1;
/// The analysis whose section shows recovery.
const RECOVERY: &str = "multi-model";
/// Networks of the same degrees for references that no planned test speaks of.
const FEW_NETWORKS: usize = 999;
/// Memory that a pair of the universe takes: its score, its rank, labels and the copies that tests make.
const BYTES_PER_PAIR: u64 = 40;

pub fn run(args: &ScoreArgs, backend: Backend, progress: Progress) -> Result<()> {
    if let Some(data) = &args.data {
        return on_screen(args, data, backend, progress);
    }
    let Some(references_path) = &args.references else {
        unreachable!("clap asks for references or a screen");
    };
    let limits = ReadLimits {
        memory_budget: memory::budget(args.memory)?,
        backend,
    };
    let list = || ListFile::read(&args.edges, &args.network, &limits);
    match args.scorer {
        Scorer::Scfm => {}
        Scorer::Beeline => return list_print::beeline(&list()?.list, references_path),
        Scorer::Dream5 => return list_print::dream5(&list()?.list, references_path, &limits),
    }
    let genes = lists::universe(&args.universe)?;
    let references = lists::read_references(references_path)?;
    let listed = ListedEdges::new(list()?, args.rank, args.absent, &args.universe);
    for line in edge_source::describe(&listed) {
        println!("{line}");
    }

    let (sources, targets) = listed.list.panels(&genes);
    let mut universes = Vec::new();
    for reference in references {
        let universe = CandidateUniverse::new(&reference.network, &sources, &targets, GeneNames::default());
        // Of a folder, what cannot be judged is told and passed over; a file that was named is an error.
        let universe = match universe.map_err(anyhow::Error::from).and_then(|universe| {
            check_size(&universe, limits.memory_budget)?;
            Ok(universe)
        }) {
            Err(error) if references_path.is_dir() => Err(failure::describe(&error, false)),
            other => Ok(other?),
        };
        universes.push((reference, universe));
    }

    let record = record(args, &listed, &universes)?;
    let path = args.out.join(format!("score-{}", &key(&record)?[..12]));
    let run = RunFolder::create(path, false)?;
    record.write(&run.file(record::FILE))?;
    let mut audit = Audit {
        listed: &listed,
        record: &record,
        run: &run,
        registry: Registry::declare(Plan::embedded(), &record.context.name),
        sections: Vec::new(),
        judged: Vec::new(),
        taken: Vec::new(),
        blocks: Vec::new(),
    };
    for (reference, universe) in universes {
        match universe {
            Ok(universe) => audit.judge(&reference, universe, progress)?,
            Err(reason) => println!("\n{}\n  {reason}", reference.network.name()),
        }
    }
    audit.finish()
}

/// The battery of `evaluate` with the list in the place of attention.
fn on_screen(args: &ScoreArgs, data: &Path, backend: Backend, progress: Progress) -> Result<()> {
    let context = match &args.context {
        Some(context) => Context::load(context)?,
        None => context(&lists::file_name(data)),
    };
    let chosen = analyses::select(&args.analyses)?;
    let inputs = Inputs::of_list(context, data, args)?;
    let order = Order {
        others: BTreeMap::new(),
        beside: &[],
        chosen,
        seed: args.seed,
        orientation: Orientation::default(),
        limits: ReadLimits {
            memory_budget: memory::budget(args.memory)?,
            backend,
        },
        out: &args.out,
        resume: true,
        dry_run: false,
    };
    carry_out(&inputs, &order, progress)?;
    Ok(())
}

/// A context of which nothing is known but a name.
fn context(name: &str) -> Context {
    Context {
        name: "score".to_owned(),
        cell_type: name.to_owned(),
        modality: "list of edges".to_owned(),
        dataset: Dataset::any(),
        references: References::default(),
        model: Model {
            name: name.to_owned(),
            layer: None,
            scgpt: Default::default(),
        },
        parameters: Parameters::default(),
        fixture: None,
    }
}

/// Says before anything large is made how large it would be.
fn check_size(universe: &CandidateUniverse, budget: u64) -> Result<()> {
    let (rows, columns) = universe.positive().dim();
    let bytes = BYTES_PER_PAIR * rows as u64 * columns as u64;
    if bytes <= budget {
        return Ok(());
    }
    let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    Err(bad_input(format!(
        "a universe of {} × {} pairs takes {:.1} GiB, more than {:.1}; name fewer genes by --universe <file>, or raise \
         --memory",
        thousands(rows),
        thousands(columns),
        gib(bytes),
        gib(budget)
    )))
}

fn record(
    args: &ScoreArgs,
    listed: &ListedEdges,
    universes: &[(Reference, Result<CandidateUniverse, String>)],
) -> Result<RunRecord> {
    let input = |path: &Path| -> Result<InputFile> {
        Ok(InputFile {
            path: path.display().to_string(),
            sha256: content_hash(path)?,
        })
    };
    let mut inputs = BTreeMap::from([("edges".to_owned(), input(&args.edges)?)]);
    for (reference, _) in universes {
        inputs.insert(lists::file_name(&reference.path), input(&reference.path)?);
    }
    if !["observed", "panel"].contains(&args.universe.as_str()) {
        inputs.insert("universe".to_owned(), input(Path::new(&args.universe))?);
    }
    Ok(RunRecord {
        others: BTreeMap::new(),
        beside: Vec::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        seed: args.seed,
        orientation: "as listed".to_owned(),
        layer: 0,
        n_layers: 0,
        n_heads: 0,
        family: String::new(),
        simulated: listed.simulated,
        embedded: false,
        analyses: vec![RECOVERY.to_owned(), analyses::degree_null::ID.to_owned()],
        machine: run_folder::machine(),
        columns: vec![listed.record.layout.clone()],
        n_edge_cells: 0,
        controls_shared: false,
        list: Some(listed.record.clone()),
        inputs,
        context: context(listed.list.name()),
    })
}

fn key(record: &RunRecord) -> Result<String> {
    let hashes: Vec<&str> = record.inputs.values().map(|file| file.sha256.as_str()).collect();
    Ok(Key::new("score", VERSION)
        .with("inputs", hashes.join(","))
        .with("list", toml::to_string(&record.list)?)
        .with("seed", record.seed)
        .hex())
}

/// The references that were judged so far, and where results go.
struct Audit<'a> {
    listed: &'a ListedEdges,
    record: &'a RunRecord,
    run: &'a RunFolder,
    registry: Registry,
    sections: Vec<Section>,
    judged: Vec<(String, Judgement)>,
    /// Roles whose planned tests are registered: the first reference of each speaks for it.
    taken: Vec<Role>,
    blocks: Vec<Block>,
}

impl Audit<'_> {
    fn judge(
        &mut self,
        reference: &Reference,
        mut universe: CandidateUniverse,
        progress: Progress,
    ) -> Result<()> {
        let name = reference.network.name().to_owned();
        progress.say(format!("judging against {name}"));
        let ListedEdges {
            list,
            ranking,
            absent,
            ..
        } = self.listed;
        let scores = list.scores(universe.tfs(), universe.targets(), *ranking, *absent);
        let before = (universe.n_candidates(), universe.n_positives());
        universe.restrict_to_defined(&[scores.view()]);
        let first = reference.role != Role::Other && !self.taken.contains(&reference.role);
        let mut desk = Desk {
            evidence: &(),
            record: self.record,
            registry: &mut self.registry,
            run: self.run,
            blocks: Vec::new(),
        };
        let judgement = list_audit::judge(&desk, &name, &universe, scores.view())?;
        if first {
            self.taken.push(reference.role);
            register(&mut desk, reference.role, &judgement)?;
        }
        let degrees = degrees(
            &mut desk,
            first && reference.role == Role::Trrust,
            &universe,
            scores,
        )?;
        if first && reference.role == Role::Trrust {
            self.sections.push(Section {
                analysis: analyses::degree_null::ID.to_owned(),
                blocks: std::mem::take(&mut desk.blocks),
            });
        }
        self.blocks.push(Block::Ledger(universe.ledger().clone()));
        list_print::judgement(&name, before, &universe, &judgement, degrees.as_ref());
        self.judged.push((name, judgement));
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        let mut desk = Desk {
            evidence: &(),
            record: self.record,
            registry: &mut self.registry,
            run: self.run,
            blocks: Vec::new(),
        };
        if let Some(truncation) = self.listed.list.truncation() {
            desk.say(format!("{}: {truncation}.", self.listed.list.name()));
        }
        desk.keep_table(
            "list_recovery",
            "Recovery of each reference network by the list; the interval and p are of the mean AUROC over TFs, \
             clustered by TF and by target",
            list_audit::table(&self.judged)?,
        )?;
        let mut blocks = desk.blocks;
        blocks.append(&mut self.blocks);
        self.sections.insert(
            0,
            Section {
                analysis: RECOVERY.to_owned(),
                blocks,
            },
        );
        let mut present = vec![Need::Attention];
        for (role, need) in [(Role::Trrust, Need::Trrust), (Role::Dorothea, Need::Dorothea)] {
            present.extend(self.taken.contains(&role).then_some(need));
        }
        for analysis in Plan::embedded().analyses() {
            self.registry
                .not_run_rest(&analysis.id, analyses::missing(&analysis.needs, &present))?;
        }
        let conclusion = close(
            self.run,
            self.record,
            Findings {
                registry: self.registry,
                sections: self.sections,
                ledger: Ledger::new(),
                meta: meta(self.record),
            },
        )?;
        println!("\n{}", conclusion.correction);
        println!("report: {}", self.run.file("report.html").display());
        Ok(())
    }
}

fn register<E>(desk: &mut Desk<'_, E>, role: Role, judgement: &Judgement) -> Result<()> {
    let reference = match role {
        Role::Trrust => "trrust",
        Role::Dorothea => "dorothea",
        Role::Other => return Ok(()),
    };
    let crossed: Result<TestResult, Undefined> = judgement
        .crossed
        .as_ref()
        .map(|crossed| crossed.test.clone())
        .map_err(Clone::clone);
    desk.test(&format!("multi-model/{reference}-above-chance"), &crossed, false)?;
    let recovery = &judgement.recovery;
    let n = Some(judgement.n_tfs);
    let precision = recovery
        .average_precision
        .clone()
        .map(|precision| precision.value);
    desk.figure(
        &format!("multi-model/auprc-{reference}"),
        precision,
        None,
        n,
        false,
    )?;
    if role == Role::Trrust {
        let ratio = recovery.early_precision_ratio.clone();
        desk.figure("multi-model/early-precision-ratio", ratio, None, n, false)?;
    }
    Ok(())
}

/// The degree-preserving null, registered for the reference that the plan speaks of.
fn degrees<E>(
    desk: &mut Desk<'_, E>,
    planned: bool,
    universe: &CandidateUniverse,
    scores: Array2<f64>,
) -> Result<Option<DegreeNull>> {
    if planned {
        return analyses::degree_null::judge(desk, universe.clone(), &[("the list", scores)]);
    }
    let params = DegreeNullParams {
        n_networks: FEW_NETWORKS,
        ..DegreeNullParams::default()
    };
    let seeds = desk.seeds();
    let stream = |purpose: &str, i| seeds.stream(analyses::degree_null::ID, purpose, i);
    Ok(degree_null(scores.view(), universe, &params, stream)?.ok())
}

fn meta(record: &RunRecord) -> Meta {
    let mut facts: Vec<(String, String)> = record
        .inputs
        .iter()
        .map(|(role, file)| {
            let name = lists::file_name(Path::new(&file.path));
            (role.clone(), format!("{name} (sha256 {}…)", &file.sha256[..12]))
        })
        .collect();
    if let Some(list) = &record.list {
        facts.push(("Universe".to_owned(), list.universe.clone()));
        facts.push(("Absent pairs".to_owned(), list.absent.clone()));
        facts.push(("Ranked by".to_owned(), list.ranked_by.clone()));
        facts.push(("Taken for".to_owned(), list.layout.clone()));
    }
    facts.push(("Seed".to_owned(), record.seed.to_string()));
    facts.push(("Version".to_owned(), record.version.clone()));
    Meta {
        title: format!("{} against reference networks", record.context.cell_type),
        facts,
    }
}
