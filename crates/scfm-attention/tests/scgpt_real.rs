//! The published vocabulary of scGPT and real cells, in the folder that `SCFM_TEST_DATA` names.

use std::path::PathBuf;

use scfm_attention::scgpt::{Binning, Config, Tokenizer, TokenizerParams, Vocabulary};
use scfm_io::{GeneMap, H5ad, ReadLimits, read_token_dictionary};

fn test_data() -> Option<PathBuf> {
    let folder = std::env::var_os("SCFM_TEST_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: SCFM_TEST_DATA is not set");
    }
    folder
}

#[test]
fn the_published_vocabulary_and_real_cells_give_what_is_known_of_them() {
    let Some(data) = test_data() else { return };
    let entries = read_token_dictionary(&data.join("models/scgpt/default_census_vocab.json")).unwrap();
    let vocabulary = Vocabulary::new(entries).unwrap();
    // The embedding of whole-human has 60,697 rows and pads with 60,694.
    assert_eq!(
        (vocabulary.len(), vocabulary.pad(), vocabulary.cls()),
        (60_697, 60_694, 60_695)
    );
    let in_order = |symbols: &[&str]| symbols.iter().all(|symbol| vocabulary.token(symbol).is_some());
    assert!(in_order(&["STAT1", "IRF1", "MT-CO1", "GATA1", "HLA-A"]));

    for screen in [
        "perturb/papalexi2021/papalexi2021_subset.h5ad",
        "cells/kang2018/kang2018_subset.h5ad",
    ] {
        let file = H5ad::open(&data.join(screen), &ReadLimits::default()).unwrap();
        let map = GeneMap::new(&file.var().unwrap().index().unwrap());
        let genes = vocabulary.panel(map.panel()).unwrap();
        let share = genes.n_known() as f64 / map.panel().len() as f64;
        let rows: Vec<usize> = (0..file.n_cells()).step_by(file.n_cells() / 50).collect();
        let counts = file.cells(&file.counts_matrix().unwrap(), &rows, &map).unwrap();
        let mut shares = Vec::new();
        for binning in [Binning::Middle, Binning::Random, Binning::Numpy(0)] {
            let params = TokenizerParams {
                binning,
                ..TokenizerParams::zero_shot(&Config::released())
            };
            let mut tokenizer = Tokenizer::new(&vocabulary, genes.clone(), params).unwrap();
            let (cells, _) = tokenizer.cells(&counts, &rows).unwrap();
            for cell in &cells {
                assert!((2..=1200).contains(&cell.tokens().len()) && cell.tokens()[0] == vocabulary.cls());
                assert!(cell.values()[1..].iter().all(|bin| (1.0..=50.0).contains(bin)));
            }
            let (tied, values) = tokenizer.tied_values();
            shares.push(tied as f64 / values as f64);
        }
        eprintln!(
            "{screen}: {:.1} % of {} genes known, {:.1} % of the values fit several bins",
            100.0 * share,
            map.panel().len(),
            100.0 * shares[0]
        );
        assert!(share > 0.6, "{screen}: {share}");
        assert!(
            shares[0] > 0.5 && shares.iter().all(|s| *s == shares[0]),
            "{shares:?}"
        );
    }
}
