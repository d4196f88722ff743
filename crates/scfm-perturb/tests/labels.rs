//! Labels as published screens spell them.

use proptest::prelude::*;
use scfm_core::{GeneId, Panel};
use scfm_perturb::{Assignment, Error, LabelReader, guess_column};

fn known() -> Panel {
    Panel::new([
        "STAT1", "STAT5A", "JAK2", "NKX2-1", "HLA-A", "KLF1", "MAP2K6", "AAAS", "CD5", "SPI1", "CTRL",
        "NT5E", "GATA1", "PDCD1LG2", "CCNE2", "MYC", "C7orf26",
    ])
    .unwrap()
}

fn single(gene: &str) -> Assignment {
    Assignment::Single(gene.into())
}

fn multiple(genes: &[&str]) -> Assignment {
    Assignment::Multiple(genes.iter().map(GeneId::from).collect())
}

#[test]
fn labels_of_published_screens() {
    use Assignment::{Control, Unassigned};
    let reader = LabelReader::new(Some(known()));
    for (label, expected) in [
        // Genes with dashes and digits are left alone.
        ("STAT1", single("STAT1")),
        ("NKX2-1", single("NKX2-1")),
        ("HLA-A", single("HLA-A")),
        ("NT5E", single("NT5E")),
        // Guides.
        ("STAT1g2", single("STAT1")),
        ("PDCD1LG2g1", single("PDCD1LG2")),
        ("STAT5Ag4", single("STAT5A")),
        ("NKX2-1_3", single("NKX2-1")),
        ("NKX2-1-3", single("NKX2-1")),
        ("sgCD5", single("CD5")),
        ("sgJAK2_1", single("JAK2")),
        ("JAK2_sg12", single("JAK2")),
        ("JAK2.2", single("JAK2")),
        ("SPI1_pDS255", single("SPI1")),
        ("C7orf26_pBA580", single("C7orf26")),
        ("AAAS_+_53715438.23-P1P2", single("AAAS")),
        ("CCNE2_-_95907017.23-P1P2", single("CCNE2")),
        // Elements near a gene are not the gene.
        ("GATA1-A", single("GATA1-A")),
        ("MYC-enhancer", single("MYC-enhancer")),
        // A gene that was not measured.
        ("IRF1", single("IRF1")),
        ("IRF1_2", single("IRF1")),
        ("IRF1-2", single("IRF1-2")),
        // Several genes, and controls among them.
        ("KLF1+MAP2K6", multiple(&["KLF1", "MAP2K6"])),
        ("MAP2K6_KLF1", multiple(&["KLF1", "MAP2K6"])),
        ("KLF1;IRF1", multiple(&["IRF1", "KLF1"])),
        ("KLF1_2+MAP2K6_1", multiple(&["KLF1", "MAP2K6"])),
        ("KLF1+ctrl", single("KLF1")),
        ("ctrl+KLF1", single("KLF1")),
        ("KLF1_NegCtrl0", single("KLF1")),
        ("KLF1+KLF1", single("KLF1")),
        ("ctrl+ctrl", Control),
        // Controls; screens use CTRL for them although it is a gene.
        ("control", Control),
        ("non-targeting", Control),
        ("non-targeting_00029", Control),
        ("Non_Targeting", Control),
        ("NT", Control),
        ("NTg10", Control),
        ("CTRL", Control),
        ("neg", Control),
        ("neg_ctrl_7", Control),
        ("safe-targeting", Control),
        // No call.
        ("", Unassigned),
        ("unassigned", Unassigned),
        ("nan", Unassigned),
        ("*", Unassigned),
    ] {
        assert_eq!(reader.read(label), expected, "{label:?}");
    }
}

#[test]
fn without_known_genes_only_unambiguous_marks_are_taken_off() {
    let reader = LabelReader::new(None);
    for (label, gene) in [
        ("STAT1_2", "STAT1"),
        ("sgSTAT1", "STAT1"),
        ("NKX2-1", "NKX2-1"),
        ("STAT1g2", "STAT1g2"),
        ("KLF1_MAP2K6", "KLF1_MAP2K6"),
    ] {
        assert_eq!(reader.read(label), single(gene), "{label:?}");
    }
}

