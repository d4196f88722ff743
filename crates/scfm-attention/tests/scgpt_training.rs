//! A small scGPT learns a small world.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::seq::SliceRandom;
use scfm_attention::scgpt::training::{TrainingParams, masked_value_loss, train};
use scfm_attention::scgpt::{BatchNorm, Checkpoint, Config, ScGpt, ValueEncoding, Vocabulary};
use scfm_attention::{Error, TokenisedCell, ValuedCell};
use scfm_core::Seeds;

const N_GENES: usize = 24;

fn vocabulary() -> Vocabulary {
    Vocabulary::of_genes((0..N_GENES).map(|i| format!("G{i:02}"))).unwrap()
}

fn config() -> Config {
    Config::sized(2, 32, 2)
}

fn valued(cell: usize, tokens: Vec<u32>, values: Vec<f32>) -> ValuedCell {
    let columns = vec![None; tokens.len()];
    ValuedCell::new(
        TokenisedCell {
            cell,
            tokens,
            columns,
        },
        values,
    )
}

/// Cells of three types, with twenty of the 24 genes each. Eight genes are a type's own: their bins are above 30, those
/// of all others below 21. Whoever sees some bins of a cell knows its type, and with it the others to within their
/// spread.
fn three_types(n: usize) -> Vec<ValuedCell> {
    let cls = vocabulary().cls();
    let cell = |cell: usize| {
        let mut rng = Seeds::new(3).stream("test", "types", cell as u64);
        let kind = rng.random_range(0..3u32);
        let mut genes: Vec<u32> = (0..N_GENES as u32).collect();
        genes.shuffle(&mut rng);
        genes.truncate(20);
        let mut values = vec![-2.0];
        values.extend(genes.iter().map(|&gene| match gene / 8 == kind {
            true => rng.random_range(31..=50u8),
            false => rng.random_range(1..=20),
        } as f32));
        let tokens = std::iter::once(cls).chain(genes).collect();
        valued(cell, tokens, values)
    };
    (0..n).map(cell).collect()
}

#[test]
fn a_model_learns_what_the_bins_of_a_cell_say_about_the_hidden_ones() {
    let all = three_types(400);
    let (seen, unseen) = all.split_at(300);
    // Enough steps to leave the plateau where every bin is answered by its mean, whatever the processor's rounding.
    let params = TrainingParams {
        epochs: 40,
        batch_size: 8,
        learning_rate: 2e-3,
        mask_fraction: 0.4,
        ..TrainingParams::default()
    };
    let mut heard = Vec::new();
    let progress = |step: &_| heard.push(Clone::clone(step));
    let (checkpoint, log) = train(&config(), &vocabulary(), seen, &params, Seeds::new(0), progress).unwrap();

    assert_eq!(heard, log.steps);
    assert_eq!(log.steps.len(), 40 * 300usize.div_ceil(8));
    assert_eq!(log.steps[0].n_masked, 8 * 8);
    // A third of the cells have 40.5 ± 5.8 of a gene, two thirds 10.5 ± 5.8: (1/3)(2/3)·30² and 33.25.
    assert!((log.baseline_loss - 233.25).abs() < 8.0, "{}", log.baseline_loss);

    let model = ScGpt::new(&checkpoint).unwrap();
    let unseen_loss = masked_value_loss(&model, &vocabulary(), unseen, 0.4, Seeds::new(1)).unwrap();
    let epochs = log.epoch_losses();
    eprintln!(
        "losses {epochs:.1?}, unseen cells {unseen_loss:.1}, mean bins {:.1}",
        log.baseline_loss
    );
    // The spread within a type is all that is left to guess.
    for loss in [epochs[39], unseen_loss] {
        assert!(loss < log.baseline_loss / 4.0, "{loss}");
        assert!(loss > 20.0, "{loss} is less than the bins are spread");
    }
}

