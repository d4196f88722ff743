//! What the stages of heads and ablation wrote: their tables, and those read back.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use ndarray::Array1;
use scfm_ablation::{
    Action, Condition, Conditions, Dose, HALVES, HalfScore, Halves, HeadId, HeadScore, MaskedReadOut, doses,
};
use scfm_core::{Column, EdgeMatrix, GeneId, Layer, Panel, Table};

use crate::evidence::{edges, names, table, text};
use crate::run_folder::RunFolder;

/// What stands in the place of a condition's name where nothing is done.
pub const INTACT: &str = "intact";

/// What is known of a condition.
pub struct Seen {
    pub condition: Condition,
    /// Parts that the scored layer can feel, and all.
    pub reach: (usize, usize),
    /// The largest cosine distance of hidden states over the layers, and where.
    pub largest: f64,
    pub largest_layer: usize,
    pub logits: f64,
    pub divergence: f64,
    /// Change of the loss at each target of the panel.
    pub changes: Array1<f64>,
}

/// Everything that was read of the altered model, but for edges, which are read when asked for.
pub struct Ablation {
    pub conditions: Vec<Seen>,
    /// Series without conditions, with the reason.
    pub left_out: Vec<(String, String)>,
    pub halves: Halves,
    pub heads: Vec<HeadScore>,
    pub doses: [Dose; 4],
    /// Of each target in how many cells it was hidden, and the intact model's loss.
    pub hidden: Table,
    run: RunFolder,
}

impl Ablation {
    pub fn read(run: &RunFolder, panel: &Panel) -> Result<Self> {
        let (plan, left_out) = read_conditions(run)?;
        let masked = table(run, names::MASKED)?;
        let mut changes: BTreeMap<&str, Array1<f64>> = BTreeMap::new();
        let loss = numbers(&masked, "loss_change")?;
        let (conditions, genes) = (text(&masked, "condition")?, text(&masked, "gene")?);
        for ((condition, gene), loss) in conditions.into_iter().zip(genes).zip(loss) {
            let of_condition = changes
                .entry(condition)
                .or_insert_with(|| Array1::from_elem(panel.len(), f64::NAN));
            let target = panel.position(gene).context("a hidden gene is of the panel")?;
            of_condition[target] = loss.unwrap_or(f64::NAN);
        }
        let fidelity = table(run, names::FIDELITY)?;
        let moves = moves(&fidelity)?;
        let heads = read_ranking(run)?;
        let seen = |(condition, reach): (Condition, (usize, usize))| {
            let name = condition.name();
            let found = moves.get(name.as_str()).copied().unwrap_or_default();
            let none = || Array1::from_elem(panel.len(), f64::NAN);
            Seen {
                reach,
                largest: found.largest,
                largest_layer: found.layer,
                logits: found.logits,
                divergence: found.divergence,
                changes: changes.remove(name.as_str()).unwrap_or_else(none),
                condition,
            }
        };
        Ok(Self {
            conditions: plan.into_iter().map(seen).collect(),
            left_out,
            halves: read_halves(run)?,
            doses: doses(heads.len()),
            heads,
            hidden: table(run, names::HIDDEN_TARGETS)?,
            run: run.clone(),
        })
    }

    /// The conditions of a series: one, or one for each half or draw.
    pub fn of_series(&self, series: &str) -> Vec<&Seen> {
        let seen = self.conditions.iter();
        seen.filter(|seen| seen.condition.series == series).collect()
    }

    /// Why a series has no condition.
    pub fn reason(&self, series: &str) -> String {
        let left_out = self.left_out.iter().find(|(name, _)| name == series);
        left_out.map_or_else(|| "no such condition".to_owned(), |(_, reason)| reason.clone())
    }

    /// Whether the model could be asked for hidden genes.
    pub fn predicts(&self) -> bool {
        match self.hidden.column("intact_loss") {
            Some(Column::F64(losses)) => losses.is_empty() || losses.iter().any(Option::is_some),
            _ => false,
        }
    }

    /// The scored layer's attention under a condition.
    pub fn edges(&self, condition: &str) -> Result<EdgeMatrix> {
        edges(&self.run, &names::altered_edges(condition))
    }
}

#[derive(Clone, Copy, Default)]
struct Moves {
    largest: f64,
    layer: usize,
    logits: f64,
    divergence: f64,
}

fn moves(fidelity: &Table) -> Result<BTreeMap<&str, Moves>> {
    let mut moves: BTreeMap<&str, Moves> = BTreeMap::new();
    let hidden = numbers(fidelity, "hidden_distance")?;
    let (logits, divergence) = (
        numbers(fidelity, "logit_distance")?,
        numbers(fidelity, "divergence")?,
    );
    let layers = counts(fidelity, "layer")?;
    for (row, condition) in text(fidelity, "condition")?.into_iter().enumerate() {
        let of_condition = moves.entry(condition).or_default();
        let distance = hidden[row].unwrap_or(0.0);
        if distance > of_condition.largest {
            of_condition.largest = distance;
            of_condition.layer = layers[row].unwrap_or(0) as usize;
        }
        of_condition.logits = logits[row].unwrap_or(0.0);
        of_condition.divergence = divergence[row].unwrap_or(0.0);
    }
    Ok(moves)
}

