//! What the stages wrote, read back for the analyses.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use ndarray::{Array1, Array2};
use scfm_ablation::HeadId;
use scfm_baselines::features::OUT_DEGREE;
use scfm_core::{Column, EdgeKind, EdgeMatrix, GeneId, GeneTable, Layer, Ledger, Panel, Responses, Table};
use scfm_grn::{Format, ReferenceNetwork};
use scfm_io::{read_edges, read_pair_counts, read_table};

use crate::record::RunRecord;
use crate::reference_files::Role;
use crate::relations::Relations;
use crate::run_folder::RunFolder;

/// Names of files inside the run folder; others build on them.
pub mod names {
    use scfm_core::EdgeKind;

    pub const GENES: &str = "tables/genes.parquet";
    pub const CONTROLS: &str = "tables/control_cells.parquet";
    pub const GENE_LEDGER: &str = "tables/ledger_genes_cells.parquet";
    pub const TOKEN_LEDGER: &str = "tables/ledger_tokens.parquet";
    pub const DE_LEDGER: &str = "tables/ledger_perturbations.parquet";
    pub const FEATURES: &str = "tables/gene_features.parquet";
    pub const DE: &str = "tables/differential_expression.parquet";
    pub const BASELINE_DE: &str = "tables/differential_expression_baseline.parquet";
    pub const PERTURBATIONS: &str = "tables/perturbations.parquet";
    pub const PARAMETER_GRID: &str = "tables/parameter_grid.parquet";
    pub const PSEUDO_SCREENS: &str = "tables/pseudo_screens.parquet";
    pub const GUIDE_NULLS: &str = "tables/guide_nulls.parquet";
    pub const GUIDE_LEDGER: &str = "tables/ledger_guides.parquet";
    pub const MEDIATION_RUNS: &str = "tables/mediation_runs.parquet";
    pub const MEDIATION_COMPONENTS: &str = "tables/mediation_components.parquet";
    pub const KNOCK_OUT: &str = "tables/knock_out.parquet";
    pub const N_CELLS: &str = "edges/n_cells.parquet";
    pub const BASELINE_ATTENTION: &str = "edges/attention-baseline.parquet";
    pub const HEAD_RANKING: &str = "tables/head_ranking.parquet";
    pub const HALVES: &str = "tables/ablation_halves.parquet";
    pub const CONDITIONS: &str = "tables/ablation_conditions.parquet";
    pub const HIDDEN_TARGETS: &str = "tables/ablation_targets.parquet";
    pub const MASKED: &str = "tables/ablation_masked.parquet";
    pub const FIDELITY: &str = "tables/ablation_fidelity.parquet";
    pub const STRATA: &str = "tables/cssi_strata.parquet";
    pub const EDGE_DISCOVERIES: &str = "tables/cssi_edge_discoveries.parquet";
    pub const SAMPLES: &str = "tables/scaling_samples.parquet";
    pub const ALTERED_EDGES: &str = "edges/ablation";

    /// The file of the scored layer's attention under a condition, or of the intact model on the same cells.
    pub fn altered_edges(condition: &str) -> String {
        format!("{ALTERED_EDGES}/{condition}.parquet")
    }

    /// The file of stratified edges of one half of the cells.
    pub fn stratified(labels: &str, half: usize, variant: &str, kind: EdgeKind) -> String {
        format!("edges/cssi/{labels}-half-{}-{variant}-{kind}.parquet", half + 1)
    }

    /// The file of the scored layer's attention in a sample of cells.
    pub fn sample(index: usize) -> String {
        format!("edges/scaling/sample-{index}.parquet")
    }

    /// The file of an edge kind.
    pub fn edges(kind: EdgeKind) -> String {
        format!("edges/{kind}.parquet")
    }
}

