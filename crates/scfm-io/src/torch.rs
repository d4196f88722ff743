//! Weights as `torch.save` writes them, read without torch and without executing the pickle inside.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use zip::{CompressionMethod, ZipArchive};

use crate::pickle::{self, TensorRecord};
use crate::{Error, ReadLimits};

/// The pickle of a model of a thousand layers has two megabytes.
const MAX_PICKLE: u64 = 16 << 20;
/// How `torch.save` began its files before version 1.6: a pickled magic number.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
/// What stands in a repository in place of a large file that was not downloaded.
pub(crate) const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of the types")]
pub enum TorchType {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl TorchType {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }
}

impl fmt::Display for TorchType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "float64",
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::I64 => "int64",
            Self::I32 => "int32",
            Self::I16 => "int16",
            Self::I8 => "int8",
            Self::U8 => "uint8",
            Self::Bool => "bool",
        })
    }
}

/// A state dictionary in a file of `torch.save` (torch 1.6 and later: a zip archive with stored members), such as the
/// `pytorch_model.bin` of a Hugging Face model.
///
/// The pickle inside is interpreted, not executed: it may name tensors, their storages and ordered dictionaries, and
/// nothing else. Members of the archive are asked for by the names that this implies; others are never looked at.
/// Every view is checked against its storage before a tensor is read, and tensors do not overlap unless
/// they are the same, so that a file cannot ask for more memory than it has bytes.
#[derive(Debug)]
pub struct TorchFile {
    path: PathBuf,
    root: String,
    archive: ZipArchive<BufReader<File>>,
    tensors: BTreeMap<String, View>,
    /// The first name of each view.
    originals: HashMap<TensorRecord, String>,
    budget: u64,
    file_len: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct View {
    record: TensorRecord,
    shape: Vec<usize>,
}

impl TorchFile {
    /// Reads the names and shapes of the tensors.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Archive`] for a file that is no archive of torch, or a tensor that does not lie within
    /// its storage; [`Error::Pickle`] for a pickle that does more than name tensors.
    pub fn open(path: &Path, limits: &ReadLimits) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(Error::reading(path))?;
        let file_len = file.metadata().map_err(Error::reading(path))?.len();
        let mut start = Vec::new();
        (&mut file)
            .take(LFS_POINTER.len() as u64)
            .read_to_end(&mut start)
            .map_err(Error::reading(path))?;
        file.seek(SeekFrom::Start(0)).map_err(Error::reading(path))?;
        let broken = |place: &str, reason: String| Error::Archive {
            path: path.to_owned(),
            place: place.to_owned(),
            reason,
        };
        if start.starts_with(LEGACY) {
            let reason = "written by torch before version 1.6; load it with torch and save it again, or use model.safetensors";
            return Err(broken("file", reason.to_owned()));
        }
        if start == LFS_POINTER {
            let reason = "a pointer of Git LFS and not the file itself; download the file";
            return Err(broken("file", reason.to_owned()));
        }
        // The library seeks to each entry of the directory, which fills the buffer again; members are read past it.
        let reader = BufReader::with_capacity(512, file);
        let archive = ZipArchive::new(reader).map_err(|e| {
            broken(
                "file",
                format!("{file_len} bytes that are not a whole zip archive as torch.save writes it ({e})"),
            )
        })?;
        if archive.has_duplicate_names() {
            let reason = "two members of one name, of which readers take either; torch.save writes each once";
            return Err(broken("archive", reason.to_owned()));
        }
        let roots: Vec<&str> = archive
            .file_names_raw()
            .filter_map(|name| std::str::from_utf8(name).ok()?.strip_suffix("/data.pkl"))
            .filter(|root| !root.contains('/'))
            .collect();
        let &[root] = &roots[..] else {
            let reason = format!(
                "{} members called <name>/data.pkl, torch.save writes one",
                roots.len()
            );
            return Err(broken("archive", reason));
        };
        let root = root.to_owned();
        let mut file = Self {
            path: path.to_owned(),
            root: root.clone(),
            archive,
            tensors: BTreeMap::new(),
            originals: HashMap::new(),
            budget: limits.memory_budget,
            file_len,
        };
        file.check_byte_order()?;
        let pickle = file.small_member("data.pkl", MAX_PICKLE)?;
        let records = pickle::read_state_dict(&pickle).map_err(|error| Error::Pickle {
            path: path.to_owned(),
            opcode: error.opcode,
            offset: error.offset,
            reason: format!("{} (in {root}/data.pkl)", error.reason),
        })?;
        for (name, record) in records {
            let view = file.view(&name, record)?;
            if file.tensors.insert(name.to_string(), view).is_some() {
                return Err(file.broken_tensor(&name, "comes twice".to_owned()));
            }
        }
        file.check_overlaps()?;
        for (name, view) in &file.tensors {
            let original = file.originals.entry(view.record.clone());
            original.or_insert_with(|| name.clone());
        }
        Ok(file)
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Type and shape of a tensor.
    pub fn tensor(&self, name: &str) -> Option<(TorchType, &[usize])> {
        self.tensors
            .get(name)
            .map(|view| (view.record.storage.dtype, &*view.shape))
    }

