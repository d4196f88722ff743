use std::sync::OnceLock;

use super::store::{Chunk, StoreError, filter_name};

/// Filters that `hdf5-pure` inverts: deflate, shuffle, Fletcher's checksum, scale-offset, lzf.
const READ: [u16; 5] = [1, 2, 3, 6, 32000];

/// A dataset of `hdf5-pure` whose chunks are looked at before the first of them is read: the library takes the memory that
/// a chunk's stored length asks for before it finds that the file ends earlier, which in a damaged file may be 4 GB.
pub(super) struct Stored {
    dataset: hdf5_pure::Dataset,
    chunk: Option<Chunk>,
    file_length: u64,
    fault: OnceLock<Option<String>>,
}

impl Stored {
    pub(super) fn new(dataset: hdf5_pure::Dataset, file_length: u64) -> Result<Self, StoreError> {
        let element_size = dataset.element_size()?;
        let chunk = dataset.chunk_shape()?.map(|shape| Chunk {
            rows: shape.first().copied().unwrap_or(1),
            bytes: shape
                .iter()
                .fold(element_size, |product, &n| product.saturating_mul(n)),
        });
        Ok(Self {
            dataset,
            chunk,
            file_length,
            fault: OnceLock::new(),
        })
    }

    pub(super) fn chunk(&self) -> Option<Chunk> {
        self.chunk
    }

    /// The dataset for questions that read no values.
    pub(super) fn described(&self) -> &hdf5_pure::Dataset {
        &self.dataset
    }

    /// The dataset for reading.
    pub(super) fn readable(&self) -> Result<&hdf5_pure::Dataset, StoreError> {
        match self.fault.get_or_init(|| self.look()) {
            None => Ok(&self.dataset),
            Some(fault) => Err(fault.clone().into()),
        }
    }

    fn look(&self) -> Option<String> {
        let unknown = |filter: &u16| !READ.contains(filter);
        if let Some(name) = self
            .dataset
            .filters()
            .into_iter()
            .find(unknown)
            .and_then(filter_name)
        {
            return Some(format!(
                "compressed by {name}, which is not read here; write it with gzip, or read it through libhdf5 with the \
                 plugin of that filter"
            ));
        }
        let whole = self.chunk?.bytes;
        // An index that cannot be listed cannot be read either, and the library says why.
        let chunks = self.dataset.chunks().ok()?;
        // Filters make little of what they cannot compress: a header, or a few bytes per block.
        let most = whole.saturating_mul(2).saturating_add(4096);
        let is_wrong = |chunk: &&hdf5_pure::Chunk| {
            let end = chunk.address.saturating_add(chunk.storage_size);
            end > self.file_length || chunk.storage_size > most
        };
        chunks.iter().find(is_wrong).map(|chunk| {
            format!(
                "the chunk at {:?} is stored in {} bytes from byte {} on, in a file of {} bytes and with {whole} bytes to \
                 hold",
                chunk.offset, chunk.storage_size, chunk.address, self.file_length
            )
        })
    }
}
