use std::fmt;

use scfm_core::{GeneId, Seeds, Source, Target};

use crate::network::Sign;
use crate::world::World;
use crate::{Error, draw, error::check};

/// How well a curated reference knows the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceParams {
    /// Share of true edges that the reference lacks.
    pub missing: f64,
    /// Share of the reference's edges that are not true.
    pub wrong: f64,
    /// Share of edges whose direction of effect is not recorded.
    pub unknown_mode: f64,
}

impl Default for ReferenceParams {
    fn default() -> Self {
        Self {
            missing: 0.4,
            wrong: 0.15,
            unknown_mode: 0.3,
        }
    }
}

/// A row of a reference network in TRRUST's terms. Displays as TRRUST's tab-separated line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceRow {
    /// The transcription factor.
    pub tf: GeneId,
    /// Its target.
    pub target: GeneId,
    /// The direction of the effect, `None` where it is not recorded.
    pub mode: Option<Sign>,
    /// Number of the publication, in a range that PubMed has not reached.
    pub pmid: u64,
}

impl fmt::Display for ReferenceRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Some(Sign::Activation) => "Activation",
            Some(Sign::Repression) => "Repression",
            None => "Unknown",
        };
        write!(f, "{}\t{}\t{mode}\t{}", self.tf, self.target, self.pmid)
    }
}

impl World {
    /// A curated reference network as a user would have it: some true edges are missing, some edges are wrong. Wrong
    /// edges favour factors with many true ones, as curation does. Sorted by factor and target; a pair comes once.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the first parameter out of range.
    pub fn reference(&self, params: &ReferenceParams, seeds: Seeds) -> Result<Vec<ReferenceRow>, Error> {
        check("missing", params.missing, 0.0, 1.0)?;
        check("wrong", params.wrong, 0.0, 0.99)?;
        check("unknown_mode", params.unknown_mode, 0.0, 1.0)?;
        let rng = &mut self.stream(seeds, "reference", 0);
        let network = self.network();

        let mut pairs: Vec<(Source, Target, Sign)> = Vec::new();
        for edge in network.edges() {
            if !draw::chance(rng, params.missing) {
                pairs.push((edge.source, edge.target, edge.sign));
            }
        }
        let n_wrong = (pairs.len() as f64 * params.wrong / (1.0 - params.wrong)).round() as usize;
        let degrees = network.out_degrees();
        let false_pairs: Vec<(Source, Target)> = network
            .tfs()
            .iter()
            .flat_map(|&tf| (0..network.n_genes()).map(move |gene| (Source(tf), Target(gene))))
            .filter(|&(source, target)| source.0 != target.0 && !network.contains(source, target))
            .collect();
        let weights: Vec<f64> = false_pairs
            .iter()
            .map(|(source, _)| degrees[source.0] as f64)
            .collect();
        for i in draw::weighted_sample(rng, &weights, n_wrong) {
            let (source, target) = false_pairs[i];
            let sign = if draw::chance(rng, 0.5) {
                Sign::Activation
            } else {
                Sign::Repression
            };
            pairs.push((source, target, sign));
        }

        pairs.sort_unstable_by_key(|&(source, target, _)| (source, target));
        Ok(pairs
            .into_iter()
            .zip(900_000_001..)
            .map(|((source, target, sign), pmid)| ReferenceRow {
                tf: self.genes().gene(source.0).clone(),
                target: self.genes().gene(target.0).clone(),
                mode: (!draw::chance(rng, params.unknown_mode)).then_some(sign),
                pmid,
            })
            .collect())
    }
}
