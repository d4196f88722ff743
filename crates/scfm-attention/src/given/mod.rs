//! Attention that another program computed: tensors of any model in files, one for each cell.
//!
//! A cell is `<cell>.safetensors` with a tensor `attention`, or `<cell>.npy`: `[layer, head, query, key]`, `[head, query,
//! key]` or `[query, key]` in 16, 32 or 64 bits. Its tokens are named, in their order, by the JSON list `genes` in the
//! metadata of a safetensors file, else by `<cell>.genes.txt`, else by the `genes.txt` that all cells of the folder share,
//! one name per line. Names in angle brackets (`<cls>`, `<pad>`) are tokens that are no genes.

mod npy;
mod stored;
mod sums;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use ndarray::{Array2, Array3};
use scfm_io::ReadLimits;

use crate::Error;
use stored::StoredTensor;
pub use sums::GivenSums;

/// The gene list that all cells of a folder share.
const SHARED_GENES: &str = "genes.txt";
/// The end of the name of one cell's gene list.
const OWN_GENES: &str = ".genes.txt";

/// Attention of one cell as another program computed it. Values are read layer by layer, when they are asked for.
#[derive(Debug, Clone)]
pub struct GivenAttention {
    tensor: StoredTensor,
    genes: Vec<String>,
    n_layers: usize,
    n_heads: usize,
    limits: ReadLimits,
}

impl GivenAttention {
    /// Opens the attention of one cell; its genes are where the [module](self) says.
    ///
    /// # Errors
    /// Those of the file system; [`Error::Given`], [`Error::Safetensors`], [`Error::Truncated`], [`Error::TensorType`] for
    /// a file or a gene list that is not what it should be, or that belong to different cells; [`Error::GeneTwice`];
    /// [`Error::TooLarge`] where one head does not fit the memory budget.
    pub fn open(path: &Path, limits: &ReadLimits) -> Result<Self, Error> {
        let (tensor, genes) = match path.extension().is_some_and(|end| end == "npy") {
            true => (npy::open(path)?, None),
            false => StoredTensor::in_safetensors(path)?,
        };
        let (n_layers, n_heads, n_tokens) = match tensor.shape[..] {
            [l, h, q, k] if q == k => (l, h, q),
            [h, q, k] if q == k => (1, h, q),
            [q, k] if q == k => (1, 1, q),
            _ => {
                let expected = "[layer, head, token, token], [head, token, token] or [token, token]";
                return Err(Error::given(
                    path,
                    "shape",
                    format!("{:?}", tensor.shape),
                    expected,
                ));
            }
        };
        if n_layers == 0 || n_heads == 0 || n_tokens == 0 {
            let expected = "at least one layer, head and token";
            return Err(Error::given(
                path,
                "shape",
                format!("{:?}", tensor.shape),
                expected,
            ));
        }
        let (source, genes) = match genes {
            Some(genes) => (path.to_owned(), genes),
            None => listed_genes(path, limits)?,
        };
        if genes.len() != n_tokens {
            let expected = format!(
                "{n_tokens}, as many as the attention of {} has tokens",
                path.display()
            );
            return Err(Error::given(
                &source,
                "number of genes",
                genes.len().to_string(),
                expected,
            ));
        }
        let mut seen = HashMap::new();
        for (second, gene) in genes.iter().enumerate() {
            if gene.is_empty() || gene.contains(char::is_control) {
                let place = format!("{gene:?} at token {second}");
                return Err(Error::given(&source, "genes", place, "a name for each token"));
            }
            if is_special(gene) {
                continue;
            }
            if let Some(first) = seen.insert(gene.as_str(), second) {
                return Err(Error::GeneTwice {
                    path: source,
                    gene: gene.clone(),
                    first,
                    second,
                });
            }
        }
        let given = Self {
            tensor,
            genes,
            n_layers,
            n_heads,
            limits: *limits,
        };
        given.afford(1)?;
        Ok(given)
    }

    /// The names of the tokens in their order, those in angle brackets included.
    pub fn genes(&self) -> &[String] {
        &self.genes
    }

    /// Number of layers.
    pub fn n_layers(&self) -> usize {
        self.n_layers
    }

    /// Number of heads of each layer.
    pub fn n_heads(&self) -> usize {
        self.n_heads
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.tensor.path
    }

