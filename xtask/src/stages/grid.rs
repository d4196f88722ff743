//! The evaluation under other parameters: every combination of fold-change threshold, number of control cells and size of
//! the panel, computed from what the combinations have in common.

use anyhow::Result;
use scfm_baselines::gene_features;
use scfm_baselines::sensitivity::{GENE_LEVEL, Setting, setting};
use scfm_core::{Column, CountMatrix, EdgeMatrix, GeneId, Layer, Measure, ModelEdge, Panel, Table};
use scfm_perturb::{ControlSplit, DeTable, highly_variable, split_controls};
use scfm_stats::CrossedLimits;

use super::edges::ABSENT;
use super::{Workbench, missing_gene};
use crate::args::ScGptInput;
use crate::edge_source::EdgeSource;
use crate::evidence::names;
use crate::model::Model;
use crate::run_folder::RunFolder;

/// The control cells of a setting, and what is made of them whatever the panel.
struct Controls {
    split: ControlSplit,
    /// Over all genes.
    counts: CountMatrix,
}

/// A panel of a setting: that of its size among its control cells.
struct PanelOf {
    /// Index of the control cells.
    controls: usize,
    hvg: usize,
    panel: Panel,
}

impl Workbench<'_> {
    /// Computes every setting of the parameter grid and writes a row for each.
    pub(super) fn parameter_grid(&self, run: &RunFolder) -> Result<Vec<String>> {
        let parameters = self.parameters();
        let perturbed: Vec<GeneId> = self.testable().into_iter().map(|(gene, _)| gene).collect();
        let forced = match parameters.force_perturbed {
            true => &perturbed[..],
            false => &[],
        };
        let controls = self.grid_controls()?;
        let mut panels: Vec<PanelOf> = Vec::new();
        for (index, of) in controls.iter().enumerate() {
            for &hvg in &parameters.grid_hvg {
                let panel = highly_variable(&of.counts, &self.genes.vocabulary(), hvg, forced)?.panel;
                // More genes than there are make the same panel again.
                if !panels
                    .iter()
                    .any(|other| other.controls == index && other.panel == panel)
                {
                    panels.push(PanelOf {
                        controls: index,
                        hvg,
                        panel,
                    });
                }
            }
        }
        // In the order of the file, as every panel is.
        let all = self.genes.map.panel().genes().iter();
        let union = Panel::new(
            all.filter(|gene| panels.iter().any(|of| of.panel.contains(gene.as_str())))
                .cloned(),
        )?;
        let sources = Panel::new(perturbed.into_iter().filter(|gene| union.contains(gene.as_str())))?;

        let attention = self.grid_attention(&controls, &panels, &sources, &union)?;
        let mut rows = Vec::new();
        for (index, of) in controls.iter().enumerate() {
            let responses = self.grid_responses(&of.split, &union)?;
            for (panel, attention) in panels
                .iter()
                .zip(&attention)
                .filter(|(panel, _)| panel.controls == index)
            {
                let counts = of
                    .counts
                    .select_genes(&panel.panel)
                    .map_err(|gene| missing_gene(&gene))?;
                let features = gene_features(&counts)?;
                let responses = responses.restricted_to(&panel.panel);
                for &lfc in &parameters.grid_lfc {
                    let called = responses
                        .clone()
                        .with_thresholds(lfc, parameters.de_alpha)?
                        .responses();
                    let classes = (parameters.min_positives, parameters.min_negatives);
                    let result = setting(&called, attention, &features, classes, &CrossedLimits::default())?;
                    rows.push(((of.split.edges.len(), panel.hvg, lfc), result));
                }
            }
        }
        self.progress.say(format!(
            "{} settings of the parameter grid share {} sets of control cells, each larger one holding the smaller, {} panels \
             and {} differential expressions",
            rows.len(),
            controls.len(),
            panels.len(),
            controls.len(),
        ));
        self.write(run, names::PARAMETER_GRID, &grid_table(&rows)?)?;
        Ok(vec![names::PARAMETER_GRID.to_owned()])
    }

    /// The distinct sets of control cells, ascending; more cells than there are make the same set again.
    fn grid_controls(&self) -> Result<Vec<Controls>> {
        let mut sizes = self.parameters().grid_n_ctrl.clone();
        sizes.sort_unstable();
        let mut controls: Vec<Controls> = Vec::new();
        for n_ctrl in sizes {
            let mut stream = self.seeds.stream("screen", "control cells", 0);
            let split = split_controls(&self.assignments.controls(), n_ctrl, &mut stream)?;
            if controls.last().is_none_or(|last| last.split != split) {
                let counts = self.read(&split.edges, &self.genes.map)?;
                controls.push(Controls { split, counts });
            }
        }
        Ok(controls)
    }

    /// The edges of each panel at the scored layer, from the perturbed genes. A set of control cells holds the smaller
    /// ones, so that one pass over the largest gives all, unless the panel decides what a cell shows to the model.
    fn grid_attention(
        &self,
        controls: &[Controls],
        panels: &[PanelOf],
        sources: &Panel,
        union: &Panel,
    ) -> Result<Vec<EdgeMatrix>> {
        let model = match &self.source {
            EdgeSource::Model(model) => model,
            EdgeSource::List(listed) => {
                return panels.iter().map(|of| Ok(listed.over(&of.panel)?.0)).collect();
            }
        };
        let reads_panel = self.inputs.context.model.scgpt.input == Some(ScGptInput::FineTuning);
        if !reads_panel {
            let of_controls = self.nested_attention(model, controls, sources, union)?;
            return Ok(panels.iter().map(|of| of_controls[of.controls].clone()).collect());
        }
        panels
            .iter()
            .map(|of| {
                let controls = &controls[of.controls..=of.controls];
                Ok(self
                    .nested_attention(model, controls, sources, &of.panel)?
                    .remove(0))
            })
            .collect()
    }

    /// Edges over `panel` from each set of control cells, of which every one holds those before it.
    fn nested_attention(
        &self,
        model: &Model,
        controls: &[Controls],
        sources: &Panel,
        panel: &Panel,
    ) -> Result<Vec<EdgeMatrix>> {
        let largest = controls.last().expect("a set of control cells");
        let mut reader = self.reader(model, panel)?;
        let (cells, _) = self.cells_of(&mut reader, &largest.counts, &largest.split.edges)?;
        let tokens = (self.genes.tokens_of(sources)?, self.genes.tokens_of(panel)?);
        let edge = ModelEdge::of_layer(Measure::Attention, Layer(self.layer));
        let mut groups = controls
            .iter()
            .map(|_| reader.sums(&[edge], (&tokens.0, &tokens.1), self.orientation))
            .collect::<Result<Vec<_>>>()?;
        // The smallest set that holds a cell.
        let group = |cell: usize| {
            let row = largest.split.edges[cell];
            controls
                .iter()
                .position(|of| of.split.edges.binary_search(&row).is_ok())
        };
        let bar = self.progress.bar("attention of the grid", cells.len());
        reader.add(&mut groups, &cells, group, |done| bar.set(done))?;
        bar.finish();
        let mut edges = Vec::new();
        let mut groups = groups.into_iter();
        let mut sums = groups.next().expect("sums for each set");
        loop {
            edges.push(sums.mean(ABSENT)?.edges.remove(0));
            match groups.next() {
                Some(more) => sums.merge(more)?,
                None => return Ok(edges),
            }
        }
    }

    /// Differential expression against a set of control cells over all panels at once.
    fn grid_responses(&self, split: &ControlSplit, union: &Panel) -> Result<DeTable> {
        let parameters = self.parameters();
        let [main, _] = self.de_params();
        let table = self.differential_expression(union, &split.differential_expression, main, "grid")?;
        if parameters.min_knockdown == 0.0 {
            return Ok(table);
        }
        let weak = table.weak_knockdowns(self.inputs.context.direction(), parameters.min_knockdown);
        Ok(table.without(&weak, "own gene moved too little"))
    }
}

