//! Cell states among the cells that edges come from, and edges inside them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use anyhow::Result;
use ndarray::{Array2, ArrayView2, Axis};
use rand::seq::SliceRandom;
use scfm_attention::{AttentionSums, permute_expression};
use scfm_core::{Column, CountMatrix, EdgeKind, EdgeMatrix, GeneId, Layer, Measure, ModelEdge, Panel, Table};
use scfm_cssi::{
    Aggregator, Communities, Covariance, Graph, Scanned, Strata, closed_form_p, correlations,
    correlations_by_stratum, nearest_neighbours, random_labels, shrunken, shuffled_labels,
};
use scfm_io::{read_table, write_edges};
use scfm_stats::benjamini_hochberg;

use super::edges::{ABSENT, described};
use super::{Workbench, missing_gene};
use crate::edge_source::EdgeSource;
use crate::evidence::{names, read_panel};
use crate::model::{Model, Reader};
use crate::run_folder::RunFolder;

/// The streams of what is drawn for strata.
const ANALYSIS: &str = "cssi-attention";
/// Neighbours of a cell in its graph, itself included, and the resolution of communities: those of the paper and of scanpy.
const NEIGHBOURS: usize = 15;
const RESOLUTION: f64 = 1.0;
/// Numbers of strata that are tried beside.
pub const SCAN: RangeInclusive<usize> = 2..=20;
/// Cells of a half that a stratum needs.
const LEAST_CELLS: usize = 10;
/// Cells of a stratum in which both genes of a pair must be counted: the ranks of a gene that a cell or two hold are ties, and two
/// such genes agree by chance.
const LEAST_DETECTED: usize = 5;
/// False discovery rate at which single edges are counted.
const LEVEL: f64 = 0.05;
/// Sums of strata take at most this share of the memory that a run may use; layers come in turns where they do not fit.
const SHARE: u64 = 4;

/// Labels of cells by which edges are stratified.
pub struct Labelling {
    pub name: String,
    /// By cell; nothing for a cell without a label.
    pub labels: Vec<Option<usize>>,
    /// Whether edges of every layer are kept, or those of the scored layer alone.
    pub every_layer: bool,
}

/// The strata of a run, as they are stored: a row for each cell.
pub struct StoredStrata {
    /// Rows of the data.
    pub rows: Vec<usize>,
    /// Half of each cell: variants are chosen on one and judged on the other.
    pub half: Vec<usize>,
    pub labellings: Vec<Labelling>,
}

/// How scores of strata become one score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    Pooled,
    Of(Aggregator),
    /// The largest score after each was brought to the mean of its pair as far as scores of strata differ by chance.
    ShrunkenMax,
}

impl Variant {
    /// What is compared with pooled edges.
    pub const STRATIFIED: [Self; 6] = [
        Self::Of(Aggregator::Max),
        Self::Of(Aggregator::WeightedMean),
        Self::Of(Aggregator::Mean),
        Self::Of(Aggregator::Range),
        Self::Of(Aggregator::Deviation),
        Self::ShrunkenMax,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Pooled => "pooled",
            Self::Of(aggregator) => aggregator.name(),
            Self::ShrunkenMax => "shrunken_max",
        }
    }

    pub fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Pooled).chain(Self::STRATIFIED)
    }

    /// What is kept of edges under a labelling: of the scan over numbers of strata what it is drawn by.
    fn kept(labels: &str) -> impl Iterator<Item = Self> {
        let all = !labels.starts_with('k');
        Self::all().filter(move |&variant| all || variant == Self::Pooled || variant == Self::STRATIFIED[0])
    }
}

