//! Which kind of relation edges follow at which depth (analysis 5 of the battery).
//!
//! Relations without a direction (interaction, co-annotation) are judged on unordered pairs, a pair's score being the mean
//! of both directions; a pair with one direction alone has no such mean and takes no part. A regulatory network is judged
//! on its own candidates, source and target told apart.

use ndarray::ArrayView2;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use scfm_stats::{
    NodeBootstrap, NodeInfluence, PValue, SortedScores, TestResult, Undefined, benjamini_hochberg, defined,
    hypergeometric_enrichment, node_influence,
};

use crate::{CandidateUniverse, Error, PairSet};

/// Relations between the genes of one panel.
#[derive(Debug, Clone)]
pub enum Relation {
    /// Unordered pairs.
    Undirected(PairSet),
    /// A regulatory network over the panel: sources are TFs of the panel, targets the panel itself.
    Directed(CandidateUniverse),
}

/// A relation by its name.
#[derive(Debug, Clone)]
pub struct NamedRelation {
    /// How it is called.
    pub name: &'static str,
    /// Its pairs.
    pub relation: Relation,
}

/// How one relation is recovered, layer by layer.
#[derive(Debug, Clone)]
pub struct RelationProfile {
    /// The relation.
    pub name: &'static str,
    /// Its pairs among those that are ranked.
    pub n_pos: usize,
    /// Pairs that are ranked: those with a score at every layer.
    pub n_pairs: usize,
    /// AUROC and gene influences by layer.
    pub layers: Result<Vec<NodeInfluence>, Undefined>,
    /// AUROC of the score that has no layers, on the same pairs.
    pub comparison: Result<f64, Undefined>,
    /// Enrichment among the highest edges at each of the layers that were asked for.
    pub enrichment: Vec<Enrichment>,
}

/// How many of the highest edges of a layer a relation has.
#[derive(Debug, Clone)]
pub struct Enrichment {
    /// The layer.
    pub layer: usize,
    /// Edges that are looked at.
    pub n_top: usize,
    /// Those that the relation has.
    pub hits: usize,
    /// Hits over what chance gives.
    pub fold: f64,
    /// Hypergeometric, one-sided.
    pub p: PValue,
}

/// Profiles of several relations with their tests.
#[derive(Debug, Clone)]
pub struct LayerRelations {
    /// One per relation, in the order given.
    pub profiles: Vec<RelationProfile>,
    /// All defined profiles resampled together by gene.
    pub bootstrap: Option<NodeBootstrap>,
    /// Columns of the bootstrap that belong to each relation.
    columns: Vec<Option<Vec<usize>>>,
    /// Unordered pairs with a score in one direction only, at some layer.
    pub n_one_way: usize,
}

/// What is judged beside AUROC.
#[derive(Debug, Clone)]
pub struct RelationParams {
    /// Resamples of genes.
    pub n_bootstrap: usize,
    /// Layers at which the highest edges are looked at.
    pub enriched_layers: Vec<usize>,
    /// How many edges; at most half of all pairs.
    pub n_top: usize,
}

impl RelationParams {
    /// Five layers from the first to the last of `n_layers`, or all where there are fewer.
    pub fn spread(n_layers: usize) -> Vec<usize> {
        let last = n_layers.saturating_sub(1);
        let mut layers: Vec<usize> = (0..=4).map(|i| (i * last + 2) / 4).collect();
        layers.dedup();
        layers.retain(|&layer| layer < n_layers);
        layers
    }
}

