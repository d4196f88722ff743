//! Lists of scored pairs as other tools write them.

use proptest::prelude::*;
use scfm_core::Panel;
use scfm_grn::{
    Absent, EdgeList, Error, Format, ListGenes, Ranking, ReferenceNetwork, beeline, dream5, thousands,
};
use scfm_stats::Undefined;

fn read(text: &str) -> Result<EdgeList, Error> {
    EdgeList::from_reader("list", text.as_bytes())
}

/// Source, target and score of every edge.
fn edges(list: &EdgeList) -> Vec<(&str, &str, f64)> {
    let name = |gene: usize| list.genes().gene(gene).as_str();
    list.edges()
        .iter()
        .map(|e| (name(e.source), name(e.target), e.score))
        .collect()
}

#[test]
fn the_layouts_of_common_tools_are_understood() {
    let expected = [("A", "B", 2.5), ("B", "C", 0.5)];
    for (tool, text, layout) in [
        ("plain", "A,B,2.5\nB,C,0.5\n", "no header: source, target, score"),
        (
            "GRNBoost2 without a header",
            "A\tB\t2.5\nB\tC\t0.5\n",
            "no header: source, target, score",
        ),
        (
            "SCENIC adjacencies",
            "TF,target,importance\nA,B,2.5\nB,C,0.5\n",
            "source = TF, target = target, score = importance",
        ),
        (
            "pandas with its index",
            ",TF,target,importance\n0,A,B,2.5\n1,B,C,0.5\n",
            "source = TF, target = target, score = importance",
        ),
        (
            "BEELINE",
            "Gene1\tGene2\tEdgeWeight\nA\tB\t2.5\nB\tC\t0.5\n",
            "source = Gene1, target = Gene2, score = EdgeWeight",
        ),
        (
            "GENIE3 in R",
            "\"regulatoryGene\" \"targetGene\" \"weight\"\n\"1\" \"A\" \"B\" 2.5\n\"2\" \"B\" \"C\" 0.5\n",
            "source = regulatoryGene, target = targetGene, score = weight",
        ),
        (
            "DREAM5, whose lines end in a tab",
            "A\tB\t2.5\t\nB\tC\t0.5\t\n",
            "no header: source, target, score",
        ),
        (
            "GENIE3's link list without row names",
            "regulatoryGene\ttargetGene\tweight\nA\tB\t2.5\nB\tC\t0.5\n",
            "source = regulatoryGene, target = targetGene, score = weight",
        ),
        (
            "GENIE3's link list by write.csv",
            "\"\",\"regulatoryGene\",\"targetGene\",\"weight\"\n\"1\",\"A\",\"B\",2.5\n\"2\",\"B\",\"C\",0.5\n",
            "source = regulatoryGene, target = targetGene, score = weight",
        ),
        (
            "arboreto with a header",
            "TF\ttarget\timportance\nA\tB\t2.5\nB\tC\t0.5\n",
            "source = TF, target = target, score = importance",
        ),
        (
            "pySCENIC's adjacencies with the index of pandas",
            "\tTF\ttarget\timportance\n17\tA\tB\t2.5\n4\tB\tC\t5e-1\n",
            "source = TF, target = target, score = importance",
        ),
        (
            "CellOracle's links",
            ",source,target,coef_mean,coef_abs,p,-logp\n0,A,B,2.5,2.5,0.01,2\n1,B,C,0.5,0.5,0.1,1\n",
            "source = source, target = target, score = coef_mean",
        ),
        (
            "GRETA's networks",
            "tf,gene,score,pval,cluster\nA,B,2.5,,global\nB,C,0.5,,global\n",
            "source = tf, target = gene, score = score",
        ),
        (
            "GRnnData's links",
            ",regulators,targets,weight\n0,A,B,2.5\n5,B,C,0.5\n",
            "source = regulators, target = targets, score = weight",
        ),
        (
            "numbered columns of pandas",
            ",0,1,2\n0,A,B,2.5\n1,B,C,0.5\n",
            "source = 0, target = 1, score = 2",
        ),
        (
            "columns in another order",
            "\u{feff}score;direction;to;from\r\n2.5;+;B;A\r\n0.5;-;C;B\r\n",
            "source = from, target = to, score = score",
        ),
        (
            "a third column of any name",
            "regulator,target,lasso path\nA,B,2.5\nB,C,5e-1\n",
            "source = regulator, target = target, score = lasso path",
        ),
    ] {
        let list = read(text).unwrap_or_else(|error| panic!("{tool}: {error}"));
        assert_eq!(edges(&list), expected, "{tool}");
        assert_eq!(list.layout(), layout, "{tool}");
    }
}

