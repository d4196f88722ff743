//! Which numbers of a model make a network: named recipes as published, or what is asked for one by one.

use anyhow::Result;
use scfm_attention::AbsentPairs;
use scfm_core::{Head, Layer, Measure, ModelEdge, Orientation};

use crate::args::ScGptInput;
use crate::edge_args::{EdgeArgs, Heads, Recipe};
use crate::failure::bad_input;
use crate::model::{Model, SCGPT};

/// The edges of a network and how scores become edges.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    pub edges: Vec<ModelEdge>,
    pub orientation: Orientation,
    pub absent: AbsentPairs,
    /// How cells are made, where a recipe says so.
    pub input: Option<ScGptInput>,
    /// The first cell is counted and not added, as in the published notebook.
    pub first_cell_only_counted: bool,
    /// What the recipe is, for people.
    pub words: &'static str,
}

impl Network {
    /// What `args` ask of a model.
    pub fn of(args: &EdgeArgs, model: &Model) -> Result<Self> {
        let (n_layers, n_heads) = model.depth();
        let every_layer =
            |measure| (0..n_layers).map(move |layer| ModelEdge::of_layer(measure, Layer(layer)));
        let default = Self {
            edges: every_layer(Measure::Attention).collect(),
            orientation: Orientation::Query,
            absent: AbsentPairs::Missing,
            input: None,
            first_cell_only_counted: false,
            words: "what was asked for, one by one",
        };
        let ranked_last = vec![ModelEdge::of_layer(Measure::RankedLogits, Layer(n_layers - 1))];
        let of_scgpt = matches!(
            args.recipe,
            Some(Recipe::ScgptTutorial | Recipe::ScgptTutorialCorrected)
        );
        if of_scgpt && model.family() != SCGPT {
            return Err(bad_input(format!(
                "--recipe {}: the model is no scGPT; its logits would be ranked among other tokens",
                args.recipe.map_or_else(String::new, |recipe| recipe.to_string())
            )));
        }
        Ok(match args.recipe {
            None => Self {
                edges: edges(args, n_layers, n_heads)?,
                orientation: args.orientation,
                absent: args.absent_pairs.into(),
                ..default
            },
            Some(Recipe::Paper) => Self {
                absent: AbsentPairs::Zero,
                words: "arXiv:2602.17532: softmax attention of each layer, mean over heads, source = query row, summed over \
                        all cells so that a cell without the pair counts as 0",
                ..default
            },
            Some(Recipe::GeneformerMean) => Self {
                edges: vec![ModelEdge::of_model(Measure::Attention)],
                words: "softmax attention, mean over heads, layers and the cells that hold both genes",
                ..default
            },
            Some(Recipe::ScgptTutorial) => Self {
                edges: ranked_last,
                orientation: Orientation::Key,
                input: Some(ScGptInput::FineTuning),
                first_cell_only_counted: true,
                words: "scGPT's tutorial of gene networks as published: logits of the last layer ranked over keys, then over \
                        queries, mean over heads, source = key column; the first cell is counted and not added",
                ..default
            },
            Some(Recipe::ScgptTutorialCorrected) => Self {
                edges: ranked_last,
                orientation: Orientation::Key,
                input: Some(ScGptInput::FineTuning),
                words: "scGPT's tutorial of gene networks with its first cell added: logits of the last layer ranked over \
                        keys, then over queries, mean over heads, source = key column",
                ..default
            },
        })
    }
}

/// Every measure at every place that was asked for.
fn edges(args: &EdgeArgs, n_layers: usize, n_heads: usize) -> Result<Vec<ModelEdge>> {
    let layers = layers(&args.layers, n_layers)?;
    let places: Vec<(Layer, Option<Head>)> = match &args.heads {
        Heads::Mean => layers.into_iter().map(|layer| (layer, None)).collect(),
        Heads::All => {
            let heads = |layer| (0..n_heads).map(move |head| (layer, Some(Head(head))));
            layers.into_iter().flat_map(heads).collect()
        }
        Heads::These(heads) => {
            for &(layer, head) in heads {
                if layer.0 >= n_layers || head.0 >= n_heads {
                    return Err(bad_input(format!(
                        "--heads: {}.{} is beyond the model's layers 0 to {} and heads 0 to {}",
                        layer.0,
                        head.0,
                        n_layers - 1,
                        n_heads - 1
                    )));
                }
            }
            heads.iter().map(|&(layer, head)| (layer, Some(head))).collect()
        }
    };
    let mut edges = Vec::new();
    for &measure in &args.measures {
        for &(layer, head) in &places {
            let layer = Some(layer);
            let edge = ModelEdge {
                measure: measure.into(),
                layer,
                head,
            };
            if !edges.contains(&edge) {
                edges.push(edge);
            }
        }
    }
    Ok(edges)
}

/// Each layer once, from low to high.
pub fn layers(wanted: &str, n_layers: usize) -> Result<Vec<Layer>> {
    if wanted == "all" {
        return Ok((0..n_layers).map(Layer).collect());
    }
    let mut layers = Vec::new();
    for layer in wanted.split(',') {
        match layer.trim().parse() {
            Ok(layer) if layer < n_layers => layers.push(Layer(layer)),
            _ => {
                return Err(bad_input(format!(
                    "--layers {wanted}: {layer:?} is not a layer from 0 to {}",
                    n_layers - 1
                )));
            }
        }
    }
    layers.sort_unstable();
    layers.dedup();
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_a_list_or_all() {
        assert_eq!(layers("all", 3).unwrap(), [Layer(0), Layer(1), Layer(2)]);
        assert_eq!(layers("2,0,2", 3).unwrap(), [Layer(0), Layer(2)]);
        assert!(layers("3", 3).unwrap_err().to_string().contains("0 to 2"));
        assert!(layers("one", 3).is_err());
    }
}
