//! Agreement of boosted trees with LightGBM and scikit-learn on data that `golden/trees.py` makes in the same way.

use ndarray::{Array2, Axis, Slice};
use scfm_baselines::BoostedTrees;
use scfm_stats::auroc;
use serde_json::Value;

/// Trees of three programs differ in where they put the borders of bins; their rankings differ less than this.
const SAME_RANKING: f64 = 0.005;
/// Share of variance, for the same reason.
const SAME_FIT: f64 = 0.005;

/// SplitMix64 of a position, its upper 53 bits as a number in [0, 1).
fn uniform(position: u64) -> f64 {
    let mut z = (position + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53)
}

struct Data {
    golden: Value,
    x: Array2<f64>,
    labels: Vec<bool>,
    values: Vec<f64>,
    n_train: usize,
}

impl Data {
    fn new() -> Self {
        let golden: Value = serde_json::from_str(include_str!("golden/trees.json")).unwrap();
        let count = |name: &str| golden[name].as_u64().unwrap() as usize;
        let (n_train, n_features) = (count("n_train"), count("n_features"));
        let n = n_train + count("n_test");
        let width = n_features + 2;
        let at = |i: usize, j: usize| uniform((i * width + j) as u64);
        let x = Array2::from_shape_fn((n, n_features), |(i, j)| at(i, j));
        let signal = |i: usize| {
            let hill = 1.0 - 4.0 * (x[[i, 0]] - 0.5) * (x[[i, 0]] - 0.5);
            hill + x[[i, 1]] * x[[i, 2]]
        };
        let labels: Vec<bool> = (0..n)
            .map(|i| at(i, n_features + 1) < 0.01 + 0.15 * signal(i) * signal(i))
            .collect();
        let values: Vec<f64> = (0..n)
            .map(|i| signal(i) + 2.0 * (at(i, n_features) - 0.5))
            .collect();
        assert_eq!(
            labels[..n_train].iter().filter(|&&l| l).count(),
            count("n_pos_train")
        );
        assert!((values[..10].iter().sum::<f64>() - golden["sum_value"].as_f64().unwrap()).abs() < 1e-12);
        Self {
            golden,
            x,
            labels,
            values,
            n_train,
        }
    }

    fn split(&self) -> (ndarray::ArrayView2<'_, f64>, ndarray::ArrayView2<'_, f64>) {
        let part = |range: std::ops::Range<usize>| self.x.slice_axis(Axis(0), Slice::from(range));
        (part(0..self.n_train), part(self.n_train..self.x.nrows()))
    }

    fn near(&self, name: &str, found: f64, tolerance: f64) {
        let expected = self.golden[name].as_f64().unwrap();
        assert!(
            (found - expected).abs() < tolerance,
            "{name}: found {found}, expected {expected}"
        );
    }
}

#[test]
fn trees_rank_unseen_rows_as_lightgbm_and_sklearn_do() {
    let data = Data::new();
    let (train, test) = data.split();
    for (balanced, name) in [(false, "plain"), (true, "balanced")] {
        let trees = BoostedTrees {
            balanced,
            ..BoostedTrees::default()
        };
        let fitted = trees.classify(train, &data.labels[..data.n_train]).unwrap();
        let found = auroc(&fitted.predict(test).to_vec(), &data.labels[data.n_train..]).unwrap();
        data.near(&format!("auroc_lightgbm_{name}"), found, SAME_RANKING);
        data.near(&format!("auroc_sklearn_{name}"), found, SAME_RANKING);
    }
}

#[test]
fn trees_explain_the_variance_of_unseen_rows_that_lightgbm_and_sklearn_explain() {
    let data = Data::new();
    let (train, test) = data.split();
    let fitted = BoostedTrees::default()
        .regress(train, &data.values[..data.n_train])
        .unwrap();
    let unseen = &data.values[data.n_train..];
    let mean = unseen.iter().sum::<f64>() / unseen.len() as f64;
    let missed: f64 = fitted
        .predict(test)
        .iter()
        .zip(unseen)
        .map(|(p, v)| (v - p).powi(2))
        .sum();
    let total: f64 = unseen.iter().map(|v| (v - mean).powi(2)).sum();
    data.near("r2_lightgbm", 1.0 - missed / total, SAME_FIT);
    data.near("r2_sklearn", 1.0 - missed / total, SAME_FIT);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let data = Data::new();
    let (train, test) = data.split();
    let on_threads = |n| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| {
            let few = BoostedTrees {
                n_trees: 30,
                ..BoostedTrees::default()
            };
            let fitted = few.classify(train, &data.labels[..data.n_train]).unwrap();
            fitted.predict(test).mapv(f64::to_bits)
        })
    };
    assert_eq!(on_threads(1), on_threads(3));
}
