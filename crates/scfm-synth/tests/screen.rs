//! The simulated screen and the reference: reproducible, and true to what they claim.

use std::collections::BTreeMap;

use scfm_core::{Column, Seeds, Source, Target};
use scfm_synth::{
    Bursts, Cell, Dynamics, Error, Modality, ReferenceParams, Screen, ScreenParams, Sign, World, WorldParams,
};

fn default_screen(seed: u64) -> (World, Screen) {
    let world = World::new(WorldParams::new("test"), Seeds::new(seed)).unwrap();
    let screen = world.screen(&ScreenParams::default(), Seeds::new(seed)).unwrap();
    (world, screen)
}

fn small() -> ScreenParams {
    ScreenParams {
        n_controls: 60,
        n_perturbed_tfs: 4,
        n_perturbed_others: 2,
        cells_per_guide: 5,
        ..ScreenParams::default()
    }
}

/// 64-bit FNV-1a over the stored entries.
fn hash(screen: &Screen) -> u64 {
    let counts = screen.counts.counts();
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for (value, (row, column)) in &counts {
        for word in [u64::from(value.to_bits()), row as u64, column as u64] {
            hash = (hash ^ word).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

/// n, mean and variance of every gene's expression in the cells of a perturbation (`None`: controls).
fn moments(screen: &Screen) -> BTreeMap<Option<usize>, Vec<(f64, f64, f64)>> {
    let mut cells: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for (row, cell) in screen.cells.iter().enumerate() {
        cells
            .entry(screen.guides[cell.guide].perturbed)
            .or_default()
            .push(row);
    }
    let of_rows = |rows: &Vec<usize>| {
        let expression = screen.counts.select_cells(rows).log1p_cp10k().to_dense();
        let n = rows.len() as f64;
        let of_gene = |column: ndarray::ArrayView1<'_, f64>| {
            let mean = column.sum() / n;
            (
                n,
                mean,
                column.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0),
            )
        };
        expression.columns().into_iter().map(of_gene).collect()
    };
    cells
        .iter()
        .map(|(&perturbed, rows)| (perturbed, of_rows(rows)))
        .collect()
}

/// Difference of mean expression to the controls and Welch's t, `[perturbed][gene]`.
fn differences(screen: &Screen) -> Vec<Vec<(f64, f64)>> {
    let moments = moments(screen);
    let controls = &moments[&None];
    let of_perturbation = |perturbed| {
        let pairs = moments[&Some(perturbed)].iter().zip(controls);
        pairs
            .map(|(a, b)| {
                let standard_error = (a.2 / a.0 + b.2 / b.0).sqrt();
                (
                    a.1 - b.1,
                    if standard_error > 0.0 {
                        (a.1 - b.1) / standard_error
                    } else {
                        0.0
                    },
                )
            })
            .collect()
    };
    (0..screen.perturbed.len()).map(of_perturbation).collect()
}

fn auroc(scores: &[f64], positive: &[bool]) -> f64 {
    let (mut wins, mut pairs) = (0.0, 0.0);
    for (i, _) in positive.iter().enumerate().filter(|&(_, &p)| p) {
        for (j, _) in positive.iter().enumerate().filter(|&(_, &p)| !p) {
            pairs += 1.0;
            wins += if scores[i] > scores[j] {
                1.0
            } else if scores[i] == scores[j] {
                0.5
            } else {
                0.0
            };
        }
    }
    wins / pairs
}

#[test]
fn a_seed_gives_the_same_counts_on_every_machine() {
    let world = World::new(WorldParams::new("test"), Seeds::new(7)).unwrap();
    let screen = world.screen(&small(), Seeds::new(7)).unwrap();
    assert_eq!(hash(&screen), 0xfe9f_1fc3_2cf1_bf17, "{:#x}", hash(&screen));
    assert_ne!(
        hash(&screen),
        hash(&world.screen(&small(), Seeds::new(8)).unwrap())
    );
}

#[test]
fn the_default_screen_is_one_that_the_audit_can_work_with() {
    let (world, screen) = default_screen(0);
    let (n_cells, n_genes) = (screen.counts.n_cells(), world.genes().len());
    assert_eq!((n_cells, n_genes, screen.perturbed.len()), (3_080, 300, 52));
    let detection = screen.counts.counts().nnz() as f64 / (n_cells * n_genes) as f64;
    assert!((0.33..0.5).contains(&detection), "mean detection {detection}");

    // |t| > 4 is stricter than false discovery rate 0.05 where a handful of 300 genes respond.
    let mut n_evaluable = 0;
    let mut weights = vec![0.0; n_genes];
    let mut by_mean = Vec::new();
    let mean: Vec<f64> = moments(&screen)[&None].iter().map(|m| m.1).collect();
    for (perturbed, row) in differences(&screen).iter().enumerate() {
        let mut responds: Vec<bool> = row
            .iter()
            .map(|(lfc, t)| lfc.abs() > 0.5 && t.abs() > 4.0)
            .collect();
        responds[world
            .genes()
            .position(screen.perturbed.gene(perturbed).as_str())
            .unwrap()] = false;
        let n_positive = responds.iter().filter(|&&r| r).count();
        if n_positive >= 3 {
            n_evaluable += 1;
            by_mean.push(auroc(&mean, &responds));
            for (weight, _) in weights.iter_mut().zip(&responds).filter(|(_, r)| **r) {
                *weight += 1.0 / n_positive as f64;
            }
        }
    }
    let effective = weights.iter().sum::<f64>().powi(2) / weights.iter().map(|w| w * w).sum::<f64>();
    assert!(n_evaluable >= 25, "{n_evaluable} evaluable perturbations");
    assert!(effective > 30.0, "{effective} effective genes");
    let by_mean = by_mean.iter().sum::<f64>() / f64::from(n_evaluable);
    assert!(
        (0.6..0.95).contains(&by_mean),
        "mean expression ranks responders at {by_mean}, as in real screens"
    );
}

#[test]
fn knock_downs_lower_their_gene_and_move_direct_targets_the_way_of_their_sign() {
    let (world, screen) = default_screen(1);
    let differences = differences(&screen);
    let (mut own_down, mut as_signed, mut n_edges) = (0, 0, 0);
    for (perturbed, gene) in screen.perturbed.genes().iter().enumerate() {
        let source = world.genes().position(gene.as_str()).unwrap();
        assert!(
            screen.log_fold_changes[[perturbed, source]] < -0.8,
            "{gene} is silenced by 70 to 95 %"
        );
        own_down += usize::from(differences[perturbed][source].0 < 0.0);
        for (target, &(difference, t)) in differences[perturbed].iter().enumerate() {
            let regulators = world.network().regulators(Target(target));
            let Some(edge) = regulators
                .iter()
                .find(|e| e.source == Source(source) && e.state.is_none())
            else {
                continue;
            };
            if t.abs() > 4.0 && difference.abs() > 0.5 {
                n_edges += 1;
                as_signed += usize::from((difference < 0.0) == (edge.sign == Sign::Activation));
            }
        }
    }
    assert!(own_down >= 50, "{own_down} of 52 perturbed genes go down");
    // Indirect paths may outweigh a direct one, but rarely do.
    assert!(
        n_edges > 80 && as_signed * 10 >= n_edges * 9,
        "{as_signed} of {n_edges}"
    );
}

#[test]
fn activation_raises_its_gene_and_moves_targets_the_other_way_round() {
    let world = World::new(WorldParams::new("test"), Seeds::new(1)).unwrap();
    let screen_of = |modality| {
        let params = ScreenParams {
            modality,
            stress: (0.0, 0.0),
            ..small()
        };
        world.screen(&params, Seeds::new(1)).unwrap()
    };
    let up = screen_of(Modality::Activation { fold: (4.0, 8.0) });
    let down = screen_of(Modality::Interference {
        efficiency: (0.75, 0.875),
    });
    assert_eq!(up.perturbed, down.perturbed);
    assert!(
        up.guides[small().n_control_guides..]
            .iter()
            .all(|g| (4.0..8.0).contains(&g.production))
    );
    let (mut opposite, mut moved) = (0, 0);
    for (perturbed, gene) in up.perturbed.genes().iter().enumerate() {
        let own = world.genes().position(gene.as_str()).unwrap();
        assert!(
            up.log_fold_changes[[perturbed, own]] > 1.3 && down.log_fold_changes[[perturbed, own]] < -1.3
        );
        let rows = up
            .log_fold_changes
            .row(perturbed)
            .into_iter()
            .zip(down.log_fold_changes.row(perturbed));
        for (a, b) in rows.filter(|(a, b)| a.abs() > 0.1 && b.abs() > 0.1) {
            moved += 1;
            opposite += usize::from(a.signum() != b.signum());
        }
    }
    assert!(moved > 20 && opposite * 20 >= moved * 19, "{opposite} of {moved}");
}

#[test]
fn true_fold_changes_are_what_the_cells_show() {
    let (_, screen) = default_screen(2);
    let differences = differences(&screen);
    let (mut clear, mut same_sign) = (0, 0);
    for ((perturbed, gene), truth) in screen.log_fold_changes.indexed_iter() {
        let (difference, t) = differences[perturbed][gene];
        // Where no cell expresses a rare gene its variance is 0 and t is large for nothing, hence the second bound.
        if t.abs() > 4.0 && difference.abs() > 0.5 {
            clear += 1;
            same_sign += usize::from(truth.signum() == difference.signum() && truth.abs() > 0.1);
        }
    }
    assert!(
        clear > 150 && same_sign * 100 >= clear * 95,
        "{same_sign} of {clear}"
    );
}

#[test]
fn a_gene_without_targets_changes_nothing_but_itself_where_it_causes_no_stress() {
    let world = World::new(WorldParams::new("test"), Seeds::new(3)).unwrap();
    let params = ScreenParams {
        stress: (0.0, 0.0),
        ..small()
    };
    let screen = world.screen(&params, Seeds::new(3)).unwrap();
    let mut n_others = 0;
    for (perturbed, gene) in screen.perturbed.genes().iter().enumerate() {
        let own = world.genes().position(gene.as_str()).unwrap();
        let moved = screen
            .log_fold_changes
            .row(perturbed)
            .iter()
            .filter(|&&change| change != 0.0)
            .count();
        if world.network().tfs().contains(&own) {
            assert!(
                moved > 4,
                "{gene} moves itself and its targets, not {moved} genes"
            );
        } else {
            n_others += 1;
            assert_eq!(moved, 1);
        }
    }
    assert_eq!(n_others, 2);
}

#[test]
fn labels_fit_the_cells() {
    let world = World::new(WorldParams::new("test"), Seeds::new(4)).unwrap();
    let screen = world.screen(&small(), Seeds::new(4)).unwrap();
    let table = screen.cell_table();
    let text = |name: &str| match table.column(name) {
        Some(Column::Text(values)) => values.iter().map(|v| v.clone().unwrap()).collect::<Vec<_>>(),
        other => panic!("{name} is {other:?}"),
    };
    let mut n_cells_of_guide = BTreeMap::new();
    for (row, (guide, perturbation)) in text("guide").into_iter().zip(text("perturbation")).enumerate() {
        assert_eq!(
            screen.perturbation(row).map_or("control", |g| g.as_str()),
            perturbation
        );
        if perturbation == "control" {
            assert!(guide.starts_with("non-targeting_"), "{guide}");
        } else {
            assert!([format!("{perturbation}_1"), format!("{perturbation}_2")].contains(&guide));
        }
        *n_cells_of_guide.entry(guide).or_insert(0) += 1;
    }
    assert_eq!(n_cells_of_guide.len(), 22);
    for (guide, n) in n_cells_of_guide {
        let expected = if guide.starts_with("non-targeting") { 6 } else { 5 };
        assert_eq!(n, expected, "{guide}");
    }
    for (row, counts) in screen.counts.counts().outer_iterator().enumerate() {
        let total: f64 = counts.iter().map(|(_, &c)| f64::from(c)).sum();
        assert_eq!(screen.counts.totals()[row], total);
        assert_eq!(table.column("n_counts").unwrap().display(row), total.to_string());
    }
}

#[test]
fn the_reference_misses_and_invents_the_shares_asked_for() {
    let world = World::new(WorldParams::new("test"), Seeds::new(5)).unwrap();
    let edges = world.network().edges();
    let position = |gene: &scfm_core::GeneId| world.genes().position(gene.as_str()).unwrap();
    let sign_of = |tf, target| {
        let regulators = world.network().regulators(Target(position(target)));
        regulators
            .iter()
            .find(|e| e.source.0 == position(tf))
            .map(|e| e.sign)
    };

    let perfect = ReferenceParams {
        missing: 0.0,
        wrong: 0.0,
        unknown_mode: 0.0,
    };
    let rows = world.reference(&perfect, Seeds::new(5)).unwrap();
    assert_eq!(rows.len(), edges.len());
    assert!(
        rows.iter()
            .all(|row| row.mode.is_some() && row.mode == sign_of(&row.tf, &row.target))
    );

    let rows = world
        .reference(&ReferenceParams::default(), Seeds::new(5))
        .unwrap();
    let n_true = rows
        .iter()
        .filter(|row| sign_of(&row.tf, &row.target).is_some())
        .count();
    let n_wrong = rows.len() - n_true;
    // A binomial share of some 500 edges, and a share that is exact but for rounding.
    assert!((n_true as f64 / edges.len() as f64 - 0.6).abs() < 0.08);
    assert!((n_wrong as f64 / rows.len() as f64 - 0.15).abs() < 0.005);
    let pairs: std::collections::BTreeSet<_> = rows.iter().map(|row| (&row.tf, &row.target)).collect();
    assert_eq!(pairs.len(), rows.len());
    assert!(rows.iter().all(|row| row.tf != row.target));
    assert!(rows.iter().any(|row| row.mode.is_none()));

    let fields: Vec<String> = rows[0].to_string().split('\t').map(str::to_owned).collect();
    assert_eq!(fields.len(), 4);
    assert_eq!(
        (fields[0].as_str(), fields[1].as_str()),
        (rows[0].tf.as_str(), rows[0].target.as_str())
    );
    assert!(
        ["Activation", "Repression", "Unknown"].contains(&fields[2].as_str()) && fields[3] == "900000001"
    );
}

/// The same cells with some share of ambient RNA.
fn with_ambient(ambient: f64) -> Screen {
    let world = WorldParams {
        n_genes: 40,
        n_tfs: 8,
        state_shift: (0.5, 1.0),
        ..WorldParams::new("soup")
    };
    let params = ScreenParams {
        n_controls: 9_000,
        ambient,
        ..small()
    };
    let world = World::new(world, Seeds::new(6)).unwrap();
    world.screen(&params, Seeds::new(6)).unwrap()
}

/// Mean counts of genes in the cells that are kept, and variances of these means.
fn mean_counts(screen: &Screen, keep: impl Fn(&Cell) -> bool) -> Vec<(f64, f64)> {
    let cells = screen.cells.iter().enumerate();
    let rows: Vec<usize> = cells.filter(|(_, cell)| keep(cell)).map(|(row, _)| row).collect();
    let counts = screen
        .counts
        .select_cells(&rows)
        .counts()
        .to_dense()
        .mapv(f64::from);
    let n = rows.len() as f64;
    let of_gene = |gene: ndarray::ArrayView1<'_, f64>| {
        let mean = gene.sum() / n;
        (
            mean,
            gene.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0) / n,
        )
    };
    counts.columns().into_iter().map(of_gene).collect()
}

