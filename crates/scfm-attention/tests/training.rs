//! A small model learns a small world.

mod common;

use common::{cells, vocabulary};
use rand::RngExt;
use rand::seq::SliceRandom;
use scfm_attention::geneformer::training::{TrainingParams, masked_gene_loss, train};
use scfm_attention::geneformer::{Config, Geneformer};
use scfm_attention::{Error, TokenisedCell};
use scfm_core::Seeds;

const N_GENES: usize = 24;

/// Cells of three types, each with its own eight genes and one of another type: whoever sees which genes are
/// there, and which are not, knows the masked one far better than by frequency.
fn three_types(n: usize) -> Vec<TokenisedCell> {
    let cell = |cell: usize| {
        let mut rng = Seeds::new(3).stream("test", "types", cell as u64);
        let first = 8 * rng.random_range(0..3u32);
        let mut tokens: Vec<u32> = (first..first + 8).collect();
        tokens.push((first + 8 + rng.random_range(0..16u32)) % 24);
        tokens.shuffle(&mut rng);
        TokenisedCell {
            cell,
            columns: tokens.iter().map(|&gene| Some(gene)).collect(),
            tokens: tokens.iter().map(|gene| gene + 2).collect(),
        }
    };
    (0..n).map(cell).collect()
}

fn config() -> Config {
    Config::sized(2, 32, 2, N_GENES + 2, 12)
}

#[test]
fn a_model_learns_what_the_genes_of_a_cell_say_about_the_masked_one() {
    let all = three_types(400);
    let (seen, unseen) = all.split_at(300);
    let params = TrainingParams {
        epochs: 16,
        learning_rate: 5e-3,
        ..TrainingParams::default()
    };
    let mut heard = Vec::new();
    let progress = |step: &_| heard.push(Clone::clone(step));
    let (checkpoint, log) = train(
        &config(),
        &vocabulary(N_GENES),
        seen,
        &params,
        Seeds::new(0),
        progress,
    )
    .unwrap();

    assert_eq!(heard, log.steps);
    assert_eq!(log.steps.len(), 16 * 300usize.div_ceil(16));
    let epochs = log.epoch_losses();
    assert_eq!(epochs.len(), 16);
    // 24 genes, all nearly as frequent.
    assert!(
        (log.baseline_loss - 24f64.ln()).abs() < 0.02,
        "{}",
        log.baseline_loss
    );
    assert!((log.steps[0].loss - 26f64.ln()).abs() < 0.3, "{:?}", log.steps[0]);

    let model = Geneformer::new(&checkpoint).unwrap();
    let vocabulary = vocabulary(N_GENES);
    let unseen_loss = masked_gene_loss(&model, &vocabulary, unseen, 0.15, Seeds::new(1)).unwrap();
    eprintln!(
        "losses {epochs:.2?}, unseen cells {unseen_loss:.2}, frequencies {:.2}",
        log.baseline_loss
    );
    for loss in [epochs[15], unseen_loss] {
        assert!(loss < log.baseline_loss - 0.5, "{loss}");
    }
}

#[test]
fn training_depends_on_the_seed_and_on_nothing_else() {
    let cells = three_types(40);
    let params = TrainingParams {
        epochs: 2,
        batch_size: 8,
        ..TrainingParams::default()
    };
    let run = |threads, seed| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let (trained, log) = train(
                &config(),
                &vocabulary(N_GENES),
                &cells,
                &params,
                Seeds::new(seed),
                |_| (),
            )
            .unwrap();
            let folder = tempfile::tempdir().unwrap();
            trained.save(folder.path()).unwrap();
            (
                std::fs::read(folder.path().join("model.safetensors")).unwrap(),
                log,
            )
        })
    };
    let expected = run(1, 0);
    assert!(run(3, 0) == expected);
    assert!(run(1, 1) != expected);
}

#[test]
fn what_cannot_be_trained_on_is_refused() {
    let good = cells(4, N_GENES, 10);
    let attempt = |cells: &[TokenisedCell], params: &TrainingParams| {
        train(
            &config(),
            &vocabulary(N_GENES),
            cells,
            params,
            Seeds::new(0),
            |_| (),
        )
        .map(|_| ())
        .unwrap_err()
    };
    let default = TrainingParams::default();
    assert!(matches!(attempt(&[], &default), Error::Training(_)));
    let mut long = good.clone();
    long[2].tokens = vec![3; 13];
    assert!(matches!(
        attempt(&long, &default),
        Error::Length {
            cell: 2,
            length: 13,
            max: 12
        }
    ));
    let mut unknown = good.clone();
    unknown[3].tokens[0] = 26;
    assert!(matches!(
        attempt(&unknown, &default),
        Error::Token {
            cell: 3,
            token: 26,
            ..
        }
    ));
    let mut special = good.clone();
    special[1].tokens = vec![0, 1];
    assert!(
        attempt(&special, &default)
            .to_string()
            .contains("cell 1 has no gene")
    );
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
        assert!(
            matches!(attempt(&good, &params), Error::Training(_)),
            "{params:?}"
        );
    }
    let wrong = train(
        &Config::sized(1, 8, 2, 9, 12),
        &vocabulary(N_GENES),
        &good,
        &default,
        Seeds::new(0),
        |_| (),
    );
    assert!(matches!(
        wrong,
        Err(Error::VocabularySize { tokens: 26, rows: 9 })
    ));
}
