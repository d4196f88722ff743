use rand::RngExt;
use rand::seq::index;
use scfm_core::{CountMatrix, Ledger, Panel, Seeds};
use sprs::CsVecView;

use super::binning::Edges;
use super::mt19937::Mt19937;
use super::{Config, Vocabulary};
use crate::{Error, TokenPanel, TokenisedCell, ValuedCell};

/// What becomes of a count on its way to scGPT's encoder of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Binning {
    /// The bin by its rank in the cell; where several bins fit, their [middle](super::BinRange::middle).
    #[default]
    Middle,
    /// Where several bins fit, one of them at random, drawn from a stream of the cell's own.
    Random,
    /// Where several bins fit, the one that scGPT draws from numpy's generator after `np.random.seed`: a stream that
    /// runs through all cells in their order, so that what a cell gets depends on those before it.
    Numpy(u32),
    /// The counts are bins already.
    Given,
}

/// How cells are made of counts. [`TokenizerParams::zero_shot`] and [`TokenizerParams::fine_tuning`] are the two ways of
/// the published code.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenizerParams {
    /// From counts to values.
    pub binning: Binning,
    /// Number of bins, that of zero counted.
    pub n_bins: usize,
    /// Whether genes without a count are tokens of value 0, the same for every cell.
    pub include_zeros: bool,
    /// The value of `<cls>`.
    pub cls_value: f32,
    /// Most tokens of a cell, `<cls>` counted. Of longer cells a random part is kept, whatever its expression.
    pub max_length: usize,
    /// Seeds of that part and of [`Binning::Random`].
    pub seeds: Seeds,
}

impl TokenizerParams {
    /// As `scgpt.tasks.embed_data` makes cells: genes with a count, `<cls>` with the value of padding.
    pub fn zero_shot(config: &Config) -> Self {
        Self {
            binning: Binning::default(),
            n_bins: config.n_bins,
            include_zeros: false,
            cls_value: config.pad_value,
            max_length: config.max_seq_len,
            seeds: Seeds::new(0),
        }
    }

    /// As `Preprocessor` and `tokenize_and_pad_batch` make cells for fine-tuning and in the tutorial of gene networks:
    /// all genes, `<cls>` with the value 0. Normalisation and logarithm, which come before the bins there, do not change
    /// them (see [`bin_ranges`](super::bin_ranges)). Meant for some 1,000 genes, see [`Tokenizer::restricted_to`].
    pub fn fine_tuning(config: &Config) -> Self {
        Self {
            include_zeros: true,
            cls_value: 0.0,
            ..Self::zero_shot(config)
        }
    }
}

/// Turns counts into scGPT's cells: `<cls>`, then a token for each gene with the bin of its count among the cell's counts
/// that are not zero. Padding is never made.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    genes: TokenPanel,
    /// By column, whether its gene may be a token.
    in_sequence: Vec<bool>,
    cls: u32,
    params: TokenizerParams,
    /// Boxed, since it is 2.5 kB that most tokenisers do not have.
    numpy: Option<Box<Mt19937>>,
    n_values: u64,
    n_tied: u64,
    n_cut: u64,
}

impl Tokenizer {
    /// A tokeniser for count matrices over `genes`.
    ///
    /// # Errors
    /// [`Error::Config`] for fewer than 3 bins or 2 tokens, or a value of `<cls>` that is not finite.
    pub fn new(vocabulary: &Vocabulary, genes: TokenPanel, params: TokenizerParams) -> Result<Self, Error> {
        let wrong = |key, found: &dyn ToString, expected: &str| {
            Err(Error::Config {
                key,
                found: found.to_string(),
                expected: expected.to_owned(),
            })
        };
        if params.n_bins < 3 {
            return wrong("n_bins", &params.n_bins, "at least 3");
        }
        if params.max_length < 2 {
            return wrong("max_seq_len", &params.max_length, "at least 2");
        }
        if !params.cls_value.is_finite() {
            return wrong("cls_value", &params.cls_value, "a number");
        }
        Ok(Self {
            in_sequence: genes.tokens().iter().map(Option::is_some).collect(),
            genes,
            cls: vocabulary.cls(),
            numpy: match params.binning {
                Binning::Numpy(seed) => Some(Box::new(Mt19937::new(seed))),
                _ => None,
            },
            params,
            n_values: 0,
            n_tied: 0,
            n_cut: 0,
        })
    }

    /// The same, but that only the genes of `panel` become tokens; bins are still among all genes that the model knows.
    /// That is what the tutorial of gene networks does with its variable genes.
    #[must_use]
    pub fn restricted_to(mut self, panel: &Panel) -> Self {
        let genes = self.genes.panel().genes().iter().zip(self.genes.tokens());
        self.in_sequence = genes
            .map(|(gene, token)| token.is_some() && panel.contains(gene.as_str()))
            .collect();
        self
    }

    /// How it makes cells.
    pub fn params(&self) -> &TokenizerParams {
        &self.params
    }

    /// Of the values that were put into bins so far, how many could have had another bin, and how many there were.
    pub fn tied_values(&self) -> (u64, u64) {
        (self.n_tied, self.n_values)
    }

