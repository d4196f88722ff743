//! p-values under true nulls are uniform: 2,000 simulations of each test, and of a broken one beside it.

mod simulation;

use ndarray::{Array1, Array2, Axis};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use scfm_stats::*;
use simulation::*;

const ALL: PermutationLimits = PermutationLimits {
    max: 999,
    stop_after: None,
};

fn p(test: Result<TestResult, Error>) -> f64 {
    test.unwrap().p.p()
}

#[test]
fn of_tests_of_means() {
    assert_uniform("Welch", 1, |rng, times| {
        // Other variances and sizes, which Student's own test would not forgive.
        let wide: Vec<f64> = normals(rng, 12).iter().map(|x| 3.0 * x).collect();
        p(welch_t(&copies(&wide, times), &copies(&normals(rng, 40), times)))
    });
    // Student's test weighs both variances by the sizes of the groups, whichever is the wider.
    assert_uniform_unlike(
        "Welch against Student",
        1,
        |rng| {
            let wide: Vec<f64> = normals(rng, 12).iter().map(|x| 3.0 * x).collect();
            p(welch_t(&wide, &normals(rng, 40)))
        },
        |rng| {
            let wide: Vec<f64> = normals(rng, 12).iter().map(|x| 3.0 * x).collect();
            let (a, b) = (Moments::of(&wide), Moments::of(&normals(rng, 40)));
            let pooled = (11.0 * a.variance + 39.0 * b.variance) / 50.0;
            p(welch_t_from_moments(
                Moments {
                    variance: pooled,
                    ..a
                },
                Moments {
                    variance: pooled,
                    ..b
                },
            ))
        },
    );
    assert_uniform("one sample", 2, |rng, times| {
        p(one_sample_t(&copies(&normals(rng, 9), times), 0.0))
    });
    assert_uniform("paired", 15, |rng, times| {
        let (a, b) = correlated(rng, 14, 0.8);
        p(paired_t(&copies(&a, times), &copies(&b, times)))
    });
    assert_uniform("Welch within strata", 16, |rng, times| {
        // Strata differ in level and in the share of the groups, which a test across them would take for an effect.
        let strata: Vec<(Moments, Moments)> = [(0.0, 10, 30), (3.0, 25, 8), (-2.0, 12, 12)]
            .into_iter()
            .map(|(level, n_a, n_b)| {
                let values = |n, rng: &mut ChaCha8Rng| -> Vec<f64> {
                    copies(&normals(rng, n), times)
                        .iter()
                        .map(|x| x + level)
                        .collect()
                };
                (Moments::of(&values(n_a, rng)), Moments::of(&values(n_b, rng)))
            })
            .collect();
        p(stratified_welch(&strata))
    });
}

/// At the border of the null, where the effect is the bound itself, a claim of equivalence is made in 5 % of the
/// cases; within the null more rarely.
#[test]
fn of_claims_of_a_null_at_their_bound() {
    type Claim = fn(f64, f64, f64, f64) -> Result<TestResult, Error>;
    for (name, purpose, claim) in [
        ("equivalence", 17, tost as Claim),
        ("non-superiority", 18, non_superiority as Claim),
    ] {
        let p_value = |rng: &mut ChaCha8Rng, times: usize| {
            let values = copies(&normals(rng, 25), times);
            let Moments { n, mean, variance } = Moments::of(&values);
            p(claim(
                mean + 4.0,
                (variance / n as f64).sqrt(),
                n as f64 - 1.0,
                4.0,
            ))
        };
        assert_uniform(name, purpose, p_value);
    }
    // Where the bound is hardly wider than the standard error the claim is hard to make.
    let claimed = share(19, |rng| {
        let Moments { n, mean, variance } = Moments::of(&normals(rng, 25));
        p(tost(
            mean + 0.4,
            (variance / n as f64).sqrt(),
            n as f64 - 1.0,
            0.4,
        )) <= 0.05
    });
    assert!(claimed <= 0.065, "{claimed}");
}

