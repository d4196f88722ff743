use rand::seq::index;
use rand_chacha::ChaCha8Rng;

/// Places of the genes that are hidden of a cell, ascending: a fraction of all, at least one where there is one.
/// `is_gene` says of every token whether it stands for a gene.
pub(crate) fn hidden_places(
    is_gene: impl IntoIterator<Item = bool>,
    fraction: f64,
    rng: &mut ChaCha8Rng,
) -> Vec<u32> {
    let genes: Vec<u32> = (0..)
        .zip(is_gene)
        .filter(|(_, is_gene)| *is_gene)
        .map(|(place, _)| place)
        .collect();
    let n = ((genes.len() as f64 * fraction).round() as usize)
        .max(1)
        .min(genes.len());
    let mut places: Vec<u32> = index::sample(rng, genes.len(), n)
        .iter()
        .map(|i| genes[i])
        .collect();
    places.sort_unstable();
    places
}
