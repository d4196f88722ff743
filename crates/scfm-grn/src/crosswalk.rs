use std::collections::HashMap;
use std::collections::hash_map::Entry;

use scfm_core::GeneId;

/// From one kind of gene identifier to another, as from Ensembl ids to symbols.
///
/// An identifier that stands for several others stands for none: which of them was meant cannot be known.
///
/// ```
/// use scfm_grn::Crosswalk;
///
/// let symbols = Crosswalk::new([("ENSG00000115415", "STAT1"), ("ENSG00000125347", "IRF1")]);
/// assert_eq!(symbols.get(&"ENSG00000115415.19".into()).unwrap().as_str(), "STAT1");
/// assert!(symbols.get(&"ENSG00000000000".into()).is_none());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Crosswalk {
    map: HashMap<GeneId, GeneId>,
    ambiguous: Vec<GeneId>,
}

impl Crosswalk {
    /// A crosswalk of (from, to); empty identifiers are passed over.
    pub fn new<F: Into<GeneId>, T: Into<GeneId>>(pairs: impl IntoIterator<Item = (F, T)>) -> Self {
        let mut map: HashMap<GeneId, Option<GeneId>> = HashMap::new();
        for (from, to) in pairs {
            let (from, to) = (from.into(), to.into());
            if from.as_str().is_empty() || to.as_str().is_empty() {
                continue;
            }
            match map.entry(from) {
                Entry::Vacant(free) => {
                    free.insert(Some(to));
                }
                Entry::Occupied(mut taken) => {
                    if taken.get().as_ref().is_some_and(|known| *known != to) {
                        taken.insert(None);
                    }
                }
            }
        }
        let mut ambiguous: Vec<GeneId> = map
            .iter()
            .filter(|(_, to)| to.is_none())
            .map(|(from, _)| from.clone())
            .collect();
        ambiguous.sort();
        Self {
            map: map
                .into_iter()
                .filter_map(|(from, to)| Some((from, to?)))
                .collect(),
            ambiguous,
        }
    }

    /// What an identifier becomes. The version of an Ensembl id does not matter.
    pub fn get(&self, gene: &GeneId) -> Option<&GeneId> {
        self.map.get(gene).or_else(|| {
            let (id, _) = gene.as_str().split_once('.').filter(|_| is_ensembl(gene))?;
            self.map.get(id)
        })
    }

    /// Number of identifiers that become another.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Identifiers that were given several others, and so have none.
    pub fn ambiguous(&self) -> &[GeneId] {
        &self.ambiguous
    }
}

/// Whether a gene is named by an Ensembl id: `ENSG00000115415`, `ENSMUSG…`, with or without a version.
pub fn is_ensembl(gene: &GeneId) -> bool {
    let id = gene.as_str();
    id.starts_with("ENS") && id.len() > 10 && id[3..].contains(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_two_stands_for_none() {
        let crosswalk = Crosswalk::new([
            ("A", "1"),
            ("B", "2"),
            ("B", "3"),
            ("A", "1"),
            ("", "4"),
            ("B", "2"),
        ]);
        assert_eq!(crosswalk.len(), 1);
        assert_eq!(crosswalk.get(&"A".into()), Some(&"1".into()));
        assert_eq!(crosswalk.get(&"B".into()), None);
        assert_eq!(crosswalk.ambiguous(), [GeneId::from("B")]);
    }

    #[test]
    fn only_an_ensembl_id_has_a_version() {
        let crosswalk = Crosswalk::new([("HLA-A", "x"), ("ENSG00000000003", "TSPAN6")]);
        assert_eq!(crosswalk.get(&"HLA-A.2".into()), None);
        assert_eq!(
            crosswalk.get(&"ENSG00000000003.15".into()),
            Some(&"TSPAN6".into())
        );
        assert!(is_ensembl(&"ENSMUSG00000000001".into()) && !is_ensembl(&"ENSA".into()));
    }
}
