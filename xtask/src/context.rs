//! A context: a data set with a cell type and a perturbation modality, its columns and its parameters.
//!
//! Contexts are files in `xtask/contexts`; users add their own or hand one to `--context`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use scfm_perturb::Direction;
use serde::{Deserialize, Serialize};

use crate::args::ScGptOptions;
use crate::failure::bad_input;
use crate::workspace;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    pub name: String,
    pub cell_type: String,
    pub modality: String,
    pub dataset: Dataset,
    #[serde(default)]
    pub references: References,
    pub model: Model,
    #[serde(default)]
    pub parameters: Parameters,
    #[serde(default, skip_serializing)]
    pub fixture: Option<Fixture>,
}

/// The screen's file and the columns that matter; a column that is not named is found by its usual names.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// File name, looked for in `SCFM_CACHE`.
    pub file: String,
    /// Column of `obs` that names each cell's perturbation.
    pub perturbation: Option<String>,
    /// Labels of control cells.
    #[serde(default)]
    pub controls: Vec<String>,
    /// Labels of cells that carry no decided perturbation.
    #[serde(default)]
    pub unassigned: Vec<String>,
    /// Column of `obs` with the batch or replicate of each cell; differential expression then compares within it.
    pub stratum: Option<String>,
    /// Column of `obs` with the state or type of each cell.
    pub state: Option<String>,
    /// Column of `obs` that names each cell's guide; non-targeting guides then show whether tests hold their level.
    pub guide: Option<String>,
    /// Column of `var` with gene symbols.
    pub gene_symbols: Option<String>,
    /// Column of `var` with Ensembl ids.
    pub gene_ids: Option<String>,
    /// Matrix with raw counts: `X`, `raw/X`, `layers/<name>`.
    pub counts: Option<String>,
}

impl Dataset {
    /// A data set of which nothing is known beforehand.
    pub fn any() -> Self {
        Self::default()
    }
}

/// File names of reference networks inside the folder of references.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct References {
    pub trrust: Option<String>,
    /// Pairs of proteins with a score, by symbol or as STRING gives them.
    #[serde(default, skip_serializing_if = "FileNames::is_empty")]
    pub string: FileNames,
    /// STRING's `protein.info` or `protein.aliases`, where pairs name proteins.
    #[serde(default, skip_serializing_if = "FileNames::is_empty")]
    pub string_names: FileNames,
    #[serde(default, skip_serializing_if = "FileNames::is_empty")]
    pub reactome: FileNames,
    #[serde(default, skip_serializing_if = "FileNames::is_empty")]
    pub kegg: FileNames,
    /// GO biological process.
    #[serde(default, skip_serializing_if = "FileNames::is_empty")]
    pub go: FileNames,
    /// DoRothEA or CollecTRI.
    #[serde(default, skip_serializing_if = "FileNames::is_empty")]
    pub dorothea: FileNames,
    /// Classes of transcription factors, in place of the embedded ones.
    #[serde(default, skip_serializing_if = "FileNames::is_empty")]
    pub tf_classes: FileNames,
    /// Most genes of a set that pairs its genes; all sets where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_set_size: Option<usize>,
}

/// Names under which a file may lie in a folder, the first that is there being meant; one name stands for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OneOrMany")]
pub struct FileNames(pub Vec<String>);

