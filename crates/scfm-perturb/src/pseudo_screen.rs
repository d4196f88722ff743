//! Screens without a perturbation: control cells dealt out as if they had been perturbed.

use ndarray::{Array2, ArrayView2};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rayon::prelude::*;
use scfm_core::{CountMatrix, GeneId, Panel, Responses};

use crate::{DeParams, Error, Screen};

/// Groups of control cells, each compared with cells that belong to no group, as perturbations are with control cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PseudoGroups {
    /// Cells of each group.
    pub groups: Vec<Vec<usize>>,
    /// For each group, the cells that it is compared with: none of its own.
    pub controls: Vec<Vec<usize>>,
}

impl PseudoGroups {
    /// The cells of each guide cut into groups of `size`, in their order, compared with the cells of all other guides;
    /// what is left over of a guide serves as controls of the others only. Whatever guides, batches and growth do to cells is
    /// in them.
    pub fn of_guides(guides: &[Option<String>], size: usize) -> Self {
        let mut names: Vec<&String> = guides.iter().flatten().collect();
        names.sort_unstable();
        names.dedup();
        let (mut groups, mut controls) = (Vec::new(), Vec::new());
        for name in names {
            let (own, others): (Vec<usize>, Vec<usize>) = (0..guides.len())
                .filter(|&cell| guides[cell].is_some())
                .partition(|&cell| guides[cell].as_ref() == Some(name));
            for group in own.chunks_exact(size.max(1)) {
                groups.push(group.to_vec());
                controls.push(others.clone());
            }
        }
        Self { groups, controls }
    }

    /// Up to `n` groups of `size` cells drawn from `n_cells`, compared with the cells that are left, at least as many as
    /// are in a group. As cells are dealt out at random no group differs from its controls.
    pub fn at_random(n_cells: usize, n: usize, size: usize, rng: &mut impl Rng) -> Self {
        let mut cells: Vec<usize> = (0..n_cells).collect();
        cells.shuffle(rng);
        let n = n.min((n_cells / size.max(1)).saturating_sub(1));
        let mut left = cells.split_off(n * size);
        left.sort_unstable();
        let groups: Vec<Vec<usize>> = cells
            .chunks(size.max(1))
            .map(|group| {
                let mut group = group.to_vec();
                group.sort_unstable();
                group
            })
            .collect();
        Self {
            controls: vec![left; groups.len()],
            groups,
        }
    }

    /// The test statistic of each gene in each group, `[group, gene]`; `NaN` where the test has none, in whole rows where a
    /// group has too few cells for it.
    ///
    /// # Errors
    /// As [`Screen::stratified`].
    ///
    /// # Panics
    /// For cells beyond those of `cells` and where there is not one stratum per cell.
    pub fn statistics(
        &self,
        cells: &CountMatrix,
        strata: Option<&[Option<u32>]>,
        params: DeParams,
    ) -> Result<Array2<f64>, Error> {
        // Neighbours with the same controls go through one screen, whose controls are then read once.
        let groups: Vec<usize> = (0..self.groups.len()).collect();
        let batches: Vec<&[usize]> = groups
            .chunk_by(|&a, &b| self.controls[a] == self.controls[b])
            .collect();
        let rows: Vec<Vec<(usize, Vec<f64>)>> = batches
            .into_par_iter()
            .map(|batch| self.of_batch(batch, cells, strata, params))
            .collect::<Result<_, Error>>()?;
        let mut statistics = Array2::from_elem((self.groups.len(), cells.genes().len()), f64::NAN);
        for (group, row) in rows.into_iter().flatten() {
            statistics.row_mut(group).assign(&ndarray::Array1::from(row));
        }
        Ok(statistics)
    }

