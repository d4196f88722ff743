//! Published references and published method outputs, where the folder of test data is at hand.

use std::path::PathBuf;

use scfm_core::Panel;
use scfm_grn::{
    CandidateUniverse, DegreeNullParams, Format, GeneNames, ReferenceNetwork, degree_null, recovery_of_scores,
};

/// The expected scores are printed with ten digits.
const PRINTED: f64 = 1e-9;

fn test_data() -> Option<PathBuf> {
    let folder = std::env::var_os("SCFM_TEST_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: SCFM_TEST_DATA is not set");
    }
    folder
}

fn genes_of(network: &ReferenceNetwork) -> Panel {
    let genes: std::collections::BTreeSet<_> = network
        .edges()
        .iter()
        .flat_map(|e| [&e.source, &e.target])
        .cloned()
        .collect();
    Panel::new(genes).unwrap()
}

#[test]
fn trrust_has_its_published_size() {
    let Some(data) = test_data() else { return };
    let path = data.join("networks/trrust_rawdata.human.tsv");
    let trrust = ReferenceNetwork::read(&path, Format::Trrust).unwrap();
    assert_eq!((trrust.n_lines(), trrust.edges().len()), (9_396, 8_427));
    assert_eq!((trrust.n_sources(), trrust.n_targets()), (795, 2_492));
    assert_eq!(trrust.self_pairs().count(), 24);
    assert_eq!(trrust.filter(|edge| edge.modes.known()).edges().len(), 4_859);
}

/// Of the whole of TRRUST the chain forgets nearly all that degrees do not fix, and popularity explains itself.
#[test]
fn trrust_is_randomised_within_its_degrees() {
    let Some(data) = test_data() else { return };
    let path = data.join("networks/trrust_rawdata.human.tsv");
    let trrust = ReferenceNetwork::read(&path, Format::Trrust).unwrap();
    let genes = genes_of(&trrust);
    let universe = CandidateUniverse::new(&trrust, &genes, &genes, GeneNames::default()).unwrap();
    let in_degree = universe.positive().mapv(f64::from).sum_axis(ndarray::Axis(0));
    let scores = ndarray::Array2::from_shape_fn(universe.positive().dim(), |(_, t)| in_degree[t]);
    let params = DegreeNullParams {
        n_networks: 200,
        n_shuffles: 200,
    };
    let seeds = scfm_core::Seeds::new(0);
    let found = degree_null(scores.view(), &universe, &params, |purpose, i| {
        seeds.stream("degree-null", purpose, i)
    });
    let found = found.unwrap().unwrap();
    assert_eq!((found.n_pos, found.null_sd), (8_403, 0.0));
    assert!(
        found.mixing.settled && found.mixing.final_overlap() < 0.2,
        "{:?}",
        found.mixing
    );
    assert_eq!(found.mixing.n_networks, 200);
}

#[test]
fn other_references_are_read_whole() {
    let Some(data) = test_data() else { return };
    for (file, n_lines) in [
        ("networks/collectri_human.csv", 43_178),
        ("networks/dorothea_hs_ABCD.tsv", 29_086),
        ("networks/string_links_ge900_symbols.csv.gz", 97_928),
    ] {
        let network = ReferenceNetwork::read(&data.join(file), Format::EdgeList).unwrap();
        assert_eq!(network.n_lines(), n_lines, "{file}");
    }
    // These open with a byte order mark and list all pairs, absent ones with 0.
    let gold = ReferenceNetwork::read(&data.join("grn/dream4/gold_1.csv"), Format::EdgeList).unwrap();
    assert_eq!((gold.edges().len(), gold.n_absent()), (176, 9_724));
    assert_eq!(gold.edges()[0].source.as_str(), "G1");
}

/// Scores of twelve published methods on the BEELINE networks, computed with scikit-learn. BEELINE gives pairs that a
/// method does not list score 0 and takes magnitudes. Where every gene is a source its universe is ours.
#[test]
fn recovery_agrees_with_the_published_benchmark() {
    let Some(data) = test_data() else { return };
    let data = data.join("grn/beeline2019");
    let expected = std::fs::read_to_string(data.join("expected_scores.tsv")).unwrap();
    let mut n_compared = 0;
    for line in expected.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let truth = data.join("inputs").join(fields[0]).join("refNetwork.csv");
        let truth = ReferenceNetwork::read(&truth, Format::EdgeList).unwrap();
        let genes = genes_of(&truth);
        let universe = CandidateUniverse::new(&truth, &genes, &genes, GeneNames::default()).unwrap();
        if universe.n_candidates() != fields[3].parse::<usize>().unwrap() {
            continue;
        }
        let ranked = data
            .join("outputs")
            .join(fields[0])
            .join(fields[1])
            .join("rankedEdges.csv");
        let ranked = ReferenceNetwork::read(&ranked, Format::EdgeList).unwrap();
        let mut scores = ndarray::Array2::zeros((genes.len(), genes.len()));
        for edge in ranked.edges() {
            if let (Some(s), Some(t)) = (
                genes.position(edge.source.as_str()),
                genes.position(edge.target.as_str()),
            ) {
                scores[[s, t]] = edge.weight.unwrap().abs();
            }
        }
        let found = recovery_of_scores(scores.view(), &universe, &[]).unwrap();
        let number = |i: usize| fields[i].parse::<f64>().unwrap();
        assert_eq!(found.n_pos as f64, number(4), "{line}");
        assert!((found.auroc.unwrap() - number(6)).abs() < PRINTED, "{line}");
        assert!(
            (found.average_precision.unwrap().value - number(8)).abs() < PRINTED,
            "{line}"
        );
        n_compared += 1;
    }
    assert_eq!(n_compared, 36, "three networks by twelve methods");
}
