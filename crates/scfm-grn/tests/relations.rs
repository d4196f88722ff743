//! STRING, gene sets, levels of confidence, lists and classes of factors: how their files may look, and what is said
//! when they are broken.

use std::io::Write as _;
use std::path::PathBuf;

use scfm_core::{GeneId, Panel};
use scfm_grn::{
    Crosswalk, Error, Format, GeneSets, Level, ReferenceNetwork, ScoreScale, ScoredPairs, SetSizes, TfClass,
    TfClasses, read_protein_names, read_tf_list,
};

fn file(text: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.txt");
    std::fs::File::create(&path)
        .unwrap()
        .write_all(text.as_ref())
        .unwrap();
    (folder, path)
}

fn string(text: &str) -> Result<ScoredPairs, Error> {
    ScoredPairs::from_reader("string", text.as_bytes(), 400)
}

fn shown(pairs: &ScoredPairs) -> Vec<(String, String, u16)> {
    pairs
        .iter()
        .map(|(a, b, s)| (a.to_string(), b.to_string(), s))
        .collect()
}

fn gmt(text: &str) -> Result<GeneSets, Error> {
    GeneSets::from_reader("sets.gmt", text.as_bytes())
}

fn says(error: &Error, words: &[&str]) {
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn string_is_read_on_either_scale_and_in_either_direction() {
    for (text, scale) in [
        (
            "protein1 protein2 combined_score\nA B 950\nB A 950\nA C 400\nB C 399\n",
            ScoreScale::Thousand,
        ),
        (
            "\"\",\"score\",\"protein1\",\"protein2\"\n\"1\",0.95,\"A\",\"B\"\n\"2\",0.4,\"C\",\"A\"\n\"3\",0.1,\"B\",\"C\"\n",
            ScoreScale::Unit,
        ),
        ("A\tB\t0.95\nA\tC\t0.4\nA\tA\t1\n", ScoreScale::Unit),
        // A score of 1 in thousandths is next to nothing, in units it is certain.
        (
            "preferredName_A\tpreferredName_B\tscore\nA\tB\t950\nA\tC\t400\nB\tC\t1\n",
            ScoreScale::Thousand,
        ),
    ] {
        let pairs = string(text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert_eq!(pairs.scale(), scale, "{text:?}");
        let expected = [
            ("A".to_owned(), "B".to_owned(), 950),
            ("A".to_owned(), "C".to_owned(), 400),
        ];
        assert_eq!(shown(&pairs), expected, "{text:?}");
    }
}

#[test]
fn of_repeated_pairs_the_highest_score_counts() {
    let pairs = string("A B 500\nB A 800\nA B 600\n").unwrap();
    assert_eq!((pairs.len(), pairs.n_lines()), (1, 3));
    assert_eq!(shown(&pairs)[0].2, 800);
}

#[test]
fn pairs_of_a_panel_are_those_above_a_score() {
    let pairs = string("A B 950\nA C 700\nB C 699\nA X 999\nB B 900\n").unwrap();
    let panel = Panel::new(["C", "B", "A"]).unwrap();
    for (least, expected) in [(700, vec![(0, 2), (1, 2)]), (900, vec![(1, 2)])] {
        let related = pairs.pairs(&panel, least, None).unwrap();
        assert_eq!(related.pairs.iter().collect::<Vec<_>>(), expected);
        let kept = related
            .ledger
            .steps()
            .iter()
            .find(|step| step.reason == "kept")
            .unwrap();
        assert_eq!(kept.count, expected.len() as u64);
    }
}

#[test]
fn proteins_are_named_by_info_or_by_aliases() {
    let links =
        string("9606.ENSP1 9606.ENSP2 900\n9606.ENSP1 9606.ENSP3 900\n9606.ENSP2 9606.ENSP4 900\n").unwrap();
    let info = "#string_protein_id\tpreferred_name\tprotein_size\tannotation\n\
                9606.ENSP1\tSTAT1\t750\tsignal\n9606.ENSP2\tIRF1\t325\tfactor\n9606.ENSP3\tACTB\t375\tactin\n";
    let aliases = "#string_protein_id\talias\tsource\n9606.ENSP1\tP42224\tUniProt_AC\n9606.ENSP1\tISGF3\tEnsembl_UniProt_GN\n\
                   9606.ENSP1\tSTAT1\tEnsembl_HGNC_symbol Ensembl_EntrezGene\n9606.ENSP2\tIRF1\tBioMart_HUGO\n\
                   9606.ENSP3\tACTB\tUniProt_GN_Name\n9606.ENSP4\tP1\tUniProt_AC\n";
    let panel = Panel::new(["STAT1", "IRF1", "ACTB"]).unwrap();
    for text in [info, aliases] {
        let (_folder, path) = file(text);
        let names = read_protein_names(&path).unwrap();
        let related = links.pairs(&panel, 700, Some(&names)).unwrap();
        assert_eq!(related.pairs.iter().collect::<Vec<_>>(), [(0, 1), (0, 2)]);
        let lost = related
            .ledger
            .steps()
            .iter()
            .find(|step| step.reason.contains("crosswalk"))
            .unwrap();
        assert_eq!(
            (lost.count, &lost.examples[..]),
            (1, &["9606.ENSP4".to_owned()][..])
        );
    }
    let error = links.pairs(&panel, 700, None).unwrap_err();
    says(&error, &["9606.ENSP1", "STAT1"]);
}

#[test]
fn broken_string_files_are_refused_with_line_and_finding() {
    for (text, words) in [
        ("", &["string", "no pair"][..]),
        ("A B 100\n", &["no pair of at least the score"]),
        (
            "gene,other,thing\nA,B,900\n",
            &["line 1", "gene, other, thing", "protein1"],
        ),
        ("A B\n", &["line 1", "A, B", "combined_score"]),
        ("A B 900\nA C\n", &["line 2", "2 fields"]),
        ("A B 900\nA C much\n", &["line 2", "\"much\"", "0 to 1000"]),
        ("A B 900\nA C -4\n", &["line 2", "\"-4\""]),
        ("A B 900\nA C 1001\n", &["line 2", "\"1001\""]),
        ("A B NaN\n", &["line 1", "\"NaN\""]),
        ("protein1,protein2,score\n,B,900\n", &["line 2", "no first gene"]),
        ("A,B,900\nA,\"B,900\n", &["line 2", "quote"]),
    ] {
        says(&string(text).expect_err(text), words);
    }
}

#[test]
fn sets_become_pairs_within_their_sizes() {
    let sets = gmt("small\t\tA\nR\tR-HSA-1\tA\tB\tX\nbig\thttp://x\tA,1.0\tB,1.0\tC,0.5\tD,1\tD,1\t\nelsewhere\t\tX\tY\n").unwrap();
    assert_eq!((sets.sets().len(), sets.n_genes(), sets.n_repeated()), (4, 6, 1));
    assert_eq!(
        (sets.sets()[1].name.as_str(), sets.sets()[1].description.as_str()),
        ("R", "R-HSA-1")
    );
    let panel = Panel::new(["A", "B", "C", "D"]).unwrap();
    let all = sets.pairs(&panel, SetSizes::default(), None).unwrap();
    assert_eq!(all.pairs.len(), 6);
    let few = sets
        .pairs(&panel, SetSizes { min: 3, max: Some(3) }, None)
        .unwrap();
    assert_eq!(few.pairs.iter().collect::<Vec<_>>(), [(0, 1)]);
    let steps: Vec<(&str, u64)> = few
        .ledger
        .steps()
        .iter()
        .map(|s| (s.reason.as_str(), s.count))
        .collect();
    assert_eq!(
        steps,
        [
            ("fewer than 3 genes", 2),
            ("more than 3 genes", 1),
            ("kept", 1),
            ("kept", 1)
        ]
    );
}

#[test]
fn sets_by_another_kind_of_identifier_need_a_crosswalk() {
    let sets = gmt("S\t\tENSG00000000001.4\tENSG00000000002\tENSG00000000003\n").unwrap();
    let panel = Panel::new(["A", "B", "C"]).unwrap();
    says(
        &sets.pairs(&panel, SetSizes::default(), None).unwrap_err(),
        &["Ensembl ids", "symbols"],
    );
    let crosswalk = Crosswalk::new([("ENSG00000000001", "A"), ("ENSG00000000002", "C")]);
    let related = sets.pairs(&panel, SetSizes::default(), Some(&crosswalk)).unwrap();
    assert_eq!(related.pairs.iter().collect::<Vec<_>>(), [(0, 2)]);
    let lost = related.ledger.steps().last().unwrap();
    assert_eq!((lost.count, lost.examples[0].as_str()), (1, "ENSG00000000003"));
}

#[test]
fn broken_sets_are_refused_with_line_and_finding() {
    for (text, words) in [
        ("", &["sets.gmt holds no gene set"][..]),
        ("A,B\n", &["line 1", "1 fields", "GMT"]),
        ("S\tdescription\n", &["line 1", "2 fields"]),
        ("S\t\tA\n\t\tA\tB\n", &["line 2", "name of a set"]),
        ("S\t\tA\u{7}\n", &["line 1", "no member gene"]),
    ] {
        says(&gmt(text).expect_err(text), words);
    }
}

#[test]
fn levels_and_signs_are_kept() {
    let text = "tf\tconfidence\ttarget\tmor\nT\tD\tA\t1\nT\tB\tA\t1\nT\tC\tB\t-1\nT\tE\tC\t1\n";
    let network = ReferenceNetwork::from_reader("d", text.as_bytes(), Format::EdgeList).unwrap();
    let edges: Vec<_> = network.edges().iter().map(|e| (e.level, e.sign())).collect();
    assert_eq!(
        edges,
        [
            (Some(Level::B), Some(1)),
            (Some(Level::C), Some(-1)),
            (Some(Level::E), Some(1))
        ]
    );
    assert_eq!(network.at_least(Level::C).edges().len(), 2);

    let signed = "\"source\",\"target\",\"weight\"\n\"T\",\"A\",1\n\"T\",\"B\",-1\n";
    let network = ReferenceNetwork::from_reader("c", signed.as_bytes(), Format::EdgeList).unwrap();
    assert_eq!(
        network
            .edges()
            .iter()
            .map(scfm_grn::Edge::sign)
            .collect::<Vec<_>>(),
        [Some(1), Some(-1)]
    );
    assert!(network.at_least(Level::E).edges().is_empty());

    let omnipath = "source\ttarget\tsource_genesymbol\ttarget_genesymbol\tis_stimulation\tis_inhibition\tdorothea_level\n\
                    P1\tP2\tT\tA\t1\t0\tA;D\nP1\tP3\tT\tB\t1\t1\tC\nP1\tP4\tT\tC\tFalse\tFalse\t\n";
    let network = ReferenceNetwork::from_reader("o", omnipath.as_bytes(), Format::EdgeList).unwrap();
    let edges: Vec<_> = network
        .edges()
        .iter()
        .map(|e| (e.target.as_str(), e.level, e.sign(), e.modes.known()))
        .collect();
    assert_eq!(
        edges,
        [
            ("A", Some(Level::A), Some(1), true),
            ("B", Some(Level::C), None, true),
            ("C", None, None, false)
        ]
    );
}

#[test]
fn a_level_that_is_none_is_refused_and_other_confidences_are_no_levels() {
    let read = |text: &str| ReferenceNetwork::from_reader("d", text.as_bytes(), Format::EdgeList);
    let error = read("tf\tconfidence\ttarget\nT\tA\tB\nT\tX\tC\n").unwrap_err();
    says(&error, &["d, line 3", "\"X\"", "A to E"]);
    for other in ["0.93", "high", ""] {
        let network = read(&format!("tf\tconfidence\ttarget\nT\t{other}\tB\n")).unwrap();
        assert_eq!(network.edges()[0].level, None, "{other}");
    }
    let error = read("source,target,is_stimulation,is_inhibition\nA,B,perhaps,0\n").unwrap_err();
    says(&error, &["d, line 2", "\"perhaps\"", "1 or 0"]);
}

#[test]
fn a_network_is_renamed_with_its_losses_counted() {
    let text = "source,target,weight\nENSG00000000001.1,ENSG00000000002.3,2\nENSG00000000001,ENSG00000000002,-3\nENSG00000000001,ENSG00000000009,1\n";
    let network = ReferenceNetwork::from_reader("n", text.as_bytes(), Format::EdgeList).unwrap();
    let crosswalk = Crosswalk::new([("ENSG00000000001", "A"), ("ENSG00000000002", "B")]);
    let (renamed, ledger) = network.renamed(&crosswalk);
    assert_eq!(renamed.edges().len(), 1);
    let edge = &renamed.edges()[0];
    assert_eq!(
        (edge.source.as_str(), edge.target.as_str(), edge.weight),
        ("A", "B", Some(-3.0))
    );
    let steps: Vec<(&str, u64)> = ledger
        .steps()
        .iter()
        .map(|s| (s.reason.as_str(), s.count))
        .collect();
    assert_eq!(
        steps,
        [
            ("gene not in the crosswalk", 1),
            ("same pair after the crosswalk", 1),
            ("kept", 1)
        ]
    );
    assert_eq!(ledger.steps()[0].examples, ["ENSG00000000009"]);
}

#[test]
fn factors_are_listed_by_line_or_by_the_table_of_lambert() {
    let lambert = ",Ensembl ID,HGNC symbol,DBD,Is TF?,TF assessment\n1,ENSG00000137203,TFAP2A,AP-2,Yes,\"Known, motif\"\n2,ENSG00000000001,ACTB,none,No,Unlikely\n3,ENSG00000008196,TFAP2B,AP-2,Yes,Known\n";
    let tabs = lambert.replace("\"Known, motif\"", "Known").replace(',', "\t");
    for text in [
        "TFAP2A\nTFAP2B\n",
        "# two\nTFAP2A\r\nTFAP2B\nTFAP2A\n",
        lambert,
        &tabs,
    ] {
        let (_folder, path) = file(text);
        let tfs = read_tf_list(&path).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert_eq!(tfs, [GeneId::from("TFAP2A"), GeneId::from("TFAP2B")], "{text:?}");
    }
    for (text, words) in [
        ("", &["no transcription factor"][..]),
        ("TFAP2A\nan essay of many words\n", &["line 2", "an essay"]),
        ("HGNC symbol\tIs TF?\nTFAP2A\n", &["line 2", "1 fields"]),
    ] {
        let (_folder, path) = file(text);
        says(&read_tf_list(&path).expect_err(text), words);
    }
}

#[test]
fn classes_of_factors_are_read_in_several_spellings() {
    let read = |text: &str| TfClasses::from_reader("classes", text.as_bytes());
    for text in [
        "tf\tclass\nA\tmaster-regulator\nB\thousekeeping\n",
        "A,Master regulator\nB,HOUSEKEEPING\n",
        "TF;class\nA;master_regulator\nB;housekeeping\n",
    ] {
        let classes = read(text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert_eq!(
            (classes.get("A"), classes.get("B"), classes.get("C")),
            (Some(TfClass::MasterRegulator), Some(TfClass::Housekeeping), None)
        );
    }
    for (text, words) in [
        ("tf\tclass\n", &["no transcription factor"][..]),
        ("A\tboss\n", &["line 1", "\"boss\"", "master-regulator"]),
        ("A\thousekeeping\nA\tlineage-specific\n", &["line 2", "one class"]),
        ("A\n", &["line 1", "1 fields"]),
    ] {
        says(&read(text).expect_err(text), words);
    }
    let embedded = TfClasses::embedded();
    assert_eq!(embedded.get("GATA1"), Some(TfClass::MasterRegulator));
    for class in TfClass::ALL {
        assert!(
            embedded.iter().filter(|(_, c)| *c == class).count() >= 30,
            "{class}"
        );
    }
}

fn test_data() -> Option<PathBuf> {
    let folder = std::env::var_os("SCFM_TEST_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: SCFM_TEST_DATA is not set");
    }
    folder
}

#[test]
fn published_references_have_their_published_sizes() {
    let Some(data) = test_data() else { return };
    let networks = data.join("networks");
    let dorothea = ReferenceNetwork::read(&networks.join("dorothea_hs_ABCD.tsv"), Format::EdgeList).unwrap();
    assert_eq!(dorothea.n_lines(), 29_086);
    let of_level = |level| dorothea.edges().iter().filter(|e| e.level == Some(level)).count();
    assert_eq!(Level::ALL.map(of_level), [5_434, 974, 6_815, 15_863, 0]);
    assert_eq!(dorothea.at_least(Level::B).edges().len(), 6_408);

    let collectri = ReferenceNetwork::read(&networks.join("collectri_human.csv"), Format::EdgeList).unwrap();
    assert_eq!(collectri.n_lines(), 43_178);
    let signs = |sign| {
        collectri
            .edges()
            .iter()
            .filter(|e| e.sign() == Some(sign))
            .count()
    };
    assert_eq!((signs(1), signs(-1)), (37_360, 5_818));

    let string = ScoredPairs::read(&networks.join("string_links_ge900_symbols.csv.gz"), 700).unwrap();
    assert_eq!((string.n_lines(), string.scale()), (97_928, ScoreScale::Unit));
    assert!(string.iter().all(|(_, _, score)| (900..=999).contains(&score)));

    let tfs = read_tf_list(&networks.join("tf_lambert2018.txt")).unwrap();
    assert_eq!(tfs.len(), 1_639);
    assert_eq!(
        read_tf_list(&networks.join("tf_mm_mgi.txt")).unwrap().len(),
        1_721
    );
    let unlisted: Vec<_> = TfClasses::embedded()
        .iter()
        .map(|(tf, _)| tf.clone())
        .filter(|tf| !tfs.contains(tf))
        .collect();
    eprintln!("classified, but not listed by Lambert et al.: {unlisted:?}");

    let reactome = GeneSets::read(&data.join("genesets/ReactomePathways.gmt")).unwrap();
    let go = GeneSets::read(&data.join("genesets/GO_Biological_Process_2021.gmt")).unwrap();
    assert_eq!((reactome.sets().len(), go.sets().len()), (2_546, 6_036));

    // Pairs of a panel, against the definition.
    let panel = Panel::new(tfs.iter().take(400).cloned()).unwrap();
    for sets in [&reactome, &go] {
        let related = sets
            .pairs(
                &panel,
                SetSizes {
                    min: 2,
                    max: Some(200),
                },
                None,
            )
            .unwrap();
        let mut naive = std::collections::BTreeSet::new();
        for set in sets
            .sets()
            .iter()
            .filter(|set| (2..=200).contains(&set.genes.len()))
        {
            let mut members: Vec<usize> = set
                .genes
                .iter()
                .filter_map(|g| panel.position(g.as_str()))
                .collect();
            members.sort_unstable();
            for (i, &a) in members.iter().enumerate() {
                naive.extend(members[i + 1..].iter().map(|&b| (a, b)));
            }
        }
        assert!(naive.len() > 500, "{}", naive.len());
        assert_eq!(
            related.pairs.iter().collect::<Vec<_>>(),
            naive.into_iter().collect::<Vec<_>>()
        );
    }
}
