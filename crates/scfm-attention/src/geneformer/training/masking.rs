use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::TokenisedCell;
use crate::geneformer::Vocabulary;
use crate::training::masking::hidden_places;

/// A cell with some of its genes hidden.
pub(super) struct MaskedCell {
    /// What the model sees.
    pub(super) tokens: Vec<u32>,
    /// Places of the genes that it is to name, ascending.
    pub(super) places: Vec<u32>,
    /// Those genes.
    pub(super) answers: Vec<u32>,
}

impl MaskedCell {
    pub(super) fn new(
        cell: &TokenisedCell,
        vocabulary: &Vocabulary,
        fraction: f64,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let is_gene = cell.tokens.iter().map(|&token| vocabulary.gene(token).is_some());
        let places = hidden_places(is_gene, fraction, rng);
        let mut tokens = cell.tokens.clone();
        for &place in &places {
            let hidden = rng.random::<f64>();
            if hidden < 0.8 {
                tokens[place as usize] = vocabulary.mask();
            } else if hidden < 0.9 {
                tokens[place as usize] = another_gene(vocabulary, rng);
            }
        }
        Self {
            answers: places.iter().map(|&place| cell.tokens[place as usize]).collect(),
            tokens,
            places,
        }
    }
}

/// Any gene of the vocabulary; drawn again until it is no special token, of which there are four at most.
fn another_gene(vocabulary: &Vocabulary, rng: &mut ChaCha8Rng) -> u32 {
    loop {
        let token = rng.random_range(0..vocabulary.len() as u32);
        if vocabulary.gene(token).is_some() {
            return token;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scfm_core::Seeds;

    #[test]
    fn masks_hide_the_given_fraction_of_genes_in_the_three_ways() {
        let keys = [("<pad>", 0), ("<mask>", 1), ("<cls>", 2), ("<eos>", 3)];
        let genes: Vec<_> = (0..100).map(|i| format!("G{i}")).collect();
        let tokens = keys
            .map(|(k, t)| (k.to_owned(), t))
            .into_iter()
            .chain(genes.iter().cloned().zip(4..));
        let vocabulary = Vocabulary::new(tokens, genes.iter().map(|g| (g.clone(), 1.0))).unwrap();
        let tokens: Vec<u32> = std::iter::once(2).chain(4..104).chain([3]).collect();
        let cell = TokenisedCell {
            cell: 0,
            columns: vec![None; 102],
            tokens,
        };
        let (mut masked, mut kept) = (0, 0);
        for index in 0..200 {
            let mut rng = Seeds::new(0).stream("test", "mask", index);
            let hidden = MaskedCell::new(&cell, &vocabulary, 0.15, &mut rng);
            assert_eq!((hidden.places.len(), hidden.tokens.len()), (15, 102));
            assert!(hidden.places.is_sorted() && hidden.places[0] > 0 && hidden.places[14] < 101);
            for (place, &token) in hidden.tokens.iter().enumerate() {
                let Ok(answer) = hidden.places.binary_search(&(place as u32)) else {
                    assert_eq!(token, cell.tokens[place]);
                    continue;
                };
                assert_eq!(hidden.answers[answer], cell.tokens[place]);
                masked += usize::from(token == vocabulary.mask());
                kept += usize::from(token == cell.tokens[place]);
            }
        }
        // 3,000 places: 80 % masked, 10 % kept and 1 in 100 of the replaced 10 %; five standard deviations.
        assert!((2400 - 110..2400 + 110).contains(&masked), "{masked}");
        assert!((303 - 85..303 + 85).contains(&kept), "{kept}");
    }
}