impl Workbench<'_> {
    /// Strata from a graph of neighbours among the model's own embeddings of the cells, labels that mean nothing, and where
    /// each cell lies.
    pub(super) fn strata(&self, run: &RunFolder) -> Result<Vec<String>> {
        let EdgeSource::Model(model) = &self.source else {
            return Ok(Vec::new());
        };
        let panel = &read_panel(run)?;
        let mut reader = self.reader(model, panel)?;
        let (cells, _) = self.model_cells(&mut reader)?;
        let (columns, embedding) = reader.embeddings(&cells)?;
        let n = columns.len();
        let rows: Vec<usize> = columns.iter().map(|&cell| self.controls.edges[cell]).collect();
        let mut table = Table::new(n).with("row", Column::counts(rows.iter().copied()))?;
        let mut half: Vec<usize> = (0..n).map(|cell| cell % 2).collect();
        half.shuffle(&mut self.seeds.stream(ANALYSIS, "halves of cells", 0));
        table.push("half", Column::counts(half))?;

        let seed = self.seeds.root();
        let neighbours = nearest_neighbours(embedding.view(), NEIGHBOURS.min(n))?;
        let communities = Communities::new(&Graph::fuzzy(&neighbours))?;
        let strata = communities.at(RESOLUTION, seed)?;
        let n_strata = strata.iter().max().map_or(1, |&label| label + 1);
        let shuffled = shuffled_labels(&strata, &mut self.seeds.stream(ANALYSIS, "shuffled labels", 0));
        let random = random_labels(n, n_strata, &mut self.seeds.stream(ANALYSIS, "random labels", 0));
        for (name, labels) in [("strata", strata), ("shuffled", shuffled), ("random", random)] {
            table.push(name, Column::counts(labels))?;
        }
        for (n_strata, found) in SCAN.zip(communities.by_number(SCAN, seed)?) {
            if let Scanned::Found(partition) = found {
                table.push(format!("k{n_strata}"), Column::counts(partition.labels))?;
            }
        }
        if let Some(given) = self.given_states(&rows)? {
            table.push("given", given)?;
        }
        let genes: Vec<usize> = (0..embedding.ncols()).collect();
        let components =
            Covariance::of(embedding.view())?.components(&genes, 2.min(n - 1).min(genes.len()))?;
        let places = components.coordinates(embedding.view());
        for (axis, column) in places.columns().into_iter().enumerate() {
            table.push(format!("pc{}", axis + 1), Column::numbers(column.iter().copied()))?;
        }
        self.write(run, names::STRATA, &table)?;
        Ok(vec![names::STRATA.to_owned()])
    }

    /// Labels of cell states or types that the data come with, by number.
    fn given_states(&self, rows: &[usize]) -> Result<Option<Column>> {
        let Some(column) = &self.inputs.context.dataset.state else {
            return Ok(None);
        };
        let states = self.numbered_states(column, rows)?;
        let number = |row: &usize| states.get(row).map(|&state| state as u64);
        Ok(Some(Column::U64(rows.iter().map(number).collect())))
    }

    /// The label in `column` of each of the rows that has one, as its number among theirs.
    pub(super) fn numbered_states(&self, column: &str, rows: &[usize]) -> Result<BTreeMap<usize, usize>> {
        let labels = self.screen.labels(column)?;
        let known: BTreeSet<&String> = rows.iter().filter_map(|&row| labels[row].as_ref()).collect();
        let numbers: BTreeMap<&String, usize> = known.into_iter().zip(0..).collect();
        let state = |&row: &usize| Some((row, *numbers.get(labels[row].as_ref()?)?));
        Ok(rows.iter().filter_map(state).collect())
    }

    /// Edges from the sources of the reference to the panel in either half of the cells, pooled and stratified: attention of
    /// every layer by the strata, of the scored layer by all other labels and of cells whose genes were permuted, and
    /// correlation.
    pub(super) fn stratified_edges(&self, run: &RunFolder) -> Result<Vec<String>> {
        let EdgeSource::Model(model) = &self.source else {
            return Ok(Vec::new());
        };
        let panel = &read_panel(run)?;
        let stored = StoredStrata::read(run)?;
        let sources = self.sources(run, panel)?;
        let job = Job {
            bench: self,
            run,
            model,
            panel,
            sources: &sources,
            stored: &stored,
        };
        let counts = self.edge_cells()?;
        let scored = [Layer(self.layer)];
        let all: Vec<Layer> = (0..model.depth().0).map(Layer).collect();
        let (every, single): (Vec<&Labelling>, Vec<&Labelling>) = stored
            .labellings
            .iter()
            .partition(|labelling| labelling.every_layer);
        let mut files = job.attention(counts, &every, &all, None)?;
        files.extend(job.attention(counts, &single, &scored, None)?);
        let permuted = permute_expression(counts, &mut self.seeds.stream(ANALYSIS, "permuted genes", 0));
        files.extend(job.attention(&permuted, &every, &scored, Some("permuted-genes"))?);
        files.extend(job.correlation(counts, &permuted)?);
        Ok(files)
    }
}

