//! Shapley values by their axioms, by the Möbius transform, and by sampling.

use proptest::prelude::*;
use scfm_ablation::{Error, SetFunction, sampled_shapley};
use scfm_core::Seeds;

const EXACT: f64 = 1e-9;

fn function(values: Vec<f64>) -> SetFunction {
    SetFunction::new(values).unwrap()
}

/// Values on all sets of one to six players.
fn set_functions() -> impl Strategy<Value = Vec<f64>> {
    (1usize..=6).prop_flat_map(|n| proptest::collection::vec(-10.0f64..10.0, 1 << n))
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < EXACT
}

/// By definition: the mean over all orders of what a player adds.
fn by_orders(values: &[f64]) -> Vec<f64> {
    fn go(values: &[f64], n: usize, set: usize, share: f64, phi: &mut [f64]) {
        let left: Vec<usize> = (0..n).filter(|i| set >> i & 1 == 0).collect();
        for &player in &left {
            let share = share / left.len() as f64;
            phi[player] += share * (values[set | 1 << player] - values[set]);
            go(values, n, set | 1 << player, share, phi);
        }
    }
    let n = values.len().ilog2() as usize;
    let mut phi = vec![0.0; n];
    go(values, n, 0, 1.0, &mut phi);
    phi
}

proptest! {
    #[test]
    fn values_share_out_the_whole_and_are_the_means_over_orders(values in set_functions()) {
        let phi = function(values.clone()).shapley();
        prop_assert!(close(phi.iter().sum(), function(values.clone()).total()));
        for (a, b) in phi.iter().zip(by_orders(&values)) {
            prop_assert!(close(*a, b));
        }
    }

    #[test]
    fn the_bias_of_single_effects_is_all_interaction(values in set_functions()) {
        let game = function(values);
        let mu = game.moebius();
        for (player, bias) in game.single_effect_bias().into_iter().enumerate() {
            let interactions: f64 = (0..mu.len())
                .filter(|set| set.count_ones() >= 2 && set >> player & 1 == 1)
                .map(|set| mu[set] / f64::from(set.count_ones()))
                .sum();
            prop_assert!(close(bias, -interactions));
        }
        let single: f64 = (0..game.n_players()).map(|player| mu[1 << player]).sum();
        prop_assert!(close(game.non_additivity(), (game.total() - single).abs()));
    }

    #[test]
    fn the_moebius_transform_sums_back(values in set_functions()) {
        let mu = function(values.clone()).moebius();
        for (set, value) in values.iter().enumerate() {
            let sum: f64 = (0..mu.len()).filter(|within| within & set == *within).map(|within| mu[within]).sum();
            prop_assert!(close(sum, *value));
        }
    }

    #[test]
    fn where_players_act_one_by_one_nothing_is_biased(
        effects in proptest::collection::vec(-5.0f64..5.0, 1..7),
        nobody in -3.0f64..3.0,
    ) {
        let n = effects.len();
        let value = |set: usize| nobody + (0..n).filter(|i| set >> i & 1 == 1).map(|i| effects[i]).sum::<f64>();
        let game = function((0..1 << n).map(value).collect());
        prop_assert!(close(game.non_additivity(), 0.0));
        for ((phi, bias), effect) in game.shapley().into_iter().zip(game.single_effect_bias()).zip(&effects) {
            prop_assert!(close(phi, *effect) && close(bias, 0.0));
        }
        // Every order then says the same, so that sampling is exact.
        let mut rng = Seeds::new(1).stream("test", "additive", 0);
        let sampled = sampled_shapley(n, 2, &mut rng, |members| -> Result<f64, Error> {
            Ok(nobody + effects.iter().zip(members).filter(|(_, m)| **m).map(|(e, _)| e).sum::<f64>())
        }).unwrap();
        for ((value, error), effect) in sampled.values.iter().zip(&sampled.standard_errors).zip(&effects) {
            prop_assert!(close(*value, *effect) && *error < EXACT);
        }
    }

    #[test]
    fn alike_players_get_alike_and_idle_ones_nothing(values in set_functions(), idle in 0usize..7) {
        let n = values.len().ilog2() as usize;
        // One more player that changes nothing, wherever it stands.
        let idle = idle % (n + 1);
        let without = |set: usize| (set & ((1 << idle) - 1)) | (set >> (idle + 1) << idle);
        let phi = function((0..1usize << (n + 1)).map(|set| values[without(set)]).collect()).shapley();
        prop_assert!(close(phi[idle], 0.0));
        // The function of how many there are alone.
        let by_size = |set: usize| f64::from(set.count_ones()).powi(2);
        let phi = function((0..values.len()).map(by_size).collect()).shapley();
        prop_assert!(phi.iter().all(|value| close(*value, phi[0])));
    }

    #[test]
    fn sampled_values_share_out_the_whole_exactly(values in set_functions(), seed in 0u64..100) {
        let game = function(values.clone());
        let n = game.n_players();
        let mut rng = Seeds::new(seed).stream("test", "orders", 0);
        let sampled = sampled_shapley(n, 1, &mut rng, |members| -> Result<f64, Error> {
            Ok(values[members.iter().enumerate().map(|(i, m)| usize::from(*m) << i).sum::<usize>()])
        }).unwrap();
        prop_assert!(close(sampled.values.iter().sum(), game.total()));
        prop_assert!(sampled.standard_errors.iter().all(|error| error.is_nan()));
    }
}

