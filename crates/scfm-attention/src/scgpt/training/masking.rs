use rand_chacha::ChaCha8Rng;

use super::MASK_VALUE;
use crate::ValuedCell;
use crate::scgpt::Vocabulary;
use crate::training::masking::hidden_places;

/// A cell with some of its bins hidden.
pub(in crate::scgpt) struct MaskedCell {
    /// What the model sees.
    pub(in crate::scgpt) cell: ValuedCell,
    /// Places of the genes whose bins it is to give, ascending.
    pub(in crate::scgpt) places: Vec<u32>,
    /// Those bins.
    pub(in crate::scgpt) answers: Vec<f32>,
}

impl MaskedCell {
    pub(in crate::scgpt) fn new(
        cell: &ValuedCell,
        vocabulary: &Vocabulary,
        fraction: f64,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let is_gene = cell
            .tokens()
            .iter()
            .map(|&token| vocabulary.gene(token).is_some());
        let places = hidden_places(is_gene, fraction, rng);
        let mut values = cell.values().to_vec();
        for &place in &places {
            values[place as usize] = MASK_VALUE;
        }
        Self {
            answers: places
                .iter()
                .map(|&place| cell.values()[place as usize])
                .collect(),
            cell: ValuedCell::new(cell.as_ref().clone(), values),
            places,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenisedCell;
    use scfm_core::Seeds;

    #[test]
    fn masks_hide_bins_of_the_given_fraction_of_genes_and_nothing_else() {
        let vocabulary = Vocabulary::of_genes((0..100).map(|i| format!("G{i}"))).unwrap();
        let tokens: Vec<u32> = std::iter::once(vocabulary.cls()).chain(0..100).collect();
        let values: Vec<f32> = std::iter::once(-2.0)
            .chain((0..100u8).map(|i| f32::from(1 + i % 50)))
            .collect();
        let columns = vec![None; tokens.len()];
        let cell = TokenisedCell {
            cell: 0,
            tokens,
            columns,
        };
        let cell = ValuedCell::new(cell, values);
        let mut hidden = [0; 101];
        for index in 0..200 {
            let mut rng = Seeds::new(0).stream("test", "mask", index);
            let masked = MaskedCell::new(&cell, &vocabulary, 0.4, &mut rng);
            assert_eq!(masked.places.len(), 40);
            assert!(masked.places.is_sorted());
            assert_eq!(masked.cell.tokens(), cell.tokens());
            for (place, &value) in masked.cell.values().iter().enumerate() {
                match masked.places.binary_search(&(place as u32)) {
                    Ok(answer) => {
                        assert_eq!((value, masked.answers[answer]), (-1.0, cell.values()[place]));
                        hidden[place] += 1;
                    }
                    Err(_) => assert_eq!(value, cell.values()[place]),
                }
            }
        }
        // `<cls>` never; each gene in 80 of 200 cells, within five standard deviations.
        assert_eq!(hidden[0], 0);
        assert!(
            hidden[1..].iter().all(|n| (80 - 35..80 + 35).contains(n)),
            "{hidden:?}"
        );
        let mut rng = Seeds::new(0).stream("test", "mask", 0);
        assert_eq!(MaskedCell::new(&cell, &vocabulary, 0.0, &mut rng).places.len(), 1);
    }
}
