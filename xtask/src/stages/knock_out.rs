//! What the model says of the panel's genes when a perturbed gene is knocked out of control cells.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use rayon::prelude::*;
use scfm_ablation::{CellOf, OverCells, ReadOut, hidden_part, knock_out_effects, spread_cells};
use scfm_core::{Column, Panel, Responses, Table};

use super::Workbench;
use super::hidden_genes::{Asker, expressed};
use crate::edge_source::EdgeSource;
use crate::evidence::{self, names, read_panel};
use crate::run_folder::RunFolder;

impl Workbench<'_> {
    /// How many cells the model reads for it, at most.
    pub(super) fn knock_out_cost(&self) -> usize {
        let parameters = self.parameters();
        // As they are, and knocked out in two ways.
        3 * parameters.knock_out_sources * parameters.knock_out_cells
    }

    /// Knocks perturbed genes out of control cells.
    pub(super) fn knock_out(&self, run: &RunFolder) -> Result<Vec<String>> {
        let EdgeSource::Model(model) = &self.source else {
            return Ok(Vec::new());
        };
        let panel = read_panel(run)?;
        let responses = evidence::responses(&evidence::table(run, names::DE)?, &panel)?;
        let asker = KnockOuts {
            bench: self,
            panel: &panel,
            responses: &responses,
        };
        let (effects, mut metadata) = match self.ask(model, &panel, &asker)? {
            Ok(answer) => answer,
            Err(reason) => (Vec::new(), vec![("scfm.reason".to_owned(), reason)]),
        };
        metadata.push(self.simulated_metadata());
        scfm_io::write_table(&run.file(names::KNOCK_OUT), &table(&effects)?, &metadata)?;
        Ok(vec![names::KNOCK_OUT.to_owned()])
    }
}

struct KnockOuts<'a> {
    bench: &'a Workbench<'a>,
    panel: &'a Panel,
    responses: &'a Responses,
}

/// What a source does to a target, over cells.
struct Effect {
    source: String,
    target: String,
    silenced: OverCells,
    deleted: OverCells,
}

/// A source with its number and the cells it is knocked out of, each with its place.
struct Source {
    name: String,
    cells: Vec<(usize, usize)>,
}

/// Effects on the targets of one cell: column, silenced, deleted.
type InCell = Vec<(usize, f64, f64)>;

impl Asker for KnockOuts<'_> {
    type Answer = (Vec<Effect>, Vec<(String, String)>);

    fn ask<R: ReadOut>(&self, read_out: &R, cells: &[CellOf<R>]) -> Result<Self::Answer> {
        let genes = self.bench.genes.map.panel();
        let sources = self.sources(genes, read_out, cells);
        let in_panel: Vec<bool> = genes
            .genes()
            .iter()
            .map(|gene| self.panel.contains(gene.as_str()))
            .collect();
        // The i-th cell of a source hides the i-th part of its genes, so that every gene is hidden about as often.
        let jobs: Vec<(usize, usize, usize, usize)> = sources
            .iter()
            .enumerate()
            .flat_map(|(source, of_source)| {
                let cells = of_source.cells.iter().enumerate();
                cells.map(move |(part, &(cell, place))| (source, part, cell, place))
            })
            .collect();
        let (bar, done) = (
            self.bench.progress.bar("knock-out", jobs.len()),
            AtomicUsize::new(0),
        );
        let (rows, seeds) = (&self.bench.controls.edges, self.bench.seeds);
        let found: Vec<InCell> = jobs
            .par_iter()
            .map(|&(_, part, cell, source)| {
                let cell = &cells[cell];
                let of_cell = cell.as_ref();
                let column = |place: usize| of_cell.columns[place].map(|column| column as usize);
                let places: Vec<usize> = (0..of_cell.tokens.len())
                    .filter(|&place| column(place).is_some_and(|column| in_panel[column]))
                    .collect();
                let mut hidden = hidden_part(&places, rows[of_cell.cell], part, seeds);
                hidden.retain(|&place| place != source);
                let [silenced, deleted] = knock_out_effects(read_out, cell, source, &hidden)?;
                bar.set(1 + done.fetch_add(1, Ordering::Relaxed));
                let columns = hidden
                    .iter()
                    .map(|&place| column(place).expect("a gene of the panel"));
                Ok(columns
                    .zip(silenced.into_iter().zip(deleted))
                    .map(|(column, (silenced, deleted))| (column, silenced, deleted))
                    .collect())
            })
            .collect::<Result<_, scfm_ablation::Error>>()?;
        bar.finish();

        let mut effects = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let mut of_targets = vec![(Vec::new(), Vec::new()); genes.len()];
            let of_source = jobs.iter().zip(&found).filter(|(job, _)| job.0 == index);
            for &(column, silenced, deleted) in of_source.flat_map(|(_, in_cell)| in_cell) {
                of_targets[column].0.push(silenced);
                of_targets[column].1.push(deleted);
            }
            for (column, (silenced, deleted)) in of_targets.iter().enumerate() {
                if !silenced.is_empty() {
                    effects.push(Effect {
                        source: source.name.clone(),
                        target: genes.gene(column).to_string(),
                        silenced: OverCells::of(silenced),
                        deleted: OverCells::of(deleted),
                    });
                }
            }
        }
        let words = [
            ("scfm.read_out", read_out.unit().to_owned()),
            ("scfm.silenced", read_out.silencing().to_owned()),
        ];
        let words = words.map(|(key, value)| (key.to_owned(), value));
        Ok((effects, words.to_vec()))
    }
}

