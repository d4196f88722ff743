//! Pickled and JSON dictionaries, and the vocabularies made of them.
//!
//! Input: the file. What is read twice is equal, keys are distinct, every token is a number and no text, and tokens and
//! genes of a vocabulary lead to each other.
#![no_main]

use std::collections::HashSet;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use scfm_attention::{geneformer, scgpt};
use scfm_fuzz::{Scratch, checked};
use scfm_io::{read_median_dictionary, read_name_dictionary, read_token_dictionary};

static SCRATCH: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("dictionary"));

fuzz_target!(|data: &[u8]| {
    let path = SCRATCH.file("dictionary", data);
    let tokens = checked(read_token_dictionary(&path));
    let medians = checked(read_median_dictionary(&path));
    let names = checked(read_name_dictionary(&path));

    if let Some(medians) = &medians {
        let keys: HashSet<&str> = medians.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys.len(), medians.len());
        assert!(names.is_none_or(|names| names.is_empty()), "numbers are no names");
        let again = read_median_dictionary(&path).expect("it was read once");
        let bits = |entries: &[(String, f64)]| -> Vec<(String, u64)> {
            entries
                .iter()
                .map(|(key, value)| (key.clone(), value.to_bits()))
                .collect()
        };
        assert_eq!(bits(medians), bits(&again));
    }
    let Some(tokens) = tokens else { return };
    let medians = medians.expect("tokens are numbers");
    let numbers = tokens.iter().map(|(key, token)| (key.clone(), f64::from(*token)));
    assert!(numbers.eq(medians.iter().cloned()));

    if let Some(vocabulary) = checked(scgpt::Vocabulary::new(tokens.clone())) {
        assert!((tokens.len()..tokens.len() + 4).contains(&vocabulary.len()));
        for (token, key) in (0..).zip(vocabulary.keys()) {
            if let Some(gene) = vocabulary.gene(token) {
                assert_eq!((gene, vocabulary.token(gene)), (key.as_str(), Some(token)));
            }
        }
    }
    // A median per gene that is positive, as a vocabulary asks for.
    let positive = tokens
        .iter()
        .map(|(key, token)| (key.clone(), 1.0 + f64::from(*token)));
    if let Some(vocabulary) = checked(geneformer::Vocabulary::new(tokens.clone(), positive)) {
        assert_eq!(vocabulary.len(), tokens.len());
        for (token, gene, _) in vocabulary.genes() {
            assert_eq!(
                (vocabulary.token(gene), vocabulary.gene(token)),
                (Some(token), Some(gene))
            );
        }
    }
});
