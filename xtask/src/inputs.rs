//! Which files an evaluation reads: those that the user names, else those in the cache, else the embedded fixture.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::args::{AbsentPairs, EvaluateArgs, NetworkOptions, RankBy, ScoreArgs};
use crate::context::{Context, Fixture};
use crate::failure::bad_input;
use crate::fixture::Checkpoint;
use crate::reference_files::{self, ReferenceFiles};
use crate::workspace;

/// The files of an evaluation and the context that reads them.
#[derive(Debug)]
pub struct Inputs {
    pub context: Context,
    pub data: PathBuf,
    /// Where the edges come from that are judged.
    pub edges: EdgeFiles,
    /// Reference networks, gene sets and classes.
    pub references: ReferenceFiles,
    /// Whether the screen is the embedded fixture.
    pub embedded: bool,
    /// The checkpoint, where it is an embedded one.
    pub checkpoint: Option<Checkpoint>,
}

/// The files that edges come from.
#[derive(Debug)]
pub enum EdgeFiles {
    /// A checkpoint, whose attention is extracted.
    Model { folder: PathBuf, dictionaries: PathBuf },
    /// A list of another tool.
    List {
        path: PathBuf,
        network: NetworkOptions,
        rank: Option<RankBy>,
        absent: Option<AbsentPairs>,
    },
}

impl Inputs {
    /// Finds the files of `context`.
    pub fn resolve(context: &Context, args: &EvaluateArgs) -> Result<Self> {
        for path in [&args.data, &args.dictionaries, &args.references]
            .into_iter()
            .flatten()
        {
            if !path.exists() {
                return Err(bad_input(format!("{}: no such file or folder", path.display())));
            }
        }
        let model = args.model.as_deref().map(model_folder).transpose()?;
        let cache = workspace::cache();
        let cached = |kind: &str, name: &str| {
            cache
                .as_ref()
                .map(|cache| cache.join(kind).join(name))
                .filter(|path| path.exists())
        };
        let data = args
            .data
            .clone()
            .or_else(|| cached("datasets", &context.dataset.file));
        let (Some(data), fixture) = (data, &context.fixture) else {
            return match &context.fixture {
                Some(fixture) => Self::embedded(context.at_fixture_size(fixture)?, fixture, model, args),
                None => Err(bad_input(format!(
                    "context {}: no data; give --data <h5ad>, or put {} into the folder datasets of SCFM_CACHE",
                    context.name, context.dataset.file
                ))),
            };
        };
        let model = model.or_else(|| cached("models", &context.model.name)).ok_or_else(|| {
            let hint = fixture.as_ref().map_or("", |_| " (the embedded checkpoints fit the embedded screens only)");
            bad_input(format!(
                "context {}: no checkpoint; give --model <folder>, or put {} into the folder models of SCFM_CACHE{hint}",
                context.name, context.model.name
            ))
        })?;
        let references = args.references.clone().or_else(|| cached("references", ""));
        Self::new(context.clone(), data, model, references.as_deref(), args, false)
    }

    fn embedded(
        context: Context,
        fixture: &Fixture,
        model: Option<PathBuf>,
        args: &EvaluateArgs,
    ) -> Result<Self> {
        let folder = workspace::root().join("fixtures");
        let model = model.unwrap_or_else(|| folder.join(&fixture.model));
        let references = args
            .references
            .clone()
            .unwrap_or_else(|| folder.join(&fixture.references));
        Self::new(
            context,
            folder.join(&fixture.data),
            model,
            Some(&references),
            args,
            true,
        )
    }

    fn new(
        mut context: Context,
        data: PathBuf,
        model: PathBuf,
        references: Option<&Path>,
        args: &EvaluateArgs,
        embedded: bool,
    ) -> Result<Self> {
        if let Some(column) = &args.perturbation_column {
            context.dataset.perturbation = Some(column.clone());
        }
        context.model.layer = args.layer.or(context.model.layer);
        context.model.scgpt = args.scgpt.clone().or(context.model.scgpt);
        context.parameters.n_ctrl = args.cells.unwrap_or(context.parameters.n_ctrl);
        if let Some(least) = args.min_knockdown {
            context.parameters.min_knockdown = least;
        }
        if let Some(fault) = context.parameters.fault() {
            return Err(bad_input(format!("--cells, --min-knockdown: {fault}")));
        }
        let references = reference_files::find(&context, references, args.references.is_some())?;
        let dictionaries = args.dictionaries.clone().unwrap_or_else(|| model.clone());
        Ok(Self {
            context,
            data,
            checkpoint: Checkpoint::in_folder(&model),
            edges: EdgeFiles::Model {
                folder: model,
                dictionaries,
            },
            references,
            embedded,
        })
    }

    /// The files of a list of edges that is judged on a screen.
    pub fn of_list(mut context: Context, data: &Path, args: &ScoreArgs) -> Result<Self> {
        if !data.exists() {
            return Err(bad_input(format!("{}: no such file or folder", data.display())));
        }
        if let Some(column) = &args.perturbation_column {
            context.dataset.perturbation = Some(column.clone());
        }
        context.parameters.n_ctrl = args.cells.unwrap_or(context.parameters.n_ctrl);
        if let Some(fault) = context.parameters.fault() {
            return Err(bad_input(format!("--cells: {fault}")));
        }
        // A list is one layer, whatever the context says of its model.
        context.model.name = args.edges.display().to_string();
        context.model.layer = None;
        let references = match &args.references {
            Some(file) if file.is_file() => reference_files::trrust(file)?,
            folder => reference_files::find(&context, folder.as_deref(), true)?,
        };
        Ok(Self {
            context,
            data: data.to_owned(),
            edges: EdgeFiles::List {
                path: args.edges.clone(),
                network: args.network.clone(),
                rank: args.rank,
                absent: args.absent,
            },
            references,
            embedded: false,
            checkpoint: None,
        })
    }

    /// What of the inputs is embedded, a line each.
    pub fn embedded_in_words(&self) -> Vec<String> {
        let screen = self.embedded.then(|| {
            format!(
                "embedded fixture of {}: simulated data, which say nothing about biology",
                self.context.name
            )
        });
        let checkpoint = self.checkpoint.map(|checkpoint| {
            format!(
                "embedded checkpoint {} (fixtures/{}): trained on simulated cells",
                checkpoint.name(),
                checkpoint.folder()
            )
        });
        screen.into_iter().chain(checkpoint).collect()
    }
}

/// The folder that `--model` means: the one of that path, else the embedded checkpoint of that name.
fn model_folder(named: &Path) -> Result<PathBuf> {
    if named.exists() {
        return Ok(named.to_owned());
    }
    let names = Checkpoint::ALL.map(Checkpoint::name).join(", ");
    Checkpoint::named(named).map(Checkpoint::path).ok_or_else(|| {
        bad_input(format!(
            "{}: no such file or folder; embedded checkpoints are {names}",
            named.display()
        ))
    })
}
