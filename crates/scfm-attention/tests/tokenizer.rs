//! Agreement with the reference arithmetic, run by `golden/generate_tokens.py`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use scfm_attention::geneformer::{Tokenizer, Vocabulary};
use scfm_attention::{Error, TokenPanel};
use scfm_core::{CountMatrix, Panel};
use serde::Deserialize;
use sprs::{CsMat, CsVec};

#[derive(Deserialize)]
struct Golden {
    column_tokens: Vec<u32>,
    max_length: usize,
    dictionary: Option<BTreeMap<String, f64>>,
    cells: Vec<GoldenCell>,
}

#[derive(Deserialize)]
struct GoldenCell {
    total: f64,
    columns: Vec<usize>,
    counts: Vec<f32>,
    tokens: Vec<u32>,
    ties: Vec<(usize, usize)>,
    values: Option<Vec<f64>>,
}

fn read(name: &str) -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn panel(vocabulary: &Vocabulary, tokens: &[u32]) -> TokenPanel {
    let genes = tokens.iter().map(|&token| vocabulary.gene(token).unwrap());
    vocabulary.panel(&Panel::new(genes).unwrap()).unwrap()
}

fn assert_agrees(golden: &Golden, vocabulary: &Vocabulary) {
    let genes = panel(vocabulary, &golden.column_tokens);
    let tokenizer = Tokenizer::new(vocabulary, genes, golden.max_length);
    for (cell, expected) in golden.cells.iter().enumerate() {
        let counts = CsVec::new(
            golden.column_tokens.len(),
            expected.columns.clone(),
            expected.counts.clone(),
        );
        let found = tokenizer
            .cell(cell, counts.view(), expected.total)
            .unwrap()
            .unwrap();
        assert_eq!(found.tokens.len(), expected.tokens.len().min(golden.max_length));
        for (token, column) in found.tokens.iter().zip(&found.columns) {
            assert_eq!(golden.column_tokens[column.unwrap() as usize], *token);
        }
        if let Some(values) = &expected.values {
            // To the last bit, or ties would be broken otherwise.
            for (place, (&token, column)) in found.tokens.iter().zip(&found.columns).enumerate() {
                let at = expected
                    .columns
                    .iter()
                    .position(|&c| Some(c as u32) == *column)
                    .unwrap();
                let median = vocabulary.median(token).unwrap();
                let value = f64::from(expected.counts[at]) * (1.0 / expected.total) * 1e4 * (1.0 / median);
                assert_eq!(value, values[place]);
            }
        }
        let mut place = 0;
        while place < found.tokens.len() {
            let tie = expected.ties.iter().find(|tie| tie.0 == place);
            let end = tie.map_or(place + 1, |tie| tie.1);
            let theirs: BTreeSet<_> = expected.tokens[place..end].iter().collect();
            let ours: BTreeSet<_> = found.tokens[place..end.min(found.tokens.len())].iter().collect();
            // The last tie may be cut by the model's length, and then which of its genes stay is open.
            assert!(
                ours.is_subset(&theirs) && (end > found.tokens.len() || ours == theirs),
                "cell {cell} at {place}"
            );
            place = end;
        }
    }
}

#[test]
fn made_up_cells_are_ranked_as_by_the_reference() {
    let golden = read("tokens_synthetic.json");
    let vocabulary = Vocabulary::of_genes(golden.dictionary.clone().unwrap()).unwrap();
    assert!(golden.cells.iter().any(|cell| !cell.ties.is_empty()));
    assert!(
        golden
            .cells
            .iter()
            .any(|cell| cell.tokens.len() > golden.max_length)
    );
    assert_agrees(&golden, &vocabulary);
}

#[test]
fn cells_are_ranked_as_by_the_reference_with_the_published_v1_dictionaries() {
    let Some(data) = std::env::var_os("SCFM_TEST_DATA") else {
        eprintln!("skipped: SCFM_TEST_DATA is not set");
        return;
    };
    let folder = Path::new(&data).join("models/geneformer_gc30M");
    let tokens = scfm_io::read_token_dictionary(&folder.join("token_dictionary.pkl")).unwrap();
    let medians = scfm_io::read_median_dictionary(&folder.join("gene_median_dictionary.pkl")).unwrap();
    let vocabulary = Vocabulary::new(tokens, medians).unwrap();
    assert_eq!(
        (vocabulary.len(), vocabulary.genes().count(), vocabulary.frame()),
        (25_426, 25_424, None)
    );
    let golden = read("tokens_v1.json");
    assert!(
        golden
            .cells
            .iter()
            .all(|cell| cell.tokens.len() > golden.max_length)
    );
    assert_agrees(&golden, &vocabulary);
}

