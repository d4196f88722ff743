use std::collections::HashMap;

use scfm_core::{Ledger, Panel};

/// Which gene each column of a file's matrix belongs to.
///
/// Several columns may belong to one gene, whose counts are then summed; a column may belong to none. What is
/// summed or lost is counted in the [`Ledger`].
///
/// ```
/// use scfm_io::GeneMap;
///
/// let map = GeneMap::new(&["ENSG00000115415.20", "ENSG00000125347", "ENSG00000115415.21"]);
/// assert_eq!(map.panel().len(), 2);
/// assert_eq!(map.columns(), [Some(0), Some(1), Some(0)]);
/// assert_eq!(map.ledger().steps()[0].reason, "same gene as an earlier column, counts summed");
/// ```
#[derive(Debug, Clone)]
pub struct GeneMap {
    panel: Panel,
    columns: Vec<Option<u32>>,
    ledger: Ledger,
}

impl GeneMap {
    /// Every distinct id is a gene, in the order of first appearance; Ensembl versions are stripped
    /// ([`strip_version`]) and empty ids belong to nothing.
    pub fn new<T: AsRef<str>>(ids: &[T]) -> Self {
        Self::with(ids, |id| Some(strip_version(id).to_owned()))
    }

    /// Every distinct gene that `gene_of` makes of an id, in the order of first appearance: a crosswalk from
    /// symbols to Ensembl ids, say. Columns for which it has no answer belong to nothing.
    pub fn with<T: AsRef<str>>(ids: &[T], gene_of: impl Fn(&str) -> Option<String>) -> Self {
        let mut position: HashMap<String, u32> = HashMap::with_capacity(ids.len());
        let mut genes = Vec::new();
        let (mut unnamed, mut unknown, mut repeated) = (0, Vec::new(), Vec::new());
        let mut columns = Vec::with_capacity(ids.len());
        for id in ids.iter().map(AsRef::as_ref) {
            columns.push(if id.is_empty() {
                unnamed += 1;
                None
            } else if let Some(gene) = gene_of(id) {
                let next = genes.len() as u32;
                let place = *position.entry(gene).or_insert_with_key(|gene| {
                    genes.push(gene.clone());
                    next
                });
                if place < next {
                    repeated.push(id);
                }
                Some(place)
            } else {
                unknown.push(id);
                None
            });
        }
        let mut ledger = Ledger::new();
        ledger.lost("gene columns", "no identifier", unnamed, [] as [&str; 0]);
        ledger.lost(
            "gene columns",
            "no gene for this identifier",
            unknown.len() as u64,
            unknown,
        );
        let reason = "same gene as an earlier column, counts summed";
        ledger.lost("gene columns", reason, repeated.len() as u64, repeated);
        ledger.kept("genes", genes.len() as u64);
        Self {
            panel: Panel::new(genes).expect("genes are collected without repeats"),
            columns,
            ledger,
        }
    }

    /// The same columns for the genes of `panel` alone, in its order; its genes that have no column get no counts,
    /// and the ledger names them.
    pub fn onto(&self, panel: &Panel) -> Self {
        let place = |&column: &Option<u32>| {
            let gene = self.panel.gene(column? as usize);
            panel.position(gene.as_str()).map(|position| position as u32)
        };
        let absent: Vec<_> = panel
            .genes()
            .iter()
            .filter(|gene| !self.panel.contains(gene.as_str()))
            .collect();
        let mut ledger = self.ledger.clone();
        ledger.lost(
            "panel genes",
            "not in the file",
            absent.len() as u64,
            absent.iter(),
        );
        ledger.kept("panel genes", (panel.len() - absent.len()) as u64);
        Self {
            panel: panel.clone(),
            columns: self.columns.iter().map(place).collect(),
            ledger,
        }
    }

    /// The genes.
    pub fn panel(&self) -> &Panel {
        &self.panel
    }

    /// For each column of the file the position of its gene in the panel.
    pub fn columns(&self) -> &[Option<u32>] {
        &self.columns
    }

    /// What was lost or summed on the way from columns to genes.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// An Ensembl id without its version, `ENSG00000115415.20` → `ENSG00000115415`; any other id as it is, for symbols
/// such as `HLA-A.1` or `AC012345.6` carry their number in the name.
pub fn strip_version(id: &str) -> &str {
    match id.rsplit_once('.') {
        Some((stem, version)) if is_ensembl(stem) && !version.is_empty() && digits(version) => stem,
        _ => id,
    }
}

/// `ENS`, letters for species and kind, eleven digits.
fn is_ensembl(id: &str) -> bool {
    id.is_ascii() && id.len() >= 15 && id.starts_with("ENS") && digits(&id[id.len() - 11..])
}

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_stripped_from_ensembl_ids_only() {
        for (id, expected) in [
            ("ENSG00000115415.20", "ENSG00000115415"),
            ("ENSMUSG00000026104.15", "ENSMUSG00000026104"),
            ("ENSG00000115415", "ENSG00000115415"),
            ("AC012345.6", "AC012345.6"),
            ("ENSG00000182378.14_PAR_Y", "ENSG00000182378.14_PAR_Y"),
            ("ENSA.1", "ENSA.1"),
            ("", ""),
        ] {
            assert_eq!(strip_version(id), expected);
        }
    }

    #[test]
    fn a_crosswalk_counts_what_it_loses_and_what_it_sums() {
        let map = GeneMap::with(&["A", "B", "", "a", "C"], |id| {
            (id != "B").then(|| id.to_uppercase())
        });
        assert_eq!(map.columns(), [Some(0), None, None, Some(0), Some(1)]);
        let steps: Vec<_> = map
            .ledger()
            .steps()
            .iter()
            .map(|s| (s.reason.as_str(), s.count))
            .collect();
        assert_eq!(
            steps,
            [
                ("no identifier", 1),
                ("no gene for this identifier", 1),
                ("same gene as an earlier column, counts summed", 1),
                ("kept", 2)
            ]
        );

        let onto = map.onto(&Panel::new(["X", "C"]).unwrap());
        assert_eq!(onto.columns(), [None, None, None, None, Some(1)]);
        let lost = &onto.ledger().steps()[4];
        assert_eq!(
            (lost.reason.as_str(), lost.examples.as_slice()),
            ("not in the file", &["X".to_owned()][..])
        );
    }
}