#[test]
fn ambient_counts_come_from_the_mean_profile_and_leave_totals_as_they_are() {
    let (pure, soup) = (with_ambient(0.0), with_ambient(0.4));
    assert_eq!(pure.cells, soup.cells);
    let all = mean_counts(&pure, |_| true);
    let total = |means: &[(f64, f64)]| means.iter().map(|(mean, _)| mean).sum::<f64>();
    assert!((total(&mean_counts(&soup, |_| true)) / total(&all) - 1.0).abs() < 0.01);
    for state in 0..3 {
        let (own, found) = (
            mean_counts(&pure, |cell| cell.state == state),
            mean_counts(&soup, |cell| cell.state == state),
        );
        let depth = total(&own) / total(&all);
        let mut moved = 0;
        for (gene, ((own, of_state), (found, error))) in own.iter().zip(&found).enumerate() {
            let expected = 0.6 * own + 0.4 * depth * all[gene].0;
            // Both screens draw their counts around the same expectations.
            let error = (error + of_state + all[gene].1).sqrt();
            assert!(
                (found - expected).abs() < 5.0 * error,
                "gene {gene}: {found} for {expected}"
            );
            moved += usize::from((found - own).abs() > 5.0 * error);
        }
        // The test would not notice the soup were the states alike.
        assert!(moved >= 3, "state {state}: {moved}");
    }
}

