//! Real files, read where `SCFM_TEST_DATA` names the folder that holds them.

use std::collections::HashMap;
use std::path::PathBuf;

use scfm_io::{
    Error, FrameColumn, GeneMap, H5ad, MatrixName, ReadLimits, read_median_dictionary, read_name_dictionary,
    read_token_dictionary,
};

fn data(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("SCFM_TEST_DATA");
    if folder.is_none() {
        eprintln!("skipped: SCFM_TEST_DATA is not set");
    }
    folder.map(|folder| PathBuf::from(folder).join(path))
}

fn open(path: &std::path::Path) -> H5ad {
    H5ad::open(path, &ReadLimits::default()).unwrap()
}

/// Rows of the text form of a dictionary, without its header.
fn rows(path: &str) -> Option<Vec<Vec<String>>> {
    let text = std::fs::read_to_string(data(path)?).unwrap();
    Some(
        text.lines()
            .skip(1)
            .map(|line| line.split('\t').map(str::to_owned).collect())
            .collect(),
    )
}

#[test]
fn the_dictionaries_of_geneformer_agree_with_their_text_form() {
    let Some(folder) = data("models/geneformer_gc30M") else {
        return;
    };
    let expected = rows("models/geneformer_gc30M/tokens_medians.tsv").unwrap();
    let tokens = read_token_dictionary(&folder.join("token_dictionary.pkl")).unwrap();
    let medians = read_median_dictionary(&folder.join("gene_median_dictionary.pkl")).unwrap();
    assert_eq!((tokens.len(), medians.len()), (25_426, 25_424));
    assert_eq!(tokens[..2], [("<pad>".to_owned(), 0), ("<mask>".to_owned(), 1)]);

    let (tokens, medians): (HashMap<_, _>, HashMap<_, _>) =
        (tokens.into_iter().collect(), medians.into_iter().collect());
    for row in &expected {
        let gene = &row[0];
        assert_eq!(tokens[gene].to_string(), row[1], "{gene}");
        if let Some(median) = row.get(2).filter(|median| !median.is_empty()) {
            assert_eq!(
                medians[gene].to_bits(),
                median.parse::<f64>().unwrap().to_bits(),
                "{gene}"
            );
        }
    }

    let names: HashMap<_, _> = read_name_dictionary(&folder.join("gene_name_id_dict.pkl"))
        .unwrap()
        .into_iter()
        .collect();
    let expected = rows("models/geneformer_gc30M/symbol_to_ensembl.tsv").unwrap();
    assert_eq!(names.len(), expected.len());
    for row in expected {
        assert_eq!(names[&row[0]], row[1]);
    }
    // A dictionary of names is no dictionary of tokens.
    let error = read_token_dictionary(&folder.join("gene_name_id_dict.pkl")).unwrap_err();
    assert!(matches!(error, Error::Dictionary { .. }), "{error}");
}

#[test]
fn the_vocabulary_of_scgpt_is_read() {
    let Some(path) = data("models/scgpt/default_census_vocab.json") else {
        return;
    };
    let mut ids: Vec<u32> = read_token_dictionary(&path)
        .unwrap()
        .into_iter()
        .map(|(_, id)| id)
        .collect();
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(0..60_694));
}

#[test]
fn the_screen_of_papalexi_is_read() {
    let Some(path) = data("perturb/papalexi2021/papalexi2021_subset.h5ad") else {
        return;
    };
    let file = open(&path);
    assert_eq!((file.n_cells(), file.n_genes()), (20_729, 299));
    let target = file.obs().unwrap().column("target_gene").unwrap();
    let counts = target.value_counts();
    let count = |label: &str| counts.iter().find(|(l, _)| l == label).map(|(_, n)| *n);
    assert_eq!((count("unassigned"), counts.len()), (Some(966), 27));

    let matrix = file.counts_matrix().unwrap();
    assert_eq!(matrix, MatrixName::X);
    let genes = GeneMap::new(&file.gene_ids(&matrix, None).unwrap());
    let all: Vec<usize> = (0..file.n_cells()).collect();
    let cells = file.cells(&matrix, &all, &genes).unwrap();
    assert_eq!(cells.counts().nnz(), 1_390_126);

    // Control cells by blocks are the same rows of the whole.
    let controls: Vec<usize> = target
        .labels()
        .iter()
        .enumerate()
        .filter(|(_, l)| l.as_deref() == Some("non-targeting"))
        .map(|(i, _)| i)
        .collect();
    assert_eq!(controls.len(), 2_304);
    let mut at = 0;
    for block in file.blocks(&matrix, &controls, &genes, 1000).unwrap() {
        let block = block.unwrap();
        let expected = cells.select_cells(&controls[at..at + block.n_cells()]);
        assert_eq!(block.counts(), expected.counts());
        assert_eq!(block.totals(), expected.totals());
        at += block.n_cells();
    }
    assert_eq!(at, controls.len());

    // Knocked-out STAT1 loses its own transcript.
    let stat1 = genes.panel().position("STAT1").unwrap();
    let expression = cells.log1p_cp10k();
    let labels = target.labels();
    let mean = |label: &str| {
        let rows: Vec<usize> = (0..file.n_cells())
            .filter(|&i| labels[i].as_deref() == Some(label))
            .collect();
        rows.iter()
            .map(|&row| expression.get(row, stat1).copied().unwrap_or(0.0))
            .sum::<f64>()
            / rows.len() as f64
    };
    assert!(mean("STAT1") < 0.5 * mean("non-targeting"));
}