    /// The first name, in order, of the view of a storage that a tensor is: its own unless it is tied to an earlier one.
    pub fn original(&self, name: &str) -> Option<&str> {
        let view = self.tensors.get(name)?;
        self.originals.get(&view.record).map(String::as_str)
    }

    /// Whether two tensors are the same view of the same storage, as tied weights are.
    pub fn are_tied(&self, a: &str, b: &str) -> bool {
        self.tensors.contains_key(a) && self.tensors.get(a) == self.tensors.get(b)
    }

    /// The elements of a tensor in row-major order, little-endian. Takes the tensor's bytes, and as many as it spans
    /// in its storage where it is not contiguous there.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::TooLarge`] above the memory budget, and [`Error::Archive`] where they
    /// cannot be read or do not have their checksum.
    pub fn read(&mut self, name: &str) -> Result<Vec<u8>, Error> {
        let view = self.tensors.get(name).cloned().ok_or_else(|| Error::Missing {
            path: self.path.clone(),
            object: name.to_owned(),
            available: self.names().map(str::to_owned).collect(),
        })?;
        let record = &view.record;
        let size = record.storage.dtype.size() as u64;
        let n: u64 = record.shape.iter().product();
        if n == 0 {
            return Ok(Vec::new());
        }
        let span = span(record).expect("the view was checked");
        let needed = (n + span) * size;
        if needed > self.budget {
            return Err(Error::TooLarge {
                path: self.path.clone(),
                object: name.to_owned(),
                needed,
                budget: self.budget,
            });
        }
        let bytes = self.span_bytes(name, record, span)?;
        if is_row_major(record) {
            return Ok(bytes);
        }
        let mut rows = vec![0; (n * size) as usize];
        gather(record, &bytes, &mut rows);
        Ok(rows)
    }

    /// The part of the storage from a tensor's first to its last element.
    fn span_bytes(&mut self, name: &str, record: &TensorRecord, span: u64) -> Result<Vec<u8>, Error> {
        let size = record.storage.dtype.size() as u64;
        let member = format!("{}/data/{}", self.root, record.storage.key);
        let mut bytes = vec![0; (span * size) as usize];
        // Whole members are read to their end, where their checksum is compared.
        let read = if span == record.storage.n {
            self.archive
                .by_name(&member)
                .map_err(|e| e.to_string())
                .and_then(|mut file| {
                    file.read_exact(&mut bytes)
                        .and_then(|()| file.read(&mut [0]))
                        .map(|_| ())
                        .map_err(|e| e.to_string())
                })
        } else {
            self.archive
                .by_name_seek(&member)
                .map_err(|e| e.to_string())
                .and_then(|mut file| {
                    file.seek(SeekFrom::Start(record.offset * size))
                        .and_then(|_| file.read_exact(&mut bytes))
                        .map_err(|e| e.to_string())
                })
        };
        read.map_err(|reason| self.broken_tensor(name, format!("cannot be read from {member}: {reason}")))?;
        Ok(bytes)
    }

    /// A tensor that lies within its storage, which lies in the archive as it should.
    fn view(&mut self, name: &str, record: TensorRecord) -> Result<View, Error> {
        let storage = &record.storage;
        let member = format!("{}/data/{}", self.root, storage.key);
        let expected = storage.n.checked_mul(storage.dtype.size() as u64);
        match self.stored_size(&member) {
            Ok(size) if Some(size) == expected => {}
            Ok(size) => {
                let reason = format!(
                    "its storage {member} has {size} bytes, expected {} of {}",
                    storage.n, storage.dtype
                );
                return Err(self.broken_tensor(name, reason));
            }
            Err(reason) => return Err(self.broken_tensor(name, reason)),
        }
        let n = record.shape.iter().try_fold(1u64, |n, &dim| n.checked_mul(dim));
        let end = span(&record).and_then(|span| span.checked_add(record.offset));
        let fits = n == Some(0) || end.is_some_and(|end| end <= storage.n);
        // Strides of 0 and other overlaps make many elements of few.
        if !fits || n.is_none_or(|n| n > storage.n) {
            let reason = format!(
                "shape {:?} with strides {:?} from element {} does not lie within its storage of {} elements",
                record.shape, record.strides, record.offset, storage.n
            );
            return Err(self.broken_tensor(name, reason));
        }
        let shape: Result<_, _> = record.shape.iter().map(|&dim| usize::try_from(dim)).collect();
        let shape = shape.map_err(|_| self.broken_tensor(name, format!("shape {:?}", record.shape)))?;
        Ok(View { record, shape })
    }

