//! Random draws whose bits are the same on every platform.
//!
//! Simulated files are compared by hash, so a draw may depend on nothing but the generator's words: logarithms and
//! the like come from `libm`, not from the platform's C library (which `rand_distr` uses), and integers are not
//! left to the ranges of `rand`, whose values may change between its versions.

use rand::Rng;

/// From this mean on, rejection is cheaper than one step per event; Hörmann's methods hold from 10 on.
const REJECTION_FROM: f64 = 10.0;

/// A uniform number strictly between 0 and 1: the midpoints of 2⁵² equal intervals, so that 1 − u is as exact as u.
pub fn uniform(rng: &mut impl Rng) -> f64 {
    const INTERVALS: f64 = (1u64 << 52) as f64;
    ((rng.next_u64() >> 12) as f64 + 0.5) / INTERVALS
}

/// A uniform number between `low` and `high`.
pub fn uniform_between(rng: &mut impl Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * uniform(rng)
}

/// A whole number below `n`, each equally likely up to a relative error of `n`/2⁵².
///
/// # Panics
/// When `n` is 0.
pub fn below(rng: &mut impl Rng, n: usize) -> usize {
    assert!(n > 0, "a whole number below 0 does not exist");
    ((uniform(rng) * n as f64) as usize).min(n - 1)
}

/// Whether an event of probability `p` happens.
pub fn chance(rng: &mut impl Rng, p: f64) -> bool {
    uniform(rng) < p
}

/// Position drawn with probability proportional to its weight.
///
/// # Panics
/// When no weight is positive.
pub fn category(rng: &mut impl Rng, weights: &[f64]) -> usize {
    let mut left = uniform(rng) * weights.iter().sum::<f64>();
    for (i, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return i;
        }
    }
    // Rounding may leave a rest after the last weight.
    weights
        .iter()
        .rposition(|&weight| weight > 0.0)
        .expect("a category is drawn by weights of which one is positive")
}

/// Puts `items` in random order (Fisher and Yates).
pub fn shuffle<T>(rng: &mut impl Rng, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(rng, last + 1));
    }
}

/// Up to `k` distinct positions, each next one with probability proportional to its weight among those left; a
/// weight of 0 is never drawn. In the order of drawing. Efraimidis and Spirakis 2006: the `k` smallest of
/// exponential waiting times with the weights as rates.
pub fn weighted_sample(rng: &mut impl Rng, weights: &[f64], k: usize) -> Vec<usize> {
    let mut waiting: Vec<(f64, usize)> = weights
        .iter()
        .enumerate()
        .filter(|&(_, &weight)| weight > 0.0)
        .map(|(i, weight)| (-libm::log(uniform(rng)) / weight, i))
        .collect();
    waiting.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    waiting.into_iter().take(k).map(|(_, i)| i).collect()
}

/// A standard normal number (Box and Muller 1958; the second of the pair is not kept, so that a draw has no
/// memory).
pub fn normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * libm::log(uniform(rng))).sqrt();
    radius * libm::cos(std::f64::consts::TAU * uniform(rng))
}

/// A gamma number of the given shape and scale 1, both mean and variance equal to `shape` (Marsaglia and Tsang 2000).
///
/// # Panics
/// When `shape` is not positive and finite.
pub fn gamma(rng: &mut impl Rng, shape: f64) -> f64 {
    assert!(
        shape > 0.0 && shape.is_finite(),
        "a gamma shape is positive and finite, not {shape}"
    );
    if shape < 1.0 {
        let boost = libm::pow(uniform(rng), 1.0 / shape);
        return gamma(rng, shape + 1.0) * boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let cube_root = 1.0 + c * x;
        if cube_root <= 0.0 {
            continue;
        }
        let v = cube_root * cube_root * cube_root;
        if libm::log(uniform(rng)) < 0.5 * x * x + d * (1.0 - v + libm::log(v)) {
            return d * v;
        }
    }
}

/// A Poisson count of the given mean (a whole number as `f64`); 0 for a mean of 0.
///
/// # Panics
/// When `mean` is negative or not finite.
pub fn poisson(rng: &mut impl Rng, mean: f64) -> f64 {
    assert!(
        mean >= 0.0 && mean.is_finite(),
        "a Poisson mean is finite and not negative, not {mean}"
    );
    if mean < REJECTION_FROM {
        poisson_by_multiplication(rng, mean)
    } else {
        poisson_by_rejection(rng, mean)
    }
}