#[test]
fn pairs_of_a_list_without_scores_are_edges_that_count_the_same() {
    for (tool, text, layout) in [
        (
            "CausalBench's output_network.csv",
            ",0,1\n0,A,B\n1,B,C\n",
            "source = 0, target = 1, no scores",
        ),
        ("plain", "A,B\nB,C\n", "no header: source, target; no scores"),
        (
            "with a header",
            "TF\ttarget\nA\tB\nB\tC\n",
            "source = TF, target = target, no scores",
        ),
        (
            "with the index of pandas",
            ",source,target\n0,A,B\n1,B,C\n",
            "source = source, target = target, no scores",
        ),
        (
            "with row names of R",
            "\"from\" \"to\"\n\"1\" \"A\" \"B\"\n\"2\" \"B\" \"C\"\n",
            "source = from, target = to, no scores",
        ),
    ] {
        let list = read(text).unwrap_or_else(|error| panic!("{tool}: {error}"));
        assert_eq!(edges(&list), [("A", "B", 1.0), ("B", "C", 1.0)], "{tool}");
        assert_eq!(list.layout(), layout, "{tool}");
        assert!(!list.has_scores() && list.is_unranked(), "{tool}");
    }
    let scored = read("A,B,1\nB,C,1\n").unwrap();
    assert!(scored.has_scores() && scored.is_unranked());
    assert!(!read("A,B,1\nB,C,2\n").unwrap().is_unranked());
}

#[test]
fn self_pairs_and_repeated_pairs_are_counted() {
    let list = read("A,B,1\nA,A,3\nA,B,2\nB,A,1\nA,B,1\nA,A,1\n").unwrap();
    assert_eq!((list.n_self_pairs(), list.n_repeated()), (2, 3));
}

#[test]
fn pairs_without_a_score_are_counted_and_take_no_part() {
    let list = read("source,target,score\nA,B,1\nA,C,\nA,D,NaN\nA,E,na\n").unwrap();
    assert_eq!((list.edges().len(), list.n_unscored()), (1, 3));
    assert_eq!(list.genes().genes().len(), 2);
}

#[test]
fn what_is_not_understood_is_named_by_its_line() {
    for (text, message) in [
        ("", "list holds no edge"),
        ("source,target,score\n", "list holds no edge"),
        ("source,target,score\nA,B,NA\n", "list holds no edge"),
        (
            "gene a,gene b,strength\nA,B,1\n",
            "list, line 1: columns gene a, gene b, strength; expected a source (",
        ),
        ("A,3\nB,4\n", "list, line 1: columns A, 3; expected"),
        ("gene\nA\n", "list, line 1: columns gene; expected"),
        (
            "A,B\nB,C,0.5\n",
            "list, line 2: 3 fields, expected a source and a target",
        ),
        (
            "source,target\nA,B,0.5\n",
            "list, line 2: 3 fields, expected a source and a target",
        ),
        ("A,B\nB\n", "list, line 2: 1 fields, expected a source, a target"),
        (
            "source,target,sign,evidence\nA,B,+,x\n",
            "list, line 1: columns source, target, sign, evidence; expected",
        ),
        (
            "A,B,1\nB,C,much\n",
            "list, line 2: weight \"much\" is no finite number",
        ),
        (
            "A,B,1\nB,C,inf\n",
            "list, line 2: weight \"inf\" is no finite number",
        ),
        ("A,B,1\nB,,2\n", "list, line 2: \"\" is no target gene"),
        (
            "# made by hand\nA,B,1\nB\n",
            "list, line 3: 1 fields, expected a source, a target",
        ),
        ("A,B,1\n\"B,C,2\n", "list, line 2: quote without an end"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text:?}: {error}");
    }
}

#[test]
fn rows_from_elsewhere_are_held_to_the_same() {
    let rows = [
        ("A", "B", Some(1.0)),
        ("A", "C", None),
        ("B", "C", Some(f64::NAN)),
    ];
    let list = EdgeList::new("rows", "by hand", rows).unwrap();
    assert_eq!((edges(&list), list.n_unscored()), (vec![("A", "B", 1.0)], 2));
    let infinite = EdgeList::new("rows", "by hand", [("A", "B", Some(f64::NEG_INFINITY))]);
    assert!(matches!(infinite, Err(Error::Weight { line: 1, .. })));
    assert!(matches!(EdgeList::new("rows", "", []), Err(Error::Empty { .. })));
}

#[test]
fn scores_are_laid_over_any_panel_and_the_strongest_of_equal_pairs_counts() {
    let list = read("A,B,-3\nA,B,1\nB,A,2\nC,C,9\n").unwrap();
    let genes = Panel::new(["B", "A", "X"]).unwrap();
    let of = |ranking, absent| list.scores(&genes, &genes, ranking, absent);
    let value = of(Ranking::Value, Absent::Missing);
    assert_eq!((value[[1, 0]], value[[0, 1]]), (1.0, 2.0));
    assert!(value[[2, 0]].is_nan() && value[[1, 1]].is_nan());
    assert_eq!(of(Ranking::Magnitude, Absent::Missing)[[1, 0]], 3.0);
    assert_eq!(of(Ranking::Value, Absent::Lowest)[[2, 2]], f64::NEG_INFINITY);
    assert!(list.has_negative());

    let (sources, targets) = list.panels(&ListGenes::Observed);
    assert_eq!(sources, Panel::new(["A", "B", "C"]).unwrap());
    assert_eq!(targets, Panel::new(["A", "B", "C"]).unwrap());
    assert_eq!(list.panels(&ListGenes::Given(genes.clone())).1, genes);
}

