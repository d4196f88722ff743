use rand::seq::SliceRandom;
use scfm_core::{GeneId, Panel, Seeds};

use std::collections::BTreeMap;

/// Sources and targets in two halves, so that heads can be ranked on one and judged on the other.
///
/// The pairs of a half are those of its sources with its targets. What is judged in a half is ranked in the other, with
/// which it shares neither a source nor a target: sources alone are not enough, since all of them rank the same targets,
/// and a head that happens to look at genes that respond to anything would be chosen for it and blamed for it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halves {
    sources: BTreeMap<GeneId, usize>,
    targets: BTreeMap<GeneId, usize>,
}

/// The halves, by index.
pub const HALVES: [usize; 2] = [0, 1];

impl Halves {
    /// Deals out perturbed genes, further sources (TFs of a reference) and targets at random, each group evenly. A gene keeps
    /// one half as a source, whatever it is a source of.
    pub fn draw(perturbed: &Panel, others: &Panel, targets: &Panel, seeds: Seeds, analysis: &str) -> Self {
        let deal = |genes: Vec<GeneId>, purpose: &str| {
            let mut genes = genes;
            genes.sort_unstable();
            genes.shuffle(&mut seeds.stream(analysis, purpose, 0));
            genes.into_iter().zip(HALVES.into_iter().cycle())
        };
        let mut sources: BTreeMap<GeneId, usize> =
            deal(perturbed.genes().to_vec(), "halves of perturbations").collect();
        let rest = others.genes().iter().filter(|gene| !sources.contains_key(*gene));
        sources.extend(deal(rest.cloned().collect(), "halves of other sources").collect::<Vec<_>>());
        let targets = deal(targets.genes().to_vec(), "halves of targets").collect();
        Self { sources, targets }
    }

    /// Halves as they were stored.
    pub fn new(
        sources: impl IntoIterator<Item = (GeneId, usize)>,
        targets: impl IntoIterator<Item = (GeneId, usize)>,
    ) -> Self {
        Self {
            sources: sources.into_iter().collect(),
            targets: targets.into_iter().collect(),
        }
    }

    /// The half of a gene as a source.
    pub fn of_source(&self, gene: &GeneId) -> Option<usize> {
        self.sources.get(gene).copied()
    }

    /// The half of a gene as a target.
    pub fn of_target(&self, gene: &GeneId) -> Option<usize> {
        self.targets.get(gene).copied()
    }

    /// All sources with their halves, by name.
    pub fn sources(&self) -> impl Iterator<Item = (&GeneId, usize)> {
        self.sources.iter().map(|(gene, &half)| (gene, half))
    }

    /// All targets with their halves, by name.
    pub fn targets(&self) -> impl Iterator<Item = (&GeneId, usize)> {
        self.targets.iter().map(|(gene, &half)| (gene, half))
    }

    /// The half of which both genes of a pair are.
    pub fn of_pair(&self, source: &GeneId, target: &GeneId) -> Option<usize> {
        self.of_source(source)
            .filter(|&half| self.of_target(target) == Some(half))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_even_disjoint_and_fixed_by_the_seed() {
        let genes = |prefix: &str, n: usize| Panel::new((0..n).map(|i| format!("{prefix}{i}"))).unwrap();
        let (perturbed, targets) = (genes("P", 11), genes("T", 30));
        let others = Panel::new(["P3", "X0", "X1", "X2"]).unwrap();
        let draw = |seed| Halves::draw(&perturbed, &others, &targets, Seeds::new(seed), "test");
        let halves = draw(0);
        assert_eq!(halves, draw(0));
        assert_ne!(halves, draw(1));
        for (all, n) in [
            (halves.sources().collect::<Vec<_>>(), 14),
            (halves.targets().collect(), 30),
        ] {
            assert_eq!(all.len(), n);
            let second = all.iter().filter(|(_, half)| *half == 1).count();
            assert!(second.abs_diff(n - second) <= 2, "{second} of {n}");
        }
        let stored = Halves::new(
            halves.sources().map(|(gene, half)| (gene.clone(), half)),
            halves.targets().map(|(gene, half)| (gene.clone(), half)),
        );
        assert_eq!(stored, halves);
        for (source, of_source) in halves.sources() {
            for (target, of_target) in halves.targets() {
                let pair = halves.of_pair(source, target);
                assert_eq!(pair, (of_source == of_target).then_some(of_source));
            }
        }
    }
}
