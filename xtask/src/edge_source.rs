//! Where the edges come from that a run judges: a model's attention, or the list of another tool.

use std::path::PathBuf;

use anyhow::Result;
use scfm_attention::geneformer::Vocabulary;
use scfm_core::{EdgeKind, EdgeMatrix, Ledger, Panel};
use scfm_grn::{Absent, EdgeList, Ranking};

use scfm_io::ReadLimits;

use crate::args::{AbsentPairs, RankBy};
use crate::inputs::EdgeFiles;
use crate::lists::ListFile;
use crate::model::Model;
use crate::record::ListRecord;
use crate::screen::KnownGenes;

/// An open source of edges.
pub enum EdgeSource {
    Model(Model),
    List(ListedEdges),
}

impl EdgeSource {
    pub fn open(files: &EdgeFiles, limits: &ReadLimits) -> Result<Self> {
        Ok(match files {
            EdgeFiles::Model { folder, dictionaries } => Self::Model(Model::open(folder, dictionaries)?),
            EdgeFiles::List {
                path,
                network,
                rank,
                absent,
            } => {
                let file = ListFile::read(path, network, limits)?;
                Self::List(ListedEdges::new(file, *rank, *absent, "panel"))
            }
        })
    }

    /// The genes that edges can exist between. Those of a list are their own identifiers, each its own token.
    pub fn known_genes(&self) -> Result<KnownGenes> {
        match self {
            Self::Model(model) => Ok(model.known_genes()),
            Self::List(listed) => {
                let genes = listed.list.genes().genes().iter().map(ToString::to_string);
                let special = ["<pad>", "<mask>"].map(str::to_owned);
                let keys: Vec<String> = special.into_iter().chain(genes).collect();
                let medians: Vec<(String, f64)> = keys.iter().map(|key| (key.clone(), 1.0)).collect();
                Ok(KnownGenes::ById(Vocabulary::new(
                    keys.into_iter().zip(0..),
                    medians,
                )?))
            }
        }
    }

    /// Numbers of layers and heads; a list is one layer without any.
    pub fn depth(&self) -> (usize, usize) {
        match self {
            Self::Model(model) => model.depth(),
            Self::List(_) => (1, 0),
        }
    }

    /// The family of the model; nothing for a list.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Model(model) => model.family(),
            Self::List(_) => "",
        }
    }

    pub fn list(&self) -> Option<&ListedEdges> {
        match self {
            Self::Model(_) => None,
            Self::List(listed) => Some(listed),
        }
    }
}

/// A list and how it is read.
pub struct ListedEdges {
    pub path: PathBuf,
    pub list: EdgeList,
    pub ranking: Ranking,
    pub absent: Absent,
    pub simulated: bool,
    pub record: ListRecord,
}

impl ListedEdges {
    /// Without `rank`, scores count by magnitude where some are negative, else by value. Without `absent`, pairs that the
    /// list does not hold are unknown, or no edges where it has no scores.
    pub fn new(file: ListFile, rank: Option<RankBy>, absent: Option<AbsentPairs>, universe: &str) -> Self {
        let ListFile {
            path,
            list,
            simulated,
        } = file;
        let ranking = match rank {
            Some(RankBy::Value) => Ranking::Value,
            Some(RankBy::Magnitude) => Ranking::Magnitude,
            None if list.has_negative() => Ranking::Magnitude,
            None => Ranking::Value,
        };
        let (absent, absent_in_words) = match absent {
            None if !list.has_scores() => (Absent::Lowest, "ranked lowest"),
            None | Some(AbsentPairs::Exclude) => (Absent::Missing, "excluded"),
            Some(AbsentPairs::Lowest) => (Absent::Lowest, "ranked lowest"),
        };
        let ranked_by = match ranking {
            Ranking::Value => "value",
            Ranking::Magnitude => "magnitude",
        };
        Self {
            path,
            record: ListRecord {
                universe: universe.to_owned(),
                absent: absent_in_words.to_owned(),
                ranked_by: ranked_by.to_owned(),
                layout: list.layout().to_owned(),
            },
            list,
            ranking,
            absent,
            simulated,
        }
    }