pub fn conditions_table(plan: &Conditions, layer: Layer) -> Result<Table> {
    let n = plan.all.len() + plan.left_out.len();
    let of = |value: &dyn Fn(&Condition) -> Option<u64>| {
        let known = plan.all.iter().map(value);
        Column::U64(known.chain(plan.left_out.iter().map(|_| None)).collect())
    };
    let words = |value: &dyn Fn(&Condition) -> Option<String>| {
        let known = plan.all.iter().map(value);
        Column::Text(known.chain(plan.left_out.iter().map(|_| None)).collect())
    };
    let joined = |items: Vec<String>| Some(items.join(" ")).filter(|text| !text.is_empty());
    let series = plan.all.iter().map(|condition| &condition.series);
    Ok(Table::new(n)
        .with("condition", words(&|condition| Some(condition.name())))?
        .with(
            "series",
            Column::text(series.chain(plan.left_out.iter().map(|(series, _)| series))),
        )?
        .with("half", of(&|condition| condition.half.map(|half| half as u64)))?
        .with("draw", of(&|condition| condition.draw.map(|draw| draw as u64)))?
        .with(
            "action",
            words(&|condition| Some(action_word(condition.action).to_owned())),
        )?
        .with(
            "heads",
            words(&|condition| joined(condition.heads.iter().map(ToString::to_string).collect())),
        )?
        .with(
            "layers",
            words(&|condition| joined(condition.layers.iter().map(|layer| layer.0.to_string()).collect())),
        )?
        .with("n_parts", of(&|condition| Some(condition.reach(layer).1 as u64)))?
        .with(
            "n_reaching",
            of(&|condition| Some(condition.reach(layer).0 as u64)),
        )?
        .with("edges", {
            let known = plan.all.iter().map(|condition| Some(condition.edges));
            Column::Bool(known.chain(plan.left_out.iter().map(|_| None)).collect())
        })?
        .with("left_out", {
            let reasons = plan.left_out.iter().map(|(_, reason)| Some(reason.clone()));
            Column::Text(plan.all.iter().map(|_| None).chain(reasons).collect())
        })?)
}

/// A condition and how many of its parts the scored layer can feel.
type Reaching = (Condition, (usize, usize));
/// A series that has no condition, and why.
type LeftOut = (String, String);

fn read_conditions(run: &RunFolder) -> Result<(Vec<Reaching>, Vec<LeftOut>)> {
    let table = table(run, names::CONDITIONS)?;
    let (series, actions) = (text(&table, "series")?, text(&table, "action")?);
    let (heads, layers) = (text(&table, "heads")?, text(&table, "layers")?);
    let reasons = text(&table, "left_out")?;
    let (halves, draws) = (counts(&table, "half")?, counts(&table, "draw")?);
    let (parts, reaching) = (counts(&table, "n_parts")?, counts(&table, "n_reaching")?);
    let Some(Column::Bool(edges)) = table.column("edges") else {
        bail!("{} has no column edges", names::CONDITIONS);
    };
    let (mut conditions, mut left_out) = (Vec::new(), Vec::new());
    for row in 0..table.n_rows() {
        if !reasons[row].is_empty() {
            left_out.push((series[row].to_owned(), reasons[row].to_owned()));
            continue;
        }
        let position = |value: Option<u64>| value.map(|value| value as usize);
        let condition = Condition {
            series: series[row].to_owned(),
            half: position(halves[row]),
            draw: position(draws[row]),
            action: action(actions[row])?,
            heads: heads[row]
                .split_whitespace()
                .map(str::parse)
                .collect::<Result<_, _>>()?,
            layers: layers[row]
                .split_whitespace()
                .map(|layer| Ok(Layer(layer.parse()?)))
                .collect::<Result<_>>()?,
            edges: edges[row] == Some(true),
        };
        let reach = |value: Option<u64>| value.unwrap_or(0) as usize;
        conditions.push((condition, (reach(reaching[row]), reach(parts[row]))));
    }
    Ok((conditions, left_out))
}

pub fn targets_table(read: &MaskedReadOut, panel: &Panel) -> Result<Table> {
    let hidden: Vec<usize> = hidden_targets(read);
    Ok(Table::new(hidden.len())
        .with("gene", Column::text(hidden.iter().map(|&g| panel.gene(g))))?
        .with(
            "n_cells",
            Column::counts(hidden.iter().map(|&g| read.n_cells[g] as usize)),
        )?
        .with(
            "intact_loss",
            Column::numbers(hidden.iter().map(|&g| read.intact[g])),
        )?)
}

