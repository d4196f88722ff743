//! Edge lists and references as text, plain or gzip.
//!
//! Input: a byte that says what follows (0 an edge list, 1 a reference in the layout of TRRUST, 2 any other network, 3 gene
//! sets, 4 pairs with a score as of STRING, 5 classes of transcription factors), then the text. Edges name genes that there
//! are, scores are finite, a network has no pair twice, and a stream that gives a few bytes at a time is read as a file is.
#![no_main]

use std::collections::HashSet;
use std::io::Read;

use libfuzzer_sys::fuzz_target;
use scfm_fuzz::checked;
use scfm_grn::{
    Absent, EdgeList, Format, GeneSets, ListGenes, Ranking, ReferenceNetwork, ScoredPairs, TfClasses,
};

/// Genes above which the square of all pairs is not filled.
const MOST_GENES: usize = 64;

fuzz_target!(|data: &[u8]| {
    match data {
        [0, text @ ..] => read_list(text),
        [1, text @ ..] => read_network(text, Format::Trrust),
        [2, text @ ..] => read_network(text, Format::EdgeList),
        [3, text @ ..] => read_sets(text),
        [4, text @ ..] => read_pairs(text),
        [5, text @ ..] => {
            let classes = checked(TfClasses::from_reader("classes", text));
            assert_eq!(classes, checked(TfClasses::from_reader("classes", Slow(text))));
        }
        _ => (),
    }
});

fn read_list(text: &[u8]) {
    let list = checked(EdgeList::from_reader("list", text));
    let slow = checked(EdgeList::from_reader("list", Slow(text)));
    assert_eq!(
        list.as_ref().map(EdgeList::edges),
        slow.as_ref().map(EdgeList::edges)
    );
    let Some(list) = list else { return };
    assert!(!list.edges().is_empty());
    let n_genes = list.genes().len();
    for edge in list.edges() {
        assert!(edge.source < n_genes && edge.target < n_genes && edge.score.is_finite());
    }
    let (sources, targets) = list.panels(&ListGenes::Observed);
    if let Some(truncation) = list.truncation() {
        assert!(truncation.n_listed <= truncation.n_possible, "{truncation}");
    }
    if n_genes <= MOST_GENES {
        for ranking in [Ranking::Value, Ranking::Magnitude] {
            let scores = list.scores(&sources, &targets, ranking, Absent::Missing);
            let known = scores.iter().filter(|score| !score.is_nan()).count();
            let pairs: HashSet<_> = list
                .edges()
                .iter()
                .map(|edge| (edge.source, edge.target))
                .collect();
            assert_eq!(known, pairs.len());
        }
    }
}

fn read_network(text: &[u8], format: Format) {
    let network = checked(ReferenceNetwork::from_reader("network", text, format));
    let slow = checked(ReferenceNetwork::from_reader("network", Slow(text), format));
    assert_eq!(
        network.as_ref().map(ReferenceNetwork::edges),
        slow.as_ref().map(ReferenceNetwork::edges)
    );
    let Some(network) = network else { return };
    let pairs: HashSet<_> = network
        .edges()
        .iter()
        .map(|edge| (&edge.source, &edge.target))
        .collect();
    assert_eq!(pairs.len(), network.edges().len());
    assert!((1..=network.n_lines()).contains(&pairs.len()));
    assert!(network.n_sources() <= pairs.len() && network.n_targets() <= pairs.len());
    for edge in network.edges() {
        let modes = edge.modes;
        assert!(modes.activation || modes.repression || modes.unknown);
        assert!(
            edge.weight
                .is_none_or(|weight| weight.is_finite() && weight != 0.0)
        );
    }
}

fn read_sets(text: &[u8]) {
    let sets = checked(GeneSets::from_reader("sets", text));
    let slow = checked(GeneSets::from_reader("sets", Slow(text)));
    assert_eq!(
        sets.as_ref().map(GeneSets::sets),
        slow.as_ref().map(GeneSets::sets)
    );
    let Some(sets) = sets else { return };
    assert!(!sets.sets().is_empty());
    for set in sets.sets() {
        let distinct: HashSet<_> = set.genes.iter().collect();
        assert_eq!(distinct.len(), set.genes.len());
    }
}

fn read_pairs(text: &[u8]) {
    const LEAST: u16 = 400;
    let Some(pairs) = checked(ScoredPairs::from_reader("pairs", text, LEAST)) else {
        return;
    };
    let distinct: HashSet<_> = pairs.iter().map(|(a, b, _)| (a, b)).collect();
    assert_eq!(distinct.len(), pairs.len());
    assert!(pairs.iter().all(|(a, b, score)| a != b && (LEAST..=1000).contains(&score)));
    assert!(pairs.len() <= pairs.n_lines());
}

/// A reader that gives three bytes at a time: two suffice to tell gzip.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = buffer.len().min(3);
        self.0.read(&mut buffer[..n])
    }
}