impl FileNames {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for FileNames {
    fn from(names: OneOrMany) -> Self {
        match names {
            OneOrMany::One(name) => Self(vec![name]),
            OneOrMany::Many(names) => Self(names),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Folder name, looked for in `SCFM_CACHE`.
    pub name: String,
    /// The pre-specified layer; without one, the depth that [`default_layer`] gives.
    pub layer: Option<usize>,
    /// How cells are made for scGPT.
    #[serde(default, skip_serializing_if = "ScGptOptions::is_default")]
    pub scgpt: ScGptOptions,
}

/// The embedded stand-in: paths inside `fixtures` and what differs at its size.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixture {
    pub data: PathBuf,
    pub model: PathBuf,
    pub references: PathBuf,
    #[serde(default)]
    pub dataset: toml::Table,
    #[serde(default)]
    pub parameters: toml::Table,
}

/// Parameters of an evaluation. The defaults are those of arXiv:2602.17532 unless a comment says otherwise.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Control cells for edges and gene-level features, and as many for differential expression.
    pub n_ctrl: usize,
    /// Size of the panel: the most variable genes of the vocabulary.
    pub hvg: usize,
    /// Whether perturbed genes join the panel although they are not among the most variable.
    pub force_perturbed: bool,
    /// Least |difference of mean log1p(CP10k)|, natural log, of a DE-positive.
    pub lfc: f64,
    /// Benjamini-Hochberg level of a DE-positive.
    pub de_alpha: f64,
    /// Fewest cells of a perturbation.
    pub min_cells: usize,
    /// Least share by which the perturbed gene's own expression must fall (rise, for activation) where it is measured;
    /// 0 asks for nothing.
    pub min_knockdown: f64,
    /// Fewest DE-positives and negatives of an evaluable perturbation.
    pub min_positives: usize,
    pub min_negatives: usize,
    /// The baseline configuration: Mann-Whitney, its threshold and number of control cells.
    pub baseline_lfc: f64,
    pub baseline_n_ctrl: usize,
    /// Cross-validation folds.
    pub folds: usize,
    /// Ways of dealing genes into folds over which the spread of a residual's AUROC is looked at.
    pub fold_seeds: u64,
    /// Trees of a boosted model of responses; one of edge scores has half as many.
    pub boosted_trees: usize,
    /// Bootstrap replicates of headline intervals.
    pub bootstrap: usize,
    /// Permutations of confirmatory tests.
    pub permutations: usize,
    /// Half-width of the region of practical equivalence of ΔAUROC.
    pub equivalence: f64,
    /// Level of the family-wide correction.
    pub alpha: f64,
    /// Control cells that are read again under every ablation.
    pub ablation_cells: usize,
    /// Random sets of heads of each dose that ranked heads are compared with.
    pub ablation_draws: usize,
    /// Numbers of control cells in whose samples recovery is followed, samples of each, and cells of the samples whose number of
    /// states changes.
    pub scaling_cells: Vec<usize>,
    pub scaling_draws: usize,
    pub scaling_state_cells: usize,
    /// Screens made of control cells alone that show how often the tests reject without cause.
    pub pseudo_screens: usize,
    /// Settings of the parameter grid: every combination of thresholds of |LFC|, numbers of control cells and sizes of the
    /// panel.
    pub grid_lfc: Vec<f64>,
    pub grid_n_ctrl: Vec<usize>,
    pub grid_hvg: Vec<usize>,
    /// Pairs of a source and a target in which components are patched, cells of each, and sets of components that are
    /// looked at in each cell, for attention and feed-forward steps and for single heads: what a model of 10 million
    /// parameters does in an hour or less. The published runs had 8 pairs of up to 8 cells and no sets.
    pub mediation_pairs: usize,
    pub mediation_cells: usize,
    pub mediation_sets: usize,
    /// Perturbed genes that are knocked out of the model's cells, and cells of each.
    pub knock_out_sources: usize,
    pub knock_out_cells: usize,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            n_ctrl: 2000,
            hvg: 2000,
            force_perturbed: false,
            lfc: 0.5,
            de_alpha: 0.05,
            min_cells: 30,
            min_knockdown: 0.0,
            min_positives: 3,
            min_negatives: 3,
            baseline_lfc: 0.1,
            baseline_n_ctrl: 500,
            folds: 5,
            fold_seeds: 10,
            boosted_trees: 200,
            bootstrap: 10_000,
            permutations: 9_999,
            equivalence: 0.005,
            alpha: 0.05,
            ablation_cells: 500,
            ablation_draws: 10,
            scaling_cells: vec![200, 1000, 3000],
            scaling_draws: 5,
            scaling_state_cells: 500,
            pseudo_screens: 200,
            grid_lfc: vec![0.25, 0.5, 1.0],
            grid_n_ctrl: vec![500, 2000, 10_000],
            grid_hvg: vec![1000, 2000, 5000],
            mediation_pairs: 10,
            mediation_cells: 6,
            mediation_sets: 64,
            knock_out_sources: 40,
            knock_out_cells: 21,
        }
    }
}