    /// One layer, `[head, query, key]`, as it was handed over: probabilities, or whatever the other program calls
    /// attention.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be read, [`Error::GivenNotFinite`] for a value between two genes that is no finite
    /// number, [`Error::TooLarge`].
    ///
    /// # Panics
    /// When there is no such layer.
    pub fn layer(&self, layer: usize) -> Result<Array3<f32>, Error> {
        self.afford(self.n_heads)?;
        let n = self.genes.len();
        let mut heads = Array3::zeros((self.n_heads, n, n));
        for (head, mut values) in heads.outer_iter_mut().enumerate() {
            values.assign(&self.head(layer, head)?);
        }
        Ok(heads)
    }

    /// One head of a layer, `[query, key]`.
    ///
    /// # Errors
    /// Those of [`GivenAttention::layer`].
    ///
    /// # Panics
    /// When there is no such layer or head.
    pub fn head(&self, layer: usize, head: usize) -> Result<Array2<f32>, Error> {
        assert!(
            layer < self.n_layers && head < self.n_heads,
            "a layer and a head of the model"
        );
        let n = self.genes.len();
        let first = (layer * self.n_heads + head) * n * n;
        let values = self.tensor.values(first, n * n)?;
        let values = Array2::from_shape_vec((n, n), values).expect("as many values as were asked for");
        if values.iter().all(|value| value.is_finite()) {
            return Ok(values);
        }
        // What padding attends to may be 0 / 0, and masked scores are −∞.
        let between_genes =
            |(query, key): (usize, usize)| !is_special(&self.genes[query]) && !is_special(&self.genes[key]);
        let wrong = values
            .indexed_iter()
            .find(|&(pair, value)| !value.is_finite() && between_genes(pair));
        match wrong {
            None => Ok(values),
            Some(((query, key), &value)) => Err(Error::GivenNotFinite {
                path: self.tensor.path.clone(),
                layer,
                head,
                query: self.genes[query].clone(),
                key: self.genes[key].clone(),
                value,
            }),
        }
    }

    /// Checks that so many heads fit the budget: as they are stored, as they are handed out, and once in between.
    fn afford(&self, n_heads: usize) -> Result<(), Error> {
        let n = self.genes.len() as u64;
        let bytes = (self.tensor.dtype.size_in_bytes() + 2 * size_of::<f32>()) as u64;
        let needed = [n, n, n_heads as u64]
            .iter()
            .try_fold(bytes, |product, &n| product.checked_mul(n))
            .unwrap_or(u64::MAX);
        if needed <= self.limits.memory_budget {
            return Ok(());
        }
        Err(Error::TooLarge {
            path: self.tensor.path.clone(),
            what: "attention between its tokens",
            needed,
            budget: self.limits.memory_budget,
        })
    }
}

/// A folder of attention tensors, one file for each cell. All cells have the same numbers of layers and heads.
///
/// ```
/// use scfm_attention::given::{GivenFolder, GivenSums};
/// use scfm_core::{Layer, Orientation, Panel, Source, Target};
/// use scfm_io::ReadLimits;
///
/// // One cell, one head: STAT1 attends to IRF1. numpy.save writes such a file.
/// let folder = tempfile::tempdir()?;
/// let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n";
/// let mut npy = [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()].concat();
/// for value in [0.25f32, 0.75, 0.5, 0.5] {
///     npy.extend(value.to_le_bytes());
/// }
/// std::fs::write(folder.path().join("cell.npy"), npy)?;
/// std::fs::write(folder.path().join("genes.txt"), "STAT1\nIRF1\n")?;
///
/// let cells = GivenFolder::open(folder.path(), &ReadLimits::default())?;
/// let panel = Panel::new(["IRF1", "STAT1"])?;
/// let mut sums = GivenSums::new(vec![Layer(0)], panel.clone(), panel, Orientation::Query);
/// for cell in cells.cells() {
///     sums.add(&cell?)?;
/// }
/// assert_eq!(sums.mean(0)?.get(Source(1), Target(0)), Some(0.75));
/// assert!(sums.is_normalised());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct GivenFolder {
    files: Vec<PathBuf>,
    n_layers: usize,
    n_heads: usize,
    limits: ReadLimits,
}