fn three_genes() -> Vocabulary {
    Vocabulary::of_genes([("G1", 1.0), ("G2", 2.0), ("G3", 2.0)].map(|(g, m)| (g.to_owned(), m))).unwrap()
}

#[test]
fn a_tie_goes_to_the_earlier_column_and_unknown_genes_are_counted() {
    let vocabulary = three_genes();
    let genes = Panel::new(["G3", "unknown", "G2", "G1"]).unwrap();
    let counts = ndarray::array![[4.0, 9.0, 4.0, 1.0], [0.0, 5.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
    let counts = CsMat::csr_from_dense(counts.view(), 0.0);
    let counts = CountMatrix::new(genes.clone(), counts, vec![18.0, 5.0, 1.0]).unwrap();
    let tokenizer = Tokenizer::new(&vocabulary, vocabulary.panel(&genes).unwrap(), 2);
    let (cells, ledger) = tokenizer.cells(&counts).unwrap();

    assert_eq!(cells.len(), 2);
    assert_eq!((cells[0].cell, &*cells[0].tokens), (0, &[4, 3][..]));
    assert_eq!(cells[0].columns, [Some(0), Some(2)]);
    assert_eq!((cells[1].cell, &*cells[1].tokens), (2, &[3][..]));
    let lost: Vec<_> = ledger
        .steps()
        .iter()
        .map(|s| (&*s.subject, s.count, s.examples.join(" ")))
        .collect();
    assert_eq!(
        lost,
        [
            ("genes", 1, "unknown".to_owned()),
            ("cells", 1, "1".to_owned()),
            ("cells tokenised", 2, String::new())
        ]
    );
}

#[test]
fn cells_of_a_model_with_a_frame_begin_and_end_with_it() {
    let tokens = [
        ("<pad>", 0),
        ("<mask>", 1),
        ("<cls>", 2),
        ("<eos>", 3),
        ("G1", 4),
        ("G2", 5),
        ("G3", 6),
    ];
    let medians = ["G1", "G2", "G3"].map(|gene| (gene.to_owned(), 1.0));
    let vocabulary = Vocabulary::new(tokens.map(|(k, t)| (k.to_owned(), t)), medians).unwrap();
    let tokenizer = Tokenizer::new(&vocabulary, panel(&vocabulary, &[4, 5, 6]), 4);
    let cell = tokenizer
        .cell(0, CsVec::new(3, vec![0, 1, 2], vec![1.0, 3.0, 2.0]).view(), 6.0)
        .unwrap()
        .unwrap();
    assert_eq!(cell.tokens, [2, 5, 6, 3]);
    assert_eq!(cell.columns, [None, Some(1), Some(2), None]);
}

#[test]
fn counts_without_a_total_are_refused() {
    let vocabulary = three_genes();
    let tokenizer = Tokenizer::new(&vocabulary, panel(&vocabulary, &[2, 3, 4]), 2);
    for total in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = tokenizer
            .cell(7, CsVec::new(3, vec![1], vec![1.0]).view(), total)
            .unwrap_err();
        assert!(matches!(error, Error::Total { cell: 7, .. }), "{error}");
    }
    assert_eq!(
        tokenizer
            .cell(7, CsVec::new(3, vec![], vec![]).view(), 0.0)
            .unwrap(),
        None
    );
}

proptest! {
    /// The order is that of count / median, so that neither the total nor the order of the columns matters where
    /// no two values tie.
    #[test]
    fn depth_and_column_order_do_not_matter(
        counts in prop::collection::vec(1u16..2000, 20),
        order in Just((0..20).collect::<Vec<usize>>()).prop_shuffle(),
        total in 1e3..1e6f64,
    ) {
        // Square roots of distinct primes times integers never tie.
        let primes = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71];
        let medians = primes.iter().enumerate().map(|(i, &p)| (format!("G{i:02}"), f64::from(p).sqrt()));
        let vocabulary = Vocabulary::of_genes(medians).unwrap();
        let tokens = |columns: &[usize], total: f64| {
            let column_tokens: Vec<u32> = columns.iter().map(|&c| c as u32 + 2).collect();
            let tokenizer = Tokenizer::new(&vocabulary, panel(&vocabulary, &column_tokens), 15);
            let values = columns.iter().map(|&c| f32::from(counts[c])).collect();
            tokenizer.cell(0, CsVec::new(20, (0..20).collect(), values).view(), total).unwrap().unwrap().tokens
        };
        let plain: Vec<usize> = (0..20).collect();
        let expected = tokens(&plain, 1e4);
        prop_assert_eq!(expected.len(), 15);
        prop_assert_eq!(&tokens(&order, 1e4), &expected);
        prop_assert_eq!(&tokens(&plain, total), &expected);
    }
}