#[test]
fn of_rank_tests() {
    assert_uniform("Mann-Whitney", 3, |rng, times| {
        p(mann_whitney(
            &copies(&normals(rng, 60), times),
            &copies(&normals(rng, 70), times),
        ))
    });
    assert_uniform("Mann-Whitney, two thirds zeros", 20, |rng, times| {
        let mut expression = |n| -> Vec<f64> {
            let values: Vec<f64> = normals(rng, n).iter().map(|x| (x - 0.4).max(0.0)).collect();
            copies(&values, times)
        };
        let (a, b) = (expression(120), expression(200));
        p(mann_whitney(&a, &b))
    });
    assert_uniform("Wilcoxon", 4, |rng, times| {
        p(wilcoxon_signed_rank(
            &copies(&normals(rng, 80), times),
            Zeros::Drop,
        ))
    });
    for (name, purpose, zeros) in [
        ("Wilcoxon, zeros dropped", 21, Zeros::Drop),
        ("Wilcoxon, Pratt", 22, Zeros::Pratt),
    ] {
        assert_uniform(name, purpose, |rng, times| {
            let rounded: Vec<f64> = normals(rng, 150)
                .iter()
                .map(|x| (x * 4.0).round() / 4.0)
                .collect();
            p(wilcoxon_signed_rank(&copies(&rounded, times), zeros))
        });
    }
    assert_uniform("van Elteren", 23, |rng, times| {
        // Strata differ in level and in the share of the groups.
        let strata: Vec<(SortedSample, SortedSample)> = [(0.0, 20, 40), (3.0, 40, 15), (-2.0, 25, 25)]
            .into_iter()
            .map(|(level, n_a, n_b)| {
                let mut sample = |n| {
                    let values: Vec<f64> = normals(rng, n).iter().map(|x| x + level).collect();
                    SortedSample::new(&copies(&values, times)).unwrap()
                };
                (sample(n_a), sample(n_b))
            })
            .collect();
        let strata: Vec<(&SortedSample, &SortedSample)> = strata.iter().map(|(a, b)| (a, b)).collect();
        p(van_elteren(&strata))
    });
    assert_uniform("Page", 11, |rng, times| {
        let values = Array2::from_shape_vec((30, 9), normals(rng, 270)).unwrap();
        let rows = copies(&(0..30).collect::<Vec<_>>(), times);
        p(page_trend(values.select(Axis(0), &rows).view()))
    });
    assert_uniform("Jonckheere-Terpstra", 12, |rng, times| {
        let groups = [20, 30, 25].map(|n| copies(&normals(rng, n), times));
        let groups: Vec<&[f64]> = groups.iter().map(Vec::as_slice).collect();
        p(jonckheere_terpstra(&groups))
    });
}

#[test]
fn of_correlations() {
    type Correlation = fn(&[f64], &[f64]) -> Result<TestResult, Error>;
    for (name, purpose, n, test) in [
        ("Pearson", 5, 15, pearson as Correlation),
        ("Spearman", 6, 40, spearman as Correlation),
        ("Kendall", 7, 60, kendall as Correlation),
    ] {
        assert_uniform(name, purpose, |rng, times| {
            p(test(
                &copies(&normals(rng, n), times),
                &copies(&normals(rng, n), times),
            ))
        });
    }
    assert_uniform("Kendall, ties", 24, |rng, times| {
        let mut few = || -> Vec<f64> { normals(rng, 200).iter().map(|x| (2.0 * x).round()).collect() };
        let (a, b) = (copies(&few(), times), copies(&few(), times));
        p(kendall(&a, &b))
    });
    // Both follow the covariate, and nothing else.
    let following = |rng: &mut ChaCha8Rng| {
        let covariate = normals(rng, 60);
        let mut follow = || mixed(&normals(rng, 60), &covariate, 1.0, 1.0);
        let (a, b) = (follow(), follow());
        (covariate, a, b)
    };
    assert_uniform_unlike(
        "partial Spearman",
        8,
        |rng| {
            let (covariate, a, b) = following(rng);
            p(RankCovariates::new(&[&covariate])
                .unwrap()
                .partial_spearman(&a, &b))
        },
        |rng| {
            let (_, a, b) = following(rng);
            p(spearman(&a, &b))
        },
    );
}