    fn of_batch(
        &self,
        batch: &[usize],
        cells: &CountMatrix,
        strata: Option<&[Option<u32>]>,
        params: DeParams,
    ) -> Result<Vec<(usize, Vec<f64>)>, Error> {
        let Some(&first) = batch.first() else {
            return Ok(Vec::new());
        };
        let controls = &self.controls[first];
        let name = |group: usize| GeneId::from(format!("group {group}"));
        let of_controls = cells.select_cells(controls);
        let mut screen = match strata {
            None => Screen::new(&of_controls, params)?,
            Some(strata) => Screen::stratified(&of_controls, &of_rows(strata, controls), params)?,
        };
        for &group in batch {
            let own = &self.groups[group];
            let of_group = cells.select_cells(own);
            match strata {
                None => screen.add(&[(name(group), of_group)])?,
                Some(strata) => screen.add_stratified(&[(name(group), of_group, of_rows(strata, own))])?,
            }
        }
        let table = screen.finish()?;
        let found = batch.iter().filter_map(|&group| {
            let row = table.perturbed().position(name(group).as_str())?;
            Some((group, table.statistic().row(row).to_vec()))
        });
        Ok(found.collect())
    }
}

/// How large |statistic| is for each gene where nothing happened, from groups of cells dealt out at random.
///
/// With few cells |statistic| is not spread alike in all genes: a gene that few cells express is rarely extreme, or only in one
/// direction. Genes that differ most by chance are then genes of a kind, and any score that knows the kind finds them.
#[derive(Debug, Clone)]
pub struct GeneNulls {
    /// |statistic| of each gene over all groups, ascending.
    sizes: Vec<Vec<f64>>,
}

impl GeneNulls {
    /// Collects the statistics of `screens`, each `[group, gene]` over the same genes.
    ///
    /// # Panics
    /// For screens over other numbers of genes.
    pub fn of(screens: &[Array2<f64>]) -> Self {
        let n_genes = screens.first().map_or(0, Array2::ncols);
        assert!(
            screens.iter().all(|screen| screen.ncols() == n_genes),
            "the same genes"
        );
        let sizes = (0..n_genes)
            .into_par_iter()
            .map(|gene| {
                let columns = screens.iter().flat_map(|screen| screen.column(gene));
                let mut sizes: Vec<f64> = columns.map(|z| z.abs()).filter(|z| !z.is_nan()).collect();
                sizes.sort_unstable_by(f64::total_cmp);
                sizes
            })
            .collect();
        Self { sizes }
    }

    /// Where the size of each statistic, `[group, gene]`, lies among those of its gene: the share below, and of its equals as
    /// much as is drawn. Every gene is then as often extreme as every other, also one with few distinct values, whose largest
    /// would otherwise never be as extreme as that of a gene with many.
    pub fn quantiles(&self, statistics: ArrayView2<'_, f64>, rng: &mut impl Rng) -> Array2<f64> {
        Array2::from_shape_fn(statistics.dim(), |(group, gene)| {
            let (size, sizes) = (statistics[[group, gene]].abs(), &self.sizes[gene]);
            // Drawn for every pair, so that a missing statistic changes no other.
            let share: f64 = rng.random();
            if size.is_nan() {
                return f64::NAN;
            }
            let below = sizes.partition_point(|&other| other < size);
            let equal = sizes.partition_point(|&other| other <= size) - below;
            (below as f64 + share * equal as f64) / sizes.len() as f64
        })
    }
}

fn of_rows(strata: &[Option<u32>], rows: &[usize]) -> Vec<Option<u32>> {
    rows.iter().map(|&row| strata[row]).collect()
}

