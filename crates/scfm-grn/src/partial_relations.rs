use ndarray::{Array2, ArrayView2};
use rand_chacha::ChaCha8Rng;
use scfm_stats::{PartialMembership, Undefined, defined, node_permutation_partial};

use crate::{CandidateUniverse, Error, NamedRelation, Relation};

/// What of edges goes with one relation, given co-expression.
#[derive(Debug, Clone)]
pub struct PartialRelation {
    /// The relation.
    pub name: &'static str,
    /// Its partial rank correlation, and the correlation without regard to co-expression.
    pub correlation: Result<PartialMembership, Undefined>,
}

/// A relation by its place, with its ordered pairs.
type Members = (usize, Vec<(u32, u32)>);

/// Partial rank correlations of one layer's edges with memberships given co-expression, by permutation of genes.
///
/// `scores` and `coexpression` go over one panel. Directed relations take the scores as they are, over ordered pairs of
/// different genes; undirected ones their mean over both directions. Genes whose co-expression is constant are left out.
/// `stream(purpose, i)` gives the numbers of permutation i.
///
/// # Errors
/// Those of the permutation test but for undefined results.
///
/// # Panics
/// When matrices and relations have different sizes.
pub fn partial_memberships(
    scores: ArrayView2<'_, f32>,
    coexpression: ArrayView2<'_, f32>,
    relations: &[NamedRelation],
    n_permutations: usize,
    stream: impl Fn(&str, u64) -> ChaCha8Rng + Sync,
) -> Result<Vec<PartialRelation>, Error> {
    let n = scores.nrows();
    assert_eq!(
        (scores.dim(), coexpression.dim()),
        ((n, n), (n, n)),
        "scores over one panel"
    );
    let kept: Vec<usize> = (0..n)
        .filter(|&gene| !coexpression[[gene, gene]].is_nan())
        .collect();
    let mut place = vec![None; n];
    kept.iter()
        .enumerate()
        .for_each(|(at, &gene)| place[gene] = Some(at as u32));
    let size = (kept.len(), kept.len());
    let directed = Array2::from_shape_fn(size, |(a, b)| f64::from(scores[[kept[a], kept[b]]]));
    let mean = Array2::from_shape_fn(size, |(a, b)| 0.5 * (directed[[a, b]] + directed[[b, a]]));
    let covariate = Array2::from_shape_fn(size, |(a, b)| f64::from(coexpression[[kept[a], kept[b]]]));

    let mut members: [Vec<Members>; 2] = [Vec::new(), Vec::new()];
    for (at, named) in relations.iter().enumerate() {
        let (is_directed, pairs): (bool, Vec<(usize, usize)>) = match &named.relation {
            Relation::Undirected(set) => (false, set.iter().flat_map(|(a, b)| [(a, b), (b, a)]).collect()),
            Relation::Directed(universe) => (true, positives(universe)),
        };
        let kept = pairs
            .into_iter()
            .filter_map(|(a, b)| Some((place[a]?, place[b]?)));
        members[usize::from(is_directed)].push((at, kept.collect()));
    }
    let mut found: Vec<Option<Result<PartialMembership, Undefined>>> = vec![None; relations.len()];
    for (members, (scores, purpose)) in members
        .iter()
        .zip([(&mean, "undirected"), (&directed, "directed")])
    {
        if members.is_empty() {
            continue;
        }
        let sets: Vec<Vec<(u32, u32)>> = members.iter().map(|(_, pairs)| pairs.clone()).collect();
        let tested = defined(node_permutation_partial(
            scores.view(),
            covariate.view(),
            &sets,
            n_permutations,
            |i| stream(purpose, i),
        ))?;
        for (i, (at, _)) in members.iter().enumerate() {
            found[*at] = Some(match &tested {
                Ok(tested) => tested[i].clone(),
                Err(reason) => Err(reason.clone()),
            });
        }
    }
    let named = |(named, found): (&NamedRelation, Option<_>)| {
        Some(PartialRelation {
            name: named.name,
            correlation: found?,
        })
    };
    Ok(relations.iter().zip(found).filter_map(named).collect())
}

/// Reference pairs of a universe by position in the panel of its targets.
fn positives(universe: &CandidateUniverse) -> Vec<(usize, usize)> {
    let source = |row: usize| universe.targets().position(universe.tfs().gene(row).as_str());
    let pairs = universe.positive();
    let pairs = pairs.indexed_iter().filter(|(_, positive)| **positive);
    pairs
        .map(|((row, target), _)| (source(row).expect("TFs are genes of the panel"), target))
        .collect()
}