/// AUROC of `layers`, `[source, target]` over one panel, against every relation at every layer, with what is needed to test
/// their profiles. `comparison` has no layers and ranks the same pairs.
///
/// Resample i draws from `stream(i)`. Each layer is sorted once for all undirected relations and once for each directed
/// one.
///
/// # Errors
/// Those of ranking and resampling.
///
/// # Panics
/// When matrices and relations have different sizes, or there is no layer.
pub fn layer_relations(
    layers: &[ArrayView2<'_, f32>],
    comparison: ArrayView2<'_, f32>,
    relations: &[NamedRelation],
    params: &RelationParams,
    stream: impl Fn(u64) -> ChaCha8Rng + Sync,
) -> Result<LayerRelations, Error> {
    let n_genes = layers.first().expect("at least one layer").nrows();
    for matrix in layers.iter().chain([&comparison]) {
        assert_eq!(matrix.dim(), (n_genes, n_genes), "scores over one panel");
    }
    let (undirected, n_one_way) = unordered(layers, comparison);
    let labels_of = |set: &PairSet| -> Vec<bool> {
        assert_eq!(set.n_genes(), n_genes, "pairs of the panel");
        undirected
            .iter()
            .map(|&(a, b)| set.contains(a as usize, b as usize))
            .collect()
    };
    let mean = |matrix: &ArrayView2<'_, f32>, (a, b): (u32, u32)| {
        let (a, b) = (a as usize, b as usize);
        0.5 * (f64::from(matrix[[a, b]]) + f64::from(matrix[[b, a]]))
    };
    let one_way =
        |matrix: &ArrayView2<'_, f32>, (a, b): (u32, u32)| f64::from(matrix[[a as usize, b as usize]]);

    let sets: Vec<(usize, Vec<bool>)> = relations
        .iter()
        .enumerate()
        .filter_map(|(at, named)| match &named.relation {
            Relation::Undirected(set) => Some((at, labels_of(set))),
            Relation::Directed(_) => None,
        })
        .collect();
    let labels: Vec<&[bool]> = sets.iter().map(|(_, labels)| labels.as_slice()).collect();
    let found = judge(layers, comparison, &undirected, &labels, n_genes, params, mean)?;
    let mut profiles: Vec<Option<RelationProfile>> = vec![None; relations.len()];
    for ((at, _), found) in sets.iter().zip(found) {
        profiles[*at] = Some(found.named(relations[*at].name));
    }
    for (at, named) in relations.iter().enumerate() {
        if let Relation::Directed(universe) = &named.relation {
            let (pairs, labels) = candidates(layers, comparison, universe);
            let found = judge(layers, comparison, &pairs, &[&labels], n_genes, params, one_way)?;
            profiles[at] = found.into_iter().next().map(|found| found.named(named.name));
        }
    }
    let profiles: Vec<RelationProfile> = profiles.into_iter().flatten().collect();

    let mut influences = Vec::new();
    let mut columns = Vec::new();
    for profile in &profiles {
        columns.push(profile.layers.as_ref().ok().map(|of_layers| {
            let start = influences.len();
            influences.extend(of_layers.iter().cloned());
            (start..influences.len()).collect()
        }));
    }
    let bootstrap = match influences.is_empty() {
        true => None,
        false => Some(NodeBootstrap::new(&influences, params.n_bootstrap, stream)?),
    };
    Ok(LayerRelations {
        profiles,
        bootstrap,
        columns,
        n_one_way,
    })
}

impl LayerRelations {
    /// Spearman's correlation of a relation's AUROC with depth, by bootstrap over genes; `None` where there is no such
    /// relation.
    pub fn depth(&self, name: &str) -> Option<Result<TestResult, Undefined>> {
        let at = self.position(name)?;
        Some(
            self.of(at)
                .and_then(|(bootstrap, columns)| or_reason(bootstrap.trend(columns))),
        )
    }

    /// Spearman's correlation of two relations' profiles, by bootstrap over genes; `None` where one is not there.
    pub fn profile_correlation(&self, a: &str, b: &str) -> Option<Result<TestResult, Undefined>> {
        let (a, b) = (self.position(a)?, self.position(b)?);
        Some(self.of(a).and_then(|(bootstrap, first)| {
            let (_, second) = self.of(b)?;
            or_reason(bootstrap.profile_correlation(first, second))
        }))
    }

    /// The 95 % interval of a relation's AUROC at a layer.
    pub fn interval(&self, profile: usize, layer: usize) -> Option<scfm_stats::Interval> {
        let column = *self.columns.get(profile)?.as_ref()?.get(layer)?;
        Some(self.bootstrap.as_ref()?.interval(column))
    }

    /// Whether each enrichment, relation by relation, is significant among all of them at a false discovery rate of
    /// `alpha`.
    pub fn enriched(&self, alpha: f64) -> Vec<Vec<bool>> {
        let p: Vec<f64> = self.enrichments().map(|enrichment| enrichment.p.p()).collect();
        let mut adjusted = benjamini_hochberg(&p).into_iter();
        self.profiles
            .iter()
            .map(|profile| {
                let of = profile.enrichment.iter().zip(&mut adjusted);
                of.map(|(_, q)| q <= alpha).collect()
            })
            .collect()
    }

    fn enrichments(&self) -> impl Iterator<Item = &Enrichment> {
        self.profiles.iter().flat_map(|profile| &profile.enrichment)
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.profiles.iter().position(|profile| profile.name == name)
    }

    fn of(&self, at: usize) -> Result<(&NodeBootstrap, &[usize]), Undefined> {
        self.profiles[at].layers.as_ref().map_err(Clone::clone)?;
        let found = self.bootstrap.as_ref().zip(self.columns[at].as_deref());
        Ok(found.expect("a profile with values was resampled"))
    }
}

/// A result whose errors can only be that it is undefined.
fn or_reason(result: Result<TestResult, scfm_stats::Error>) -> Result<TestResult, Undefined> {
    result.map_err(|error| match error {
        scfm_stats::Error::Undefined(reason) => reason,
        other => unreachable!("profiles of numbers and of one length: {other}"),
    })
}

/// A profile that does not know its name yet.
struct Judged {
    n_pos: usize,
    n_pairs: usize,
    layers: Result<Vec<NodeInfluence>, Undefined>,
    comparison: Result<f64, Undefined>,
    enrichment: Vec<Enrichment>,
}

impl Judged {
    fn named(self, name: &'static str) -> RelationProfile {
        let Self {
            n_pos,
            n_pairs,
            layers,
            comparison,
            enrichment,
        } = self;
        RelationProfile {
            name,
            n_pos,
            n_pairs,
            layers,
            comparison,
            enrichment,
        }
    }
}

