//! References beside the regulatory one, as somebody would have them who knows part of the truth: interactions with a
//! score, sets of genes, regulons with levels of confidence, classes of transcription factors.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use scfm_core::{GeneId, Seeds};

use crate::network::Sign;
use crate::world::World;
use crate::{Error, draw, error::check};

/// How well a database of interactions knows the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct InteractionParams {
    /// Share of true regulatory edges that are listed, without their direction.
    pub edges: f64,
    /// Share of the pairs of one programme, both raised or both lowered by it, that are listed.
    pub programme: f64,
    /// Share of the listed pairs that relate nothing.
    pub wrong: f64,
}

impl Default for InteractionParams {
    fn default() -> Self {
        Self {
            edges: 0.5,
            programme: 0.12,
            wrong: 0.15,
        }
    }
}

/// A pair of interacting genes. Displays as a line `gene,gene,score` with the score from 0 to 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interaction {
    /// The gene that comes first in the world's panel.
    pub first: GeneId,
    /// The other one.
    pub second: GeneId,
    /// Confidence in thousandths, 400 to 999.
    pub score: u32,
}

impl fmt::Display for Interaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},0.{:03}", self.first, self.second, self.score)
    }
}

/// How a collection of gene sets comes about.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneSetParams {
    /// Number of sets.
    pub n_sets: usize,
    /// Fewest and most genes of a set, before wrong ones are added.
    pub size: (usize, usize),
    /// Share of sets that are a part of a programme.
    pub programmes: f64,
    /// Share of sets that are a part of a regulon with its factor; the other sets are genes at random.
    pub regulons: f64,
    /// Genes at random that are added to a set, as a share of its genes.
    pub wrong: f64,
}

/// A set of genes. Displays as a line of GMT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotatedSet {
    /// Its name.
    pub name: String,
    /// An accession that no database has.
    pub accession: String,
    /// Its genes in the order of the world's panel.
    pub genes: Vec<GeneId>,
}

impl fmt::Display for AnnotatedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\t{}", self.name, self.accession)?;
        self.genes.iter().try_for_each(|gene| write!(f, "\t{gene}"))
    }
}

/// How well a database of regulons knows the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct RegulonParams {
    /// Share of true edges at each level of confidence, A to D; the rest is missing.
    pub levels: [f64; 4],
    /// Share of wrong edges among those of each level.
    pub wrong: [f64; 4],
    /// Share of edges with the wrong sign.
    pub wrong_sign: f64,
}

impl Default for RegulonParams {
    fn default() -> Self {
        Self {
            levels: [0.15, 0.08, 0.2, 0.3],
            wrong: [0.05, 0.1, 0.3, 0.6],
            wrong_sign: 0.1,
        }
    }
}

/// An edge of a regulon. Displays as DoRothEA's tab-separated line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegulonRow {
    /// The transcription factor.
    pub tf: GeneId,
    /// A letter from A to D.
    pub level: char,
    /// Its target.
    pub target: GeneId,
    /// The direction of the effect as it is listed.
    pub sign: Sign,
}

impl fmt::Display for RegulonRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mor = if self.sign == Sign::Activation { "1" } else { "-1" };
        write!(f, "{}\t{}\t{}\t{mor}", self.tf, self.level, self.target)
    }
}