/// What stratified edges are made of.
struct Job<'a> {
    bench: &'a Workbench<'a>,
    run: &'a RunFolder,
    model: &'a Model,
    panel: &'a Panel,
    sources: &'a Panel,
    stored: &'a StoredStrata,
}

impl Job<'_> {
    /// Attention of `layers` under each labelling, in one pass for as many layers as fit into memory.
    fn attention(
        &self,
        counts: &CountMatrix,
        labellings: &[&Labelling],
        layers: &[Layer],
        named: Option<&str>,
    ) -> Result<Vec<String>> {
        let bench = self.bench;
        let mut reader = bench.reader(self.model, self.panel)?;
        let (cells, _) = bench.cells_of(&mut reader, counts, &bench.controls.edges)?;
        let (from, to) = (
            bench.genes.tokens_of(self.sources)?,
            bench.genes.tokens_of(self.panel)?,
        );
        // Groups: both halves of each stratum of each labelling, and both halves of the cells.
        let mut groups_of_cell = vec![Vec::new(); self.stored.rows.len()];
        let mut n_groups = 2;
        let mut first_group = Vec::new();
        for (cell, &half) in self.stored.half.iter().enumerate() {
            groups_of_cell[cell].push(half);
        }
        for labelling in labellings {
            first_group.push(n_groups);
            for (cell, label) in labelling.labels.iter().enumerate() {
                if let Some(label) = label {
                    groups_of_cell[cell].push(n_groups + 2 * label + self.stored.half[cell]);
                }
            }
            n_groups += 2 * labelling.n_labels();
        }
        let groups_of_row: BTreeMap<usize, Vec<usize>> =
            self.stored.rows.iter().copied().zip(groups_of_cell).collect();
        let groups = |cell: usize| {
            groups_of_row
                .get(&bench.controls.edges[cell])
                .cloned()
                .unwrap_or_default()
        };

        let of_layer = |&layer: &Layer| {
            [Measure::Attention, Measure::StandardError].map(|measure| ModelEdge::of_layer(measure, layer))
        };
        let bytes = AttentionSums::bytes(&of_layer(&layers[0]), self.sources.len(), self.panel.len());
        let budget = bench.limits.memory_budget / SHARE;
        let at_once = (budget / (bytes * n_groups as u64).max(1)).clamp(1, layers.len() as u64) as usize;
        let bar = bench
            .progress
            .bar("strata", cells.len() * layers.len().div_ceil(at_once));
        let mut files = Vec::new();
        for (turn, layers) in layers.chunks(at_once).enumerate() {
            let edges: Vec<ModelEdge> = layers.iter().flat_map(of_layer).collect();
            let mut sums = (0..n_groups)
                .map(|_| reader.sums(&edges, (&from, &to), bench.orientation))
                .collect::<Result<Vec<_>>>()?;
            reader.add(&mut sums, &cells, groups, |done| {
                bar.set(turn * cells.len() + done);
            })?;
            for (labelling, &first) in labellings.iter().zip(&first_group) {
                let name = named.unwrap_or(&labelling.name);
                for half in [0, 1] {
                    let strata: Vec<&AttentionSums> = (0..labelling.n_labels())
                        .map(|label| &sums[first + 2 * label + half])
                        .filter(|sums| sums.cells_read() >= LEAST_CELLS)
                        .collect();
                    files.extend(self.write_variants(&reader, name, half, layers, &sums[half], &strata)?);
                }
            }
        }
        bar.finish();
        Ok(files)
    }

    /// Every variant of the attention of one half.
    fn write_variants(
        &self,
        reader: &Reader,
        name: &str,
        half: usize,
        layers: &[Layer],
        pooled: &AttentionSums,
        strata: &[&AttentionSums],
    ) -> Result<Vec<String>> {
        let metadata = self.bench.edge_metadata(reader, pooled.cells_read());
        let pooled_means = pooled.mean(ABSENT)?;
        let means = strata
            .iter()
            .map(|sums| sums.mean(ABSENT))
            .collect::<Result<Vec<_>, _>>()?;
        let n_pairs = self.sources.len() * self.panel.len();
        let mut sizes = Array2::zeros((strata.len(), n_pairs));
        for (mut row, mean) in sizes.outer_iter_mut().zip(&means) {
            row.iter_mut()
                .zip(&mean.n_cells)
                .for_each(|(size, &n)| *size = f64::from(n));
        }
        let mut files = Vec::new();
        for (at, &layer) in layers.iter().enumerate() {
            // Attention and its standard error lie side by side.
            let of = |error: usize| {
                let mut values = Array2::zeros((strata.len(), n_pairs));
                for (mut row, mean) in values.outer_iter_mut().zip(&means) {
                    let scores = mean.edges[2 * at + error].scores();
                    row.iter_mut()
                        .zip(scores)
                        .for_each(|(value, &score)| *value = f64::from(score));
                }
                values
            };
            let pooled_scores: Vec<f64> = pooled_means.edges[2 * at]
                .scores()
                .iter()
                .map(|&score| f64::from(score))
                .collect();
            let scores = Scores {
                scores: of(0),
                errors: of(1),
                sizes: sizes.view(),
                n_cells: pooled.cells_read(),
                pooled: &pooled_scores,
            };
            files.extend(self.write_scores(&scores, name, half, EdgeKind::attention(layer), &metadata)?);
        }
        Ok(files)
    }

    /// Spearman's correlation in either half by the strata, and how many single edges any labelling discovers.
    fn correlation(&self, counts: &CountMatrix, permuted: &CountMatrix) -> Result<Vec<String>> {
        let (expression, permuted) = (self.expression(counts)?, self.expression(permuted)?);
        let position = |gene: &GeneId| {
            self.panel
                .position(gene.as_str())
                .expect("sources are genes of the panel")
        };
        let sources: Vec<usize> = self.sources.genes().iter().map(position).collect();
        let pairs: Vec<(usize, usize)> = sources
            .iter()
            .flat_map(|&source| (0..self.panel.len()).map(move |target| (source, target)))
            .collect();
        let metadata = self.bench.cell_metadata(self.stored.rows.len());
        let places: BTreeMap<usize, usize> = self.bench.controls.edges.iter().copied().zip(0..).collect();
        let mut files = Vec::new();
        let mut found = Vec::new();
        for labelling in &self.stored.labellings {
            let mut halves = Vec::new();
            for half in [0, 1] {
                let cells = self.cells_of_half(labelling, half, &places);
                let labels: Vec<usize> = cells.iter().map(|&(_, label)| label).collect();
                let Ok(strata) = Strata::new(&labels, LEAST_CELLS) else {
                    continue;
                };
                let rows: Vec<usize> = cells.iter().map(|&(row, _)| row).collect();
                halves.push(OfHalf {
                    expression: expression.select(Axis(0), &rows),
                    permuted: permuted.select(Axis(0), &rows),
                    strata,
                });
            }
            let [first, second] = &halves[..] else { continue };
            found.push(Discovered::of(&labelling.name, first, second, &pairs)?);
            if labelling.every_layer {
                for (half, of_half) in halves.iter().enumerate() {
                    let signed = of_half.correlations(&pairs)?;
                    let pooled = of_half.pooled(&pairs)?;
                    let sizes = of_half.sizes(pairs.len());
                    let scores = Scores {
                        scores: signed.mapv(f64::abs),
                        errors: sizes.mapv(|n: f64| 1.0 / (n - 1.0).sqrt()),
                        sizes: sizes.view(),
                        n_cells: of_half.strata.n_cells(),
                        pooled: &pooled.iter().map(|r| r.abs()).collect::<Vec<_>>(),
                    };
                    files.extend(self.write_scores(
                        &scores,
                        &labelling.name,
                        half,
                        EdgeKind::Spearman,
                        &metadata,
                    )?);
                }
            }
        }
        self.bench
            .write(self.run, names::EDGE_DISCOVERIES, &Discovered::table(&found)?)?;
        files.push(names::EDGE_DISCOVERIES.to_owned());
        Ok(files)
    }

    fn expression(&self, counts: &CountMatrix) -> Result<Array2<f64>> {
        let of_panel = counts
            .select_genes(self.panel)
            .map_err(|gene| missing_gene(&gene))?;
        Ok(of_panel.log1p_cp10k().to_dense())
    }

    /// The cells of a half that have a label, as `places` in the counts of their rows of the data, with the label.
    fn cells_of_half(
        &self,
        labelling: &Labelling,
        half: usize,
        places: &BTreeMap<usize, usize>,
    ) -> Vec<(usize, usize)> {
        let stored = self.stored;
        let of_half = (0..stored.rows.len()).filter(|&cell| stored.half[cell] == half);
        of_half
            .filter_map(|cell| Some((places[&stored.rows[cell]], labelling.labels[cell]?)))
            .collect()
    }

    fn write_scores(
        &self,
        scores: &Scores<'_>,
        name: &str,
        half: usize,
        kind: EdgeKind,
        metadata: &[(String, String)],
    ) -> Result<Vec<String>> {
        let mut files = Vec::new();
        for variant in Variant::kept(name) {
            let Some(values) = scores.of(variant)? else {
                continue;
            };
            let values = values.into_iter().map(|value| value as f32).collect();
            let values = Array2::from_shape_vec((self.sources.len(), self.panel.len()), values)?;
            let edges = EdgeMatrix::new(kind, self.sources.clone(), self.panel.clone(), values)?;
            let file = names::stratified(name, half, variant.name(), kind);
            let mut metadata = described(kind, metadata);
            metadata.push((
                "scfm.strata".to_owned(),
                format!("{name}, half {}, {}", half + 1, variant.name()),
            ));
            write_edges(&self.run.file(&file), &edges, &metadata)?;
            files.push(file);
        }
        Ok(files)
    }
}

