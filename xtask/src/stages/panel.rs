//! Which genes and control cells a run is about, and the features of the genes.

use anyhow::Result;
use scfm_baselines::gene_features;
use scfm_core::{Column, GeneId, Panel, Table};
use scfm_perturb::highly_variable;

use super::{Workbench, missing_gene};
use crate::evidence::{names, read_panel};
use crate::run_folder::RunFolder;

impl Workbench<'_> {
    /// Chooses the genes that edges are scored over, and notes which control cells serve for what.
    pub(super) fn choose_panel(&self, run: &RunFolder) -> Result<Vec<String>> {
        self.progress
            .say(format!("reading {} control cells", self.controls.edges.len()));
        let perturbed: Vec<GeneId> = match self.parameters().force_perturbed {
            true => self.testable().into_iter().map(|(gene, _)| gene).collect(),
            false => Vec::new(),
        };
        let chosen = highly_variable(
            self.edge_cells()?,
            &self.genes.vocabulary(),
            self.parameters().hvg,
            &perturbed,
        )?;
        let natural = match perturbed.is_empty() {
            true => chosen.panel.clone(),
            false => {
                highly_variable(
                    self.edge_cells()?,
                    &self.genes.vocabulary(),
                    self.parameters().hvg,
                    &[],
                )?
                .panel
            }
        };
        let genes = self.genes.map.panel();
        let among = |panel: &Panel| {
            Column::flags(
                genes
                    .genes()
                    .iter()
                    .map(|gene| panel.contains(gene.as_str()))
                    .collect::<Vec<_>>(),
            )
        };
        let table = Table::new(genes.len())
            .with("gene", Column::text(genes.genes()))?
            .with("ensembl_id", Column::Text(self.genes.ensembl.clone()))?
            .with(
                "token",
                Column::U64(
                    self.genes
                        .tokens
                        .tokens()
                        .iter()
                        .map(|t| t.map(u64::from))
                        .collect(),
                ),
            )?
            .with("in_panel", among(&chosen.panel))?
            .with("highly_variable", among(&natural))?;
        let mut ledger = self.genes.ledger.clone();
        ledger.extend(self.assignments.ledger());
        ledger.extend(chosen.ledger);
        self.write(run, names::GENES, &table)?;
        self.write(run, names::CONTROLS, &self.controls_table()?)?;
        self.write(run, names::GENE_LEDGER, &ledger.to_table())?;
        Ok([names::GENES, names::CONTROLS, names::GENE_LEDGER]
            .map(str::to_owned)
            .to_vec())
    }

    pub(super) fn controls_table(&self) -> Result<Table> {
        let controls = self.assignments.controls();
        let flag = |rows: &[usize]| Column::flags(controls.iter().map(|row| rows.binary_search(row).is_ok()));
        Ok(Table::new(controls.len())
            .with("row", Column::counts(controls.iter().copied()))?
            .with("edges", flag(&self.controls.edges))?
            .with(
                "differential_expression",
                flag(&self.controls.differential_expression),
            )?)
    }

    pub(super) fn features(&self, run: &RunFolder) -> Result<Vec<String>> {
        let panel = &read_panel(run)?;
        let counts = self
            .edge_cells()?
            .select_genes(panel)
            .map_err(|gene| missing_gene(&gene))?;
        self.write(run, names::FEATURES, &gene_features(&counts)?.to_table()?)?;
        Ok(vec![names::FEATURES.to_owned()])
    }
}
