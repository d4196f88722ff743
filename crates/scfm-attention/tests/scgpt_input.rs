//! scGPT's cells: agreement with the published functions on `golden/scgpt_input.json`, which
//! `golden/generate_scgpt_input.py` made, and what must not change them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use scfm_attention::scgpt::{BinRange, Binning, Config, Tokenizer, TokenizerParams, Vocabulary, bin_ranges};
use scfm_attention::{Error, TokenPanel, ValuedCell};
use scfm_core::{CountMatrix, Panel, Seeds};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    rows: Vec<Vec<f32>>,
    bins: Vec<GoldenBins>,
    cells: GoldenCounts,
    zero_shot: GoldenCells,
    fine_tuning: BTreeMap<String, GoldenCells>,
}

#[derive(Deserialize)]
struct GoldenBins {
    seed: u32,
    n_bins: usize,
    binned: Vec<Vec<u32>>,
    low: Vec<Vec<u32>>,
    high: Vec<Vec<u32>>,
}

#[derive(Deserialize)]
struct GoldenCounts {
    seed: u32,
    matrix: Vec<Vec<f32>>,
    gene_ids: Vec<u32>,
}

#[derive(Deserialize)]
struct GoldenCells {
    tokens: Vec<Vec<u32>>,
    values: Vec<Vec<f32>>,
}

fn golden() -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/scgpt_input.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn vocabulary() -> Vocabulary {
    Vocabulary::of_genes((0..57).map(|i| format!("GENE{i}"))).unwrap()
}

/// Counts of the cells over genes of these tokens.
fn counts(rows: &[Vec<f32>], gene_ids: &[u32]) -> CountMatrix {
    let genes = Panel::new(gene_ids.iter().map(|id| format!("GENE{id}"))).unwrap();
    let flat: Vec<f32> = rows.iter().flatten().copied().collect();
    let dense = ndarray::Array2::from_shape_vec((rows.len(), gene_ids.len()), flat).unwrap();
    let totals = rows.iter().map(|row| row.iter().sum::<f32>().into()).collect();
    CountMatrix::new(genes, sprs::CsMat::csr_from_dense(dense.view(), 0.0), totals).unwrap()
}

fn tokenizer(counts: &CountMatrix, params: TokenizerParams) -> Tokenizer {
    let genes: TokenPanel = vocabulary().panel(counts.genes()).unwrap();
    Tokenizer::new(&vocabulary(), genes, params).unwrap()
}

fn zero_shot() -> TokenizerParams {
    TokenizerParams::zero_shot(&Config::released())
}

fn cells(counts: &CountMatrix, params: TokenizerParams) -> Vec<ValuedCell> {
    let rows: Vec<usize> = (0..counts.n_cells()).collect();
    tokenizer(counts, params).cells(counts, &rows).unwrap().0
}

#[test]
fn bins_are_those_of_the_published_function_draw_by_draw() {
    let golden = golden();
    for bins in &golden.bins {
        let params = TokenizerParams {
            binning: Binning::Numpy(bins.seed),
            n_bins: bins.n_bins,
            max_length: 1000,
            ..zero_shot()
        };
        // One stream through rows of different lengths: each has a tokeniser's genes to itself, so they stand side by
        // side in one matrix.
        let genes = Panel::new((0..400).map(|i| format!("G{i}"))).unwrap();
        let vocabulary = Vocabulary::of_genes((0..400).map(|i| format!("G{i}"))).unwrap();
        let panel = vocabulary.panel(&genes).unwrap();
        let mut tokenizer = Tokenizer::new(&vocabulary, panel, params).unwrap();
        for (row, expected) in golden.rows.iter().zip(&bins.binned) {
            let mut padded = row.clone();
            padded.resize(400, 0.0);
            let dense = ndarray::Array2::from_shape_vec((1, 400), padded).unwrap();
            let row = sprs::CsMat::csr_from_dense(dense.view(), 0.0);
            let mut found = vec![0; expected.len()];
            if let Some(cell) = tokenizer.cell(0, 0, row.outer_view(0).unwrap()).unwrap() {
                for (token, value) in cell.tokens()[1..].iter().zip(&cell.values()[1..]) {
                    found[*token as usize] = *value as u32;
                }
            }
            assert_eq!(&found, expected);
        }
    }
}