/// A negative binomial count of the given mean and dispersion φ, variance mean + φ·mean²: a Poisson count whose
/// mean is gamma distributed. A dispersion of 0 is the Poisson distribution itself.
///
/// # Panics
/// When `mean` or `dispersion` is negative or not finite.
pub fn negative_binomial(rng: &mut impl Rng, mean: f64, dispersion: f64) -> f64 {
    if dispersion == 0.0 || mean == 0.0 {
        return poisson(rng, mean);
    }
    let rate = gamma(rng, 1.0 / dispersion) * dispersion * mean;
    poisson(rng, rate)
}

/// A geometric number from 0 on of the given mean (a whole number as `f64`).
///
/// # Panics
/// When `mean` is negative or not finite.
pub fn geometric(rng: &mut impl Rng, mean: f64) -> f64 {
    assert!(
        mean >= 0.0 && mean.is_finite(),
        "a geometric mean is finite and not negative, not {mean}"
    );
    // A mean of 0 divides by ∞.
    (-libm::log(uniform(rng)) / libm::log1p(1.0 / mean)).floor()
}

/// How many of `n` events of probability `p` happen (whole numbers as `f64`).
///
/// # Panics
/// When `n` is not a whole number from 0 on, or `p` not from 0 to 1.
pub fn binomial(rng: &mut impl Rng, n: f64, p: f64) -> f64 {
    assert!(
        n >= 0.0 && n.fract() == 0.0 && (0.0..=1.0).contains(&p),
        "of {n} events none happens with a probability of {p}"
    );
    if p > 0.5 {
        n - binomial(rng, n, 1.0 - p)
    } else if n * p < REJECTION_FROM {
        binomial_by_inversion(rng, n, p)
    } else {
        binomial_by_rejection(rng, n, p)
    }
}

/// Waits for one event after the other: the number of events passed over until the next is geometric.
fn binomial_by_inversion(rng: &mut impl Rng, n: f64, p: f64) -> f64 {
    if p == 0.0 {
        return 0.0;
    }
    let ln_not = libm::log1p(-p);
    let (mut seen, mut count) = (0.0, 0.0);
    loop {
        seen += (libm::log(uniform(rng)) / ln_not).floor() + 1.0;
        if seen > n {
            return count;
        }
        count += 1.0;
    }
}

/// Transformed rejection with squeeze, algorithm BTRS of Hörmann 1993.
fn binomial_by_rejection(rng: &mut impl Rng, n: f64, p: f64) -> f64 {
    let sd = (n * p * (1.0 - p)).sqrt();
    let b = 1.15 + 2.53 * sd;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let centre = n * p + 0.5;
    let alpha = (2.83 + 5.1 / b) * sd;
    let squeeze = 0.92 - 4.2 / b;
    let ln_odds = libm::log(p / (1.0 - p));
    let mode = ((n + 1.0) * p).floor();
    let ln_factorials = |k: f64| libm::lgamma(k + 1.0) + libm::lgamma(n - k + 1.0);
    let at_mode = ln_factorials(mode);
    loop {
        let u = uniform(rng) - 0.5;
        let v = uniform(rng);
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + centre).floor();
        if us >= 0.07 && v <= squeeze {
            return k;
        }
        if k < 0.0 || k > n {
            continue;
        }
        let ln_accept = libm::log(v * alpha / (a / (us * us) + b));
        if ln_accept <= at_mode - ln_factorials(k) + (k - mode) * ln_odds {
            return k;
        }
    }
}

/// Knuth's method: how many uniforms can be multiplied before the product falls below exp(−mean).
fn poisson_by_multiplication(rng: &mut impl Rng, mean: f64) -> f64 {
    let floor = libm::exp(-mean);
    let mut product = uniform(rng);
    let mut count = 0.0;
    while product > floor {
        product *= uniform(rng);
        count += 1.0;
    }
    count
}

/// Transformed rejection with squeeze, algorithm PTRS of Hörmann 1993.
fn poisson_by_rejection(rng: &mut impl Rng, mean: f64) -> f64 {
    let b = 0.931 + 2.53 * mean.sqrt();
    let a = -0.059 + 0.02483 * b;
    let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    let squeeze = 0.9277 - 3.6224 / (b - 2.0);
    let ln_mean = libm::log(mean);
    loop {
        let u = uniform(rng) - 0.5;
        let v = uniform(rng);
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + mean + 0.43).floor();
        if us >= 0.07 && v <= squeeze {
            return k;
        }
        if k < 0.0 || (us < 0.013 && v > us) {
            continue;
        }
        let ln_accept = libm::log(v * inverse_alpha / (a / (us * us) + b));
        if ln_accept <= k * ln_mean - mean - libm::lgamma(k + 1.0) {
            return k;
        }
    }
}
