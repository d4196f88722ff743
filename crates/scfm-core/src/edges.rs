use std::fmt;
use std::str::FromStr;

use ndarray::Array2;

use crate::{Error, GeneId, Panel};

/// Position in a source panel, so that a source is never passed where a target belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(pub usize);

/// Position in a target panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target(pub usize);

/// A transformer layer, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Layer(pub usize);

/// An attention head of a layer, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Head(pub usize);

/// Which side of the attention matrix the source gene of an edge stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Orientation {
    /// Source = query row, target = key column: the reading of arXiv:2602.17532.
    #[default]
    Query,
    /// Source = key column, target = query row: the reading of scGPT's own network tutorial.
    Key,
}

impl Orientation {
    /// The reading in words, for reports and file metadata.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Query => "source = query row, target = key column",
            Self::Key => "source = key column, target = query row",
        }
    }
}

impl fmt::Display for Orientation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Query => "query",
            Self::Key => "key",
        })
    }
}

impl FromStr for Orientation {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        match s {
            "query" => Ok(Self::Query),
            "key" => Ok(Self::Key),
            _ => Err(Error::Name {
                found: s.to_owned(),
                expected: "an orientation (query or key)",
            }),
        }
    }
}

/// What a model's score of a pair of genes is. Every measure is computed in each cell that holds both genes, and averaged
/// over cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Measure {
    /// Attention probability of the key for the query.
    Attention,
    /// Standard error over cells of the mean attention probability.
    StandardError,
    /// Attention probability times the length of what the key passes on, `p ‖v W_O‖` (Kobayashi et al. 2020,
    /// arXiv:2004.10102).
    NormWeighted,
    /// Cosine of the two genes' context vectors, `softmax(q kᵀ / √d) v` of a head.
    ValueCosine,
    /// Inner product of the two genes' context vectors.
    ValueDot,
    /// Logits `q kᵀ` as scGPT's tutorial of gene networks ranks them: over the keys of each query, the ranks then over the
    /// queries of each key, each divided by the number of tokens.
    RankedLogits,
}

impl Measure {
    /// All measures.
    pub const ALL: [Self; 6] = [
        Self::Attention,
        Self::StandardError,
        Self::NormWeighted,
        Self::ValueCosine,
        Self::ValueDot,
        Self::RankedLogits,
    ];

    /// The name, as in those of files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::StandardError => "attention-se",
            Self::NormWeighted => "norm-weighted",
            Self::ValueCosine => "value-cosine",
            Self::ValueDot => "value-dot",
            Self::RankedLogits => "ranked-logits",
        }
    }
}

/// A model's score of a pair, and where in the model it is taken. Its text form names the edge file: `attention`,
/// `attention-L3`, `attention-L3-H0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelEdge {
    /// What is computed.
    pub measure: Measure,
    /// The layer; the mean over all layers where there is none.
    pub layer: Option<Layer>,
    /// The head; the mean over the heads of a layer where there is none.
    pub head: Option<Head>,
}

impl ModelEdge {
    /// The mean over the heads of a layer.
    pub fn of_layer(measure: Measure, layer: Layer) -> Self {
        let layer = Some(layer);
        Self {
            measure,
            layer,
            head: None,
        }
    }

    /// One head.
    pub fn of_head(measure: Measure, layer: Layer, head: Head) -> Self {
        let (layer, head) = (Some(layer), Some(head));
        Self { measure, layer, head }
    }

    /// The mean over all heads and layers.
    pub fn of_model(measure: Measure) -> Self {
        Self {
            measure,
            layer: None,
            head: None,
        }
    }
}

impl fmt::Display for ModelEdge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.measure.name())?;
        if let Some(Layer(layer)) = self.layer {
            write!(f, "-L{layer}")?;
        }
        match self.head {
            Some(Head(head)) => write!(f, "-H{head}"),
            None => Ok(()),
        }
    }
}

/// What an edge score is. Its text form names the edge file: `attention-L3`, `spearman`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EdgeKind {
    /// What a model computes for a pair of its tokens, averaged over the cells that hold both.
    Model(ModelEdge),
    /// Spearman correlation of expression over cells.
    Spearman,
    /// Number of cells in which both genes were tokens.
    CoDetection,
    /// Scores of another tool, as its list gives them.
    Listed,
    /// Cosine of the two genes' context vectors at a layer, each averaged over the cells that hold the gene.
    MeanContextCosine(Layer),
}

/// The beginning of the name of [`EdgeKind::MeanContextCosine`].
const MEAN_CONTEXT_COSINE: &str = "mean-context-cosine-L";

impl EdgeKind {
    /// Attention probability averaged over the heads of a layer.
    pub fn attention(layer: Layer) -> Self {
        Self::Model(ModelEdge::of_layer(Measure::Attention, layer))
    }
}

impl From<ModelEdge> for EdgeKind {
    fn from(edge: ModelEdge) -> Self {
        Self::Model(edge)
    }
}

impl fmt::Display for EdgeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(edge) => edge.fmt(f),
            Self::Spearman => f.write_str("spearman"),
            Self::CoDetection => f.write_str("n_cells"),
            Self::Listed => f.write_str("listed"),
            Self::MeanContextCosine(Layer(layer)) => write!(f, "{MEAN_CONTEXT_COSINE}{layer}"),
        }
    }
}

impl FromStr for EdgeKind {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        if let Some(Ok(layer)) = s.strip_prefix(MEAN_CONTEXT_COSINE).map(str::parse) {
            return Ok(Self::MeanContextCosine(Layer(layer)));
        }
        match s {
            "spearman" => Ok(Self::Spearman),
            "n_cells" => Ok(Self::CoDetection),
            "listed" => Ok(Self::Listed),
            _ => model_edge(s).map(Self::Model).ok_or_else(|| Error::Name {
                found: s.to_owned(),
                expected: "an edge kind (attention-L<layer>, attention-L<layer>-H<head>, spearman, n_cells, listed, …)",
            }),
        }
    }
}

