use ndarray::Array2;

use crate::mixture::StateMixture;
use crate::numpy::RandomState;

/// Cell types of the simulated blood with their shares of the cells, by state.
pub const PBMC_TYPES: [(&str, f64); 8] = [
    ("CD4_T", 0.30),
    ("CD8_T", 0.15),
    ("B_cell", 0.10),
    ("NK", 0.10),
    ("CD14_Mono", 0.20),
    ("FCGR3A_Mono", 0.05),
    ("DC", 0.05),
    ("Platelet", 0.05),
];

const N_CELLS: usize = 3_000;
const N_TFS: usize = 15;
const N_GENES: usize = 245;
const EFFECT: f64 = 0.7;
const MEAN: f64 = 2.0;
const DROPOUT: f64 = 0.15;

const ALL: &[usize] = &[0, 1, 2, 3, 4, 5, 6, 7];

/// The edges: factor, target, types in which it is active, and sign; each curated pair that a column stands for is
/// beside it. The order of types is that in which effects are drawn.
const EDGES: [(usize, usize, &[usize], f64); 22] = [
    (0, 15, &[0, 1, 3], 1.0), // TBX21, IFNG
    (0, 16, &[0, 1], 1.0),    // TBX21, IL12RB2
    (1, 17, &[0], 1.0),       // GATA3, IL4
    (1, 18, &[0], 1.0),       // GATA3, IL5
    (2, 19, &[0], 1.0),       // FOXP3, IL2RA
    (2, 20, &[0], 1.0),       // FOXP3, CTLA4
    (3, 21, &[0], 1.0),       // RORC, IL17A
    (4, 22, &[0, 1], 1.0),    // LEF1, TCF7
    (5, 23, &[2], 1.0),       // PAX5, CD19
    (5, 24, &[2], 1.0),       // PAX5, CD79A
    (6, 25, &[2], 1.0),       // EBF1, CD79B
    (7, 26, &[2], -1.0),      // BCL6, PRDM1
    (8, 27, &[4, 5, 6], 1.0), // SPI1, CSF1R
    (8, 28, &[4], 1.0),       // SPI1, CD14
    (9, 29, &[4, 5], 1.0),    // CEBPA, CSF3R
    (10, 30, &[4, 5], 1.0),   // CEBPB, IL6
    (11, 31, &[6], 1.0),      // IRF8, IL12B
    (12, 32, &[3, 1], 1.0),   // EOMES, PRF1
    (12, 33, &[3, 1], 1.0),   // EOMES, GZMB
    (13, 34, ALL, 1.0),       // MYC, LDHA
    (13, 35, ALL, 1.0),       // MYC, CDK4
    (14, 36, ALL, 1.0),       // TP53, CDKN1A
];

/// The simulated blood, and the generator as it stands after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pbmc {
    /// 3,000 cells of the [`PBMC_TYPES`], 245 genes of which 15 are factors, 22 edges among 3,450 pairs.
    pub mixture: StateMixture,
    /// From here on the authors drew bootstrap samples, [`RandomState::below`] the number of cells for each cell.
    pub rng: RandomState,
}

/// Draws the simulated blood behind the "22 known edges"; the published seed is 42. Genes are the size of normal
/// numbers around 2; the effect of an edge replaces its target's values in the types in which it is active, and 15 %
/// of all values are set to 0.
pub fn pbmc(seed: u32) -> Pbmc {
    let mut rng = RandomState::new(seed);
    let mut states: Vec<usize> = PBMC_TYPES
        .iter()
        .enumerate()
        .flat_map(|(state, (_, share))| std::iter::repeat_n(state, (N_CELLS as f64 * share) as usize))
        .collect();
    rng.shuffle(&mut states);
    let mut expression =
        Array2::from_shape_simple_fn((states.len(), N_GENES), || rng.normal(MEAN, 0.5).abs());
    for (tf, target, types, sign) in EDGES {
        for &cell_type in types {
            let cells: Vec<usize> = (0..states.len())
                .filter(|&cell| states[cell] == cell_type)
                .collect();
            let factor: Vec<f64> = cells.iter().map(|&cell| expression[[cell, tf]]).collect();
            let mean = factor.iter().sum::<f64>() / factor.len() as f64;
            for (cell, x) in cells.into_iter().zip(factor) {
                let value = sign * EFFECT * (x - mean) + MEAN + rng.normal(0.0, 0.3);
                expression[[cell, target]] = value.max(0.0);
            }
        }
    }
    for x in &mut expression {
        if rng.random_sample() < DROPOUT {
            *x = 0.0;
        }
    }
    let pairs: Vec<(usize, usize)> = (0..N_TFS)
        .flat_map(|tf| (N_TFS..N_GENES).map(move |target| (tf, target)))
        .collect();
    let mut active = vec![Vec::new(); pairs.len()];
    for (tf, target, types, _) in EDGES {
        let mut types = types.to_vec();
        types.sort_unstable();
        active[tf * (N_GENES - N_TFS) + target - N_TFS] = types;
    }
    let mixture = StateMixture {
        expression,
        states,
        n_states: PBMC_TYPES.len(),
        pairs,
        active,
    };
    Pbmc { mixture, rng }
}