    /// The edges over a panel, with what of the list lies outside it. Absent pairs that are ranked lowest get a finite
    /// score, since models of the response take scores as they are: 0 where that is below all others, else a little
    /// less than the weakest.
    pub fn over(&self, panel: &Panel) -> Result<(EdgeMatrix, Ledger)> {
        let mut scores = self.list.scores(panel, panel, self.ranking, Absent::Missing);
        let mut n_self = 0;
        for gene in 0..panel.len() {
            n_self += u64::from(!scores[[gene, gene]].is_nan());
            scores[[gene, gene]] = f64::NAN;
        }
        let listed = || scores.iter().copied().filter(|score| score.is_finite());
        let n_kept = listed().count() as u64;
        let (low, high) = listed().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), score| {
            (low.min(score), high.max(score))
        });
        if self.absent == Absent::Lowest && n_kept > 0 {
            let below = if low > 0.0 {
                0.0
            } else {
                low - (high - low).max(1.0) / 100.0
            };
            for ((source, target), score) in scores.indexed_iter_mut() {
                if source != target && score.is_nan() {
                    *score = below;
                }
            }
        }
        let mut ledger = Ledger::new();
        let n_outside = self
            .list
            .edges()
            .iter()
            .filter(|edge| {
                let inside = |gene: usize| panel.contains(self.list.genes().gene(gene).as_str());
                !(inside(edge.source) && inside(edge.target))
            })
            .count();
        ledger.lost(
            "listed pairs",
            "a gene is not in the panel",
            n_outside as u64,
            [] as [&str; 0],
        );
        ledger.lost(
            "listed pairs",
            "no score",
            self.list.n_unscored() as u64,
            [] as [&str; 0],
        );
        ledger.lost("listed pairs", "self pair", n_self, [] as [&str; 0]);
        ledger.kept("listed pairs", n_kept);
        let scores = scores.mapv(|score| score as f32);
        Ok((
            EdgeMatrix::new(EdgeKind::Listed, panel.clone(), panel.clone(), scores)?,
            ledger,
        ))
    }
}

