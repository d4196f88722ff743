use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;
use scfm_io::{ReadLimits, TorchFile, TorchType};

use crate::Error;
use crate::header::SafetensorsHeader;
use crate::kernels::with_values;

/// Named 32-bit tensors, asked for by name and shape.
#[derive(Debug, Clone)]
pub struct Weights {
    origin: String,
    /// The file that says what they should be like.
    config: &'static str,
    tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    /// Weights that come from `origin` and that the file `config` describes, as error messages name them.
    pub(crate) fn new(
        origin: impl Into<String>,
        config: &'static str,
        tensors: BTreeMap<String, Tensor>,
    ) -> Self {
        Self {
            origin: origin.into(),
            config,
            tensors,
        }
    }

    /// Other tensors that the same file describes.
    pub(crate) fn with_tensors(&self, origin: &str, tensors: BTreeMap<String, Tensor>) -> Self {
        Self::new(origin, self.config, tensors)
    }

    /// Reads tensors from a safetensors file, or from a file of `torch.save` where the name ends in `.bin` or `.pt`,
    /// one at a time: memory is what they take as 32-bit numbers, plus the largest of them twice. `kept_as` says
    /// under which name a tensor of the file is kept; those without one are passed over.
    ///
    /// # Errors
    /// Those of the file system, [`Error::Safetensors`], [`Error::Truncated`], [`Error::Torch`],
    /// [`Error::TensorType`], [`Error::TensorNotFinite`], [`Error::SameTensor`]. A wanted tensor that the file lacks
    /// is no error here but where it is asked for.
    pub(crate) fn read(
        path: &Path,
        config: &'static str,
        kept_as: impl FnMut(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let mut weights = Self::new(path.display().to_string(), config, BTreeMap::new());
        let is_torch = |extension: &OsStr| extension == "bin" || extension == "pt";
        if path.extension().is_some_and(is_torch) {
            weights.read_torch(path, kept_as)?;
        } else {
            weights.read_safetensors(path, kept_as)?;
        }
        Ok(weights)
    }

    fn read_torch(
        &mut self,
        path: &Path,
        mut kept_as: impl FnMut(&str) -> Option<String>,
    ) -> Result<(), Error> {
        let mut file = TorchFile::open(path, &ReadLimits::default()).map_err(torch_error)?;
        let names: Vec<(String, String)> = file
            .names()
            .filter_map(|name| Some((name.to_owned(), kept_as(name)?)))
            .collect();
        // By the first name in the file of the same numbers, which are read and kept once.
        let mut first_kept: HashMap<String, String> = HashMap::new();
        for (name, kept) in names {
            let original = file.original(&name).expect("one of the names").to_owned();
            if let Some(first) = first_kept.get(&original) {
                let tensor = self.tensors[first].clone();
                self.keep(kept, tensor)?;
                continue;
            }
            let (dtype, shape) = file.tensor(&name).expect("one of the names");
            let dtype = match dtype {
                TorchType::F64 => DType::F64,
                TorchType::F32 => DType::F32,
                TorchType::F16 => DType::F16,
                TorchType::BF16 => DType::BF16,
                found => return Err(self.not_a_float(&name, found.to_string())),
            };
            let shape = shape.to_vec();
            let bytes = file.read(&name).map_err(torch_error)?;
            self.insert(kept.clone(), dtype, &shape, &bytes)?;
            first_kept.insert(original, kept);
        }
        Ok(())
    }

    fn not_a_float(&self, name: &str, found: String) -> Error {
        Error::TensorType {
            origin: self.origin.clone(),
            name: name.to_owned(),
            found,
        }
    }

    /// Keeps a tensor of these little-endian elements as 32-bit numbers.
    fn insert(&mut self, name: String, dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<(), Error> {
        let tensor = Tensor::from_raw_buffer(bytes, dtype, shape, &Device::Cpu)?.to_dtype(DType::F32)?;
        if !with_values(&tensor, |values| values.iter().all(|x| x.is_finite()))? {
            return Err(Error::TensorNotFinite {
                origin: self.origin.clone(),
                name,
            });
        }
        self.keep(name, tensor)
    }

    fn keep(&mut self, name: String, tensor: Tensor) -> Result<(), Error> {
        match self.tensors.entry(name) {
            Entry::Vacant(place) => {
                place.insert(tensor);
                Ok(())
            }
            Entry::Occupied(first) => Err(Error::SameTensor {
                origin: self.origin.clone(),
                name: first.key().clone(),
            }),
        }
    }

    /// Drops the tensor `copy`, which is tied to `original` in every model of this kind.
    ///
    /// # Errors
    /// [`Error::NotTied`] where both are there and differ.
    pub(crate) fn untie(&mut self, copy: &'static str, original: &'static str) -> Result<(), Error> {
        let Some(tensor) = self.tensors.remove(copy) else {
            return Ok(());
        };
        let Some(kept) = self.tensors.get(original) else {
            return Ok(());
        };
        let same = tensor.dims() == kept.dims() && with_values(&tensor, |a| with_values(kept, |b| a == b))??;
        if same {
            Ok(())
        } else {
            Err(Error::NotTied {
                origin: self.origin.clone(),
                copy,
                original,
            })
        }
    }

    fn read_safetensors(
        &mut self,
        path: &Path,
        mut kept_as: impl FnMut(&str) -> Option<String>,
    ) -> Result<(), Error> {
        let (mut file, header) = SafetensorsHeader::read(path)?;
        for (name, info) in &header.tensors {
            let range = header.range(path, name, info)?;
            let Some(kept) = kept_as(name) else { continue };
            let dtype = match info.dtype {
                Dtype::F64 => DType::F64,
                Dtype::F32 => DType::F32,
                Dtype::F16 => DType::F16,
                Dtype::BF16 => DType::BF16,
                found => return Err(self.not_a_float(name, format!("{found:?}"))),
            };
            let file_error = |source| Error::File {
                path: path.to_owned(),
                source,
            };
            let mut bytes = vec![0; (range.end - range.start) as usize];
            file.seek(SeekFrom::Start(range.start)).map_err(file_error)?;
            file.read_exact(&mut bytes).map_err(file_error)?;
            self.insert(kept, dtype, &info.shape, &bytes)?;
        }
        Ok(())
    }

    /// The same weights in the memory of a device.
    pub(crate) fn on(&self, device: crate::Device) -> Result<Self, Error> {
        let mut weights = self.clone();
        if device != crate::Device::Cpu {
            let device = device.open()?;
            for tensor in weights.tensors.values_mut() {
                *tensor = tensor.to_device(&device)?;
            }
        }
        Ok(weights)
    }

    /// Where the weights come from, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// All tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// The shape of the tensor of a name, where there is one.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(Tensor::dims)
    }

    /// The tensor of a name.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::TensorShape`].
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        let tensor = self.tensors.get(name).ok_or_else(|| self.missing(name))?;
        if tensor.dims() != shape {
            return Err(Error::TensorShape {
                origin: self.origin.clone(),
                config: self.config,
                name: name.into(),
                found: tensor.dims().to_vec(),
                expected: shape.to_vec(),
            });
        }
        Ok(tensor.clone())
    }

    /// The error of a tensor that is not there.
    pub(crate) fn missing(&self, name: &str) -> Error {
        Error::MissingTensor {
            origin: self.origin.clone(),
            config: self.config,
            name: name.to_owned(),
        }
    }

    /// The values of a one-dimensional tensor.
    pub(crate) fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, Error> {
        Ok(self.get(name, &[len])?.to_vec1()?)
    }
}

fn torch_error(error: scfm_io::Error) -> Error {
    Error::Torch(Box::new(error))
}
