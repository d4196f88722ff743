//! Texts of variable width inside records, which the HDF5 library leaves as references into a global heap.
//!
//! Layout of a reference and of a heap collection (HDF5 file format specification 3.0, III.E and IV.B):
//!
//! ```text
//! reference   length u32 | address of the collection u64 | number of the object u32
//! collection  "GCOL" | version u8 = 1 | 3 × 0 | size u64, all included | objects | free space
//! object      number u16 | references u16 | 4 × 0 | size u64 | bytes, padded to a multiple of 8
//! ```

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Mutex;

use super::store::StoreError;

/// Bytes of collections kept: texts of neighbouring rows stand in the same collection.
const CACHE: usize = 4 << 20;
const HEADER: usize = 16;

/// The global heap of a file.
pub(super) struct Heap {
    file: Mutex<(File, Cache)>,
    /// Where addresses count from.
    base: u64,
    address_size: u8,
}

#[derive(Default)]
struct Cache {
    collections: HashMap<u64, Vec<u8>>,
    bytes: usize,
}

impl Heap {
    /// Bytes of a reference.
    pub(super) const REFERENCE: usize = 16;

    pub(super) fn open(path: &Path, base: u64, address_size: u8) -> std::io::Result<Self> {
        Ok(Self {
            file: Mutex::new((File::open(path)?, Cache::default())),
            base,
            address_size,
        })
    }

    /// The text that a reference points to, if it has at most `max_bytes`.
    pub(super) fn text(&self, reference: &[u8], max_bytes: usize) -> Result<String, StoreError> {
        if self.address_size != 8 {
            return Err(format!(
                "texts in records with addresses of {} bytes; expected 8",
                self.address_size
            )
            .into());
        }
        let length = number(&reference[..4]) as usize;
        let address = number(&reference[4..12]);
        let object = number(&reference[12..16]);
        if length == 0 || address == u64::MAX || object == 0 {
            return Ok(String::new());
        }
        if length > max_bytes {
            return Err(format!(
                "{length} bytes of text, more than the {max_bytes} left of the memory budget"
            )
            .into());
        }
        let (file, cache) = &mut *self.file.lock().map_err(|_| "an earlier read failed")?;
        if !cache.collections.contains_key(&address) {
            let collection = self.collection(file, address, max_bytes)?;
            if cache.bytes + collection.len() > CACHE {
                *cache = Cache::default();
            }
            cache.bytes += collection.len();
            cache.collections.insert(address, collection);
        }
        let bytes = find(&cache.collections[&address], object)
            .and_then(|bytes| bytes.get(..length))
            .ok_or_else(|| {
                format!("no text of {length} bytes under number {object} of the heap at byte {address}")
            })?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn collection(&self, file: &mut File, address: u64, max_bytes: usize) -> Result<Vec<u8>, StoreError> {
        let start = address
            .checked_add(self.base)
            .ok_or("a heap beyond the end of the file")?;
        let mut header = [0; HEADER];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut header)
            .map_err(|_| format!("a heap at byte {start}, beyond the end of the file"))?;
        let size = number(&header[8..]);
        let rest = file.metadata()?.len().saturating_sub(start);
        if &header[..4] != b"GCOL" || header[4] != 1 || size < HEADER as u64 || size > rest {
            return Err(format!("no heap collection at byte {start}").into());
        }
        // A collection takes at least 4096 bytes, however short its texts are.
        if size > 4096.max(2 * max_bytes as u64) {
            return Err(format!(
                "a heap collection of {size} bytes at byte {start}, more than the memory budget"
            )
            .into());
        }
        let mut objects = vec![0; size as usize - HEADER];
        file.read_exact(&mut objects)?;
        Ok(objects)
    }
}

/// The bytes of an object of a collection.
fn find(mut objects: &[u8], wanted: u64) -> Option<&[u8]> {
    loop {
        let (header, rest) = objects.split_at_checked(HEADER)?;
        let (index, size) = (number(&header[..2]), usize::try_from(number(&header[8..])).ok()?);
        if index == wanted {
            return rest.get(..size);
        }
        // Number 0 is the free space at the end.
        if index == 0 {
            return None;
        }
        objects = rest.get(size.checked_next_multiple_of(8)?..)?;
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_by_number_and_broken_lists_have_none() {
        let object = |number: u16, text: &[u8]| {
            let mut bytes = [&number.to_le_bytes()[..], &[1, 0, 0, 0, 0, 0]].concat();
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            bytes
        };
        let objects = [
            object(1, b"first"),
            object(2, b""),
            object(7, b"eight by"),
            object(0, b""),
        ]
        .concat();
        assert_eq!(find(&objects, 1), Some(&b"first"[..]));
        assert_eq!(find(&objects, 2), Some(&b""[..]));
        assert_eq!(find(&objects, 7), Some(&b"eight by"[..]));
        assert_eq!(find(&objects, 3), None);
        assert_eq!(find(&objects[..20], 1), None);
        let mut endless = object(1, b"");
        endless[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!((find(&endless, 1), find(&endless, 2)), (None, None));
    }
}