#[test]
fn molecules_add_noise_to_the_same_design() {
    let world = |dynamics| {
        let params = WorldParams {
            n_genes: 40,
            n_tfs: 8,
            dispersion: (0.0, 0.0),
            dynamics,
            ..WorldParams::new("molecules")
        };
        World::new(params, Seeds::new(7)).unwrap()
    };
    let params = ScreenParams {
        n_controls: 1_000,
        ..small()
    };
    let bursts = Bursts {
        molecules: 500.0,
        ..Bursts::default()
    };
    let steady = world(Dynamics::SteadyState)
        .screen(&params, Seeds::new(7))
        .unwrap();
    let noisy = world(Dynamics::Stochastic(bursts))
        .screen(&params, Seeds::new(7))
        .unwrap();
    assert_eq!((&steady.cells, &steady.guides), (&noisy.cells, &noisy.guides));
    assert_eq!(steady.log_fold_changes, noisy.log_fold_changes);
    let relative = |screen: &Screen| -> Vec<f64> {
        let n = screen.cells.len() as f64;
        let means = mean_counts(screen, |_| true);
        means
            .iter()
            .map(|(mean, error)| n * error / (mean * mean))
            .collect()
    };
    let noisier = relative(&noisy)
        .iter()
        .zip(relative(&steady))
        .filter(|(a, b)| **a > *b)
        .count();
    assert!(noisier >= 36, "{noisier} of 40 genes");
    let again = world(Dynamics::Stochastic(bursts))
        .screen(&params, Seeds::new(7))
        .unwrap();
    assert_eq!(hash(&noisy), hash(&again));
}