impl World {
    /// A database of interactions, sorted by both genes; a pair comes once.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the first parameter out of range.
    pub fn interactions(&self, params: &InteractionParams, seeds: Seeds) -> Result<Vec<Interaction>, Error> {
        check("edges", params.edges, 0.0, 1.0)?;
        check("programme", params.programme, 0.0, 1.0)?;
        check("wrong", params.wrong, 0.0, 0.99)?;
        let rng = &mut self.stream(seeds, "interactions", 0);
        let mut pairs: BTreeMap<(usize, usize), u32> = BTreeMap::new();
        for edge in self.network().edges() {
            if draw::chance(rng, params.edges) {
                let score = 700 + draw::below(rng, 300) as u32;
                pairs.insert(ordered(edge.source.0, edge.target.0), score);
            }
        }
        for pool in self.programme_pools() {
            for (i, &a) in pool.iter().enumerate() {
                for &b in &pool[i + 1..] {
                    if draw::chance(rng, params.programme) {
                        let score = 400 + draw::below(rng, 600) as u32;
                        pairs.entry(ordered(a, b)).or_insert(score);
                    }
                }
            }
        }
        let n_wrong = (pairs.len() as f64 * params.wrong / (1.0 - params.wrong)).round() as usize;
        let n_genes = self.genes().len();
        for _ in 0..n_wrong {
            let (a, b) = (draw::below(rng, n_genes), draw::below(rng, n_genes));
            let score = 400 + draw::below(rng, 600) as u32;
            if a != b {
                pairs.entry(ordered(a, b)).or_insert(score);
            }
        }
        let gene = |at: usize| self.genes().gene(at).clone();
        Ok(pairs
            .into_iter()
            .map(|((a, b), score)| Interaction {
                first: gene(a),
                second: gene(b),
                score,
            })
            .collect())
    }

    /// A collection of gene sets; `collection` names it, and its sets after it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the first parameter out of range.
    pub fn gene_sets(
        &self,
        collection: &str,
        params: &GeneSetParams,
        seeds: Seeds,
    ) -> Result<Vec<AnnotatedSet>, Error> {
        let n_genes = self.genes().len();
        check("size.0", params.size.0 as f64, 1.0, n_genes as f64)?;
        check(
            "size.1",
            params.size.1 as f64,
            params.size.0 as f64,
            n_genes as f64,
        )?;
        check("programmes", params.programmes, 0.0, 1.0)?;
        check("regulons", params.regulons, 0.0, 1.0 - params.programmes)?;
        check("wrong", params.wrong, 0.0, 10.0)?;
        let rng = &mut self.stream(seeds, &format!("gene sets {collection}"), 0);
        let programmes = self.programme_pools();
        let regulons = self.regulon_pools();
        let everything: Vec<usize> = (0..n_genes).collect();
        let mut sets = Vec::with_capacity(params.n_sets);
        for number in 1..=params.n_sets {
            let kind = draw::uniform(rng);
            let pools = if kind < params.programmes {
                &programmes
            } else if kind < params.programmes + params.regulons {
                &regulons
            } else {
                &Vec::new()
            };
            let mut pool = match pools.len() {
                0 => everything.clone(),
                n => pools[draw::below(rng, n)].clone(),
            };
            let size = params.size.0 + draw::below(rng, params.size.1 - params.size.0 + 1);
            draw::shuffle(rng, &mut pool);
            pool.truncate(size);
            let n_wrong = (pool.len() as f64 * params.wrong).round() as usize;
            let mut members: BTreeSet<usize> = pool.into_iter().collect();
            for _ in 0..n_wrong {
                members.insert(draw::below(rng, n_genes));
            }
            sets.push(AnnotatedSet {
                name: format!("simulated {collection} set {number}"),
                accession: format!("SIM-{}-{number:04}", collection.to_uppercase()),
                genes: members
                    .into_iter()
                    .map(|at| self.genes().gene(at).clone())
                    .collect(),
            });
        }
        Ok(sets)
    }