#[test]
fn training_depends_on_the_seed_and_on_nothing_else_and_is_saved_as_released_models_are() {
    let cells = three_types(40);
    let params = TrainingParams {
        epochs: 2,
        batch_size: 8,
        ..TrainingParams::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let run = |threads, seed| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let (trained, log) = train(
                &config(),
                &vocabulary(),
                &cells,
                &params,
                Seeds::new(seed),
                |_| (),
            )
            .unwrap();
            trained.save(folder.path()).unwrap();
            let bytes = std::fs::read(folder.path().join("model.safetensors")).unwrap();
            (bytes, log)
        })
    };
    let other = run(1, 1);
    let expected = run(1, 0);
    assert!(run(3, 0) == expected);
    assert!(other != expected);

    let loaded = Checkpoint::load(folder.path()).unwrap();
    assert!(loaded.ignored().is_empty(), "{:?}", loaded.ignored());
    assert_eq!(loaded.config(), &config());
    assert_eq!(loaded.vocabulary(), &vocabulary());
    let shapes: BTreeMap<String, Vec<usize>> = loaded
        .weights()
        .tensors()
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor.dims().to_vec()))
        .collect();
    let released = [
        config().encoder_parameters(vocabulary().len()),
        config().decoder_parameters(),
    ];
    assert_eq!(shapes, released.concat().into_iter().collect());
    let args = std::fs::read_to_string(folder.path().join("args.json")).unwrap();
    assert!(args.contains("\"mask_value\": -1"), "{args}");
    let model = ScGpt::new(&loaded).unwrap();
    assert_eq!(model.expression(&cells[0]).unwrap().len(), 21);
}

fn refusal(config: &Config, cells: &[ValuedCell], params: &TrainingParams) -> Error {
    train(config, &vocabulary(), cells, params, Seeds::new(0), |_| ())
        .map(|_| ())
        .unwrap_err()
}

#[test]
fn cells_that_cannot_be_trained_on_are_refused() {
    let good = three_types(4);
    let attempt = |cell: Option<ValuedCell>| {
        let cells: Vec<_> = good.iter().cloned().chain(cell).collect();
        refusal(&config(), &cells, &TrainingParams::default())
    };
    let none = refusal(&config(), &[], &TrainingParams::default());
    assert!(none.to_string().contains("no cell to learn from"), "{none}");
    assert!(matches!(
        attempt(Some(valued(4, vec![], vec![]))),
        Error::NoToken { cell: 4 }
    ));
    assert!(matches!(
        attempt(Some(valued(4, vec![0, 27], vec![1.0, 2.0]))),
        Error::Token {
            cell: 4,
            token: 27,
            n_tokens: 27
        }
    ));
    let special = vec![vocabulary().cls(), vocabulary().pad()];
    let error = attempt(Some(valued(4, special.clone(), vec![-2.0, -2.0])));
    assert!(error.to_string().contains("cell 4 has no gene"), "{error}");
    // A hidden value in the data, one beyond the last bin and one that is no number; `<cls>` may have any number.
    for (tokens, value) in [
        (vec![3, 4], -1.0),
        (vec![3, 4], 51.0),
        (vec![3, 4], f32::NAN),
        (vec![3, special[0]], f32::INFINITY),
    ] {
        let error = attempt(Some(valued(4, tokens, vec![1.0, value])));
        assert!(
            matches!(
                error,
                Error::Value {
                    cell: 4,
                    place: 1,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn parameters_and_models_that_cannot_be_trained_are_refused() {
    let good = three_types(4);
    let default = TrainingParams::default();
    for params in [
        TrainingParams {
            epochs: 0,
            ..default.clone()
        },
        TrainingParams {
            batch_size: 0,
            ..default.clone()
        },
        TrainingParams {
            learning_rate: f64::NAN,
            ..default.clone()
        },
        TrainingParams {
            mask_fraction: 1.5,
            ..default.clone()
        },
    ] {
        let error = refusal(&config(), &good, &params);
        assert!(matches!(error, Error::Training(_)), "{params:?}: {error}");
    }
    let diverging = TrainingParams {
        learning_rate: 1e30,
        warmup: 0.0,
        ..default.clone()
    };
    let error = refusal(&config(), &good, &diverging);
    assert!(error.to_string().contains("lower the learning rate"), "{error}");

    type Change = fn(&mut Config);
    let changes: [(&str, Change); 4] = [
        ("nheads", |c| c.nheads = 5),
        ("input_emb_style", |c| {
            c.input_emb_style = ValueEncoding::Category;
        }),
        ("domain_spec_batchnorm", |c| {
            c.domain_spec_batchnorm = BatchNorm::Whether(true);
        }),
        ("domain_spec_batchnorm", |c| {
            c.domain_spec_batchnorm = BatchNorm::Kind("dsbn".to_owned());
        }),
    ];
    for (expected, change) in changes {
        let mut config = config();
        change(&mut config);
        let error = refusal(&config, &good, &default);
        assert!(
            matches!(error, Error::Config { key, .. } if key == expected),
            "{error}"
        );
    }
}
