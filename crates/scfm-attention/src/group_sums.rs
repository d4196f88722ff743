use scfm_core::{ModelEdge, Orientation};

use crate::{AttentionSums, Error, TokenPanel, Transformer};

/// Sums over no cell yet for each of `n_groups` groups of cells, such as strata by halves: what
/// [`add_by_group`](crate::add_by_group) fills in one pass over the cells. Of each group there are then the mean of every
/// pair, missing where none of its cells holds both genes, the number of those that do, and with
/// [`StandardError`](scfm_core::Measure::StandardError) among the `edges` its standard error.
///
/// Memory is that of [`AttentionSums::bytes`] for each group, and is taken here and not while cells are read.
///
/// # Errors
/// [`Error::GroupMemory`] where it is more than `budget` bytes, before any of it is taken; those of [`AttentionSums::of`].
///
/// ```
/// use scfm_attention::geneformer::{Checkpoint, Config, Geneformer, Vocabulary};
/// use scfm_attention::{AbsentPairs, Interventions, TokenisedCell, add_by_group, sums_of_groups};
/// use scfm_core::{Layer, Measure, ModelEdge, Orientation, Panel, Seeds, Source, Target};
///
/// let vocabulary = Vocabulary::of_genes(["A", "B", "C"].map(|gene| (gene.to_owned(), 1.0)))?;
/// let tfs = vocabulary.panel(&Panel::new(["A"])?)?;
/// let genes = vocabulary.panel(&Panel::new(["A", "B", "C"])?)?;
/// let mut stream = Seeds::new(0).stream("example", "weights", 0);
/// let model = Geneformer::new(&Checkpoint::random(Config::sized(3, 8, 2, 5, 16), vocabulary, &mut stream)?)?;
///
/// let of_layer = ModelEdge::of_layer(Measure::Attention, Layer(1));
/// let mut groups = sums_of_groups(&model, &[of_layer], (&tfs, &genes), Orientation::Query, 2, 1 << 20)?;
/// let cell = |tokens: [u32; 2]| TokenisedCell {
///     cell: 0,
///     tokens: tokens.to_vec(),
///     columns: tokens.map(|token| Some(token - 2)).to_vec(),
/// };
/// let cells = [([0], cell([2, 3])), ([1], cell([2, 4]))];
/// add_by_group(&mut groups, &model, &Interventions::none(), cells, |_| ())?;
/// let second = groups[1].mean(AbsentPairs::Missing)?;
/// assert!(second.edges[0].get(Source(0), Target(2)).is_some());
/// assert_eq!(second.edges[0].get(Source(0), Target(1)), None);
///
/// let refused = sums_of_groups(&model, &[of_layer], (&tfs, &genes), Orientation::Query, 1_000_000, 1 << 20);
/// assert!(refused.unwrap_err().to_string().contains("1000000 groups"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sums_of_groups(
    model: &impl Transformer,
    edges: &[ModelEdge],
    (sources, targets): (&TokenPanel, &TokenPanel),
    orientation: Orientation,
    n_groups: usize,
    budget: u64,
) -> Result<Vec<AttentionSums>, Error> {
    let (n_sources, n_targets) = (sources.panel().len(), targets.panel().len());
    let needed = AttentionSums::bytes(edges, n_sources, n_targets).saturating_mul(n_groups as u64);
    if needed > budget {
        return Err(Error::GroupMemory {
            n_groups,
            n_edges: edges.len(),
            n_sources,
            n_targets,
            needed,
            budget,
        });
    }
    (0..n_groups)
        .map(|_| {
            AttentionSums::of(
                model,
                edges.iter().copied(),
                sources.clone(),
                targets.clone(),
                orientation,
            )
        })
        .collect()
}
