use std::fmt;
use std::str::FromStr;

use scfm_core::{Head, Layer};

use crate::Error;

/// A place in a model whose activations can be read and replaced. Its text form is its name: `embeddings`,
/// `layer.3.head.0.attention`, `layer.3.head.0.context`, `layer.3.mlp`, `layer.3.hidden`.
///
/// Activations are matrices with a row for each of the S tokens of a cell, in the order of the cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Site {
    /// What goes into the first layer, `[S, D]`.
    Embeddings,
    /// Softmax probabilities of a head, `[query, key]`, as they come from the head's queries and keys: what is done to the
    /// head shows in its context.
    Attention(Layer, Head),
    /// What a head gathers, `p v`, of shape `[S, D / H]`, as it goes into the layer's output projection.
    Context(Layer, Head),
    /// What a layer's feed-forward step adds, its bias included, `[S, D]`.
    Mlp(Layer),
    /// What a layer puts out, `[S, D]`.
    Hidden(Layer),
}

impl Site {
    /// The layer; none for what goes into the first.
    pub fn layer(self) -> Option<Layer> {
        match self {
            Self::Embeddings => None,
            Self::Attention(layer, _) | Self::Context(layer, _) | Self::Mlp(layer) | Self::Hidden(layer) => {
                Some(layer)
            }
        }
    }

    /// The head, where it is the place of one.
    pub fn head(self) -> Option<Head> {
        match self {
            Self::Attention(_, head) | Self::Context(_, head) => Some(head),
            Self::Embeddings | Self::Mlp(_) | Self::Hidden(_) => None,
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embeddings => f.pad("embeddings"),
            Self::Attention(Layer(layer), Head(head)) => write!(f, "layer.{layer}.head.{head}.attention"),
            Self::Context(Layer(layer), Head(head)) => write!(f, "layer.{layer}.head.{head}.context"),
            Self::Mlp(Layer(layer)) => write!(f, "layer.{layer}.mlp"),
            Self::Hidden(Layer(layer)) => write!(f, "layer.{layer}.hidden"),
        }
    }
}

impl FromStr for Site {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        site(name).ok_or_else(|| Error::SiteName {
            name: name.to_owned(),
        })
    }
}

fn site(name: &str) -> Option<Site> {
    let parts: Vec<&str> = name.split('.').collect();
    Some(match *parts.as_slice() {
        ["embeddings"] => Site::Embeddings,
        ["layer", layer, "mlp"] => Site::Mlp(Layer(layer.parse().ok()?)),
        ["layer", layer, "hidden"] => Site::Hidden(Layer(layer.parse().ok()?)),
        ["layer", layer, "head", head, what] => {
            let (layer, head) = (Layer(layer.parse().ok()?), Head(head.parse().ok()?));
            match what {
                "attention" => Site::Attention(layer, head),
                "context" => Site::Context(layer, head),
                _ => return None,
            }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_refused() {
        for site in [
            Site::Embeddings,
            Site::Attention(Layer(3), Head(0)),
            Site::Context(Layer(11), Head(7)),
            Site::Mlp(Layer(0)),
            Site::Hidden(Layer(17)),
        ] {
            assert_eq!(site.to_string().parse::<Site>().unwrap(), site);
        }
        for wrong in [
            "",
            "layer.1",
            "layer.x.mlp",
            "layer.1.head.2",
            "layer.1.head.2.values",
            "hidden",
        ] {
            let error = wrong.parse::<Site>().unwrap_err();
            assert!(
                matches!(&error, Error::SiteName { name } if name == wrong),
                "{error}"
            );
        }
    }
}