impl KnockOuts<'_> {
    /// Perturbed genes that enough control cells express, those with most targets that respond first.
    fn sources<R: ReadOut>(&self, genes: &Panel, read_out: &R, cells: &[CellOf<R>]) -> Vec<Source> {
        let parameters = self.bench.parameters();
        let perturbed = self.responses.perturbed();
        let is_perturbed = |column: usize| perturbed.contains(genes.gene(column).as_str());
        let places = expressed(read_out, cells, genes.len(), is_perturbed);
        let mut rows: Vec<(usize, usize)> = (0..perturbed.len())
            .filter_map(|row| Some((row, genes.position(perturbed.gene(row).as_str())?)))
            .filter(|&(_, column)| places[column].len() >= parameters.knock_out_cells.max(1))
            .collect();
        rows.sort_by_key(|&(row, _)| (Reverse(self.responses.class_sizes(row).0), row));
        rows.truncate(parameters.knock_out_sources);
        rows.sort_unstable();
        let lists: Vec<Vec<usize>> = rows
            .iter()
            .map(|&(_, column)| places[column].iter().map(|&(cell, _)| cell).collect())
            .collect();
        spread_cells(&lists, parameters.knock_out_cells)
            .into_iter()
            .zip(rows)
            .map(|(chosen, (_, column))| Source {
                name: genes.gene(column).to_string(),
                cells: places[column]
                    .iter()
                    .copied()
                    .filter(|(cell, _)| chosen.contains(cell))
                    .collect(),
            })
            .collect()
    }
}

fn table(effects: &[Effect]) -> Result<Table> {
    let numbers = |of: fn(&Effect) -> f64| Column::numbers(effects.iter().map(of));
    // Of a single cell nobody knows the spread.
    fn spread(summary: OverCells) -> f64 {
        if summary.n > 1 { summary.std } else { f64::NAN }
    }
    Ok(Table::new(effects.len())
        .with("source", Column::text(effects.iter().map(|e| &e.source)))?
        .with("target", Column::text(effects.iter().map(|e| &e.target)))?
        .with("n_cells", Column::counts(effects.iter().map(|e| e.silenced.n)))?
        .with("silenced", numbers(|e| e.silenced.mean))?
        .with("silenced_sd", numbers(|e| spread(e.silenced)))?
        .with("deleted", numbers(|e| e.deleted.mean))?
        .with("deleted_sd", numbers(|e| spread(e.deleted)))?)
}