#[test]
fn the_screen_of_schraivogel_is_read() {
    let Some(path) = data("perturb/schraivogel2020/schraivogel2020_chr8_tap.h5ad") else {
        return;
    };
    let file = open(&path);
    assert_eq!((file.n_cells(), file.n_genes()), (21_977, 72));
    let index = file.obs().unwrap().index().unwrap(); // stored under the name "gene"
    assert_eq!(index.len(), 21_977);
    let target = file.obs().unwrap().column("target").unwrap();
    assert!(
        target
            .value_counts()
            .iter()
            .any(|(label, n)| label.starts_with("non") && *n == 8_609)
    );
    let genes = GeneMap::new(&file.gene_ids(&MatrixName::X, None).unwrap());
    assert_eq!(file.counts_matrix().unwrap(), MatrixName::X);
    assert_eq!(
        file.cells(&MatrixName::X, &[0, 21_976], &genes)
            .unwrap()
            .n_cells(),
        2
    );
}

#[test]
fn the_cells_of_kang_have_symbols_and_ensembl_ids() {
    let Some(path) = data("cells/kang2018/kang2018_subset.h5ad") else {
        return;
    };
    let file = open(&path);
    let ids = file.gene_ids(&MatrixName::X, Some("ENSEMBL")).unwrap();
    let tokens =
        read_token_dictionary(&data("models/geneformer_gc30M/token_dictionary.pkl").unwrap()).unwrap();
    let tokens: HashMap<_, _> = tokens.into_iter().collect();
    assert_eq!(ids.iter().filter(|id| tokens.contains_key(*id)).count(), 1_261);
    let all: Vec<usize> = (0..file.n_cells()).collect();
    let cells = file.cells(&MatrixName::X, &all, &GeneMap::new(&ids)).unwrap();
    assert_eq!((cells.n_cells(), cells.counts().nnz()), (1_556, 585_251));
}

#[test]
fn files_of_every_anndata_version_at_hand_are_read() {
    let Some(folder) = data("h5ad_versions") else {
        return;
    };
    for (name, cells, genes) in [("anndata_v0.7.0.h5ad", 30, 20), ("anndata_v0.7.8.h5ad", 30, 20)] {
        let file = open(&folder.join(name));
        assert_eq!((file.n_cells(), file.n_genes()), (cells, genes));
        let obs = file.obs().unwrap();
        assert_eq!(
            obs.columns(),
            ["obs_cat", "cat_ordered", "int64", "float64", "uint8"]
        );
        let column = obs.column("obs_cat").unwrap();
        assert!(matches!(&column, FrameColumn::Categorical { categories, .. } if categories.len() > 20));
        assert!(column.labels().iter().all(Option::is_some));
        assert_eq!(obs.column("uint8").unwrap().kind(), "number");
        let summary = file.summary().unwrap();
        assert_eq!(summary.matrices[0].compression, ["lzf"]);
        assert_eq!(summary.matrices[1].shape, [30, 40]); // raw has more genes
    }
    let empty = open(&folder.join("anndata_v0.11.4.h5ad"));
    assert_eq!((empty.n_cells(), empty.n_genes()), (10, 20));
    assert!(matches!(empty.counts_matrix(), Err(Error::NoCounts { .. })));

    let valid = open(&folder.join("cellxgene_example_valid.h5ad"));
    assert_eq!(
        valid.obs().unwrap().column("is_primary_data").unwrap().kind(),
        "bool"
    );
    assert_eq!(valid.counts_matrix().unwrap(), MatrixName::Raw);
    let genes = GeneMap::new(&valid.gene_ids(&MatrixName::Raw, None).unwrap());
    assert_eq!(
        valid
            .cells(&MatrixName::Raw, &[0, 1], &genes)
            .unwrap()
            .counts()
            .nnz(),
        13 // fourteen are stored, one of them a zero
    );
}

#[test]
fn the_oldest_layout_is_read() {
    let Some(path) = data("cells/pbmc68k/10x_pbmc68k_reduced.h5ad") else {
        return;
    };
    let file = open(&path);
    assert_eq!((file.n_cells(), file.n_genes()), (700, 765));
    let obs = file.obs().unwrap();
    assert_eq!(obs.index().unwrap()[0], "AAAGCCTGGCTAAC-1");
    let columns = [
        "bulk_labels",
        "n_genes",
        "percent_mito",
        "n_counts",
        "S_score",
        "G2M_score",
        "phase",
        "louvain",
    ];
    assert_eq!(obs.columns(), columns);
    let FrameColumn::Number(n_genes) = obs.column("n_genes").unwrap() else {
        panic!("n_genes holds numbers")
    };
    assert_eq!(n_genes[..3], [1003.0, 1080.0, 1228.0]);
    let labels = obs.column("bulk_labels").unwrap();
    assert!(matches!(&labels, FrameColumn::Categorical { categories, .. } if categories.len() == 10));
    assert_eq!(labels.value_counts()[0], ("Dendritic".to_owned(), 240));
    assert_eq!(
        file.var().unwrap().column("highly_variable").unwrap().kind(),
        "bool"
    );
    assert_eq!(file.matrix_names().unwrap(), [MatrixName::X, MatrixName::Raw]);
    let raw = file.gene_ids(&MatrixName::Raw, None).unwrap();
    assert_eq!((raw.len(), raw[0].as_str()), (765, "HES4"));

    // Scaled X, log-normalised raw: the message shows a value of each.
    let error = file.counts_matrix().unwrap_err();
    let Error::NoCounts { seen, .. } = &error else {
        panic!("{error}")
    };
    assert!(
        seen[0].starts_with("raw/X has 2.177 for cell AAAGCCTGGCTAAC-1")
            && seen[1].starts_with("X has -0.326 for"),
        "{error}"
    );
}