/// Tells what was read, and what is not known because the list leaves it out.
pub fn describe(listed: &ListedEdges) -> Vec<String> {
    let list = &listed.list;
    let (sources, targets) = list.panels(&scfm_grn::ListGenes::Observed);
    let count = scfm_grn::thousands;
    let mut lines = vec![format!(
        "{}: {} scored pairs, {} sources × {} targets ({})",
        list.name(),
        count(list.edges().len()),
        count(sources.len()),
        count(targets.len()),
        list.layout()
    )];
    for (n, what) in [
        (list.n_unscored(), "have no score"),
        (list.n_self_pairs(), "pair a gene with itself and take no part"),
        (
            list.n_repeated(),
            "repeat a pair, of which the strongest score counts",
        ),
    ] {
        if n > 0 {
            lines.push(format!("{} rows {what}", count(n)));
        }
    }
    if !list.has_scores() {
        lines.push("the list has no scores: its pairs are edges that all count the same".to_owned());
    } else if list.is_unranked() {
        lines.push(
            "all scores are the same, so that the list ranks nothing (--absent lowest ranks its pairs above all others)"
                .to_owned(),
        );
    }
    lines.extend(list.truncation().map(|truncation| truncation.to_string()));
    if listed.ranking == Ranking::Magnitude && list.has_negative() {
        lines.push(
            "some scores are negative: ranked by magnitude (--rank value ranks them as they are)".to_owned(),
        );
    }
    lines.push(format!(
        "universe: {}; pairs that the list does not hold are {}",
        listed.record.universe, listed.record.absent
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str, absent: impl Into<Option<AbsentPairs>>) -> ListedEdges {
        let list = EdgeList::from_reader("list", text.as_bytes()).unwrap();
        let file = ListFile {
            path: PathBuf::from("list"),
            list,
            simulated: false,
        };
        ListedEdges::new(file, None, absent.into(), "panel")
    }

    #[test]
    fn what_a_list_without_scores_leaves_out_is_no_edge_unless_told_otherwise() {
        let absent = |text, absent: Option<AbsentPairs>| listed(text, absent).absent;
        assert_eq!(absent("A,B\n", None), Absent::Lowest);
        assert_eq!(absent("A,B\n", Some(AbsentPairs::Exclude)), Absent::Missing);
        assert_eq!(absent("A,B,1\n", None), Absent::Missing);
        assert_eq!(absent("A,B,1\n", Some(AbsentPairs::Lowest)), Absent::Lowest);
    }

    #[test]
    fn what_a_list_cannot_say_is_told() {
        let lines = |text| describe(&listed(text, None)).join("\n");
        let odd = lines("A,B,2\nA,A,9\nA,B,1\nC,A,\n");
        for words in [
            "1 rows have no score",
            "1 rows pair a gene with itself and take no part",
            "1 rows repeat a pair, of which the strongest score counts",
        ] {
            assert!(odd.contains(words), "no {words:?} in {odd}");
        }
        assert!(!odd.contains("the same"), "{odd}");
        let same = lines("A,B,2\nC,A,2\n");
        assert!(
            same.contains("all scores are the same") && same.contains("unknown"),
            "{same}"
        );
        let unscored = lines("A,B\nC,A\n");
        assert!(
            unscored.contains("has no scores") && unscored.contains("ranked lowest"),
            "{unscored}"
        );
        assert!(!unscored.contains("unknown"), "{unscored}");
    }

    fn panel() -> Panel {
        Panel::new(["A", "B", "C"]).unwrap()
    }

    #[test]
    fn a_list_is_laid_over_a_panel_without_self_pairs_and_losses_are_counted() {
        let (edges, ledger) = listed("A,B,2\nA,A,9\nB,X,5\nC,A,1\n", AbsentPairs::Exclude)
            .over(&panel())
            .unwrap();
        assert_eq!(edges.scores()[[0, 1]], 2.0);
        assert_eq!(edges.scores().iter().filter(|score| !score.is_nan()).count(), 2);
        let steps: Vec<_> = ledger
            .steps()
            .iter()
            .map(|s| (s.reason.as_str(), s.count))
            .collect();
        assert_eq!(
            steps,
            [("a gene is not in the panel", 1), ("self pair", 1), ("kept", 2)]
        );
    }

    #[test]
    fn absent_pairs_that_are_ranked_lowest_have_a_finite_score_below_all_others() {
        for (text, strongest) in [
            ("A,B,2\nC,A,1\n", 2.0),
            ("A,B,2\nC,A,-1\n", 2.0),
            ("A,B,0\nC,A,0\n", 0.0),
        ] {
            let (edges, _) = listed(text, AbsentPairs::Lowest).over(&panel()).unwrap();
            let scores = edges.scores();
            let absent = scores[[1, 2]];
            assert!(
                absent.is_finite() && absent < scores[[2, 0]] && absent < scores[[0, 1]],
                "{text}: {absent}"
            );
            assert_eq!(scores[[0, 1]], strongest);
            assert!(scores[[1, 1]].is_nan());
        }
    }

    #[test]
    fn the_genes_of_a_list_are_its_vocabulary() {
        let source = EdgeSource::List(listed("A,B,2\nC,A,1\n", AbsentPairs::Exclude));
        let vocabulary = source.known_genes().unwrap();
        assert!(
            ["A", "B", "C"]
                .iter()
                .all(|gene| vocabulary.token(gene).is_some())
        );
        assert_eq!((vocabulary.token("X"), source.depth()), (None, (1, 0)));
    }
}