#[test]
fn only_the_controls_that_were_asked_for_are_controls() {
    let reader = LabelReader::new(Some(known())).with_controls(["62(mod)_pBA581", "Non-Targeting"]);
    assert_eq!(reader.read("62(mod)_pBA581"), Assignment::Control);
    assert_eq!(reader.read("non-targeting_3"), Assignment::Control);
    assert_eq!(reader.read("unperturbed"), Assignment::Unassigned);
    assert_eq!(reader.read("neg_ctrl_3"), Assignment::Unassigned);
    assert_eq!(reader.read("KLF1+ctrl"), single("KLF1"));
}

#[test]
fn cells_are_counted_by_what_they_are() {
    let labels = ["ctrl", "KLF1", "KLF1_2", "MYC", "KLF1+MYC", "nan"].map(|l| Some(l.to_owned()));
    let mut labels = labels.to_vec();
    labels.push(None);
    let assignments = LabelReader::new(Some(known())).assign(&labels).unwrap();
    assert_eq!(assignments.controls(), [0]);
    let singles: Vec<_> = assignments.singles().into_iter().collect();
    assert_eq!(singles, [("KLF1".into(), vec![1, 2]), ("MYC".into(), vec![3])]);
    let counts: Vec<_> = assignments
        .ledger()
        .steps()
        .iter()
        .map(|s| (s.subject.clone(), s.reason.clone(), s.count))
        .collect();
    let step = |subject: &str, reason: &str, count| (subject.to_owned(), reason.to_owned(), count);
    assert_eq!(
        counts,
        [
            step("cells", "several genes perturbed", 1),
            step("cells", "no perturbation assigned", 2),
            step("control cells", "kept", 1),
            step("cells with one gene perturbed", "kept", 3),
            step("single-gene perturbations", "kept", 2),
        ]
    );
}

#[test]
fn a_screen_without_controls_names_its_most_frequent_labels() {
    let labels: Vec<_> = ["MYC", "KLF1", "KLF1"].map(|l| Some(l.to_owned())).to_vec();
    let error = LabelReader::new(None).assign(&labels).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no control label among 2 labels; the most frequent are \"KLF1\" (2), \"MYC\" (1); name the control label"
    );
    let Error::NoControls {
        n_labels: 2,
        most_frequent,
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(most_frequent[0], ("KLF1".to_owned(), 2));
}

#[test]
fn the_perturbation_column_is_the_first_known_name_that_holds_controls() {
    let text = |labels: &[&str]| -> Vec<_> { labels.iter().map(|l| Some((*l).to_owned())).collect() };
    let barcode_like = text(&["A-1", "B-1", "C-1"]);
    let all_control = text(&["control", "control", "control"]);
    let target = text(&["STAT1", "non-targeting", "JAK2"]);
    let reader = LabelReader::new(None);
    let columns = [
        ("gene", &barcode_like[..]),
        ("Target", &target[..]),
        ("perturbation", &all_control[..]),
        ("batch", &barcode_like[..]),
    ];
    let guess = guess_column(columns, &reader).unwrap();
    assert_eq!(guess.column, "Target");
    assert!(
        guess.reason.contains("1 control cells and 2 perturbed"),
        "{}",
        guess.reason
    );

    let error = guess_column([("gene", &barcode_like[..]), ("batch", &target[..])], &reader).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no perturbation column: \"gene\" has no control label but \"A-1\" (1), \"B-1\" (1), \"C-1\" (1); \
         the other columns are batch; name the column"
    );
}

proptest! {
    #[test]
    fn a_known_gene_with_any_guide_mark_is_that_gene(
        gene in prop::sample::select(vec!["STAT1", "NKX2-1", "HLA-A", "C7orf26", "STAT5A"]),
        prefix in prop::sample::select(vec!["", "sg"]),
        mark in prop::sample::select(vec!["", "_", "-", ".", "g", "_sg", "_g", "_pDS", "_guide"]),
        number in 0..500u32,
    ) {
        let mark = if mark.is_empty() { String::new() } else { format!("{mark}{number}") };
        let label = format!("{prefix}{gene}{mark}");
        prop_assert_eq!(LabelReader::new(Some(known())).read(&label), single(gene), "{}", label);
    }

    #[test]
    fn no_label_breaks_the_reader(label in ".*") {
        for reader in [LabelReader::new(None), LabelReader::new(Some(known())).with_controls(["x"])] {
            if let Assignment::Multiple(genes) = reader.read(&label) {
                prop_assert!(genes.len() > 1 && genes.is_sorted());
            }
        }
    }
}