/// What one layer says of one relation.
type OfLayer = (Result<NodeInfluence, Undefined>, Option<Enrichment>);

/// Ranks `pairs` at every layer, once for all of `labels`.
fn judge(
    layers: &[ArrayView2<'_, f32>],
    comparison: ArrayView2<'_, f32>,
    pairs: &[(u32, u32)],
    labels: &[&[bool]],
    n_genes: usize,
    params: &RelationParams,
    score: impl Fn(&ArrayView2<'_, f32>, (u32, u32)) -> f64 + Sync,
) -> Result<Vec<Judged>, Error> {
    let sort = |matrix: &ArrayView2<'_, f32>| {
        let scores: Vec<f64> = pairs.iter().map(|&pair| score(matrix, pair)).collect();
        SortedScores::new(&scores)
    };
    let n_top = params.n_top.min(pairs.len() / 2);
    // By layer, then by relation.
    let by_layer: Vec<Vec<OfLayer>> = layers
        .par_iter()
        .enumerate()
        .map(|(layer, matrix)| {
            let sorted = sort(matrix)?;
            let enriched = params.enriched_layers.contains(&layer);
            labels
                .iter()
                .map(|labels| {
                    let influence = defined(node_influence(&sorted, labels, pairs, n_genes))?;
                    let enrichment = match enriched && n_top > 0 {
                        true => enrichment(&sorted, labels, layer, n_top)?,
                        false => None,
                    };
                    Ok((influence, enrichment))
                })
                .collect::<Result<Vec<_>, Error>>()
        })
        .collect::<Result<_, Error>>()?;
    let compared = sort(&comparison)?;
    labels
        .iter()
        .enumerate()
        .map(|(at, labels)| {
            let of_layers = by_layer.iter().map(|found| found[at].0.clone());
            Ok(Judged {
                n_pos: labels.iter().filter(|&&label| label).count(),
                n_pairs: pairs.len(),
                layers: of_layers.collect(),
                comparison: defined(compared.auroc(labels))?,
                enrichment: by_layer.iter().filter_map(|found| found[at].1.clone()).collect(),
            })
        })
        .collect()
}

/// The highest pairs of a layer against a relation; of equal scores at the boundary as many count as are expected.
fn enrichment(
    sorted: &SortedScores,
    labels: &[bool],
    layer: usize,
    n_top: usize,
) -> Result<Option<Enrichment>, Error> {
    let n_pos = labels.iter().filter(|&&label| label).count();
    if n_pos == 0 {
        return Ok(None);
    }
    let Ok(top) = defined(sorted.top_k(labels, n_top))? else {
        return Ok(None);
    };
    let hits = top.expected_true_positives.round() as usize;
    let p = hypergeometric_enrichment(hits as u64, labels.len() as u64, n_pos as u64, n_top as u64)?;
    let expected = n_top as f64 * n_pos as f64 / labels.len() as f64;
    Ok(Some(Enrichment {
        layer,
        n_top,
        hits,
        fold: hits as f64 / expected,
        p,
    }))
}

/// Unordered pairs with a score in both directions at every layer and in the comparison, and how many lack one.
fn unordered(layers: &[ArrayView2<'_, f32>], comparison: ArrayView2<'_, f32>) -> (Vec<(u32, u32)>, usize) {
    let n = comparison.nrows();
    let (mut pairs, mut n_one_way) = (Vec::new(), 0);
    for a in 0..n {
        for b in a + 1..n {
            let (mut both, mut one) = (true, false);
            for matrix in layers {
                let [there, back] = [[a, b], [b, a]].map(|pair| !matrix[pair].is_nan());
                both &= there && back;
                one |= there != back;
            }
            n_one_way += usize::from(one);
            if both && !(comparison[[a, b]].is_nan() || comparison[[b, a]].is_nan()) {
                pairs.push((a as u32, b as u32));
            }
        }
    }
    (pairs, n_one_way)
}

/// Candidates of a directed relation with a score at every layer and in the comparison, and which of them it has.
fn candidates(
    layers: &[ArrayView2<'_, f32>],
    comparison: ArrayView2<'_, f32>,
    universe: &CandidateUniverse,
) -> (Vec<(u32, u32)>, Vec<bool>) {
    assert_eq!(
        universe.targets().len(),
        comparison.ncols(),
        "targets are the panel"
    );
    let (mut pairs, mut labels) = (Vec::new(), Vec::new());
    for (row, tf) in universe.tfs().genes().iter().enumerate() {
        let source = universe
            .targets()
            .position(tf.as_str())
            .expect("TFs are genes of the panel");
        for target in 0..comparison.ncols() {
            let scored = layers
                .iter()
                .chain([&comparison])
                .all(|matrix| !matrix[[source, target]].is_nan());
            if universe.candidate()[[row, target]] && scored {
                pairs.push((source as u32, target as u32));
                labels.push(universe.positive()[[row, target]]);
            }
        }
    }
    (pairs, labels)
}
