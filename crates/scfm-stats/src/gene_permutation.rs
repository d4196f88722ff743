use ndarray::ArrayView2;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::bootstrap::resamples;
use crate::error::{Error, Undefined};
use crate::grid::LabelledGrid;
use crate::permutation::{PermutationLimits, permutation_test};
use crate::result::{Alternative, EffectKind, TestResult};

/// Class of a cell; 0 is no candidate.
const NEGATIVE: u8 = 1;
const POSITIVE: u8 = NEGATIVE << 1;

/// Share of cells that must be candidates. Where fewer are, permuted scores fall on cells that count for nothing, rows
/// lose a class, and the null shrinks towards 0.5: p-values would be too small.
const DENSE: f64 = 0.9;

/// Tests whether scores have any association with labels by permuting the column identities of the scores, the same
/// permutation in every row; statistic and effect = mean AUROC, two-sided by its distance from 0.5.
///
/// Shared gene-level parts of scores and of labels stay in the null, which a permutation within rows would lose.
/// A score keeps out of every ranking where its own cell was no candidate (the perturbed gene's entry), so a row of a
/// permuted design ranks the candidates that received a candidate's score; a row left with one class by that is left
/// out of the permuted mean. Not a test of a difference between scores. Permutation i draws from `stream(i)`.
///
/// O(`n_permutations` · rows · columns), on all threads.
///
/// # Errors
/// [`Undefined::OneClassRow`], [`Undefined::TooFew`] unless 90 % of the cells are candidates; [`Error::Shape`],
/// [`Error::Empty`], [`Error::CellNotANumber`]; [`Error::OutOfRange`] for 0 permutations.
pub fn gene_permutation_auroc(
    scores: ArrayView2<f64>,
    labels: LabelledGrid,
    n_permutations: usize,
    stream: impl Fn(u64) -> ChaCha8Rng + Sync,
) -> Result<TestResult, Error> {
    resamples(n_permutations)?;
    let sorted = labels.sort(scores)?;
    let n = labels.candidate.iter().filter(|&&candidate| candidate).count();
    let needed = (DENSE * labels.candidate.len() as f64).ceil() as usize;
    if n < needed {
        return Err(Undefined::TooFew {
            what: "candidates for a permutation of columns",
            n,
            needed,
        }
        .into());
    }
    // Bytes keep a row in the nearest cache, and comparing them takes no branch to mispredict.
    let classes: Vec<Vec<u8>> = (0..labels.n_rows())
        .map(|row| {
            let cells = labels
                .candidate
                .row(row)
                .into_iter()
                .zip(labels.positive.row(row));
            cells
                .map(|(&candidate, &positive)| u8::from(candidate) << u8::from(positive))
                .collect()
        })
        .collect();
    // `column_of[i]` is the column that receives the scores of column i.
    let mean_auroc = |column_of: &[u32]| {
        let (mut sum, mut n) = (0.0, 0);
        for (sorted, classes) in sorted.iter().zip(&classes) {
            let wins = sorted.wins(|column| {
                let class = classes[column_of[column] as usize];
                (u64::from(class == POSITIVE), u64::from(class == NEGATIVE))
            });
            if let Some(auroc) = wins.auroc() {
                sum += auroc;
                n += 1;
            }
        }
        if n == 0 { 0.5 } else { sum / f64::from(n) }
    };
    let identity: Vec<u32> = (0..labels.n_columns() as u32).collect();
    let observed = mean_auroc(&identity);
    let limits = PermutationLimits {
        max: n_permutations,
        stop_after: None,
    };
    let permuted = permutation_test(observed - 0.5, Alternative::TwoSided, limits, |index| {
        let mut column_of = identity.clone();
        column_of.shuffle(&mut stream(index));
        mean_auroc(&column_of) - 0.5
    })?;
    Ok(TestResult {
        method: "permutation of score columns",
        alternative: Alternative::TwoSided,
        statistic: observed,
        p: permuted.p,
        sides: None,
        effect: observed,
        effect_kind: EffectKind::Auroc,
        ci: None,
        n: labels.n_rows(),
        n_unit: "rows",
    })
}