/// Scores of pairs in the strata of one half of the cells, `[stratum, pair]`.
struct Scores<'a> {
    scores: Array2<f64>,
    errors: Array2<f64>,
    /// Cells that hold both genes.
    sizes: ArrayView2<'a, f64>,
    n_cells: usize,
    pooled: &'a [f64],
}

impl Scores<'_> {
    /// One score for each pair; nothing without any stratum.
    fn of(&self, variant: Variant) -> Result<Option<Vec<f64>>> {
        if variant == Variant::Pooled {
            return Ok(Some(self.pooled.to_vec()));
        }
        if self.scores.nrows() == 0 {
            return Ok(None);
        }
        let apply = |aggregator: Aggregator, scores: ArrayView2<'_, f64>| {
            aggregator.apply_sized(scores, self.sizes, self.n_cells, self.pooled)
        };
        Ok(Some(match variant {
            Variant::Of(aggregator) => apply(aggregator, self.scores.view())?,
            _ => apply(
                Aggregator::Max,
                shrunken(self.scores.view(), self.errors.view())?.view(),
            )?,
        }))
    }
}

/// Expression of the cells of a half, as it is and with each gene permuted, and their strata.
struct OfHalf {
    expression: Array2<f64>,
    permuted: Array2<f64>,
    strata: Strata,
}

