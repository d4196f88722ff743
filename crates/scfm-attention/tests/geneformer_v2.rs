//! A folder in the form of Geneformer V2: dictionaries, cells framed by `<cls>` and `<eos>`, ids that were renamed.
//! The folder and the expected tokens come from `golden/generate_v2.py`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use scfm_attention::geneformer::{Checkpoint, Config, Dictionaries, Geneformer, Tokenizer, Vocabulary};
use scfm_attention::{AbsentPairs, Error, extract};
use scfm_core::{CountMatrix, Orientation, Panel, Seeds};
use serde::Deserialize;
use sprs::CsMat;
use tempfile::TempDir;

#[derive(Deserialize)]
struct Golden {
    ids: Vec<String>,
    counts: Vec<Vec<f32>>,
    totals: Vec<f64>,
    cells: Vec<GoldenCell>,
}

#[derive(Deserialize)]
struct GoldenCell {
    cell: usize,
    tokens: Vec<u32>,
    ties: Vec<(usize, usize)>,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn screen() -> (Golden, CountMatrix) {
    let golden: Golden = serde_json::from_slice(&fs::read(golden("tokens_v2.json")).unwrap()).unwrap();
    let shape = (golden.counts.len(), golden.ids.len());
    let dense = ndarray::Array2::from_shape_fn(shape, |(i, j)| golden.counts[i][j]);
    let counts = CountMatrix::new(
        Panel::new(&golden.ids).unwrap(),
        CsMat::csr_from_dense(dense.view(), 0.0),
        golden.totals.clone(),
    );
    (golden, counts.unwrap())
}

fn tokenizer(checkpoint: &Checkpoint, counts: &CountMatrix) -> Tokenizer {
    let vocabulary = checkpoint.vocabulary();
    let genes = vocabulary.panel(counts.genes()).unwrap();
    Tokenizer::new(vocabulary, genes, checkpoint.config().max_position_embeddings)
}

#[test]
fn a_published_folder_is_read_with_all_its_dictionaries() {
    let checkpoint = Checkpoint::load(&golden("v2")).unwrap();
    let vocabulary = checkpoint.vocabulary();
    assert_eq!((vocabulary.len(), vocabulary.genes().count()), (44, 40));
    assert_eq!(
        (vocabulary.pad(), vocabulary.mask(), vocabulary.frame()),
        (0, 1, Some((2, 3)))
    );
    assert_eq!(vocabulary.names()["GENE3"], "ENSG00000000103");
    let roles: Vec<_> = checkpoint.files().keys().copied().collect();
    let expected = [
        "config",
        "ensembl_mapping_dict",
        "gene_median_dictionary",
        "gene_name_id_dict",
        "token_dictionary",
        "weights",
    ];
    assert_eq!(roles, expected);

    // 38 of the current ids lead to themselves, 30 old ones to them; those that lead to no token are dropped.
    assert_eq!(vocabulary.current_ids().unwrap().len(), 68);
    assert_eq!(vocabulary.current_id("ENSG00000000014"), Some("ENSG00000000102"));
    assert_eq!(vocabulary.current_id("ensg00000000102"), Some("ENSG00000000102"));
    assert_eq!(
        vocabulary.current_id("ENSG00000000900"),
        None,
        "a median, but no token"
    );
    assert_eq!(
        vocabulary.current_id("ENSG00000000139"),
        None,
        "a token, but not among the known ids"
    );
    assert_eq!(vocabulary.current_id("<cls>"), None);
}

#[test]
fn cells_are_encoded_as_by_the_official_tokeniser() {
    let checkpoint = Checkpoint::load(&golden("v2")).unwrap();
    let (golden, counts) = screen();
    let (collapsed, ledger) = checkpoint.vocabulary().collapse(&counts).unwrap();
    let (cells, _) = tokenizer(&checkpoint, &collapsed).cells(&collapsed).unwrap();

    let rows: Vec<_> = cells.iter().map(|cell| cell.cell).collect();
    assert_eq!(
        rows,
        golden.cells.iter().map(|cell| cell.cell).collect::<Vec<_>>()
    );
    assert!(
        golden.cells.iter().any(|cell| cell.tokens.len() == 16),
        "some cells are cut"
    );
    assert!(
        golden.cells.iter().any(|cell| cell.tokens.len() < 16),
        "some are not"
    );
    for (found, expected) in cells.iter().zip(&golden.cells) {
        let (ours, theirs) = (&found.tokens, &expected.tokens);
        assert_eq!(ours.len(), theirs.len(), "cell {}", found.cell);
        assert_eq!((ours[0], ours[ours.len() - 1]), (2, 3));
        let genes = 1..ours.len() - 1;
        let mut place = genes.start;
        while place < genes.end {
            // Ranges of ties count from the first gene; the last one may be cut.
            let tie = expected.ties.iter().find(|tie| tie.0 + 1 == place);
            let end = tie.map_or(place + 1, |tie| (tie.1 + 1).min(genes.end));
            let set = |tokens: &[u32]| tokens[place..end].iter().copied().collect::<BTreeSet<u32>>();
            let cut = tie.is_some_and(|tie| tie.1 + 1 > genes.end);
            assert!(cut || set(ours) == set(theirs), "cell {} at {place}", found.cell);
            place = end;
        }
    }

    let summed: Vec<_> = ledger
        .steps()
        .iter()
        .map(|step| (&*step.reason, step.count))
        .collect();
    let expected = [
        // Three ids without token, one of them in two spellings, the unknown and the versioned one, two without entry.
        ("not in the model's vocabulary", 8),
        ("same current Ensembl id as another gene, counts summed", 4),
        ("kept", collapsed.genes().len() as u64),
    ];
    assert_eq!(summed, expected);
}

#[test]
fn frames_are_keys_but_never_genes_of_an_edge() {
    let checkpoint = Checkpoint::load(&golden("v2")).unwrap();
    let model = Geneformer::new(&checkpoint).unwrap();
    let (_, counts) = screen();
    let (counts, _) = checkpoint.vocabulary().collapse(&counts).unwrap();
    let (cells, _) = tokenizer(&checkpoint, &counts).cells(&counts).unwrap();
    let panel = checkpoint.vocabulary().panel(counts.genes()).unwrap();
    let edges = extract(
        &model,
        &cells[..1],
        panel.clone(),
        panel,
        Orientation::Query,
        AbsentPairs::Missing,
        |_| (),
    )
    .unwrap();
    let attention = model.attention(&cells[0].tokens).unwrap();
    let (query, key) = (cells[0].columns[1].unwrap(), cells[0].columns[2].unwrap());
    let expected: f32 = (0..2).map(|head| attention[1][[head, 1, 2]]).sum::<f32>() / 2.0;
    let found = edges.edges[1].get(scfm_core::Source(query as usize), scfm_core::Target(key as usize));
    assert!((found.unwrap() - expected).abs() < 1e-6, "{found:?} {expected}");
    let row: f32 = (0..counts.genes().len())
        .filter_map(|gene| edges.edges[1].get(scfm_core::Source(query as usize), scfm_core::Target(gene)))
        .sum();
    assert!(
        row < 1.0 - 1e-3,
        "the frame's share of attention belongs to no gene: {row}"
    );
}

#[test]
fn a_saved_model_keeps_the_current_ids() {
    let folder = TempDir::new().unwrap();
    let checkpoint = Checkpoint::load(&golden("v2")).unwrap();
    checkpoint.save(folder.path()).unwrap();
    let again = Checkpoint::load(folder.path()).unwrap();
    assert_eq!(again.vocabulary(), checkpoint.vocabulary());
}

fn copy(names: &[&str], to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in names {
        fs::copy(golden("v2").join(name), to.join(name)).unwrap();
    }
}

#[test]
fn a_model_inside_the_published_repository_finds_the_release_that_fits_it() {
    let repository = TempDir::new().unwrap();
    let dictionaries = repository.path().join("geneformer");
    copy(
        &[
            "token_dictionary_gc104M.pkl",
            "gene_median_dictionary_gc104M.pkl",
            "ensembl_mapping_dict_gc104M.pkl",
        ],
        &dictionaries,
    );
    let v1 = dictionaries.join("gene_dictionaries_30m");
    fs::create_dir(&v1).unwrap();
    fs::write(
        v1.join("token_dictionary_gc30M.json"),
        r#"{"<pad>": 0, "<mask>": 1, "ENSG1": 2}"#,
    )
    .unwrap();
    fs::write(v1.join("gene_median_dictionary_gc30M.json"), r#"{"ENSG1": 1.5}"#).unwrap();

    let model = repository.path().join("Geneformer-V2-104M");
    copy(&["config.json", "model.safetensors"], &model);
    assert_eq!(Checkpoint::load(&model).unwrap().vocabulary().len(), 44);
    let (vocabulary, files) = Dictionaries::load(repository.path(), 3).unwrap();
    assert_eq!((vocabulary.len(), vocabulary.frame()), (3, None));
    assert!(files.files()["token_dictionary"].ends_with("token_dictionary_gc30M.json"));

    // Medians of another release are not taken in place of missing ones.
    fs::remove_file(dictionaries.join("gene_median_dictionary_gc104M.pkl")).unwrap();
    fs::write(
        dictionaries.join("gene_median_dictionary_gc95M.json"),
        r#"{"ENSG1": 1.5}"#,
    )
    .unwrap();
    let error = Checkpoint::load(&model).unwrap_err();
    assert!(
        matches!(&error, Error::MissingFile { names, .. } if names.contains("gene_median_dictionary_gc104M.pkl")),
        "{error}"
    );
}

/// Vocabularies as large as the published ones, with and without `<cls>` and `<eos>`.
fn vocabulary(specials: &[&str], n_tokens: usize) -> Vocabulary {
    let genes = (0..n_tokens - specials.len()).map(|i| format!("ENSG{i:011}"));
    let keys: Vec<String> = specials.iter().map(|&s| s.to_owned()).chain(genes).collect();
    let medians: Vec<_> = keys[specials.len()..]
        .iter()
        .map(|gene| (gene.clone(), 1.0))
        .collect();
    Vocabulary::new(keys.into_iter().zip(0..), medians).unwrap()
}

#[test]
fn dictionaries_of_one_generation_in_the_form_of_the_other_are_refused() {
    let plain: &[&str] = &["<pad>", "<mask>"];
    let framed: &[&str] = &["<pad>", "<mask>", "<cls>", "<eos>"];
    let random = |specials, n_tokens| {
        let mut rng = Seeds::new(1).stream("test", "weights", 0);
        Checkpoint::random(
            Config::sized(1, 8, 1, n_tokens, 16),
            vocabulary(specials, n_tokens),
            &mut rng,
        )
    };
    assert!(random(plain, 25_426).is_ok() && random(framed, 20_275).is_ok());
    for (specials, n_tokens, expected) in [
        (framed, 25_426, "V1, which has no <cls>"),
        (plain, 20_275, "are missing"),
    ] {
        let error = random(specials, n_tokens).unwrap_err();
        assert!(matches!(error, Error::Vocabulary(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let mut rng = Seeds::new(1).stream("test", "weights", 0);
    let config = Config {
        pad_token_id: 1,
        ..Config::sized(1, 8, 1, 44, 16)
    };
    let error = Checkpoint::random(config, vocabulary(framed, 44), &mut rng).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Config {
                key: "pad_token_id",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn ids_of_another_species_lead_nowhere_and_say_so() {
    let ids = [("ENSMUSG00000000001", "ENSMUSG00000000001")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let error = vocabulary(&["<pad>", "<mask>"], 5)
        .with_current_ids(ids)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("none of the 1 entries of ensembl_mapping_dict"),
        "{error}"
    );
}

proptest! {
    /// Summing loses no count of a known gene, and each gene comes once.
    #[test]
    fn collapsing_keeps_every_count_of_a_known_gene(rows in prop::collection::vec(prop::collection::vec(0u8..9, 6), 1..5)) {
        let current = [("A", "A"), ("B", "B"), ("OLD A", "A"), ("OLDER A", "A"), ("OLD B", "B")];
        let vocabulary = Vocabulary::of_genes(["A", "B"].map(|gene| (gene.to_owned(), 1.0)))
            .unwrap()
            .with_current_ids(current.map(|(id, current)| (id.to_owned(), current.to_owned())))
            .unwrap();
        let dense = ndarray::Array2::from_shape_fn((rows.len(), 6), |(i, j)| f32::from(rows[i][j]));
        let genes = Panel::new(["OLD B", "OLD A", "unknown", "A", "OLDER A", "B"]).unwrap();
        let totals = vec![100.0; rows.len()];
        let counts = CountMatrix::new(genes, CsMat::csr_from_dense(dense.view(), 0.0), totals.clone()).unwrap();
        let (collapsed, _) = vocabulary.collapse(&counts).unwrap();
        let expected = Panel::new(["B", "A"]).unwrap();
        prop_assert_eq!(collapsed.genes(), &expected);
        prop_assert_eq!(collapsed.totals(), &totals[..]);
        for row in 0..rows.len() {
            let sum = |columns: &[usize]| columns.iter().map(|&c| dense[[row, c]]).sum::<f32>();
            let found = |column| collapsed.counts().get(row, column).copied().unwrap_or(0.0);
            prop_assert_eq!((found(0), found(1)), (sum(&[0, 5]), sum(&[1, 3, 4])));
        }
    }
}
