//! Cells as points: what a model's authors take for the embedding of a cell.

use ndarray::{Array1, Array2};
use rayon::prelude::*;
use scfm_core::Layer;

use crate::trace::trace;
use crate::{Error, Interventions, Site, Transformer};

/// How the hidden states of a cell become one vector, and after which layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The mean over the tokens that stand for genes, of the second to last hidden states: Geneformer's `EmbExtractor` with
    /// its defaults, `emb_mode="cell"` and `emb_layer=-1`.
    MeanOfGenes,
    /// The last hidden state of the first token, `<cls>`, divided by its length: scGPT's `get_batch_cell_embeddings` with its
    /// default, `cell_embedding_mode="cls"`.
    FirstToken,
}

impl Pooling {
    /// Where hidden states are read of a model of so many layers, unless somebody asks for a layer.
    fn site(self, n_layers: usize) -> Site {
        match self {
            // Below the only layer of a model are its embeddings.
            Self::MeanOfGenes if n_layers < 2 => Site::Embeddings,
            Self::MeanOfGenes => Site::Hidden(Layer(n_layers - 2)),
            Self::FirstToken => Site::Hidden(Layer(n_layers - 1)),
        }
    }

    /// `None` where a cell has no token to pool.
    fn pool(self, hidden: &Array2<f32>, is_gene: impl Iterator<Item = bool>) -> Option<Array1<f32>> {
        match self {
            Self::MeanOfGenes => {
                let (mut sum, mut n) = (Array1::<f64>::zeros(hidden.ncols()), 0usize);
                for (state, _) in hidden.outer_iter().zip(is_gene).filter(|(_, is_gene)| *is_gene) {
                    sum.zip_mut_with(&state, |sum, &x| *sum += f64::from(x));
                    n += 1;
                }
                (n > 0).then(|| sum.mapv(|sum| (sum / n as f64) as f32))
            }
            Self::FirstToken => {
                let first = hidden.outer_iter().next()?.mapv(f64::from);
                let length = first.dot(&first).sqrt();
                // A state of zeros has no direction and stays as it is.
                let length = if length > 0.0 { length } else { 1.0 };
                Some(first.mapv(|x| (x / length) as f32))
            }
        }
    }
}

/// Embeddings of cells, `[cell, D]`, as the model's authors read them: of Geneformer the mean hidden state of the genes after
/// the second to last layer, of scGPT the hidden state of `<cls>` after the last one, divided by its length. `layer` reads the
/// output of another layer instead, in the same way.
///
/// Cells are read in parallel, and of each no more is kept than its row; the number of threads changes no bit. For scGPT
/// `<cls>` has to be the first token, as its [tokeniser](crate::scgpt::Tokenizer) puts it.
///
/// # Errors
/// [`Error::NoSite`] for a layer that the model does not have; [`Error::NoToken`] for a cell without a gene where genes are
/// averaged; for a cell that the model cannot read.
///
/// ```
/// use scfm_attention::geneformer::{Checkpoint, Config, Geneformer, Vocabulary};
/// use scfm_attention::{TokenisedCell, cell_embeddings};
/// use scfm_core::Seeds;
///
/// let vocabulary = Vocabulary::of_genes(["A", "B", "C"].map(|gene| (gene.to_owned(), 1.0)))?;
/// let mut stream = Seeds::new(0).stream("example", "weights", 0);
/// let model = Geneformer::new(&Checkpoint::random(Config::sized(3, 8, 2, 5, 16), vocabulary, &mut stream)?)?;
/// let cell = |tokens: &[u32]| TokenisedCell {
///     cell: 0,
///     tokens: tokens.to_vec(),
///     columns: tokens.iter().map(|token| Some(token - 2)).collect(),
/// };
/// let embeddings = cell_embeddings(&model, &[cell(&[3, 2]), cell(&[4, 2, 3])], None)?;
/// assert_eq!(embeddings.dim(), (2, 8));
/// # Ok::<(), scfm_attention::Error>(())
/// ```
pub fn cell_embeddings<M: Transformer>(
    model: &M,
    cells: &[M::Cell],
    layer: Option<Layer>,
) -> Result<Array2<f32>, Error>
where
    M::Cell: Sync,
{
    let pooling = model.pooling();
    let site = layer.map_or_else(|| pooling.site(model.n_layers()), Site::Hidden);
    let embedding = |cell: &M::Cell| -> Result<Array1<f32>, Error> {
        let hidden = &trace(
            model.encoder(),
            model.input(cell),
            &[site],
            &Interventions::none(),
        )?[&site];
        let cell = cell.as_ref();
        let is_gene = cell.columns.iter().map(Option::is_some);
        pooling
            .pool(hidden, is_gene)
            .ok_or(Error::NoToken { cell: cell.cell })
    };
    let rows: Vec<Array1<f32>> = cells.par_iter().map(embedding).collect::<Result<_, _>>()?;
    let width = rows.first().map_or(0, Array1::len);
    let mut embeddings = Array2::zeros((rows.len(), width));
    for (mut place, row) in embeddings.outer_iter_mut().zip(rows) {
        place.assign(&row);
    }
    Ok(embeddings)
}