impl GivenFolder {
    /// The files of a folder that end in `.safetensors` and `.npy`, in the order of their names. The first is opened.
    ///
    /// # Errors
    /// [`Error::Given`] where there is none, or two of one cell; those of [`GivenAttention::open`].
    pub fn open(folder: &Path, limits: &ReadLimits) -> Result<Self, Error> {
        let file_error = |source| Error::File {
            path: folder.to_owned(),
            source,
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(file_error)? {
            let path = entry.map_err(file_error)?.path();
            if path
                .extension()
                .is_some_and(|end| end == "safetensors" || end == "npy")
                && path.is_file()
            {
                files.push(path);
            }
        }
        files.sort();
        for pair in files.windows(2) {
            if pair[0].file_stem() == pair[1].file_stem() {
                let found = format!("a second file of the same cell, {}", pair[1].display());
                return Err(Error::given(&pair[0], "cell", found, "one file for each cell"));
            }
        }
        let Some(first) = files.first() else {
            let expected = "<cell>.safetensors or <cell>.npy for each cell";
            return Err(Error::given(folder, "folder", "no tensor", expected));
        };
        let first = GivenAttention::open(first, limits)?;
        Ok(Self {
            files,
            n_layers: first.n_layers(),
            n_heads: first.n_heads(),
            limits: *limits,
        })
    }

    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.files.len()
    }

    /// Number of layers of every cell.
    pub fn n_layers(&self) -> usize {
        self.n_layers
    }

    /// Number of heads of each layer.
    pub fn n_heads(&self) -> usize {
        self.n_heads
    }

    /// The cells in the order of their files' names.
    ///
    /// # Errors
    /// Those of [`GivenAttention::open`], and [`Error::Given`] for a cell with another number of layers or heads than the
    /// first.
    pub fn cells(&self) -> impl Iterator<Item = Result<GivenAttention, Error>> {
        self.files.iter().map(|path| {
            let cell = GivenAttention::open(path, &self.limits)?;
            let expected = (self.n_layers, self.n_heads);
            if (cell.n_layers(), cell.n_heads()) == expected {
                return Ok(cell);
            }
            let in_words = |(layers, heads): (usize, usize)| format!("{layers} × {heads}");
            let found = in_words((cell.n_layers(), cell.n_heads()));
            let expected = format!("{}, as in {}", in_words(expected), self.files[0].display());
            Err(Error::given(path, "layers × heads", found, expected))
        })
    }

    /// Every gene with the number of cells that hold it, in the order of first appearance. Opens all cells, so that what
    /// is wrong with any of them is known before values are read.
    ///
    /// # Errors
    /// Those of [`GivenFolder::cells`].
    pub fn gene_counts(&self) -> Result<Vec<(String, usize)>, Error> {
        let mut position: HashMap<String, usize> = HashMap::new();
        let mut counts: Vec<(String, usize)> = Vec::new();
        for cell in self.cells() {
            for gene in cell?.genes.into_iter().filter(|gene| !is_special(gene)) {
                match position.get(&gene) {
                    Some(&at) => counts[at].1 += 1,
                    None => {
                        position.insert(gene.clone(), counts.len());
                        counts.push((gene, 1));
                    }
                }
            }
        }
        Ok(counts)
    }
}

/// Whether a token stands for no gene.
fn is_special(name: &str) -> bool {
    name.starts_with('<') && name.ends_with('>')
}

/// The gene list of a cell, and the file that it is from.
fn listed_genes(path: &Path, limits: &ReadLimits) -> Result<(PathBuf, Vec<String>), Error> {
    let mut own = path.file_stem().unwrap_or_default().to_owned();
    own.push(OWN_GENES);
    let candidates = [path.with_file_name(own), path.with_file_name(SHARED_GENES)];
    let Some(list) = candidates.into_iter().find(|list| list.is_file()) else {
        let expected = "<cell>.genes.txt or genes.txt beside it, one name per token";
        return Err(Error::given(path, "genes", "no list", expected));
    };
    let file_error = |source| Error::File {
        path: list.clone(),
        source,
    };
    let needed = fs::metadata(&list).map_err(file_error)?.len();
    if needed > limits.memory_budget {
        return Err(Error::TooLarge {
            path: list,
            what: "the gene list",
            needed,
            budget: limits.memory_budget,
        });
    }
    let text = fs::read_to_string(&list).map_err(file_error)?;
    let text = text.trim_start_matches('\u{feff}').trim_end();
    let genes = text.lines().map(|line| line.trim().to_owned()).collect();
    Ok((list, genes))
}