impl OfHalf {
    fn correlations(&self, pairs: &[(usize, usize)]) -> Result<Array2<f64>> {
        self.correlations_of(&self.expression, pairs)
    }

    /// Correlations within strata, NaN where a gene is counted in too few cells of one.
    fn correlations_of(&self, expression: &Array2<f64>, pairs: &[(usize, usize)]) -> Result<Array2<f64>> {
        let mut within = correlations_by_stratum(expression.view(), pairs, &self.strata)?;
        for (stratum, mut row) in within.outer_iter_mut().enumerate() {
            let mut detected = vec![0usize; expression.ncols()];
            for &cell in self.strata.cells(stratum) {
                let counted = expression.row(cell);
                detected
                    .iter_mut()
                    .zip(counted)
                    .for_each(|(n, &x)| *n += usize::from(x > 0.0));
            }
            for (r, &(a, b)) in row.iter_mut().zip(pairs) {
                if detected[a].min(detected[b]) < LEAST_DETECTED {
                    *r = f64::NAN;
                }
            }
        }
        Ok(within)
    }

    fn pooled(&self, pairs: &[(usize, usize)]) -> Result<Vec<f64>> {
        let all: Vec<usize> = (0..self.strata.n_cells()).collect();
        Ok(correlations(self.expression.view(), pairs, &all)?)
    }

    fn sizes(&self, n_pairs: usize) -> Array2<f64> {
        let sizes = self.strata.sizes();
        Array2::from_shape_fn((sizes.len(), n_pairs), |(stratum, _)| sizes[stratum] as f64)
    }