#[test]
fn the_bins_that_a_value_may_get_are_those_of_the_published_function() {
    let golden = golden();
    let mut n_tied = 0;
    for bins in &golden.bins {
        for (row, (low, high)) in golden.rows.iter().zip(bins.low.iter().zip(&bins.high)) {
            let values: Vec<f32> = row.iter().copied().filter(|&x| x > 0.0).collect();
            let expected = |bins: &[u32]| bins.iter().copied().filter(|&bin| bin > 0).collect::<Vec<_>>();
            let expected: Vec<BinRange> = expected(low)
                .into_iter()
                .zip(expected(high))
                .map(|(low, high)| BinRange { low, high })
                .collect();
            n_tied += expected.iter().filter(|range| range.is_tied()).count();
            assert_eq!(bin_ranges(&values, bins.n_bins), expected);
        }
    }
    assert!(n_tied > 500, "{n_tied} values with a choice");
}

#[test]
fn cells_of_both_published_pipelines_are_the_same_as_theirs() {
    let golden = golden();
    let counts = counts(&golden.cells.matrix, &golden.cells.gene_ids);
    let numpy = Binning::Numpy(golden.cells.seed);
    let fine_tuning = TokenizerParams::fine_tuning(&Config::released());
    for (expected, params) in [
        (&golden.zero_shot, zero_shot()),
        (&golden.fine_tuning["with_zeros"], fine_tuning.clone()),
        (
            &golden.fine_tuning["without_zeros"],
            TokenizerParams {
                include_zeros: false,
                ..fine_tuning
            },
        ),
    ] {
        let found = cells(
            &counts,
            TokenizerParams {
                binning: numpy,
                ..params
            },
        );
        // The vocabularies differ in the number of <cls> alone.
        let tokens: Vec<Vec<u32>> = found.iter().map(|cell| cell.tokens().to_vec()).collect();
        let values: Vec<Vec<f32>> = found.iter().map(|cell| cell.values().to_vec()).collect();
        assert_eq!(tokens, expected.tokens);
        assert_eq!(values, expected.values);
    }
}

#[test]
fn by_default_bins_are_in_the_middle_and_random_ones_belong_to_the_cell() {
    let golden = golden();
    let counts = counts(&golden.cells.matrix, &golden.cells.gene_ids);
    for (cell, row) in cells(&counts, zero_shot()).iter().zip(&golden.cells.matrix) {
        let values: Vec<f32> = row.iter().copied().filter(|&x| x > 0.0).collect();
        let middles: Vec<f32> = bin_ranges(&values, 51)
            .iter()
            .map(|r| r.middle() as f32)
            .collect();
        assert_eq!(cell.values()[1..], middles);
    }

    let random = |seed| TokenizerParams {
        binning: Binning::Random,
        seeds: Seeds::new(seed),
        ..zero_shot()
    };
    let all = cells(&counts, random(5));
    assert_eq!(all, cells(&counts, random(5)));
    assert_ne!(all, cells(&counts, random(6)));
    // The last cells alone, by their rows in the file, are as they were among the others.
    let last = scfm_core::CountMatrix::new(
        counts.genes().clone(),
        counts.counts().slice_outer(4..6).to_owned(),
        counts.totals()[4..6].to_vec(),
    )
    .unwrap();
    let mut tokenizer = tokenizer(&last, random(5));
    let (found, _) = tokenizer.cells(&last, &[4, 5]).unwrap();
    for (found, expected) in found.iter().zip(&all[4..]) {
        assert_eq!(
            (found.tokens(), found.values()),
            (expected.tokens(), expected.values())
        );
    }
    let (tied, values) = tokenizer.tied_values();
    assert!(tied > 0 && tied <= values, "{tied} of {values}");
}

