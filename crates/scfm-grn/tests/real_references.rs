//! Published references and published method outputs, where the folder of test data is at hand.

use std::path::PathBuf;

use scfm_core::Panel;
use scfm_grn::{
    Absent, CandidateUniverse, DegreeNullParams, EdgeList, Format, GeneNames, ListGenes, Ranking,
    ReferenceNetwork, beeline, degree_null, dream5, recovery_of_scores,
};

/// The expected scores are printed with ten digits.
const PRINTED: f64 = 1e-9;
/// The official program of DREAM5 adds shares up over a hundred thousand pairs, which shows in the twelfth digit.
const SUMMED: f64 = 1e-11;

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

/// Scores of twelve published methods on the four networks of BEELINE, computed with scikit-learn. One network has a
/// gene that regulates none; its pairs count.
#[test]
fn beeline_scores_agree_with_the_published_benchmark() {
    let Some(data) = test_data() else { return };
    let data = data.join("grn/beeline2019");
    let expected = std::fs::read_to_string(data.join("expected_scores.tsv")).unwrap();
    let mut n_compared = 0;
    for line in expected.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let truth = data.join("inputs").join(fields[0]).join("refNetwork.csv");
        let truth = ReferenceNetwork::read(&truth, Format::EdgeList).unwrap();
        let folder = data.join("outputs").join(fields[0]).join(fields[1]);
        let list = EdgeList::read(&folder.join("rankedEdges.csv")).unwrap();
        assert_eq!(
            list.layout(),
            "source = Gene1, target = Gene2, score = EdgeWeight"
        );
        let found = beeline(&list, &truth).unwrap();
        let number = |i: usize| fields[i].parse::<f64>().unwrap();
        assert_eq!(
            [found.n_genes, found.n_pairs, found.n_pos].map(|n| n as f64),
            [2, 3, 4].map(number),
            "{line}"
        );
        for (found, expected) in [
            (found.auroc, number(6)),
            (found.auprc, number(7)),
            (found.average_precision, number(8)),
        ] {
            assert!((found.unwrap() - expected).abs() < PRINTED, "{line}");
        }

        // Where every gene is a source the universe of curated references is the same.
        let genes = genes_of(&truth);
        let universe = CandidateUniverse::new(&truth, &genes, &genes, GeneNames::default()).unwrap();
        if universe.n_candidates() == number(3) as usize {
            let scores = list
                .scores(&genes, &genes, Ranking::Magnitude, Absent::Missing)
                .mapv_into(|score| if score.is_nan() { 0.0 } else { score });
            let ours = recovery_of_scores(scores.view(), &universe, &[]).unwrap();
            assert!((ours.auroc.unwrap() - number(6)).abs() < PRINTED, "{line}");
            assert!(
                (ours.average_precision.unwrap().value - number(8)).abs() < PRINTED,
                "{line}"
            );
        }
        n_compared += 1;
    }
    assert_eq!(n_compared, 48, "four networks by twelve methods");
}

/// The sample submission of DREAM5 against the official gold standards; the figures are those of the official program
/// with more digits than it prints.
#[test]
fn dream5_scores_agree_with_the_official_program() {
    let Some(data) = test_data() else { return };
    let data = data.join("grn/dream5_eval");
    for (network, n_gold, n_pos, aupr, auroc) in [
        (1, 278_392, 4_012, 0.027128330055, 0.681817175124),
        (3, 152_280, 2_066, 0.027423963617, 0.599659732306),
        (4, 227_202, 3_940, 0.019337586037, 0.515036902991),
    ] {
        let gold = EdgeList::read(&data.join(format!("GoldStandard_Network{network}.tsv.gz"))).unwrap();
        let list = EdgeList::read(&data.join(format!("myteam_Network{network}.txt.gz"))).unwrap();
        assert_eq!(list.edges().len(), 100_000);
        assert!(list.truncation().unwrap().is_top);
        let found = dream5(&list, &gold).unwrap();
        assert_eq!((found.n_gold, found.n_pos), (n_gold, n_pos));
        assert!((found.aupr.unwrap() - aupr).abs() < SUMMED, "network {network}");
        assert!((found.auroc.unwrap() - auroc).abs() < SUMMED, "network {network}");
    }
}

/// The archived table of a Geneformer: the best 50,000 of all pairs, in which TRRUST has one pair.
#[test]
fn an_archived_table_is_recognised_as_truncated() {
    let Some(data) = test_data() else { return };
    let list = EdgeList::read(&data.join("archived/NS/geneformer_edges_200cells.csv.gz")).unwrap();
    let (sources, targets) = list.panels(&ListGenes::Observed);
    assert_eq!(
        (sources.len(), targets.len(), list.edges().len()),
        (7_910, 7_564, 50_000)
    );
    let truncation = list.truncation().unwrap();
    assert!(truncation.is_top && truncation.n_listed == 50_000);
    assert!((truncation.lowest - 0.05465227).abs() < 1e-12);
    let trrust =
        ReferenceNetwork::read(&data.join("networks/trrust_rawdata.human.tsv"), Format::Trrust).unwrap();
    let universe = CandidateUniverse::new(&trrust, &sources, &targets, GeneNames::default()).unwrap();
    let scores = list.scores(
        universe.tfs(),
        universe.targets(),
        Ranking::Value,
        Absent::Missing,
    );
    let found = recovery_of_scores(scores.view(), &universe, &[]).unwrap();
    assert_eq!(found.n_pos, 1);
}