    /// The pairs that are edges in some stratum, at a false discovery rate of [`LEVEL`].
    fn discoveries(&self, correlations: &Array2<f64>) -> Result<BTreeSet<usize>> {
        discoveries(correlations, &self.sizes(correlations.ncols()))
    }
}

fn discoveries(correlations: &Array2<f64>, sizes: &Array2<f64>) -> Result<BTreeSet<usize>> {
    let p = closed_form_p(correlations.view(), sizes.view())?;
    let known: Vec<usize> = (0..p.len()).filter(|&pair| !p[pair].is_nan()).collect();
    let adjusted = benjamini_hochberg(&known.iter().map(|&pair| p[pair]).collect::<Vec<_>>());
    let found = known.into_iter().zip(adjusted).filter(|(_, q)| *q <= LEVEL);
    Ok(found.map(|(pair, _)| pair).collect())
}

/// What single edges a labelling discovers.
struct Discovered {
    labels: String,
    n_strata: usize,
    /// In the first half, and in the same cells with each gene permuted.
    found: usize,
    of_permuted: usize,
    /// Pooled discoveries of the first half, and those among them that the strata of the second find.
    pooled: usize,
    again: usize,
}

impl Discovered {
    fn of(labels: &str, first: &OfHalf, second: &OfHalf, pairs: &[(usize, usize)]) -> Result<Self> {
        // A gene with itself is no pair.
        let pairs: Vec<(usize, usize)> = pairs.iter().copied().filter(|(a, b)| a != b).collect();
        let found = first.discoveries(&first.correlations(&pairs)?)?;
        let permuted = first.correlations_of(&first.permuted, &pairs)?;
        let of_permuted = first.discoveries(&permuted)?;
        let pooled = Array2::from_shape_vec((1, pairs.len()), first.pooled(&pairs)?)?;
        let n_cells = Array2::from_elem(pooled.dim(), first.strata.n_cells() as f64);
        let pooled = discoveries(&pooled, &n_cells)?;
        let again = second.discoveries(&second.correlations(&pairs)?)?;
        Ok(Self {
            labels: labels.to_owned(),
            n_strata: first.strata.len(),
            found: found.len(),
            of_permuted: of_permuted.len(),
            again: pooled.intersection(&again).count(),
            pooled: pooled.len(),
        })
    }

    fn table(rows: &[Self]) -> Result<Table> {
        let share = |part: usize, whole: usize| match whole {
            0 => f64::NAN,
            _ => (part as f64 / whole as f64).min(1.0),
        };
        Ok(Table::new(rows.len())
            .with("labels", Column::text(rows.iter().map(|row| &row.labels)))?
            .with("strata", Column::counts(rows.iter().map(|row| row.n_strata)))?
            .with("discoveries", Column::counts(rows.iter().map(|row| row.found)))?
            .with(
                "of_permuted_genes",
                Column::counts(rows.iter().map(|row| row.of_permuted)),
            )?
            .with(
                "false_discovery_rate",
                Column::numbers(rows.iter().map(|row| share(row.of_permuted, row.found))),
            )?
            .with(
                "pooled_discoveries",
                Column::counts(rows.iter().map(|row| row.pooled)),
            )?
            .with(
                "replicated",
                Column::numbers(rows.iter().map(|row| share(row.again, row.pooled))),
            )?)
    }
}

impl Labelling {
    fn n_labels(&self) -> usize {
        self.labels.iter().flatten().max().map_or(0, |&label| label + 1)
    }
}

impl StoredStrata {
    /// Reads what the stage wrote.
    pub fn read(run: &RunFolder) -> Result<Self> {
        let (table, _) = read_table(&run.file(names::STRATA))?;
        let numbers = |column: &Column| match column {
            Column::U64(values) => values.iter().map(|v| v.map(|v| v as usize)).collect(),
            _ => vec![None; column.len()],
        };
        let whole = |name: &str| -> Vec<usize> {
            table
                .column(name)
                .map(numbers)
                .unwrap_or_default()
                .into_iter()
                .flatten()
                .collect()
        };
        let labellings = table
            .columns()
            .filter(|(name, _)| !["row", "half", "pc1", "pc2"].contains(name))
            .map(|(name, column)| Labelling {
                name: name.to_owned(),
                labels: numbers(column),
                every_layer: name == "strata",
            })
            .collect();
        Ok(Self {
            rows: whole("row"),
            half: whole("half"),
            labellings,
        })
    }
}
