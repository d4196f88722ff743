use std::fmt;
use std::str::FromStr;

use scfm_core::{EdgeMatrix, Head, Layer, Measure, ModelEdge};

/// A head by its place in the model; layers first, as the model is ordered. Its text form is `L3H0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeadId {
    /// The layer, from 0.
    pub layer: Layer,
    /// The head in the layer, from 0.
    pub head: Head,
}

impl HeadId {
    /// All heads of a model of so many layers and heads of each.
    pub fn all((n_layers, n_heads): (usize, usize)) -> impl Iterator<Item = Self> {
        (0..n_layers).flat_map(move |layer| {
            (0..n_heads).map(move |head| Self {
                layer: Layer(layer),
                head: Head(head),
            })
        })
    }

    /// Its attention as edges.
    pub fn attention(self) -> ModelEdge {
        ModelEdge::of_head(Measure::Attention, self.layer, self.head)
    }
}

impl fmt::Display for HeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{}H{}", self.layer.0, self.head.0)
    }
}

impl FromStr for HeadId {
    type Err = scfm_core::Error;

    fn from_str(text: &str) -> Result<Self, scfm_core::Error> {
        let parts = text.strip_prefix('L').and_then(|rest| rest.split_once('H'));
        let parsed = parts.and_then(|(layer, head)| Some((layer.parse().ok()?, head.parse().ok()?)));
        let (layer, head) = parsed.ok_or_else(|| scfm_core::Error::Name {
            found: text.to_owned(),
            expected: "a head such as L3H0",
        })?;
        Ok(Self {
            layer: Layer(layer),
            head: Head(head),
        })
    }
}

/// Mean entropy of a head's rows of attention over the targets, in nats: 0 where every source attends to one gene alone,
/// ln n where it attends to all n alike.
///
/// Each row is divided by its sum over the targets that it was seen with; rows without any attention say nothing. `None`
/// where no row does.
pub fn row_entropy(attention: &EdgeMatrix) -> Option<f64> {
    let (mut sum, mut rows) = (0.0, 0usize);
    for row in attention.scores().outer_iter() {
        let seen = || {
            row.iter()
                .map(|&p| f64::from(p))
                .filter(|p| p.is_finite() && *p > 0.0)
        };
        let total: f64 = seen().sum();
        if total > 0.0 {
            sum -= seen().map(|p| p / total).map(|p| p * p.ln()).sum::<f64>();
            rows += 1;
        }
    }
    (rows > 0).then(|| sum / rows as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use scfm_core::{EdgeKind, Panel};

    #[test]
    fn heads_read_back_what_they_write() {
        for head in HeadId::all((3, 12)) {
            assert_eq!(head.to_string().parse::<HeadId>().unwrap(), head);
        }
        for wrong in ["", "L1", "L1H", "LxH1", "H1L1"] {
            assert!(wrong.parse::<HeadId>().is_err(), "{wrong}");
        }
        assert_eq!(HeadId::all((2, 3)).count(), 6);
    }

    #[test]
    fn entropy_is_that_of_what_was_seen() {
        let edges = |scores| {
            let (sources, targets) = (
                Panel::new(["A", "B"]).unwrap(),
                Panel::new(["C", "D", "E", "F"]).unwrap(),
            );
            EdgeMatrix::new(EdgeKind::attention(Layer(0)), sources, targets, scores).unwrap()
        };
        let nan = f32::NAN;
        let even = edges(array![[0.1, 0.1, 0.1, 0.1], [0.2, nan, nan, 0.2]]);
        let expected = f64::midpoint(4f64.ln(), 2f64.ln());
        assert!((row_entropy(&even).unwrap() - expected).abs() < 1e-12);
        let one = edges(array![[0.5, 0.0, 0.0, 0.0], [nan, nan, nan, nan]]);
        assert_eq!(row_entropy(&one), Some(0.0));
        assert_eq!(row_entropy(&edges(ndarray::Array2::from_elem((2, 4), nan))), None);
    }
}