/// Everything that the analyses need from the stages.
pub struct Evidence {
    pub panel: Panel,
    /// Attention edges of every layer.
    pub attention: Vec<EdgeMatrix>,
    /// The pre-specified layer.
    pub layer: usize,
    /// Attention of the baseline configuration's cells at the pre-specified layer.
    pub baseline_attention: EdgeMatrix,
    /// In how many cells both genes were tokens.
    pub codetection: EdgeMatrix,
    pub correlation: EdgeMatrix,
    pub features: GeneTable,
    pub responses: Responses,
    pub baseline_responses: Responses,
    /// TRRUST, where the run has it.
    pub reference: Option<ReferenceNetwork>,
    /// Where more is stored than memory holds at once.
    run: RunFolder,
    /// All other references.
    pub relations: Relations,
}

impl Evidence {
    /// Reads the run folder.
    pub fn read(run: &RunFolder, record: &RunRecord) -> Result<Self> {
        let panel = read_panel(run)?;
        // A list stands in the place of attention, as the one layer that it is, in every configuration.
        let listed = record.list.is_some();
        let layers = (0..record.n_layers).map(|layer| match listed {
            true => EdgeKind::Listed,
            false => EdgeKind::attention(Layer(layer)),
        });
        let attention: Vec<EdgeMatrix> = layers
            .map(|kind| edges(run, &names::edges(kind)))
            .collect::<Result<_>>()?;
        let baseline_attention = match listed {
            true => attention[record.layer].clone(),
            false => edges(run, names::BASELINE_ATTENTION)?,
        };
        let (sources, targets, counts, _) = read_pair_counts(&run.file(names::N_CELLS))?;
        // A pair that no cell holds has no attention either; as a score its count is missing with it.
        let counts = counts.mapv(|n| if n == 0 { f32::NAN } else { n as f32 });
        let mut features = gene_table(&table(run, names::FEATURES)?)?;
        let genes = table(run, names::GENES)?;
        let named = text(&genes, "ensembl_id")?.into_iter().zip(text(&genes, "gene")?);
        let mut relations = Relations::read(run, record, named)?;
        let reference = match record.inputs.contains_key(Role::Trrust.name()) {
            true => {
                let trrust = ReferenceNetwork::read(&run.file(Role::Trrust.stored()), Format::Trrust)?;
                Some(relations.by_symbol(trrust))
            }
            false => None,
        };
        if let Some(reference) = &reference {
            features.insert(OUT_DEGREE, reference.out_degree(&panel))?;
        }
        Ok(Self {
            attention,
            layer: record.layer,
            baseline_attention,
            codetection: EdgeMatrix::new(EdgeKind::CoDetection, sources, targets, counts)?,
            correlation: edges(run, &names::edges(EdgeKind::Spearman))?,
            features,
            responses: responses(&table(run, names::DE)?, &panel)?,
            baseline_responses: responses(&table(run, names::BASELINE_DE)?, &panel)?,
            reference,
            run: run.clone(),
            relations,
            panel,
        })
    }

    /// Attention of one head, from the sources of the reference and the perturbed genes to the panel: all heads at once
    /// need not fit into memory. Stored where an analysis of heads was asked for.
    pub fn head(&self, at: HeadId) -> Result<EdgeMatrix> {
        read_head(&self.run, at)
    }

    /// The sources of the reference network, if there is one.
    pub fn transcription_factors(&self) -> Result<Option<Panel>> {
        let Some(reference) = &self.reference else {
            return Ok(None);
        };
        let sources: BTreeSet<&GeneId> = reference.edges().iter().map(|edge| &edge.source).collect();
        Ok(Some(Panel::new(sources.into_iter().cloned())?))
    }

    /// Attention at the pre-specified layer.
    pub fn scored_attention(&self) -> &EdgeMatrix {
        &self.attention[self.layer]
    }
}

/// The genes that edges are scored over.
pub fn read_panel(run: &RunFolder) -> Result<Panel> {
    genes_marked(run, "in_panel")
}

/// The genes of the panel that are there because they vary, not because they were perturbed.
pub fn read_variable_genes(run: &RunFolder) -> Result<Panel> {
    genes_marked(run, "highly_variable")
}