type Row = ((usize, usize, f64), Setting);

fn grid_table(rows: &[Row]) -> Result<Table> {
    let numbers = |of: &dyn Fn(&Setting) -> f64| Column::numbers(rows.iter().map(|(_, setting)| of(setting)));
    let crossed = |of: fn(&scfm_stats::CrossedAuroc) -> f64| {
        numbers(&move |setting| setting.attention.as_ref().map_or(f64::NAN, of))
    };
    let mut table = Table::new(rows.len())
        .with("n_ctrl", Column::counts(rows.iter().map(|(at, _)| at.0)))?
        .with("hvg", Column::counts(rows.iter().map(|(at, _)| at.1)))?
        .with("lfc", Column::numbers(rows.iter().map(|(at, _)| at.2)))?
        .with(
            "n_evaluable",
            Column::counts(rows.iter().map(|(_, s)| s.n_evaluable)),
        )?
        .with("auroc_attention", numbers(&|s| s.mean_attention))?
        .with(
            "ci_low",
            crossed(|c| c.test.ci.as_ref().map_or(f64::NAN, |ci| ci.low)),
        )?
        .with(
            "ci_high",
            crossed(|c| c.test.ci.as_ref().map_or(f64::NAN, |ci| ci.high)),
        )?
        .with("standard_error", crossed(|c| c.standard_error))?
        .with("df", crossed(|c| c.df))?
        .with("p", crossed(|c| c.test.p.p()))?;
    for (i, name) in GENE_LEVEL.into_iter().enumerate() {
        table = table.with(format!("auroc_{name}"), numbers(&move |s| s.gene_level[i]))?;
    }
    let reason = rows
        .iter()
        .map(|(_, s)| s.attention.as_ref().err().map(ToString::to_string));
    Ok(table.with("undefined", Column::Text(reason.collect()))?)
}