/// Labels of a screen in which nothing happened: each group is said to be a perturbation of the gene in `sources`, and its
/// `k` genes with the largest |statistic| to have responded; of equal ones those that come first. Genes without a statistic
/// are no candidates.
///
/// # Errors
/// [`Error::Core`] where a gene is the source of two groups.
///
/// # Panics
/// When there is not one source per group and one gene per column.
pub fn top_responders(
    statistics: ArrayView2<'_, f64>,
    sources: &[GeneId],
    genes: &Panel,
    k: usize,
) -> Result<Responses, Error> {
    assert_eq!(
        statistics.dim(),
        (sources.len(), genes.len()),
        "a source per group"
    );
    let mut positive = Array2::from_elem(statistics.dim(), false);
    for (row, source) in sources.iter().enumerate() {
        let size = |gene: &usize| statistics[[row, *gene]].abs();
        let mut ranked: Vec<usize> = (0..genes.len())
            .filter(|gene| size(gene).is_finite() && genes.gene(*gene) != source)
            .collect();
        ranked.sort_by(|a, b| size(b).total_cmp(&size(a)));
        for gene in ranked.into_iter().take(k) {
            positive[[row, gene]] = true;
        }
    }
    let mut responses = Responses::new(Panel::new(sources.iter().cloned())?, genes.clone(), positive)?;
    responses.restrict_to_defined(&[statistics]);
    Ok(responses)
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;
    use scfm_core::Seeds;

    use super::*;

    #[test]
    fn a_guide_is_compared_with_all_others_and_nobody_with_unnamed_cells() {
        let guides =
            ["a", "b", "", "a", "c", "b", "a"].map(|name| (!name.is_empty()).then(|| name.to_owned()));
        let found = PseudoGroups::of_guides(&guides, 2);
        assert_eq!(found.groups, [vec![0, 3], vec![1, 5]]);
        assert_eq!(found.controls, [vec![1, 4, 5], vec![0, 3, 4, 6]]);
        let singles = PseudoGroups::of_guides(&guides, 1);
        assert_eq!(singles.groups.concat(), [0, 3, 6, 1, 5, 4]);
    }

    proptest! {
        #[test]
        fn random_groups_are_disjoint_from_each_other_and_their_controls(n_cells in 1..200usize, n in 0..12usize, size in 1..30usize) {
            let mut rng = Seeds::new(3).stream("test", "groups", n_cells as u64);
            let found = PseudoGroups::at_random(n_cells, n, size, &mut rng);
            let mut cells: Vec<usize> = found.groups.concat();
            prop_assert!(found.groups.iter().all(|group| group.len() == size));
            prop_assert!(found.groups.len() <= n);
            if let Some(controls) = found.controls.first() {
                prop_assert!(controls.len() >= size);
                cells.extend(controls);
                cells.sort_unstable();
                prop_assert_eq!(cells, (0..n_cells).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn every_gene_is_as_often_extreme_as_every_other_among_its_own() {
        // The second gene is ten times as spread as the first, the third has no statistic in one group.
        let screens = [
            array![[1.0, -10.0, 3.0], [-2.0, 20.0, f64::NAN]],
            array![[3.0, 30.0, -1.0], [4.0, 40.0, 1.0]],
        ];
        let nulls = GeneNulls::of(&screens);
        let mut rng = Seeds::new(3).stream("test", "ties", 0);
        let found = nulls.quantiles(screens[1].view(), &mut rng);
        for (group, quarter) in [(0, 0.5), (1, 0.75)] {
            for gene in 0..2 {
                assert!(
                    (quarter..quarter + 0.25).contains(&found[[group, gene]]),
                    "{found}"
                );
            }
            assert!((0.0..2.0 / 3.0).contains(&found[[group, 2]]), "{found}");
        }
        assert!(nulls.quantiles(screens[0].view(), &mut rng)[[1, 2]].is_nan());
    }

    /// A gene whose statistic is 0 in nine groups of ten is among the most extreme as often as one that is never tied.
    #[test]
    fn ties_make_no_gene_less_extreme() {
        let mut rng = Seeds::new(3).stream("test", "spread", 0);
        let screen = Array2::from_shape_fn((400, 2), |(group, gene)| match gene {
            0 => (group * 7919 % 400) as f64,
            _ => f64::from(u8::from(group % 10 == 0)),
        });
        let nulls = GeneNulls::of(std::slice::from_ref(&screen));
        let found = nulls.quantiles(screen.view(), &mut rng);
        for column in found.columns() {
            let extreme = column.iter().filter(|&&q| q > 0.95).count();
            // 20 are expected; of the tied gene's 40 largest half, within three standard deviations.
            assert!((10..=30).contains(&extreme), "{extreme}");
        }
    }

    #[test]
    fn the_largest_statistics_respond_and_genes_without_one_are_no_candidates() {
        let genes = Panel::new(["A", "B", "C", "D"]).unwrap();
        let statistics = array![[5.0, -3.0, 1.0, f64::NAN], [0.1, 2.0, -2.0, 9.0]];
        let sources = [GeneId::from("A"), GeneId::from("D")];
        let found = top_responders(statistics.view(), &sources, &genes, 1).unwrap();
        // A is no candidate of its own group; of B and C, which tie, the first responds.
        assert_eq!(
            found.positive(),
            array![[false, true, false, false], [false, true, false, false]]
        );
        assert_eq!(
            found.candidate(),
            array![[false, true, true, false], [true, true, true, false]]
        );
    }
}
