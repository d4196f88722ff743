//! What can be typed of the edges of a model.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use scfm_core::{Head, Layer, Measure, Orientation};
use serde::Serialize;

/// Which numbers of a model make the edges.
#[derive(Debug, Clone, Args)]
pub struct EdgeArgs {
    /// A named network as published; it decides on everything below
    #[arg(long, value_enum, value_name = "NAME",
        conflicts_with_all = ["layers", "heads", "measures", "absent_pairs", "orientation"])]
    pub recipe: Option<Recipe>,
    /// Layers to write: all, or a list as 0,3
    #[arg(long, default_value = "all")]
    pub layers: String,
    /// The mean over the heads of each layer (mean), every head by itself (all), or a list of layer.head as 5.2,5.7
    #[arg(long, default_value = "mean", value_name = "mean|all|LIST")]
    pub heads: Heads,
    /// What of the model a score is
    #[arg(
        long = "measure",
        value_enum,
        value_delimiter = ',',
        default_value = "attention",
        value_name = "MEASURES"
    )]
    pub measures: Vec<MeasureArg>,
    /// What a cell without the pair counts as: nothing, or score 0
    #[arg(long, value_enum, default_value_t = UnseenPairs::Missing)]
    pub absent_pairs: UnseenPairs,
    /// Which side of the attention matrix the source gene stands on: query or key
    #[arg(long, default_value_t, value_name = "SIDE")]
    pub orientation: Orientation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Recipe {
    /// arXiv:2602.17532: softmax attention of each layer, absent pairs as 0
    Paper,
    /// Softmax attention averaged over heads and layers
    GeneformerMean,
    /// scGPT's tutorial of gene networks as published: ranked logits of the last layer
    ScgptTutorial,
    /// The same with the cell that the tutorial forgets
    ScgptTutorialCorrected,
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(
            clap::ValueEnum::to_possible_value(self)
                .expect("no recipe is hidden")
                .get_name(),
        )
    }
}

/// Heads that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heads {
    Mean,
    All,
    These(Vec<(Layer, Head)>),
}

impl FromStr for Heads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let head = |text: &str| {
            let (layer, head) = text.trim().split_once('.')?;
            Some((Layer(layer.parse().ok()?), Head(head.parse().ok()?)))
        };
        match text {
            "mean" => Ok(Self::Mean),
            "all" => Ok(Self::All),
            _ => {
                let heads: Option<Vec<_>> = text.split(',').map(head).collect();
                heads
                    .map(Self::These)
                    .ok_or_else(|| "expected mean, all, or layer.head as 5.2,5.7".to_owned())
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum MeasureArg {
    /// Attention probability
    Attention,
    /// Standard error over cells of the mean attention; writes the attention too
    AttentionSe,
    /// Attention times the length of what the key passes on
    NormWeighted,
    /// Cosine of the two genes' context vectors
    ValueCosine,
    /// Inner product of the two genes' context vectors
    ValueDot,
    /// Logits, ranked over keys and then over queries
    RankedLogits,
}

impl From<MeasureArg> for Measure {
    fn from(measure: MeasureArg) -> Self {
        match measure {
            MeasureArg::Attention => Self::Attention,
            MeasureArg::AttentionSe => Self::StandardError,
            MeasureArg::NormWeighted => Self::NormWeighted,
            MeasureArg::ValueCosine => Self::ValueCosine,
            MeasureArg::ValueDot => Self::ValueDot,
            MeasureArg::RankedLogits => Self::RankedLogits,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum UnseenPairs {
    /// Nothing: the mean is over the cells that hold both genes
    Missing,
    /// Score 0: the mean is over all cells, and grows with how often the genes are detected together
    Zero,
}

impl From<UnseenPairs> for scfm_attention::AbsentPairs {
    fn from(pairs: UnseenPairs) -> Self {
        match pairs {
            UnseenPairs::Missing => Self::Missing,
            UnseenPairs::Zero => Self::Zero,
        }
    }
}

/// What is replaced by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Null {
    /// The model's weights, drawn anew
    Weights,
    /// Which gene the model takes each gene for
    Tokens,
    /// In which cells each gene's counts stand
    Expression,
}