#[test]
fn parameters_out_of_range_are_named() {
    let world = World::new(
        WorldParams {
            n_genes: 40,
            n_tfs: 10,
            ..WorldParams::new("bad")
        },
        Seeds::new(0),
    )
    .unwrap();
    let cases = [
        (
            "n_perturbed_tfs",
            ScreenParams {
                n_perturbed_tfs: 11,
                ..small()
            },
        ),
        (
            "n_perturbed_others",
            ScreenParams {
                n_perturbed_others: 31,
                ..small()
            },
        ),
        (
            "efficiency.1",
            ScreenParams {
                modality: Modality::Interference {
                    efficiency: (0.5, 1.0),
                },
                ..small()
            },
        ),
        (
            "efficiency.0",
            ScreenParams {
                modality: Modality::Interference {
                    efficiency: (0.9, 0.5),
                },
                ..small()
            },
        ),
        (
            "fold.0",
            ScreenParams {
                modality: Modality::Activation { fold: (0.5, 4.0) },
                ..small()
            },
        ),
        (
            "n_control_guides",
            ScreenParams {
                n_control_guides: 0,
                ..small()
            },
        ),
        (
            "guides_per_gene",
            ScreenParams {
                guides_per_gene: 0,
                ..small()
            },
        ),
        (
            "depth",
            ScreenParams {
                depth: 0.0,
                ..small()
            },
        ),
        (
            "n_donors",
            ScreenParams {
                n_donors: 0,
                ..small()
            },
        ),
        (
            "ambient",
            ScreenParams {
                ambient: 1.0,
                ..small()
            },
        ),
        (
            "batch_sd",
            ScreenParams {
                batch_sd: f64::NAN,
                ..small()
            },
        ),
    ];
    for (name, params) in cases {
        let error = world.screen(&params, Seeds::new(0)).unwrap_err();
        assert!(
            matches!(error, Error::Parameter { parameter, .. } if parameter == name),
            "{name}: {error}"
        );
    }
    let error = world.reference(
        &ReferenceParams {
            wrong: 1.0,
            ..ReferenceParams::default()
        },
        Seeds::new(0),
    );
    assert_eq!(error.unwrap_err().to_string(), "wrong is 1, expected 0 to 0.99");
}

#[test]
fn no_choice_of_parameters_breaks_the_simulation() {
    let extreme = WorldParams {
        n_genes: 30,
        n_tfs: 8,
        abundance_sd: 5.0,
        n_programmes: 1_000,
        programme: (1.0, 5.0),
        tf_noise: 5.0,
        dispersion: (100.0, 100.0),
        ..WorldParams::new("extreme")
    };
    let world = World::new(extreme, Seeds::new(0)).unwrap();
    let params = ScreenParams {
        depth: 1e6,
        depth_sd: 3.0,
        batch_sd: 3.0,
        ..small()
    };
    assert_eq!(
        world.screen(&params, Seeds::new(0)).unwrap().counts.n_cells(),
        120
    );
    let silent = ScreenParams {
        n_controls: 0,
        n_perturbed_tfs: 0,
        n_perturbed_others: 0,
        ..small()
    };
    assert_eq!(world.screen(&silent, Seeds::new(0)).unwrap().counts.n_cells(), 0);
}