pub fn masked_table(read: &MaskedReadOut, plan: &Conditions, panel: &Panel) -> Result<Table> {
    let hidden = hidden_targets(read);
    let rows: Vec<(usize, usize)> = (0..plan.all.len())
        .flat_map(|condition| hidden.iter().map(move |&target| (condition, target)))
        .collect();
    let names: Vec<String> = plan.all.iter().map(Condition::name).collect();
    let ranks = read.rank_change.as_ref();
    Ok(Table::new(rows.len())
        .with(
            "condition",
            Column::text(rows.iter().map(|&(condition, _)| &names[condition])),
        )?
        .with("gene", Column::text(rows.iter().map(|&(_, g)| panel.gene(g))))?
        .with(
            "loss_change",
            Column::numbers(rows.iter().map(|&place| read.change[place])),
        )?
        .with(
            "rank_change",
            Column::numbers(
                rows.iter()
                    .map(|&place| ranks.map_or(f64::NAN, |ranks| ranks[place])),
            ),
        )?)
}

fn hidden_targets(read: &MaskedReadOut) -> Vec<usize> {
    (0..read.n_cells.len())
        .filter(|&target| read.n_cells[target] > 0)
        .collect()
}

pub fn fidelity_table(read: &MaskedReadOut, plan: &Conditions) -> Result<Table> {
    let n_layers = read.fidelity.first().map_or(0, |fidelity| fidelity.hidden.len());
    let rows: Vec<(usize, usize)> = (0..plan.all.len())
        .flat_map(|condition| (0..n_layers).map(move |layer| (condition, layer)))
        .collect();
    let of = |row: &(usize, usize)| &read.fidelity[row.0];
    Ok(Table::new(rows.len())
        .with(
            "condition",
            Column::text(rows.iter().map(|row| plan.all[row.0].name())),
        )?
        .with("layer", Column::counts(rows.iter().map(|row| row.1)))?
        .with(
            "hidden_distance",
            Column::numbers(rows.iter().map(|row| of(row).hidden[row.1])),
        )?
        .with(
            "logit_distance",
            Column::numbers(rows.iter().map(|row| of(row).logits)),
        )?
        .with(
            "divergence",
            Column::numbers(rows.iter().map(|row| of(row).divergence)),
        )?)
}

/// Scores of all heads, in the order of the model.
pub fn read_ranking(run: &RunFolder) -> Result<Vec<HeadScore>> {
    let table = table(run, names::HEAD_RANKING)?;
    let halves = counts(&table, "half")?;
    let heads: Vec<HeadId> = text(&table, "head")?
        .into_iter()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [auroc, entropy, reference, perturbation, held_out] = [
        "auroc",
        "entropy",
        "reference_auroc",
        "perturbation_auroc",
        "held_out_auroc",
    ]
    .map(|name| numbers(&table, name));
    let (auroc, entropy, reference, perturbation, held_out) =
        (auroc?, entropy?, reference?, perturbation?, held_out?);
    let mut scores: BTreeMap<HeadId, HeadScore> = BTreeMap::new();
    for (row, &head) in heads.iter().enumerate() {
        let score = scores.entry(head).or_insert_with(|| HeadScore {
            head,
            auroc: auroc[row],
            entropy: entropy[row],
            halves: [HalfScore::default(); HALVES.len()],
        });
        let half = halves[row].map_or(0, |half| half as usize);
        *score.halves.get_mut(half).context("a half")? = HalfScore {
            reference: reference[row],
            perturbation: perturbation[row],
            held_out: held_out[row],
        };
    }
    Ok(scores.into_values().collect())
}

pub fn read_halves(run: &RunFolder) -> Result<Halves> {
    let table = table(run, names::HALVES)?;
    let (roles, genes) = (text(&table, "role")?, text(&table, "gene")?);
    let halves = counts(&table, "half")?;
    let rows = || roles.iter().zip(&genes).zip(halves);
    let of = |wanted: &'static str| {
        let rows = rows().filter(move |((role, _), _)| **role == wanted);
        rows.map(|((_, gene), half)| (GeneId::from(*gene), half.unwrap_or(0) as usize))
            .collect::<Vec<_>>()
    };
    Ok(Halves::new(of("source"), of("target")))
}

fn numbers<'a>(table: &'a Table, name: &str) -> Result<&'a [Option<f64>]> {
    match table.column(name) {
        Some(Column::F64(values)) => Ok(values),
        _ => bail!("the table has no column of numbers {name}"),
    }
}

fn counts<'a>(table: &'a Table, name: &str) -> Result<&'a [Option<u64>]> {
    match table.column(name) {
        Some(Column::U64(values)) => Ok(values),
        _ => bail!("the table has no column of counts {name}"),
    }
}

fn action_word(action: Action) -> &'static str {
    match action {
        Action::Silence => "silence",
        Action::Uniform => "uniform",
        Action::LeaveOut => "leave out",
    }
}

fn action(word: &str) -> Result<Action> {
    [Action::Silence, Action::Uniform, Action::LeaveOut]
        .into_iter()
        .find(|&action| action_word(action) == word)
        .with_context(|| format!("{word:?} is nothing that is done to a model"))
}