    /// A database of regulons with levels of confidence, sorted by factor and target; a pair comes once.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the first parameter out of range.
    pub fn regulons(&self, params: &RegulonParams, seeds: Seeds) -> Result<Vec<RegulonRow>, Error> {
        let missing = 1.0 - params.levels.iter().sum::<f64>();
        check("levels", missing, 0.0, 1.0)?;
        check("wrong_sign", params.wrong_sign, 0.0, 1.0)?;
        for wrong in params.wrong {
            check("wrong", wrong, 0.0, 0.99)?;
        }
        let rng = &mut self.stream(seeds, "regulons", 0);
        let network = self.network();
        let mut rows: BTreeMap<(usize, usize), (usize, Sign)> = BTreeMap::new();
        let mut of_level = [0usize; 4];
        let [a, b, c, d] = params.levels;
        for edge in network.edges() {
            let level = draw::category(rng, &[a, b, c, d, missing]);
            let flipped = draw::chance(rng, params.wrong_sign);
            if level < 4 {
                of_level[level] += 1;
                let sign = if flipped { opposite(edge.sign) } else { edge.sign };
                rows.insert((edge.source.0, edge.target.0), (level, sign));
            }
        }
        for (level, n_true) in of_level.into_iter().enumerate() {
            let wrong = params.wrong[level];
            let n_wrong = (n_true as f64 * wrong / (1.0 - wrong)).round() as usize;
            for _ in 0..n_wrong {
                let tf = network.tfs()[draw::below(rng, network.tfs().len())];
                let target = draw::below(rng, self.genes().len());
                let sign = if draw::chance(rng, 0.5) {
                    Sign::Activation
                } else {
                    Sign::Repression
                };
                if tf != target {
                    rows.entry((tf, target)).or_insert((level, sign));
                }
            }
        }
        let gene = |at: usize| self.genes().gene(at).clone();
        Ok(rows
            .into_iter()
            .map(|((tf, target), (level, sign))| RegulonRow {
                tf: gene(tf),
                level: ['A', 'B', 'C', 'D'][level],
                target: gene(target),
                sign,
            })
            .collect())
    }

    /// Factors with the name of a class, in panel order: those with the most targets are master regulators, the others
    /// are told by the states of their edges, their answer to stress and their abundance. One in five is not listed, and one
    /// in ten stands in a class at random.
    pub fn tf_classes(&self, seeds: Seeds) -> Vec<(GeneId, &'static str)> {
        const CLASSES: [&str; 4] = [
            "master-regulator",
            "signal-dependent",
            "lineage-specific",
            "housekeeping",
        ];
        let rng = &mut self.stream(seeds, "classes of factors", 0);
        let network = self.network();
        let degrees = network.out_degrees();
        let mut by_degree: Vec<usize> = network.tfs().to_vec();
        by_degree.sort_by_key(|&tf| (std::cmp::Reverse(degrees[tf]), tf));
        let n_masters = by_degree.len().div_ceil(4);
        let masters: BTreeSet<usize> = by_degree.into_iter().take(n_masters).collect();
        let mut of_one_state = vec![0; self.genes().len()];
        for edge in network.edges().iter().filter(|edge| edge.state.is_some()) {
            of_one_state[edge.source.0] += 1;
        }
        let mut tfs: Vec<usize> = network.tfs().to_vec();
        tfs.sort_unstable();
        let mut listed = Vec::new();
        for tf in tfs {
            let class = if masters.contains(&tf) {
                0
            } else if self.stress()[tf] != 0.0 {
                1
            } else if 5 * of_one_state[tf] >= degrees[tf].max(1) {
                2
            } else {
                3
            };
            let is_listed = !draw::chance(rng, 0.2);
            let is_wrong = draw::chance(rng, 0.1);
            let other = draw::below(rng, CLASSES.len());
            if is_listed {
                let class = if is_wrong { other } else { class };
                listed.push((self.genes().gene(tf).clone(), CLASSES[class]));
            }
        }
        listed
    }

    /// For each programme the genes that it raises, and those that it lowers.
    fn programme_pools(&self) -> Vec<Vec<usize>> {
        self.programmes()
            .outer_iter()
            .flat_map(|loadings| {
                [1.0, -1.0].map(|sign| {
                    let moved = loadings
                        .iter()
                        .enumerate()
                        .filter(|&(_, loading)| loading * sign > 0.0);
                    moved.map(|(gene, _)| gene).collect::<Vec<_>>()
                })
            })
            .filter(|pool| pool.len() > 1)
            .collect()
    }

    /// Each factor with its targets.
    fn regulon_pools(&self) -> Vec<Vec<usize>> {
        let mut pools: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for edge in self.network().edges() {
            pools
                .entry(edge.source.0)
                .or_insert_with(|| vec![edge.source.0])
                .push(edge.target.0);
        }
        pools.into_values().collect()
    }
}

fn ordered(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

fn opposite(sign: Sign) -> Sign {
    match sign {
        Sign::Activation => Sign::Repression,
        Sign::Repression => Sign::Activation,
    }
}

#[cfg(test)]
mod tests;