fn model_edge(text: &str) -> Option<ModelEdge> {
    let measures = Measure::ALL.into_iter();
    let named = measures.filter_map(|measure| Some((measure, text.strip_prefix(measure.name())?)));
    // The longest name, since one is the beginning of another.
    let (measure, place) = named.max_by_key(|(measure, _)| measure.name().len())?;
    let Some(place) = place.strip_prefix("-L") else {
        return place.is_empty().then(|| ModelEdge::of_model(measure));
    };
    match place.split_once("-H") {
        None => Some(ModelEdge::of_layer(measure, Layer(place.parse().ok()?))),
        Some((layer, head)) => Some(ModelEdge::of_head(
            measure,
            Layer(layer.parse().ok()?),
            Head(head.parse().ok()?),
        )),
    }
}

/// A score for every directed pair source → target, rows sources, columns targets, in panel order.
///
/// `NaN` stands for a pair that was never seen; such a pair is missing, not zero.
#[derive(Debug, Clone)]
pub struct EdgeMatrix {
    kind: EdgeKind,
    sources: Panel,
    targets: Panel,
    scores: Array2<f32>,
}

impl EdgeMatrix {
    /// Scores of shape `[sources.len(), targets.len()]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the panels ask for another shape.
    pub fn new(kind: EdgeKind, sources: Panel, targets: Panel, scores: Array2<f32>) -> Result<Self, Error> {
        if scores.dim() != (sources.len(), targets.len()) {
            return Err(Error::Shape {
                what: format!("{kind} edge matrix"),
                found: scores.shape().to_vec(),
                expected: vec![sources.len(), targets.len()],
            });
        }
        Ok(Self {
            kind,
            sources,
            targets,
            scores,
        })
    }

    /// What the scores are.
    pub fn kind(&self) -> EdgeKind {
        self.kind
    }

    /// Genes of the rows.
    pub fn sources(&self) -> &Panel {
        &self.sources
    }

    /// Genes of the columns.
    pub fn targets(&self) -> &Panel {
        &self.targets
    }

    /// All scores, `[source, target]`, `NaN` where the pair was never seen.
    pub fn scores(&self) -> &Array2<f32> {
        &self.scores
    }

    /// The score of one pair, `None` where it was never seen.
    ///
    /// # Panics
    /// When a position lies outside its panel.
    pub fn get(&self, source: Source, target: Target) -> Option<f32> {
        Some(self.scores[[source.0, target.0]]).filter(|score| !score.is_nan())
    }

    /// The scores of `sources` × `targets`, whatever this matrix's own panels; `NaN` for pairs that were never
    /// seen and for genes that this matrix does not have.
    pub fn align(&self, sources: &Panel, targets: &Panel) -> Array2<f64> {
        let columns: Vec<_> = targets
            .genes()
            .iter()
            .map(|g| self.targets.position(g.as_str()))
            .collect();
        let rows: Vec<_> = sources
            .genes()
            .iter()
            .map(|g| self.sources.position(g.as_str()))
            .collect();
        Array2::from_shape_fn((rows.len(), columns.len()), |(s, t)| {
            match (rows[s], columns[t]) {
                (Some(row), Some(column)) => f64::from(self.scores[[row, column]]),
                _ => f64::NAN,
            }
        })
    }

    /// The genes of a pair.
    ///
    /// # Panics
    /// When a position lies outside its panel.
    pub fn pair(&self, source: Source, target: Target) -> (&GeneId, &GeneId) {
        (self.sources.gene(source.0), self.targets.gene(target.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_back_what_they_write() {
        for kind in [
            EdgeKind::attention(Layer(0)),
            EdgeKind::attention(Layer(17)),
            ModelEdge::of_head(Measure::Attention, Layer(17), Head(3)).into(),
            ModelEdge::of_layer(Measure::StandardError, Layer(2)).into(),
            ModelEdge::of_model(Measure::Attention).into(),
            ModelEdge::of_head(Measure::ValueCosine, Layer(0), Head(0)).into(),
            EdgeKind::Spearman,
            EdgeKind::CoDetection,
            EdgeKind::Listed,
        ] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        for wrong in [
            "",
            "attention-Lx",
            "attention-",
            "attention-L1-H",
            "attention-H1",
            "attention-L1-Hx",
            "attentions",
        ] {
            assert!(wrong.parse::<EdgeKind>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn aligning_follows_the_genes_not_the_positions() {
        let (sources, targets) = (Panel::new(["A", "B"]).unwrap(), Panel::new(["A", "C"]).unwrap());
        let scores = ndarray::array![[1.0, 2.0], [3.0, f32::NAN]];
        let edges = EdgeMatrix::new(EdgeKind::Spearman, sources, targets, scores).unwrap();
        let aligned = edges.align(&Panel::new(["B", "X"]).unwrap(), &Panel::new(["C", "A"]).unwrap());
        assert!(aligned[[0, 0]].is_nan() && aligned[[1, 0]].is_nan() && aligned[[1, 1]].is_nan());
        assert_eq!(aligned[[0, 1]], 3.0);
    }

    #[test]
    fn a_transposed_matrix_is_refused() {
        let (sources, targets) = (Panel::new(["A"]).unwrap(), Panel::new(["A", "B"]).unwrap());
        let error = EdgeMatrix::new(EdgeKind::Spearman, sources, targets, Array2::zeros((2, 1))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "spearman edge matrix has shape [2, 1], expected [1, 2]"
        );
    }
}