#[test]
fn a_truncated_list_is_recognised_and_a_whole_one_is_not() {
    // Every ordered pair of eleven genes: nothing is left out, although the number of rows is round.
    let pairs = |n: usize| (0..n).flat_map(move |s| (0..n).filter(move |&t| t != s).map(move |t| (s, t)));
    let text = |n, take: usize, lowest: f64| -> String {
        pairs(n)
            .take(take)
            .enumerate()
            .map(|(i, (s, t))| format!("G{s},G{t},{}\n", (take - i - 1) as f64 + lowest))
            .collect()
    };
    assert_eq!(read(&text(5, 20, 0.5)).unwrap().truncation(), None);
    let top = read(&text(40, 500, 0.25)).unwrap().truncation().unwrap();
    assert_eq!((top.n_listed, top.is_top, top.lowest), (500, true, 0.25));
    assert!(
        top.to_string().starts_with("the list holds its top 500 of "),
        "{top}"
    );
    // A round number of rows is telling even where the last scores are 0, another number is not.
    assert!(read(&text(40, 500, 0.0)).unwrap().truncation().is_some());
    assert_eq!(read(&text(40, 501, 0.0)).unwrap().truncation(), None);
    let some = read(&text(40, 501, 0.1)).unwrap().truncation().unwrap();
    assert!(
        !some.is_top && some.to_string().contains("none below 0.1"),
        "{some}"
    );
    assert_eq!(thousands(59_829_000), "59,829,000");
    assert_eq!([0, 999, 1_000].map(thousands), ["0", "999", "1,000"]);
}

#[test]
fn dream5_shares_the_edges_that_a_list_leaves_out() {
    // Gold: four pairs, two edges. The list holds one edge; the other is shared by the three that are left.
    let gold = read("A\tB\t1\nA\tC\t1\nA\tD\t0\nB\tD\t0\n").unwrap();
    let found = dream5(&read("A\tB\t0.9\t\nX\tY\t0.8\t\n").unwrap(), &gold).unwrap();
    assert_eq!((found.n_gold, found.n_pos, found.n_listed), (4, 2, 1));
    // (FPR, TPR) and (REC, PREC) by hand: steps of ⅓ of an edge and ⅔ of none.
    let auroc: f64 = [(0.5, 2.0 / 3.0), (2.0 / 3.0, 5.0 / 6.0), (5.0 / 6.0, 1.0)]
        .iter()
        .map(|(a, b)| (a + b) / 2.0 / 3.0)
        .sum();
    let precision = [1.0, (4.0 / 3.0) / 2.0, (5.0 / 3.0) / 3.0, 0.5];
    let aupr: f64 = precision.windows(2).map(|p| (p[0] + p[1]) / 2.0 / 6.0).sum();
    assert!((found.auroc.unwrap() - auroc).abs() < 1e-12);
    assert!((found.aupr.unwrap() - aupr / 0.5).abs() < 1e-12);

    let none = dream5(&read("A,B,1\n").unwrap(), &read("A,B,0\nA,C,0\n").unwrap()).unwrap();
    assert_eq!(none.auroc, Err(Undefined::OneClass { n_pos: 0, n_neg: 2 }));
}

#[test]
fn beeline_counts_pairs_of_genes_that_regulate_none() {
    let truth = "Gene1,Gene2,Type\nA,B,+\nA,A,+\nB,C,-\n";
    let truth = ReferenceNetwork::from_reader("truth", truth.as_bytes(), Format::EdgeList).unwrap();
    let list = read("Gene1\tGene2\tEdgeWeight\nA\tB\t-5\nC\tA\t4\nB\tC\t3\n").unwrap();
    let found = beeline(&list, &truth).unwrap();
    assert_eq!((found.n_genes, found.n_pairs, found.n_pos), (3, 6, 2));
    assert_eq!(found.auroc, Ok(7.0 / 8.0));
    assert!((found.average_precision.unwrap() - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
    // (0, 1) → (½, 1) → (½, ½) → (1, ⅔) → (1, ⅓).
    assert!((found.auprc.unwrap() - (0.5 + 0.5 * (0.5 + 2.0 / 3.0) / 2.0)).abs() < 1e-12);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&text);
        let _ = EdgeList::from_reader("bytes", &bytes[..]);
    }

    #[test]
    fn a_list_reads_back_what_was_written(
        rows in prop::collection::vec(("[A-Z][A-Z0-9]{0,5}", "[A-Z][A-Z0-9]{0,5}", -1e6..1e6f64), 1..40),
        separator in prop::sample::select(vec![",", "\t", ";"]),
        header in any::<bool>(),
    ) {
        let mut text = String::new();
        if header {
            text += &["TF", "target", "importance"].join(separator);
            text += "\n";
        }
        for (source, target, score) in &rows {
            text += &format!("{source}{separator}{target}{separator}{score}\n");
        }
        let list = read(&text).unwrap();
        let expected: Vec<_> = rows.iter().map(|(s, t, x)| (s.as_str(), t.as_str(), *x)).collect();
        prop_assert_eq!(edges(&list), expected);
    }
}
