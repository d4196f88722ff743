//! The header of a safetensors file: a JSON object of tensors by name.
//!
//! The format's own library keeps the last of two entries of one name and drops the other without a word, and holds the
//! whole header as a tree before it looks at a tensor. Here entries are read one by one; what offsets and shapes must be
//! like is left to the library.

use std::collections::HashSet;
use std::fmt;

use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// Key of the remarks about the file, which are no tensor.
const REMARKS: &str = "__metadata__";
/// No tensor of a model has more dimensions.
const MAX_DIMS: usize = 8;

/// The tensors of a header in the order of their bytes, which follow each other without a gap and fill their shapes.
///
/// # Errors
/// What is wrong with the JSON, a name that comes twice, a tensor of more than eight dimensions, or offsets that leave a gap, overlap or do not fit a shape.
pub(crate) fn tensors(header: &[u8]) -> Result<Vec<(String, TensorInfo)>, String> {
    let Header(mut tensors) = serde_json::from_slice(header).map_err(|e| e.to_string())?;
    if let Some((name, info)) = tensors.iter().find(|(_, info)| info.shape.len() > MAX_DIMS) {
        return Err(format!(
            "tensor {name} has {} dimensions, expected at most {MAX_DIMS}",
            info.shape.len()
        ));
    }
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    Metadata::new(None, tensors.clone()).map_err(|e| e.to_string())?;
    Ok(tensors)
}

struct Header(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let (mut tensors, mut names) = (Vec::new(), HashSet::new());
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(de::Error::custom(format!("{name:?} comes twice")));
            }
            if name == REMARKS {
                map.next_value::<IgnoredAny>()?;
            } else {
                tensors.push((name, map.next_value()?));
            }
        }
        Ok(Header(tensors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_come_in_the_order_of_their_bytes() {
        let header = r#"{"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},"__metadata__":{"format":"pt"},
            "a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}  "#;
        let tensors = tensors(header.as_bytes()).unwrap();
        let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(
            (tensors[0].1.shape.as_slice(), tensors[1].1.data_offsets),
            (&[2, 2][..], (8, 12))
        );
    }

    #[test]
    fn headers_that_contradict_themselves_are_refused() {
        let entry = |name: &str, offsets: &str| {
            format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":{offsets}}}"#)
        };
        for (what, entries, expected) in [
            (
                "twice the same",
                [entry("a", "[0,4]"), entry("a", "[0,4]")],
                "\"a\" comes twice",
            ),
            (
                "twice at two places",
                [entry("a", "[0,4]"), entry("a", "[4,8]")],
                "\"a\" comes twice",
            ),
            ("the same bytes", [entry("a", "[0,4]"), entry("b", "[0,4]")], "b"),
            ("a gap", [entry("a", "[0,4]"), entry("b", "[8,12]")], "b"),
            (
                "more bytes than the shape",
                [entry("a", "[0,4]"), entry("b", "[4,12]")],
                "",
            ),
        ] {
            let error = tensors(format!("{{{}}}", entries.join(",")).as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{what}: {error}");
        }
    }
}
