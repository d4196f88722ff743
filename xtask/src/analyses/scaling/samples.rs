//! Samples of cells as their stage drew them, and what their edges recover of a reference.

use std::collections::BTreeMap;

use anyhow::Result;
use scfm_core::{Column, EdgeMatrix, Panel};
use scfm_grn::{CandidateUniverse, Metric, ReferenceNetwork, SampleRecovery, overlap, sample_recoveries};
use scfm_io::{read_edges, read_table};

use super::KS;
use crate::evidence::names;
use crate::relations::universe;
use crate::run_folder::RunFolder;
use crate::stages::scaling::Design;

/// Samples of control cells, as a run stored them.
pub struct Samples {
    pub design: Vec<Option<Design>>,
    pub level: Vec<usize>,
    pub draw: Vec<usize>,
    pub n_cells: Vec<usize>,
    pub n_states: Vec<usize>,
    edges: Vec<EdgeMatrix>,
}

/// What samples recover of one reference.
pub struct Followed<'a> {
    pub name: &'static str,
    pub universe: CandidateUniverse,
    pub samples: &'a Samples,
    pub recoveries: Vec<SampleRecovery>,
}

impl Samples {
    pub fn read(run: &RunFolder) -> Result<Self> {
        let (table, _) = read_table(&run.file(names::SAMPLES))?;
        let counts = |name: &str| match table.column(name) {
            Some(Column::U64(values)) => values.iter().map(|v| v.unwrap_or(0) as usize).collect(),
            _ => Vec::new(),
        };
        let design = match table.column("design") {
            Some(Column::Text(values)) => values
                .iter()
                .map(|name| {
                    Design::ALL
                        .into_iter()
                        .find(|design| Some(design.name()) == name.as_deref())
                })
                .collect(),
            _ => Vec::new(),
        };
        let edges = (0..table.n_rows())
            .map(|at| Ok(read_edges(&run.file(names::sample(at)))?.0))
            .collect::<Result<_>>()?;
        Ok(Self {
            design,
            level: counts("level"),
            draw: counts("draw"),
            n_cells: counts("n_cells"),
            n_states: counts("n_states"),
            edges,
        })
    }

    /// Positions of the samples of each level of a design, levels ascending.
    pub fn levels(&self, design: Design) -> Vec<Vec<usize>> {
        let mut levels: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, &level) in self.level.iter().enumerate() {
            if self.design[at] == Some(design) {
                levels.entry(level).or_default().push(at);
            }
        }
        levels.into_values().collect()
    }

    /// What they recover of a reference between the genes of `panel`, or why nothing of it can be followed.
    pub fn follow<'a>(
        &'a self,
        name: &'static str,
        reference: &ReferenceNetwork,
        panel: &Panel,
    ) -> Result<Result<Followed<'a>, String>> {
        let universe = match universe(reference, panel)? {
            Ok(universe) => universe,
            Err(reason) => return Ok(Err(reason)),
        };
        Ok(Ok(Followed {
            name,
            recoveries: sample_recoveries(&self.edges, &universe, &KS)?,
            universe,
            samples: self,
        }))
    }
}

impl Followed<'_> {
    /// Levels of a design and the mean of a metric over the samples of each.
    pub fn mean_by_level(&self, design: Design, metric: Metric) -> (Vec<f64>, Vec<f64>) {
        let levels = self.samples.levels(design);
        let mean = |of: &Vec<usize>| {
            of.iter()
                .map(|&at| self.recoveries[at].value(metric))
                .sum::<f64>()
                / of.len() as f64
        };
        let x = levels.iter().map(|of| self.samples.level[of[0]] as f64);
        let found = x
            .zip(levels.iter().map(mean))
            .filter(|(_, mean)| mean.is_finite());
        found.unzip()
    }

    /// Numbers of cells, and how much the first pairs of samples of each overlap: the mean over pairs of samples, NaN of one sample.
    pub fn overlap_by_cells(&self) -> (Vec<usize>, Vec<f64>) {
        let levels = self.samples.levels(Design::Nested);
        let mean_overlap = |of: &Vec<usize>| {
            let pairs = of
                .iter()
                .enumerate()
                .flat_map(|(i, &a)| of[i + 1..].iter().map(move |&b| (a, b)));
            let values: Vec<f64> = pairs
                .map(|(a, b)| overlap(&self.recoveries[a], &self.recoveries[b]))
                .collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        let cells = levels.iter().map(|of| self.samples.level[of[0]]);
        (cells.collect(), levels.iter().map(mean_overlap).collect())
    }
}
