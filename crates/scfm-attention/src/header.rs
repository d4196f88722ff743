//! The header of a safetensors file: a JSON object of tensors by name.
//!
//! The format's own library keeps the last of two entries of one name and drops the other without a word, and holds the
//! whole header as a tree before it looks at a tensor. Here entries are read one by one; what offsets and shapes must be
//! like is left to the library.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use crate::Error;

/// The longest header that is believed. A model of a thousand layers has one of three megabytes; the format's own library
/// goes up to a hundred, which become a gigabyte when they are read.
const MAX_HEADER: u64 = 16 << 20;
/// How a text begins that stands in a repository in place of a file that was not downloaded. As the length of a header
/// this would be beyond 10¹⁸.
const LFS_POINTER: [u8; 8] = *b"version ";

/// Key of the remarks about the file, which are no tensor.
const REMARKS: &str = "__metadata__";
/// No tensor of a model has more dimensions.
const MAX_DIMS: usize = 8;

/// What a safetensors file says of its tensors.
pub(crate) struct SafetensorsHeader {
    /// The tensors in the order of their bytes, which follow each other without a gap and fill their shapes.
    pub(crate) tensors: Vec<(String, TensorInfo)>,
    /// Remarks about the file.
    pub(crate) remarks: HashMap<String, String>,
    /// Where the values of the first tensor stand.
    start: u64,
    file_len: u64,
}

impl SafetensorsHeader {
    /// The open file and its header.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Safetensors`] for JSON that is none, a name that comes twice, a tensor of more than eight
    /// dimensions, or offsets that leave a gap, overlap or do not fit a shape.
    pub(crate) fn read(path: &Path) -> Result<(File, Self), Error> {
        let file_error = |source| Error::File {
            path: path.to_owned(),
            source,
        };
        let malformed = |reason: String| Error::Safetensors {
            path: path.to_owned(),
            reason,
        };
        let mut file = File::open(path).map_err(file_error)?;
        let file_len = file.metadata().map_err(file_error)?.len();
        let mut header_len = [0; 8];
        file.read_exact(&mut header_len)
            .map_err(|_| malformed(format!("{file_len} bytes, too short for a header")))?;
        if header_len == LFS_POINTER {
            let reason = "a pointer of Git LFS and not the file itself; download the file";
            return Err(malformed(reason.to_owned()));
        }
        let header_len = u64::from_le_bytes(header_len);
        if header_len > MAX_HEADER || header_len + 8 > file_len {
            return Err(malformed(format!(
                "a header of {header_len} bytes in a file of {file_len}"
            )));
        }
        let mut json = vec![0; header_len as usize];
        file.read_exact(&mut json).map_err(file_error)?;
        let Header { tensors, remarks } = parse(&json).map_err(malformed)?;
        let start = 8 + header_len;
        let header = Self {
            tensors,
            remarks,
            start,
            file_len,
        };
        Ok((file, header))
    }

    /// Where the values of a tensor stand in the file.
    ///
    /// # Errors
    /// [`Error::Truncated`] where the file ends before them.
    pub(crate) fn range(&self, path: &Path, name: &str, info: &TensorInfo) -> Result<Range<u64>, Error> {
        let (start, end) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
        let end_in_file = end.saturating_add(self.start);
        if end_in_file > self.file_len {
            return Err(Error::Truncated {
                path: path.to_owned(),
                name: name.to_owned(),
                found: self.file_len,
                expected: end_in_file,
            });
        }
        Ok(self.start + start..end_in_file)
    }
}

fn parse(json: &[u8]) -> Result<Header, String> {
    let mut header: Header = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let tensors = &mut header.tensors;
    if let Some((name, info)) = tensors.iter().find(|(_, info)| info.shape.len() > MAX_DIMS) {
        return Err(format!(
            "tensor {name} has {} dimensions, expected at most {MAX_DIMS}",
            info.shape.len()
        ));
    }
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    Metadata::new(None, tensors.clone()).map_err(|e| e.to_string())?;
    Ok(header)
}

struct Header {
    tensors: Vec<(String, TensorInfo)>,
    remarks: HashMap<String, String>,
}

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
        let (mut tensors, mut remarks, mut names) = (Vec::new(), HashMap::new(), HashSet::new());
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(de::Error::custom(format!("{name:?} comes twice")));
            }
            if name == REMARKS {
                remarks = map.next_value()?;
            } else {
                tensors.push((name, map.next_value()?));
            }
        }
        Ok(Header { tensors, remarks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_come_in_the_order_of_their_bytes() {
        let header = r#"{"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},"__metadata__":{"format":"pt"},
            "a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}  "#;
        let Header { tensors, remarks } = parse(header.as_bytes()).unwrap();
        assert_eq!(remarks["format"], "pt");
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
            let error = parse(format!("{{{}}}", entries.join(",")).as_bytes())
                .err()
                .unwrap();
            assert!(error.contains(expected), "{what}: {error}");
        }
    }
}
