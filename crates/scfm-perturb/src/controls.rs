use rand::Rng;
use rand::seq::SliceRandom;

use crate::Error;

/// The control cells that edges are extracted from and those that differential expression compares with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlSplit {
    /// Rows of the cells for edges, correlations and gene-level features, ascending.
    pub edges: Vec<usize>,
    /// Rows of the cells for differential expression, ascending.
    pub differential_expression: Vec<usize>,
    /// Whether both are the same cells, because there are too few for two disjoint sets. Noise that the edges and
    /// the DE calls then share can pass for signal, so this belongs into the report.
    pub shared: bool,
}

/// Draws `n_ctrl` of the control cells for edges and another `n_ctrl` for differential expression; where there are
/// fewer than 2 · `n_ctrl`, both get the same `n_ctrl` cells, or all there are.
///
/// With one generator state, a larger `n_ctrl` keeps the cells of a smaller one as long as the sets are disjoint.
///
/// # Errors
/// [`Error::FewControls`] without any control cell, [`Error::Parameter`] for `n_ctrl` = 0.
pub fn split_controls(controls: &[usize], n_ctrl: usize, rng: &mut impl Rng) -> Result<ControlSplit, Error> {
    if controls.is_empty() {
        return Err(Error::FewControls { n: 0, needed: 1 });
    }
    if n_ctrl == 0 {
        return Err(Error::Parameter {
            name: "n_ctrl",
            value: 0.0,
            expected: "at least 1",
        });
    }
    let mut shuffled = controls.to_vec();
    shuffled.shuffle(rng);
    let n = n_ctrl.min(shuffled.len());
    let shared = shuffled.len() - n < n;
    // Each set grows from its own end of the shuffled list.
    let mut edges = shuffled[..n].to_vec();
    edges.sort_unstable();
    let mut differential_expression = if shared {
        edges.clone()
    } else {
        shuffled[shuffled.len() - n..].to_vec()
    };
    differential_expression.sort_unstable();
    Ok(ControlSplit {
        edges,
        differential_expression,
        shared,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use scfm_core::Seeds;

    use super::*;

    fn split(n_cells: usize, n_ctrl: usize) -> ControlSplit {
        let controls: Vec<usize> = (0..n_cells).map(|i| 3 * i + 1).collect();
        split_controls(
            &controls,
            n_ctrl,
            &mut Seeds::new(5).stream("test", "controls", 0),
        )
        .unwrap()
    }

    proptest! {
        #[test]
        fn sets_are_disjoint_where_there_are_enough_cells_and_shared_else(n_cells in 1..60usize, n_ctrl in 1..40usize) {
            let split = split(n_cells, n_ctrl);
            prop_assert_eq!(split.shared, n_cells < 2 * n_ctrl);
            prop_assert_eq!(split.edges.len(), n_ctrl.min(n_cells));
            prop_assert_eq!(split.differential_expression.len(), split.edges.len());
            prop_assert!(split.edges.is_sorted() && split.differential_expression.is_sorted());
            let both: HashSet<_> = split.edges.iter().chain(&split.differential_expression).collect();
            prop_assert_eq!(both.len(), split.edges.len() * if split.shared { 1 } else { 2 });
            prop_assert!(both.iter().all(|&&cell| cell % 3 == 1 && cell / 3 < n_cells));
        }

        #[test]
        fn more_control_cells_keep_the_fewer(n_ctrl in 1..20usize, more in 0..10usize) {
            let (small, large) = (split(60, n_ctrl), split(60, n_ctrl + more));
            prop_assert!(small.edges.iter().all(|cell| large.edges.contains(cell)));
            prop_assert!(small.differential_expression.iter().all(|cell| large.differential_expression.contains(cell)));
        }
    }

    #[test]
    fn every_cell_is_drawn_about_equally_often() {
        let controls: Vec<usize> = (0..10).collect();
        let mut drawn = [0; 10];
        for index in 0..2_000 {
            let mut rng = Seeds::new(1).stream("test", "controls", index);
            for cell in split_controls(&controls, 3, &mut rng).unwrap().edges {
                drawn[cell] += 1;
            }
        }
        // 600 expected, standard deviation 20.5.
        assert!(drawn.iter().all(|n| (500..700).contains(n)), "{drawn:?}");
    }

    #[test]
    fn no_control_cell_and_no_wish_for_one_are_errors() {
        let mut rng = Seeds::new(0).stream("test", "controls", 0);
        assert!(matches!(
            split_controls(&[], 5, &mut rng),
            Err(Error::FewControls { n: 0, .. })
        ));
        assert!(matches!(
            split_controls(&[1], 0, &mut rng),
            Err(Error::Parameter { name: "n_ctrl", .. })
        ));
    }
}
