//! The generator of `RandomState` against NumPy, sampler after sampler.

use scfm_synth::numpy::RandomState;
use serde::Deserialize;

/// A logarithm that is off by one unit in the last place, of which NumPy's may be another than ours, moves a normal
/// number by as much and roundings on the way by some more.
const LAST_PLACES: u64 = 4;

#[derive(Deserialize)]
struct Golden {
    sizes: Vec<usize>,
    probabilities: Vec<f64>,
    states: Vec<State>,
}

#[derive(Deserialize)]
struct State {
    seed: u32,
    words: Vec<u32>,
    random_sample: Vec<f64>,
    standard_normal: Vec<f64>,
    uniform: Vec<f64>,
    below: Vec<usize>,
    choice: Vec<usize>,
    normal: Vec<f64>,
    permutation: Vec<usize>,
    shuffled_list: Vec<usize>,
    shuffled_array: Vec<usize>,
    choice_without_replacement: Vec<usize>,
    choice_weighted: Vec<usize>,
    below_in_one_call: Vec<usize>,
    exponential: Vec<f64>,
    last: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/random_state.json")).unwrap()
}

#[track_caller]
fn assert_close(found: impl FnMut() -> f64, expected: &[f64]) {
    let found: Vec<f64> = std::iter::repeat_with(found).take(expected.len()).collect();
    for (found, expected) in found.iter().zip(expected) {
        let apart = found.to_bits().abs_diff(expected.to_bits());
        assert!(apart <= LAST_PLACES, "{found} for {expected}");
    }
}

#[test]
fn every_sampler_gives_what_numpy_gives() {
    let golden = golden();
    for state in golden.states {
        let mut rng = RandomState::new(state.seed);
        let words: Vec<u32> = (0..700).map(|_| rng.next_word()).collect();
        assert!(words.ends_with(&state.words));
        state
            .random_sample
            .iter()
            .for_each(|&u| assert_eq!(rng.random_sample(), u));
        assert_close(|| rng.standard_normal(), &state.standard_normal);
        state
            .uniform
            .iter()
            .for_each(|&u| assert_eq!(rng.uniform(-2.0, 5.0), u));
        let below: Vec<usize> = golden.sizes.iter().map(|&n| rng.below(n)).collect();
        assert_eq!(below, state.below);
        assert_eq!([1, 5, 50].map(|n| rng.below(n)).to_vec(), state.choice);
        assert_close(|| rng.normal(2.0, 0.5), &state.normal);
        assert_eq!(rng.permutation(23), state.permutation);
        for shuffled in [&state.shuffled_list, &state.shuffled_array] {
            let mut items: Vec<usize> = (0..shuffled.len()).collect();
            rng.shuffle(&mut items);
            assert_eq!(&items, shuffled);
        }
        assert_eq!(
            rng.choice_without_replacement(50, 6),
            state.choice_without_replacement
        );
        assert_eq!(
            rng.choice_weighted(&golden.probabilities, 30),
            state.choice_weighted
        );
        let below: Vec<usize> = (0..20).map(|_| rng.below(6)).collect();
        assert_eq!(below, state.below_in_one_call);
        assert_close(|| rng.exponential(0.5), &state.exponential);
        assert_eq!(rng.random_sample(), state.last);
    }
}

#[test]
fn normal_numbers_have_the_same_bits_everywhere() {
    let mut rng = RandomState::new(0);
    let hash = (0..10_000).fold(0xcbf2_9ce4_8422_2325u64, |hash, _| {
        (hash ^ rng.standard_normal().to_bits()).wrapping_mul(0x0100_0000_01b3)
    });
    assert_eq!(hash, 0xd67c_98ad_c1a9_74ea, "{hash:#x}");
}

#[test]
#[should_panic(expected = "drawn below 1 to 2³²")]
fn no_whole_number_is_below_zero() {
    RandomState::new(0).below(0);
}
