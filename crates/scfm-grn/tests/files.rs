//! Reference files: how they may look, and what is said when they are broken.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use scfm_grn::{Error, Format, Modes, ReferenceNetwork};

fn read(text: impl AsRef<[u8]>, format: Format) -> Result<ReferenceNetwork, Error> {
    ReferenceNetwork::from_reader("net", text.as_ref(), format)
}

fn pairs(network: &ReferenceNetwork) -> Vec<(&str, &str)> {
    network
        .edges()
        .iter()
        .map(|e| (e.source.as_str(), e.target.as_str()))
        .collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn one_list_in_many_spellings() {
    for text in [
        "source,target\nA,B\nA,C\n",
        "A,B\nA,C\n",
        "A\tB\r\nA\tC\r\n",
        "A B\nA C",
        "A;B\nA;C\n",
        "\u{feff}A,B\n\nA,C\n\n",
        "# a comment, with a comma\n\"A\"\t\"B\"\n A\t C \t\n",
        "tf\tconfidence\ttarget\tmor\nA\tD\tB\t1\nA\tA\tC\t-1\n",
        "\"\",\"score\",\"protein1\",\"protein2\"\n\"1\",0.952,\"A\",\"B\"\n\"2\",1,\"A\",\"C\"\n",
        "target,SOURCE\nB,A\nC,A\n",
        "source,source_genesymbol,target_genesymbol\nP1,A,B\nP1,A,C\n",
        "A,B,-0.5\nA,C,activation,2\n",
    ] {
        let network = read(text, Format::EdgeList).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert_eq!(pairs(&network), [("A", "B"), ("A", "C")], "{text:?}");
        let zipped = read(gzip(text), Format::EdgeList).unwrap();
        assert_eq!(zipped.edges(), network.edges(), "gzip of {text:?}");
    }
}

#[test]
fn a_gzip_of_several_members_is_read_to_its_end() {
    let mut file = gzip("A,B\n");
    file.extend(gzip("A,C\n"));
    assert_eq!(read(file, Format::EdgeList).unwrap().edges().len(), 2);
}

#[test]
fn equal_pairs_are_merged_with_all_their_modes() {
    let text = "A\tB\tActivation\t1\nA\tB\tRepression\t2;3\nA\tB\tActivation\t4\nB\tB\tUnknown\t5\nA\tC\tUnknown\t\n";
    let network = read(text, Format::Trrust).unwrap();
    assert_eq!(pairs(&network), [("A", "B"), ("B", "B"), ("A", "C")]);
    assert_eq!(
        (network.n_lines(), network.n_sources(), network.n_targets()),
        (5, 2, 2)
    );
    let both = Modes {
        activation: true,
        repression: true,
        unknown: false,
    };
    assert_eq!(network.edges()[0].modes, both);
    assert_eq!(network.self_pairs().count(), 1);
    assert_eq!(pairs(&network.filter(|edge| edge.modes.known())), [("A", "B")]);
}

#[test]
fn weights_of_zero_say_that_there_is_no_edge() {
    let network = read("A,B,1\nA,C,0\nA,D,-2\nA,D,1.5\n", Format::EdgeList).unwrap();
    assert_eq!(pairs(&network), [("A", "B"), ("A", "D")]);
    assert_eq!(network.n_absent(), 1);
    assert_eq!(network.edges()[1].weight, Some(-2.0), "the largest magnitude");
}

#[test]
fn transferrin_is_a_gene_and_no_header() {
    assert_eq!(
        pairs(&read("TF,APOB\n", Format::EdgeList).unwrap()),
        [("TF", "APOB")]
    );
}

#[test]
fn broken_files_are_refused_with_line_and_finding() {
    use Format::{EdgeList, Trrust};
    let truncated = &gzip("A,B\nA,C\n")[..14];
    let long = format!("A,{}\n", "B".repeat(1 << 20));
    for (text, format, message) in [
        (&b""[..], EdgeList, "net holds no edge"),
        (b"source,target\n", EdgeList, "net holds no edge"),
        (b"A,B,0\n", EdgeList, "net holds no edge"),
        (
            b"A,B\nA\n",
            EdgeList,
            "net, line 2: 1 fields, expected source, target and at most a mode and a weight",
        ),
        (
            b"A,B,1,up,x\n",
            EdgeList,
            "net, line 1: 5 fields, expected source, target and at most a mode and a weight",
        ),
        (b"#\n\nA,B\nA,\n", EdgeList, "net, line 4: \"\" is no target gene"),
        (
            b"source,target\n,B\n",
            EdgeList,
            "net, line 2: \"\" is no source gene",
        ),
        (
            b"source,target\nA\n",
            EdgeList,
            "net, line 2: 1 fields, expected the columns of the header",
        ),
        (
            b"A,B\nA,\"C\nA,D\n",
            EdgeList,
            "net, line 2: quote without an end",
        ),
        (b"A\tB\nA\tC\xff\n", EdgeList, "net, line 2: not UTF-8 text"),
        (
            b"A,B,sideways\n",
            EdgeList,
            "net, line 1: mode \"sideways\", expected activation, repression, unknown or a sign",
        ),
        (
            b"A,B,1,up\n",
            EdgeList,
            "net, line 1: weight \"up\" is no finite number",
        ),
        (
            b"source,target,weight\nA,B,much\n",
            EdgeList,
            "net, line 2: weight \"much\" is no finite number",
        ),
        (
            b"source,target,weight\nA,B,inf\n",
            EdgeList,
            "net, line 2: weight \"inf\" is no finite number",
        ),
        (
            b"A\tB\tActivation\t1\nA\tB\n",
            Trrust,
            "net, line 2: 2 fields, expected 4 (TF, target, mode, PubMed ids, separated by tabs)",
        ),
        (
            b"TF\tTarget\tMode\tPMID\n",
            Trrust,
            "net, line 1: mode \"Mode\", expected Activation, Repression or Unknown",
        ),
        (
            long.as_bytes(),
            EdgeList,
            "net, line 1: line of more than 1048576 bytes, which is no list of edges",
        ),
        (truncated, EdgeList, "cannot read reference net"),
    ] {
        let shown = String::from_utf8_lossy(&text[..text.len().min(60)]);
        match read(text, format) {
            Ok(network) => panic!("{shown:?} gave {network:?}"),
            Err(error) => assert!(
                error.to_string().starts_with(message),
                "{shown:?}: {error} instead of {message}"
            ),
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent.tsv");
    let error = ReferenceNetwork::read(&path, Format::Trrust).unwrap_err();
    assert!(
        matches!(&error, Error::Read { path: found, .. } if *found == path),
        "{error}"
    );

    let path = folder.path().join("present.tsv.gz");
    std::fs::write(&path, gzip("A\tB\n")).unwrap();
    let network = ReferenceNetwork::read(&path, Format::EdgeList).unwrap();
    assert_eq!(network.name(), "present.tsv.gz");
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        edges in prop::collection::vec(("[A-Z][A-Z0-9-]{0,6}", "[A-Z][A-Z0-9-]{0,6}", -5i32..5), 1..40),
        delimiter in prop::sample::select(vec!["\t", ",", ";", " "]),
        quoted in any::<bool>(),
    ) {
        let field = |text: &str| if quoted { format!("\"{text}\"") } else { text.to_owned() };
        let mut text = ["source", "target", "weight"].map(field).join(delimiter);
        for (source, target, weight) in &edges {
            text += &format!("\n{}", [field(source), field(target), weight.to_string()].join(delimiter));
        }
        let present: Vec<_> = edges.iter().filter(|(.., weight)| *weight != 0).collect();
        prop_assume!(!present.is_empty());
        let network = read(&text, Format::EdgeList).unwrap();
        prop_assert_eq!(network.n_lines(), present.len());
        prop_assert_eq!(network.n_absent(), edges.len() - present.len());
        for edge in network.edges() {
            let largest = present
                .iter()
                .filter(|(s, t, _)| (s.as_str(), t.as_str()) == (edge.source.as_str(), edge.target.as_str()))
                .map(|(.., weight)| weight.abs())
                .max()
                .unwrap();
            prop_assert_eq!(edge.weight.unwrap().abs(), f64::from(largest));
        }
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..300), mut zipped in any::<bool>()) {
        let mut file = bytes;
        if zipped {
            file.splice(0..0, [0x1f, 0x8b, 8]);
        }
        zipped = file.starts_with(&[0x1f, 0x8b]);
        for format in [Format::Trrust, Format::EdgeList] {
            if let Ok(network) = read(&file, format) {
                prop_assert!(!zipped && !network.edges().is_empty());
            }
        }
    }
}