    /// One cell, `None` where none of the model's genes has a count or none of them may be a token. `row` names the cell
    /// among all cells of its file: it picks the cell's random streams.
    ///
    /// # Errors
    /// [`Error::Bin`] where counts should be bins and are not.
    ///
    /// # Panics
    /// When `counts` has another length than the tokeniser's genes.
    pub fn cell(
        &mut self,
        cell: usize,
        row: usize,
        counts: CsVecView<'_, f32>,
    ) -> Result<Option<ValuedCell>, Error> {
        assert_eq!(
            counts.dim(),
            self.in_sequence.len(),
            "a column for each gene of the tokeniser"
        );
        let detected: Vec<(usize, f32)> = counts
            .iter()
            .filter(|&(column, &count)| count > 0.0 && self.genes.tokens()[column].is_some())
            .map(|(column, &count)| (column, count))
            .collect();
        if detected.is_empty() {
            return Ok(None);
        }
        let bins = self.bins(cell, row, &detected)?;
        let mut values: Vec<(usize, f32)> = if self.params.include_zeros {
            let mut values: Vec<(usize, f32)> =
                (0..self.in_sequence.len()).map(|column| (column, 0.0)).collect();
            for (&(column, _), bin) in detected.iter().zip(bins) {
                values[column].1 = bin;
            }
            values
        } else {
            detected.iter().map(|&(column, _)| column).zip(bins).collect()
        };
        values.retain(|&(column, _)| self.in_sequence[column]);
        if values.is_empty() {
            return Ok(None);
        }
        let most = self.params.max_length - 1;
        if values.len() > most {
            self.n_cut += 1;
            let mut stream = self
                .params
                .seeds
                .stream("scgpt", "genes of a long cell", row as u64);
            let mut kept = index::sample(&mut stream, values.len(), most).into_vec();
            kept.sort_unstable();
            values = kept.into_iter().map(|at| values[at]).collect();
        }

        let (mut tokens, mut columns) = (vec![self.cls], vec![None]);
        let mut of_tokens = vec![self.params.cls_value];
        for (column, value) in values {
            tokens.push(self.genes.tokens()[column].expect("genes of the sequence have tokens"));
            columns.push(Some(column as u32));
            of_tokens.push(value);
        }
        let tokenised = TokenisedCell {
            cell,
            tokens,
            columns,
        };
        Ok(Some(ValuedCell::new(tokenised, of_tokens)))
    }

    /// All cells that have any token but `<cls>`, and how many cells and genes were left out. `rows` are the rows of the
    /// matrix in its file.
    ///
    /// # Errors
    /// Those of [`Tokenizer::cell`].
    ///
    /// # Panics
    /// When the columns are not the tokeniser's genes, or there is not one row for each cell.
    pub fn cells(
        &mut self,
        counts: &CountMatrix,
        rows: &[usize],
    ) -> Result<(Vec<ValuedCell>, Ledger), Error> {
        assert_eq!(
            counts.genes(),
            self.genes.panel(),
            "the count matrix has the tokeniser's genes"
        );
        assert_eq!(counts.n_cells(), rows.len(), "a row for each cell");
        let mut cells = Vec::with_capacity(counts.n_cells());
        let (mut empty, cut_before) = (Vec::new(), self.n_cut);
        for (cell, (counts, &row)) in counts.counts().outer_iterator().zip(rows).enumerate() {
            match self.cell(cell, row, counts)? {
                Some(valued) => cells.push(valued),
                None => empty.push(cell),
            }
        }
        let mut ledger = self.genes.ledger(cells.len(), &empty);
        ledger.lost(
            "cells in full",
            "longer than the model takes, a random part of the genes was kept",
            self.n_cut - cut_before,
            [] as [&str; 0],
        );
        Ok((cells, ledger))
    }

    fn bins(&mut self, cell: usize, row: usize, detected: &[(usize, f32)]) -> Result<Vec<f32>, Error> {
        let counts: Vec<f32> = detected.iter().map(|&(_, count)| count).collect();
        if self.params.binning == Binning::Given {
            let last = self.params.n_bins - 1;
            let wrong = |&&(_, bin): &&(usize, f32)| bin.fract() != 0.0 || bin > last as f32;
            return match detected.iter().find(wrong) {
                None => Ok(counts),
                Some(&(column, bin)) => Err(Error::Bin {
                    cell,
                    gene: self.genes.panel().gene(column).clone(),
                    found: bin,
                    last,
                }),
            };
        }
        let edges = Edges::new(&counts, self.params.n_bins);
        let mut stream = self.params.seeds.stream("scgpt", "bins", row as u64);
        let mut bins = Vec::with_capacity(counts.len());
        for &count in &counts {
            let range = edges.range(count);
            self.n_values += 1;
            self.n_tied += u64::from(range.is_tied());
            bins.push(match (self.params.binning, &mut self.numpy) {
                (_, Some(numpy)) => edges.drawn(count, numpy.next_f64()),
                (Binning::Random, _) if range.is_tied() => stream.random_range(range.low..=range.high),
                _ => range.middle(),
            } as f32);
        }
        Ok(bins)
    }
}