impl Parameters {
    /// What is wrong with the first parameter out of range.
    pub fn fault(&self) -> Option<String> {
        let count = |value: usize| value as f64;
        let any = f64::MAX;
        let of_grid = |name, values: &mut dyn Iterator<Item = f64>, low| {
            values.map(|value| (name, value, low, any)).collect::<Vec<_>>()
        };
        let counts = |values: &[usize]| values.iter().map(|&value| value as f64).collect::<Vec<_>>();
        let grid = [
            of_grid("grid_lfc", &mut self.grid_lfc.iter().copied(), 0.0),
            of_grid("grid_n_ctrl", &mut counts(&self.grid_n_ctrl).into_iter(), 2.0),
            of_grid("grid_hvg", &mut counts(&self.grid_hvg).into_iter(), 2.0),
            of_grid("scaling_cells", &mut counts(&self.scaling_cells).into_iter(), 2.0),
        ];
        if grid.iter().any(Vec::is_empty) {
            return Some(
                "grid_lfc, grid_n_ctrl, grid_hvg and scaling_cells must each name a value".to_owned(),
            );
        }
        let ranges = [
            ("n_ctrl", count(self.n_ctrl), 2.0, any),
            ("hvg", count(self.hvg), 2.0, any),
            ("lfc", self.lfc, 0.0, any),
            ("de_alpha", self.de_alpha, f64::MIN_POSITIVE, 1.0),
            ("min_cells", count(self.min_cells), 2.0, any),
            ("min_positives", count(self.min_positives), 1.0, any),
            ("min_negatives", count(self.min_negatives), 1.0, any),
            ("min_knockdown", self.min_knockdown, 0.0, 0.999),
            ("baseline_lfc", self.baseline_lfc, 0.0, any),
            ("baseline_n_ctrl", count(self.baseline_n_ctrl), 2.0, any),
            ("folds", count(self.folds), 2.0, any),
            ("fold_seeds", self.fold_seeds as f64, 1.0, any),
            ("boosted_trees", count(self.boosted_trees), 1.0, any),
            ("bootstrap", count(self.bootstrap), 1.0, any),
            ("permutations", count(self.permutations), 1.0, any),
            ("pseudo_screens", count(self.pseudo_screens), 0.0, any),
            ("equivalence", self.equivalence, 0.0, 0.5),
            ("alpha", self.alpha, f64::MIN_POSITIVE, 1.0),
            ("ablation_cells", count(self.ablation_cells), 1.0, any),
            ("ablation_draws", count(self.ablation_draws), 3.0, any),
            ("scaling_draws", count(self.scaling_draws), 1.0, any),
            ("scaling_state_cells", count(self.scaling_state_cells), 2.0, any),
            ("mediation_pairs", count(self.mediation_pairs), 0.0, any),
            ("mediation_cells", count(self.mediation_cells), 2.0, any),
            ("mediation_sets", count(self.mediation_sets), 2.0, any),
            ("knock_out_sources", count(self.knock_out_sources), 0.0, any),
            ("knock_out_cells", count(self.knock_out_cells), 1.0, any),
        ];
        let (name, found, low, high) = ranges
            .into_iter()
            .chain(grid.into_iter().flatten())
            .find(|(_, found, low, high)| !(low..=high).contains(&found))?;
        let bounds = match (low, high) {
            (low, high) if low == f64::MIN_POSITIVE => format!("above 0 and at most {high}"),
            (low, high) if high == any => format!("at least {low}"),
            (low, high) => format!("from {low} to {high}"),
        };
        Some(format!("{name} is {found}, but must be {bounds}"))
    }
}

impl Context {
    /// The context of that name, or in that file.
    pub fn load(name_or_path: &str) -> Result<Self> {
        let path = Path::new(name_or_path);
        if path.extension().is_some_and(|e| e == "toml") {
            return Self::read(path);
        }
        let known = Self::all()?;
        let names: Vec<_> = known.iter().map(|c| c.name.clone()).collect();
        known.into_iter().find(|c| c.name == name_or_path).ok_or_else(|| {
            bad_input(format!(
                "no context {name_or_path:?}; known are {}, or give a .toml file",
                names.join(", ")
            ))
        })
    }

    /// The context of a cell type and, where it has several, of a modality. Of several data sets the one whose context
    /// is named after cell type and modality is meant; the others are picked by name.
    pub fn of_cell_type(cell_type: &str, modality: Option<&str>) -> Result<Self> {
        let plain = |s: &str| s.to_lowercase().replace(['-', '_', ' '], "");
        let (cell, modality) = (plain(cell_type), modality.map(plain));
        let known = Self::all()?;
        let shown = |contexts: &[&Self]| {
            let shown = contexts
                .iter()
                .map(|c| format!("{} ({}, {})", c.name, c.cell_type, c.modality));
            shown.collect::<Vec<_>>().join(", ")
        };
        let matching: Vec<&Self> = known
            .iter()
            .filter(|c| plain(&c.cell_type) == cell)
            .filter(|c| modality.as_ref().is_none_or(|m| *m == plain(&c.modality)))
            .collect();
        let names = [cell.clone(), cell + modality.as_deref().unwrap_or_default()];
        let named = matching.iter().find(|c| names.contains(&plain(&c.name)));
        match (named, &matching[..]) {
            (Some(context), _) | (None, [context]) => Ok((*context).clone()),
            (None, []) => Err(bad_input(format!(
                "no context of cell type {cell_type:?}{}; known are {}",
                modality.map_or(String::new(), |m| format!(" and modality {m:?}")),
                shown(&known.iter().collect::<Vec<_>>())
            ))),
            (None, several) => Err(bad_input(format!(
                "several contexts of cell type {cell_type:?}: {}; pick one by --context",
                shown(several)
            ))),
        }
    }