#[test]
fn of_aurocs() {
    let labels: Vec<bool> = (0..200).map(|i| i % 2 == 0).collect();
    assert_uniform("DeLong", 9, |rng, times| {
        p(delong_auroc(
            &copies(&normals(rng, 200), times),
            &copies(&labels, times),
        ))
    });
    let signal: Vec<f64> = labels.iter().map(|&label| f64::from(u8::from(label))).collect();
    // Two noisy versions of one signal.
    let two = |rng: &mut ChaCha8Rng| {
        let signal = mixed(&normals(rng, 200), &signal, 1.0, 1.0);
        [(); 2].map(|()| mixed(&normals(rng, 200), &signal, 0.5, 1.0))
    };
    assert_uniform("DeLong, two scores", 10, |rng, times| {
        let [a, b] = two(rng).map(|scores| copies(&scores, times));
        p(delong_difference(&a, &b, &copies(&labels, times)))
    });
}

#[test]
fn of_tables() {
    assert_uniform("χ²", 13, |rng, times| {
        let mut table = Array2::zeros((3, 4));
        for _ in 0..4_000 {
            table[[rng.random_range(0..3), rng.random_range(0..4)]] += times as u64;
        }
        p(chi_squared(table.view()))
    });
}

#[test]
fn of_permutations() {
    let permutation = |share_counted: f64| {
        move |rng: &mut ChaCha8Rng| {
            let observed = normals(rng, 1)[0];
            let seed = rng.random::<u32>().into();
            // A null narrower than the statistic's own.
            let permuted = |i| share_counted * normals(&mut stream(seed, i), 1)[0];
            let test = permutation_test(observed, Alternative::Greater, ALL, permuted).unwrap();
            test.p.p()
        }
    };
    assert_uniform_unlike("permutation", 14, permutation(1.0), permutation(0.8));
    for (purpose, alternative) in [
        (25, Alternative::TwoSided),
        (26, Alternative::Greater),
        (27, Alternative::Less),
    ] {
        assert_uniform("sign flips", purpose, |rng, times| {
            // Symmetric, but with tails that have no variance.
            let ratio = |(a, b): (f64, f64)| a / b;
            let differences: Vec<f64> = normals(rng, 40)
                .into_iter()
                .zip(normals(rng, 40))
                .map(ratio)
                .collect();
            let seed = rng.random::<u32>().into();
            let flipped = sign_flip_test(&copies(&differences, times), alternative, ALL, |i| {
                stream(seed, i)
            });
            p(flipped.map(|flipped| flipped.test))
        });
    }
    // Scores with parts that belong to the source and to the target alone.
    let matrix = |rng: &mut ChaCha8Rng| {
        let (source, target) = (Array1::from(normals(rng, 15)), Array1::from(normals(rng, 15)));
        let cells = Array2::from_shape_vec((15, 15), normals(rng, 225)).unwrap();
        cells + source.insert_axis(Axis(1)) + target
    };
    let pairs = |matrix: Array2<f64>| -> Vec<f64> {
        let cells = matrix.indexed_iter().filter(|((i, j), _)| i != j);
        cells.map(|(_, value)| *value).collect()
    };
    assert_uniform_unlike(
        "node permutation",
        29,
        |rng| {
            let (a, b) = (matrix(rng), matrix(rng));
            let seed = rng.random::<u32>().into();
            p(node_permutation_spearman(a.view(), b.view(), 199, |i| {
                stream(seed, i)
            }))
        },
        |rng| p(spearman(&pairs(matrix(rng)), &pairs(matrix(rng)))),
    );
}