#[test]
fn long_cells_keep_a_random_part_with_the_bins_of_the_whole() {
    let golden = golden();
    let counts = counts(&golden.cells.matrix, &golden.cells.gene_ids);
    let whole = cells(&counts, zero_shot());
    let cut = |seed| {
        let params = TokenizerParams {
            max_length: 6,
            seeds: Seeds::new(seed),
            ..zero_shot()
        };
        cells(&counts, params)
    };
    for (cut, whole) in cut(1).iter().zip(&whole) {
        assert_eq!(cut.tokens().len(), whole.tokens().len().min(6));
        assert_eq!((cut.tokens()[0], cut.values()[0]), (vocabulary().cls(), -2.0));
        for (token, value) in cut.tokens().iter().zip(cut.values()) {
            let at = whole.tokens().iter().position(|t| t == token).unwrap();
            assert_eq!(*value, whole.values()[at]);
        }
    }
    assert_eq!(cut(1), cut(1));
    assert_ne!(cut(1), cut(2));
}

#[test]
fn variable_genes_are_tokens_with_bins_among_all_genes() {
    let golden = golden();
    let counts = counts(&golden.cells.matrix, &golden.cells.gene_ids);
    let whole = cells(&counts, TokenizerParams::fine_tuning(&Config::released()));
    let panel = Panel::new(counts.genes().genes()[10..25].to_vec()).unwrap();
    let params = TokenizerParams::fine_tuning(&Config::released());
    let rows: Vec<usize> = (0..counts.n_cells()).collect();
    let (found, _) = tokenizer(&counts, params)
        .restricted_to(&panel)
        .cells(&counts, &rows)
        .unwrap();
    for (found, whole) in found.iter().zip(&whole) {
        assert_eq!(found.tokens()[1..], whole.tokens()[11..26]);
        assert_eq!(found.values()[1..], whole.values()[11..26]);
        assert_eq!(found.values()[0], 0.0);
    }
}

#[test]
fn bins_that_are_given_are_taken_as_they_are_and_checked() {
    let given = TokenizerParams {
        binning: Binning::Given,
        ..zero_shot()
    };
    let found = cells(&counts(&[vec![0.0, 50.0, 3.0]], &[4, 5, 6]), given.clone());
    assert_eq!(found[0].tokens()[1..], [5, 6]);
    assert_eq!(found[0].values(), [-2.0, 50.0, 3.0]);
    for wrong in [51.0, 0.5] {
        let genes = vocabulary()
            .panel(&Panel::new(["GENE4", "GENE5"]).unwrap())
            .unwrap();
        let mut tokenizer = Tokenizer::new(&vocabulary(), genes, given.clone()).unwrap();
        let row = sprs::CsVec::new(2, vec![0, 1], vec![1.0, wrong]);
        let error = tokenizer.cell(0, 0, row.view()).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Bin {
                    cell: 0,
                    last: 50,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("GENE5"), "{error}");
    }
}

#[test]
fn cells_without_a_known_gene_and_unknown_genes_are_counted() {
    let genes = Panel::new(["GENE1", "unknown"]).unwrap();
    let dense = ndarray::array![[0.0, 3.0], [1.0, 0.0]];
    let counts = sprs::CsMat::csr_from_dense(dense.view(), 0.0);
    let counts = CountMatrix::new(genes, counts, vec![3.0, 1.0]).unwrap();
    let (cells, ledger) = tokenizer(&counts, zero_shot()).cells(&counts, &[0, 1]).unwrap();
    assert_eq!(
        (cells.len(), cells[0].tokens()),
        (1, &[vocabulary().cls(), 1][..])
    );
    let steps: Vec<_> = ledger
        .steps()
        .iter()
        .map(|s| (s.reason.as_str(), s.count))
        .collect();
    assert_eq!(
        steps,
        [
            ("not in the model's vocabulary", 1),
            ("no count in any gene of the model", 1),
            ("kept", 1)
        ]
    );
    for params in [
        TokenizerParams {
            n_bins: 2,
            ..zero_shot()
        },
        TokenizerParams {
            max_length: 1,
            ..zero_shot()
        },
        TokenizerParams {
            cls_value: f32::NAN,
            ..zero_shot()
        },
    ] {
        let panel = vocabulary().panel(counts.genes()).unwrap();
        let error = Tokenizer::new(&vocabulary(), panel, params).unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error}");
    }
}