    /// Where the modality moves the expression of the perturbed gene.
    pub fn direction(&self) -> Direction {
        match self.modality.to_lowercase().as_str() {
            "crispra" | "activation" | "overexpression" => Direction::Up,
            _ => Direction::Down,
        }
    }

    /// The contexts of `xtask/contexts`, by name.
    pub fn all() -> Result<Vec<Self>> {
        let folder = workspace::root().join("xtask/contexts");
        let mut paths: Vec<_> = fs::read_dir(&folder)
            .with_context(|| format!("{}: cannot list the contexts", folder.display()))?
            .map(|entry| entry.map(|e| e.path()))
            .collect::<Result<_, _>>()?;
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn read(path: &Path) -> Result<Self> {
        let wrong = |what: String| bad_input(format!("{}: {what}", path.display()));
        let text = fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        let context: Self =
            toml::from_str(&text).map_err(|e| wrong(format!("not a context: {}", one_line(&e))))?;
        let small = match &context.fixture {
            Some(fixture) => context
                .at_fixture_size(fixture)
                .map_err(|e| wrong(format!("fixture: {e}")))?,
            None => context.clone(),
        };
        match context.parameters.fault().or_else(|| small.parameters.fault()) {
            Some(fault) => Err(wrong(fault)),
            None => Ok(context),
        }
    }

    /// The same context with the columns of its fixture and the parameters that the fixture's size asks for.
    pub fn at_fixture_size(&self, fixture: &Fixture) -> Result<Self> {
        let mut dataset = toml::Table::try_from(&self.dataset)?;
        dataset.extend(fixture.dataset.clone());
        let mut parameters = toml::Table::try_from(&self.parameters)?;
        parameters.extend(fixture.parameters.clone());
        Ok(Self {
            dataset: dataset.try_into()?,
            parameters: parameters.try_into()?,
            fixture: None,
            ..self.clone()
        })
    }
}

/// The scored layer where neither the context nor the user names one: the relative depth of layer 13 of 18, which
/// arXiv:2602.17532 chose on an independent data set, rounded down.
pub fn default_layer(n_layers: usize) -> usize {
    n_layers * 13 / 18
}

fn one_line(error: &toml::de::Error) -> String {
    error.message().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_context_file_parses_and_is_named_after_its_file() {
        for context in Context::all().unwrap() {
            assert_eq!(Context::load(&context.name).unwrap().name, context.name);
        }
    }

    #[test]
    fn a_fixture_changes_only_the_parameters_that_it_names() {
        let context = Context::load("rpe1").unwrap();
        let fixture = context.fixture.clone().unwrap();
        let small = context.at_fixture_size(&fixture).unwrap();
        assert_eq!(small.parameters.n_ctrl, 500);
        assert_eq!(small.parameters.lfc, context.parameters.lfc);
    }

    #[test]
    fn a_cell_type_and_a_modality_pick_a_context() {
        let name = |cell_type, modality| Context::of_cell_type(cell_type, modality).map(|c| c.name);
        for (cell_type, modality, expected) in [
            ("rpe1", None, "rpe1"),
            ("k562", None, "k562"),
            ("K562", Some("CRISPRi"), "k562"),
            ("k562", Some("crispra"), "k562-crispra"),
            ("t-cell", None, "t-cell"),
            ("iPSC neuron", Some("crispri"), "ipsc-neuron"),
            ("THP-1", None, "papalexi"),
        ] {
            assert_eq!(name(cell_type, modality).unwrap(), expected);
        }
        let error = name("k562", Some("knockout")).unwrap_err().to_string();
        assert!(
            error.contains("dixit-13d") && error.contains("--context"),
            "{error}"
        );
        let error = name("rpe1", Some("crispra")).unwrap_err().to_string();
        assert!(error.contains("\"crispra\""), "{error}");
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = Context::of_cell_type("hela", None).unwrap_err().to_string();
        assert!(
            error.contains("hela") && error.contains("rpe1 (RPE1, crispri)"),
            "{error}"
        );
    }

    #[test]
    fn the_published_layer_is_the_default_of_the_published_model() {
        assert_eq!(default_layer(18), 13);
        assert!((1..40).all(|n| default_layer(n) < n));
    }
}
