//! A tensor in a file: what it is like, and where its values stand, so that they are read in parts.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use crate::Error;
use crate::header::SafetensorsHeader;

/// Name of the tensor in a safetensors file.
const TENSOR: &str = "attention";
/// Key of the gene list in its metadata.
const GENES: &str = "genes";

/// A tensor whose values are in a file, little-endian and in the order of rows.
#[derive(Debug, Clone)]
pub(super) struct StoredTensor {
    pub path: PathBuf,
    /// Where the first value stands.
    pub offset: u64,
    pub dtype: DType,
    pub shape: Vec<usize>,
}

impl StoredTensor {
    /// The tensor `attention` of a safetensors file, and the gene list of its metadata where it has one.
    pub fn in_safetensors(path: &Path) -> Result<(Self, Option<Vec<String>>), Error> {
        let (_, header) = SafetensorsHeader::read(path)?;
        let Some((_, info)) = header.tensors.iter().find(|(name, _)| name == TENSOR) else {
            let names: Vec<&str> = header
                .tensors
                .iter()
                .take(5)
                .map(|(name, _)| name.as_str())
                .collect();
            let found = match names.is_empty() {
                true => "no tensor".to_owned(),
                false => format!("tensors {}", names.join(", ")),
            };
            return Err(Error::given(
                path,
                "file",
                found,
                "a tensor of the name attention",
            ));
        };
        let range = header.range(path, TENSOR, info)?;
        let is_read = |dtype: &DType| [DType::F16, DType::BF16, DType::F32, DType::F64].contains(dtype);
        let dtype = DType::try_from(info.dtype).ok().filter(is_read);
        let tensor = Self {
            path: path.to_owned(),
            offset: range.start,
            dtype: dtype.ok_or_else(|| Error::TensorType {
                origin: path.display().to_string(),
                name: TENSOR.to_owned(),
                found: format!("{:?}", info.dtype),
            })?,
            shape: info.shape.clone(),
        };
        tensor.check_length(range.end - range.start)?;
        let genes = header.remarks.get(GENES).map(|json| {
            serde_json::from_str::<Vec<String>>(json).map_err(|error| {
                Error::given(
                    path,
                    "genes in the metadata",
                    error.to_string(),
                    "a JSON list of names",
                )
            })
        });
        Ok((tensor, genes.transpose()?))
    }

    /// Refuses a shape that does not fill `n_bytes`, before anything of its size is made.
    pub fn check_length(&self, n_bytes: u64) -> Result<(), Error> {
        let size = self.dtype.size_in_bytes() as u64;
        let declared = self
            .shape
            .iter()
            .try_fold(size, |n, &dim| n.checked_mul(dim as u64));
        if declared == Some(n_bytes) {
            return Ok(());
        }
        let expected = declared.map_or_else(
            || format!("more bytes than there are for the shape {:?}", self.shape),
            |declared| format!("{declared} bytes for the shape {:?}", self.shape),
        );
        Err(Error::given(
            &self.path,
            "values",
            format!("{n_bytes} bytes"),
            expected,
        ))
    }

    /// `n` values from the `first` on.
    pub fn values(&self, first: usize, n: usize) -> Result<Vec<f32>, Error> {
        let file_error = |source| Error::File {
            path: self.path.clone(),
            source,
        };
        let size = self.dtype.size_in_bytes();
        let mut file = File::open(&self.path).map_err(file_error)?;
        file.seek(SeekFrom::Start(self.offset + (first * size) as u64))
            .map_err(file_error)?;
        let mut bytes = vec![0; n * size];
        file.read_exact(&mut bytes).map_err(file_error)?;
        let tensor = Tensor::from_raw_buffer(&bytes, self.dtype, &[n], &Device::Cpu)?;
        drop(bytes);
        Ok(tensor.to_dtype(DType::F32)?.to_vec1()?)
    }
}