/// Two scores and labels of 30 rows × 80 columns. All have column-level parts, which tests over rows take for evidence
/// from 30 rows.
fn design(rng: &mut ChaCha8Rng) -> ([Array2<f64>; 2], Array2<bool>) {
    let mut parts = |column_level: f64| {
        let (columns, cells) = (normals(rng, 80), normals(rng, 30 * 80));
        Array2::from_shape_fn((30, 80), |(row, column)| {
            column_level * columns[column] + cells[row * 80 + column]
        })
    };
    let scores = [parts(0.7), parts(0.7)];
    (scores, parts(1.0).mapv(|propensity| propensity > 1.0))
}

#[test]
fn of_crossed_designs() {
    let candidate = Array2::from_elem((30, 80), true);
    let limits = CrossedLimits {
        min_rows: 2,
        min_effective_genes: 1.0,
    };
    let of = |rng: &mut ChaCha8Rng, test: &dyn Fn([&Array2<f64>; 2], LabelledGrid) -> TestResult| {
        let (scores, positive) = design(rng);
        let labels = LabelledGrid {
            positive: positive.view(),
            candidate: candidate.view(),
        };
        test(scores.each_ref(), labels).p.p()
    };
    let crossed =
        |scores: &Array2<f64>, labels: LabelledGrid| crossed_auroc(scores.view(), labels, &limits).unwrap();
    let difference = |a: &Array2<f64>, b: &Array2<f64>, labels: LabelledGrid| {
        crossed_difference(a.view(), b.view(), labels, &limits).unwrap()
    };
    assert_uniform_unlike(
        "gene permutation",
        28,
        |rng| {
            let seed = rng.random::<u32>().into();
            of(rng, &|[a, _], labels| {
                gene_permutation_auroc(a.view(), labels, 199, |i| stream(seed, i)).unwrap()
            })
        },
        |rng| {
            of(rng, &|[a, _], labels| {
                one_sample_t(&crossed(a, labels).per_row, 0.5).unwrap()
            })
        },
    );
    assert_uniform_unlike(
        "crossed mean",
        30,
        |rng| of(rng, &|[a, _], labels| crossed(a, labels).test),
        |rng| {
            of(rng, &|[a, _], labels| {
                one_sample_t(&crossed(a, labels).per_row, 0.5).unwrap()
            })
        },
    );
    assert_uniform_unlike(
        "crossed difference",
        31,
        |rng| of(rng, &|[a, b], labels| difference(a, b, labels).test),
        |rng| {
            of(rng, &|[a, b], labels| {
                wilcoxon_signed_rank(&difference(a, b, labels).per_row, Zeros::Drop).unwrap()
            })
        },
    );
}

#[test]
fn a_permutation_test_that_ends_early_keeps_its_level() {
    let limits = PermutationLimits {
        max: 999,
        stop_after: Some(10),
    };
    let (mut rejected, mut covered, mut done) = ([0, 0], 0, 0);
    for index in 0..SIMULATIONS {
        let mut rng = stream(20, index);
        // The p-value of infinitely many permutations is `truth`.
        let truth: f64 = rng.random();
        let seed = rng.random::<u32>().into();
        let permuted = |i| f64::from(u8::from(stream(seed, i).random::<f64>() < truth));
        let test = permutation_test(1.0, Alternative::Greater, limits, permuted).unwrap();
        rejected[0] += u32::from(test.p.p() <= 0.05);
        rejected[1] += u32::from(test.p.p() <= 0.01);
        covered += u32::from(test.interval.contains(truth));
        done += test.n_permutations;
    }
    // Three standard errors above the level; a test that stops early is a little conservative.
    assert!((70..=129).contains(&rejected[0]), "{rejected:?}");
    assert!((8..=33).contains(&rejected[1]), "{rejected:?}");
    assert!(covered >= 1_870, "{covered} intervals hold the p-value");
    assert!(done < 150 * SIMULATIONS as usize, "{done} permutations");
}