fn genes_marked(run: &RunFolder, mark: &str) -> Result<Panel> {
    let genes = table(run, names::GENES)?;
    let Some(Column::Bool(marked)) = genes.column(mark) else {
        bail!("{} has no column {mark}", names::GENES);
    };
    let panel = text(&genes, "gene")?
        .into_iter()
        .zip(marked)
        .filter(|(_, kept)| **kept == Some(true));
    Ok(Panel::new(panel.map(|(gene, _)| gene))?)
}

/// A ledger from the table that [`Ledger::to_table`] made.
pub fn read_ledger(run: &RunFolder, file: &str) -> Result<Ledger> {
    let table = table(run, file)?;
    let Some(Column::U64(counts)) = table.column("count") else {
        bail!("{file} has no column count");
    };
    let (subjects, reasons, examples) = (
        text(&table, "subject")?,
        text(&table, "reason")?,
        text(&table, "examples")?,
    );
    let mut ledger = Ledger::new();
    for (row, count) in counts.iter().enumerate() {
        let count = count.unwrap_or(0);
        match reasons[row] {
            "kept" => ledger.kept(subjects[row], count),
            reason => ledger.lost(subjects[row], reason, count, examples[row].split_whitespace()),
        }
    }
    Ok(ledger)
}

/// Attention of one head.
pub fn read_head(run: &RunFolder, at: HeadId) -> Result<EdgeMatrix> {
    edges(run, &names::edges(at.attention().into()))
}

/// What each perturbation changes, by the main configuration.
pub fn read_responses(run: &RunFolder, panel: &Panel) -> Result<Responses> {
    responses(&table(run, names::DE)?, panel)
}

/// A table of the run folder.
pub fn table(run: &RunFolder, file: &str) -> Result<Table> {
    Ok(read_table(&run.file(file))?.0)
}

pub fn edges(run: &RunFolder, file: &str) -> Result<EdgeMatrix> {
    Ok(read_edges(&run.file(file))?.0)
}

/// Gene features from the table that [`GeneTable::to_table`] made.
pub fn gene_table(table: &Table) -> Result<GeneTable> {
    let mut features = GeneTable::new(Panel::new(text(table, "gene")?)?);
    for (name, column) in table.columns() {
        if let Column::F64(values) = column {
            features.insert(
                name,
                Array1::from_iter(values.iter().map(|v| v.unwrap_or(f64::NAN))),
            )?;
        }
    }
    Ok(features)
}

/// Labels from the long table of differential expression: perturbation-major, genes in panel order.
pub fn responses(table: &Table, panel: &Panel) -> Result<Responses> {
    let Some(Column::Bool(positive)) = table.column("positive") else {
        bail!("differential expression has no column positive");
    };
    let perturbed = text(table, "perturbation")?;
    let perturbed = Panel::new(perturbed.into_iter().step_by(panel.len().max(1)))?;
    let positive = positive.iter().map(|p| p.unwrap_or(false)).collect();
    let positive = Array2::from_shape_vec((perturbed.len(), panel.len()), positive)
        .context("differential expression is not every perturbation × panel gene")?;
    Ok(Responses::new(perturbed, panel.clone(), positive)?)
}

/// A column of text.
pub fn text<'a>(table: &'a Table, name: &str) -> Result<Vec<&'a str>> {
    match table.column(name) {
        Some(Column::Text(values)) => Ok(values.iter().map(|v| v.as_deref().unwrap_or_default()).collect()),
        _ => bail!("the table has no text column {name}"),
    }
}

/// A column of numbers, `NaN` where there is none.
pub fn numbers(table: &Table, name: &str) -> Result<Vec<f64>> {
    match table.column(name) {
        Some(Column::F64(values)) => Ok(values.iter().map(|v| v.unwrap_or(f64::NAN)).collect()),
        Some(Column::U64(values)) => Ok(values.iter().map(|v| v.map_or(f64::NAN, |v| v as f64)).collect()),
        _ => bail!("the table has no column of numbers {name}"),
    }
}