    /// Tensors may be tied, but not overlap otherwise, nor storages in the archive: all of them together have no
    /// more bytes than the file.
    fn check_overlaps(&self) -> Result<(), Error> {
        let mut views = HashSet::new();
        // Bytes that no tensor has had yet, since a storage may be named as one of several types.
        let mut left: HashMap<&str, u64> = HashMap::new();
        let mut n_bytes = 0u64;
        for (name, view) in &self.tensors {
            let storage = &view.record.storage;
            if !views.insert(&view.record) {
                continue;
            }
            let size = storage.dtype.size() as u64;
            let left = left.entry(&storage.key).or_insert_with(|| {
                n_bytes = n_bytes.saturating_add(storage.n * size);
                storage.n * size
            });
            let n: u64 = view.record.shape.iter().product();
            if n * size > *left || n_bytes > self.file_len {
                let reason = "overlaps other tensors that it is not tied to".to_owned();
                return Err(self.broken_tensor(name, reason));
            }
            *left -= n * size;
        }
        Ok(())
    }

    fn check_byte_order(&mut self) -> Result<(), Error> {
        if self
            .archive
            .index_for_name(&format!("{}/byteorder", self.root))
            .is_none()
        {
            return Ok(()); // torch before 2.0 did not write it, and wrote little-endian files.
        }
        match &*self.small_member("byteorder", 16)? {
            b"little" => Ok(()),
            other => Err(Error::Archive {
                path: self.path.clone(),
                place: format!("{}/byteorder", self.root),
                reason: format!("{:?}, expected \"little\"", String::from_utf8_lossy(other)),
            }),
        }
    }

    fn small_member(&mut self, name: &str, max: u64) -> Result<Vec<u8>, Error> {
        let member = format!("{}/{name}", self.root);
        let path = self.path.clone();
        let broken = |reason| Error::Archive {
            path: path.clone(),
            place: member.clone(),
            reason,
        };
        let size = self.stored_size(&member).map_err(broken)?;
        if size > max {
            return Err(broken(format!("{size} bytes, expected at most {max}")));
        }
        let mut bytes = Vec::new();
        self.archive
            .by_name(&member)
            .map_err(|e| e.to_string())
            .and_then(|file| file.take(max).read_to_end(&mut bytes).map_err(|e| e.to_string()))
            .map_err(broken)?;
        Ok(bytes)
    }

    /// The size of a member that is stored as it is.
    fn stored_size(&mut self, member: &str) -> Result<u64, String> {
        let index = self
            .archive
            .index_for_name(member)
            .ok_or_else(|| format!("there is no {member:?} in the archive"))?;
        let file = self.archive.by_index_raw(index).map_err(|e| e.to_string())?;
        if file.compression() != CompressionMethod::Stored || file.encrypted() {
            return Err(format!(
                "{member} is compressed or encrypted, torch.save stores it as it is"
            ));
        }
        if file.size() > self.file_len || file.compressed_size() != file.size() {
            return Err(format!(
                "{member} claims {} bytes in a file of {}",
                file.size(),
                self.file_len
            ));
        }
        Ok(file.size())
    }

    fn broken_tensor(&self, name: &str, reason: String) -> Error {
        Error::Archive {
            path: self.path.clone(),
            place: format!("tensor {name}"),
            reason,
        }
    }
}

/// Elements from the first to the last of a tensor in its storage, both counted; none where that overflows.
fn span(record: &TensorRecord) -> Option<u64> {
    record
        .shape
        .iter()
        .zip(&record.strides)
        .try_fold(1u64, |span, (&dim, &stride)| {
            span.checked_add(dim.checked_sub(1)?.checked_mul(stride)?)
        })
}

fn is_row_major(record: &TensorRecord) -> bool {
    let mut expected = 1;
    record
        .shape
        .iter()
        .zip(&record.strides)
        .rev()
        .all(|(&dim, &stride)| {
            let fits = dim == 1 || stride == expected;
            expected *= dim;
            fits
        })
}

/// Copies the elements of `bytes`, the span of a tensor, into row-major order.
fn gather(record: &TensorRecord, bytes: &[u8], rows: &mut [u8]) {
    let size = record.storage.dtype.size();
    let mut index = vec![0u64; record.shape.len()];
    for row in rows.chunks_exact_mut(size) {
        let at: u64 = index
            .iter()
            .zip(&record.strides)
            .map(|(i, stride)| i * stride)
            .sum();
        let at = at as usize * size;
        row.copy_from_slice(&bytes[at..at + size]);
        for (i, &dim) in index.iter_mut().zip(&record.shape).rev() {
            *i += 1;
            if *i < dim {
                break;
            }
            *i = 0;
        }
    }
}