/// Players 0 and 1 stand in for each other, 2 and 3 need each other, 4 acts alone.
fn planted(set: usize) -> f64 {
    let has = |player: usize| set >> player & 1 == 1;
    let redundant = if has(0) || has(1) { 4.0 } else { 0.0 };
    let both = if has(2) && has(3) { 6.0 } else { 0.0 };
    redundant + both + if has(4) { 2.0 } else { 0.0 }
}

#[test]
fn single_effects_double_what_is_redundant_and_miss_what_is_joint() {
    let game = function((0..32).map(planted).collect());
    assert_eq!(game.single_effects(), [4.0, 4.0, 0.0, 0.0, 2.0]);
    for (phi, expected) in game.shapley().into_iter().zip([2.0, 2.0, 3.0, 3.0, 2.0]) {
        assert!(close(phi, expected));
    }
    // The one surplus hides part of the other lack.
    assert_eq!(game.non_additivity(), 2.0);
}

#[test]
fn sampling_finds_the_planted_values_within_its_errors_and_asks_no_more_than_it_says() {
    let mut asked = 0;
    let mut rng = Seeds::new(7).stream("test", "planted", 0);
    let sampled = sampled_shapley(5, 400, &mut rng, |members| -> Result<f64, Error> {
        asked += 1;
        Ok(planted(
            members
                .iter()
                .enumerate()
                .map(|(i, m)| usize::from(*m) << i)
                .sum(),
        ))
    })
    .unwrap();
    assert_eq!((asked, sampled.n_orders), (2 + 800 * 4, 800));
    for ((value, error), expected) in sampled
        .values
        .iter()
        .zip(&sampled.standard_errors)
        .zip([2.0, 2.0, 3.0, 3.0, 2.0])
    {
        assert!(
            (value - expected).abs() < 4.0 * error + EXACT,
            "{value} ± {error}"
        );
        assert!(*error < 0.2);
    }
    // An order and its reverse give two players that interact the same whoever comes first.
    assert!(sampled.standard_errors[0] < EXACT && sampled.standard_errors[2] < EXACT);
}

#[test]
fn a_value_for_each_set_is_asked_for() {
    for n in [0, 3, 6] {
        let error = SetFunction::new(vec![0.0; n]).unwrap_err();
        assert!(
            matches!(error, Error::SetFunction(found) if found == n),
            "{error}"
        );
    }
}
