use std::io;
use std::path::Path;

use hdf5_pure::{AttrValue, DatasetBuilder, EnumTypeBuilder, FileBuilder, GroupBuilder};
use sprs::CsMatView;

use super::Scalar;
use super::frame::FrameColumn;
use super::matrix::MatrixName;
use crate::{Error, atomic_write};

/// Entries per chunk of a compressed dataset. From 2¹⁶ on `hdf5-pure` writes the length of a chunk in four bytes where libhdf5
/// asks for three, and HDF5 2.0 refuses the dataset.
const CHUNK: u64 = 1 << 15;
/// The level at which h5py and anndata compress when told `gzip`.
const GZIP_LEVEL: u32 = 4;

/// How the values of a matrix are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CountType {
    /// Single precision, as anndata and scanpy do.
    #[default]
    F32,
    /// 32-bit integers.
    I32,
}

/// Writes an `.h5ad` file in anndata's current encoding (0.1.0): sparse matrices, dataframes, single values.
///
/// The same input gives the same bytes: nothing of the clock or the machine goes into the file.
///
/// ```
/// use scfm_io::{CountType, FrameColumn, H5ad, H5adWriter, MatrixName, ReadLimits, Scalar};
/// use sprs::CsMat;
///
/// let counts = CsMat::new((2, 3), vec![0, 2, 3], vec![0, 2, 1], vec![5.0f32, 1.0, 2.0]);
/// let names = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("two_cells.h5ad");
/// H5adWriter::new(names(&["c0", "c1"]), names(&["STAT1", "IRF1", "JAK2"]))
///     .matrix(MatrixName::X, counts.view(), CountType::F32)
///     .obs("n", FrameColumn::Number(vec![2.0, 1.0]))
///     .uns("simulated", Scalar::Bool(true))
///     .write(&path)?;
///
/// let file = H5ad::open(&path, &ReadLimits::default())?;
/// assert_eq!(file.uns("simulated")?, Some(Scalar::Bool(true)));
/// assert_eq!(file.counts_matrix()?, MatrixName::X);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct H5adWriter<'a> {
    cells: Vec<String>,
    genes: Vec<String>,
    obs: Vec<(String, FrameColumn)>,
    var: Vec<(String, FrameColumn)>,
    matrices: Vec<(MatrixName, CsMatView<'a, f32>, CountType)>,
    uns: Vec<(String, Scalar)>,
    compressed: bool,
}

impl<'a> H5adWriter<'a> {
    /// A file of these cells and genes, without any matrix yet.
    pub fn new(cells: Vec<String>, genes: Vec<String>) -> Self {
        Self {
            cells,
            genes,
            obs: Vec::new(),
            var: Vec::new(),
            matrices: Vec::new(),
            uns: Vec::new(),
            compressed: true,
        }
    }

    /// Adds a matrix of cells × genes; `raw/X` gets the genes of this file.
    ///
    /// # Panics
    /// When the matrix is not stored by row or not of shape cells × genes.
    pub fn matrix(mut self, name: MatrixName, values: CsMatView<'a, f32>, stored: CountType) -> Self {
        let expected = (self.cells.len(), self.genes.len());
        assert!(
            values.is_csr() && values.shape() == expected,
            "{name} is CSR of shape cells × genes"
        );
        self.matrices.push((name, values, stored));
        self
    }

    /// Adds a column to `obs`. Missing text is written as an empty string, missing truth values as false.
    ///
    /// # Panics
    /// When the column does not have a value per cell.
    pub fn obs(mut self, name: &str, column: FrameColumn) -> Self {
        assert_eq!(
            column.len(),
            self.cells.len(),
            "column {name} has a value per cell"
        );
        self.obs.push((name.to_owned(), column));
        self
    }

    /// Adds a column to `var`, as [`H5adWriter::obs`] does.
    ///
    /// # Panics
    /// When the column does not have a value per gene.
    pub fn var(mut self, name: &str, column: FrameColumn) -> Self {
        assert_eq!(
            column.len(),
            self.genes.len(),
            "column {name} has a value per gene"
        );
        self.var.push((name.to_owned(), column));
        self
    }

    /// Adds a single value to `uns`.
    pub fn uns(mut self, name: &str, value: Scalar) -> Self {
        self.uns.push((name.to_owned(), value));
        self
    }

    /// Leaves everything uncompressed.
    pub fn uncompressed(mut self) -> Self {
        self.compressed = false;
        self
    }

    /// Writes the file, atomically.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be written, also where a name comes twice.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        atomic_write(path, |out| self.build().finish_to(out).map_err(io::Error::other))
    }

    fn build(&self) -> FileBuilder {
        let mut file = FileBuilder::new();
        for (name, value) in encoding("anndata", "0.1.0") {
            file.set_attr(name, value);
        }
        let mut layers = dictionary(&mut file, "layers");
        for (name, values, stored) in &self.matrices {
            match name {
                MatrixName::X => {
                    let mut group = file.create_group("X");
                    self.write_csr(&mut group, values, *stored);
                    file.add_group(group.finish());
                }
                MatrixName::Layer(layer) => {
                    let mut group = layers.create_group(layer);
                    self.write_csr(&mut group, values, *stored);
                    layers.add_group(group.finish());
                }
                MatrixName::Raw => {
                    let mut raw = file.create_group("raw");
                    describe(&mut raw, "raw", "0.1.0");
                    let mut group = raw.create_group("X");
                    self.write_csr(&mut group, values, *stored);
                    raw.add_group(group.finish());
                    let mut var = raw.create_group("var");
                    self.write_frame(&mut var, &self.genes, &[]);
                    raw.add_group(var.finish());
                    file.add_group(raw.finish());
                }
            }
        }
        file.add_group(layers.finish());
        for (name, index, columns) in [("obs", &self.cells, &self.obs), ("var", &self.genes, &self.var)] {
            let mut frame = file.create_group(name);
            self.write_frame(&mut frame, index, columns);
            file.add_group(frame.finish());
        }
        let mut uns = dictionary(&mut file, "uns");
        for (name, value) in &self.uns {
            write_scalar(uns.create_dataset(name), value);
        }
        file.add_group(uns.finish());
        for name in ["obsm", "obsp", "varm", "varp"] {
            let empty = dictionary(&mut file, name);
            file.add_group(empty.finish());
        }
        file
    }

    fn write_csr(&self, group: &mut GroupBuilder, values: &CsMatView<'_, f32>, stored: CountType) {
        describe(group, "csr_matrix", "0.1.0");
        let (n_cells, n_genes) = values.shape();
        group.set_attr("shape", AttrValue::I64Array(vec![n_cells as i64, n_genes as i64]));
        let n = values.nnz();
        let data = group.create_dataset("data");
        match stored {
            CountType::F32 => data.with_f32_data(values.data()),
            CountType::I32 => data.with_i32_data(
                &values
                    .data()
                    .iter()
                    .map(|&value| value as i32)
                    .collect::<Vec<_>>(),
            ),
        };
        self.compress(data, n);
        // As scipy does: 32 bits while they are enough.
        let indices = group.create_dataset("indices");
        indices.with_i32_data(
            &values
                .indices()
                .iter()
                .map(|&index| index as i32)
                .collect::<Vec<_>>(),
        );
        self.compress(indices, n);
        let indptr = group.create_dataset("indptr");
        let pointer = values.indptr();
        let pointer = pointer.raw_storage();
        if i32::try_from(n).is_ok() {
            indptr.with_i32_data(&pointer.iter().map(|&entry| entry as i32).collect::<Vec<_>>());
        } else {
            indptr.with_i64_data(&pointer.iter().map(|&entry| entry as i64).collect::<Vec<_>>());
        }
        self.compress(indptr, pointer.len());
    }

    fn write_frame(&self, group: &mut GroupBuilder, index: &[String], columns: &[(String, FrameColumn)]) {
        describe(group, "dataframe", "0.2.0");
        group.set_attr("_index", AttrValue::VarLenString("_index".to_owned()));
        let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
        let order = match names.is_empty() {
            true => AttrValue::F64Array(Vec::new()),
            false => AttrValue::VarLenStringArray(names),
        };
        group.set_attr("column-order", order);
        write_texts(group.create_dataset("_index"), index.iter().map(String::as_str));
        for (name, column) in columns {
            match column {
                FrameColumn::Categorical { codes, categories } => {
                    let mut column = group.create_group(name);
                    describe(&mut column, "categorical", "0.2.0");
                    column.set_attr("ordered", AttrValue::U8(0));
                    let codes: Vec<i32> = codes
                        .iter()
                        .map(|code| code.map_or(-1, |code| code as i32))
                        .collect();
                    let dataset = column.create_dataset("codes");
                    if categories.len() <= i8::MAX as usize {
                        dataset.with_i8_data(&codes.iter().map(|&code| code as i8).collect::<Vec<_>>());
                    } else {
                        dataset.with_i32_data(&codes);
                    }
                    self.compress(dataset, codes.len());
                    describe_array(dataset, "array");
                    write_texts(
                        column.create_dataset("categories"),
                        categories.iter().map(String::as_str),
                    );
                    group.add_group(column.finish());
                }
                FrameColumn::Text(values) => {
                    let values = values.iter().map(|value| value.as_deref().unwrap_or_default());
                    write_texts(group.create_dataset(name), values);
                }
                FrameColumn::Number(values) => {
                    let dataset = group.create_dataset(name);
                    dataset.with_f64_data(values);
                    self.compress(dataset, values.len());
                    describe_array(dataset, "array");
                }
                FrameColumn::Bool(values) => {
                    let values: Vec<bool> = values.iter().map(|value| value.unwrap_or(false)).collect();
                    let dataset = group.create_dataset(name);
                    write_flags(dataset, &values);
                    describe_array(dataset, "array");
                }
            }
        }
    }

    fn compress(&self, dataset: &mut DatasetBuilder, n: usize) {
        if self.compressed && n > 0 {
            dataset
                .with_chunks(&[CHUNK.min(n as u64)])
                .with_deflate(GZIP_LEVEL);
        }
    }
}

fn encoding(kind: &str, version: &str) -> [(&'static str, AttrValue); 2] {
    [
        ("encoding-type", AttrValue::VarLenString(kind.to_owned())),
        ("encoding-version", AttrValue::VarLenString(version.to_owned())),
    ]
}

fn describe(group: &mut GroupBuilder, kind: &str, version: &str) {
    for (name, value) in encoding(kind, version) {
        group.set_attr(name, value);
    }
}

fn describe_array(dataset: &mut DatasetBuilder, kind: &str) {
    for (name, value) in encoding(kind, "0.2.0") {
        dataset.set_attr(name, value);
    }
}

fn dictionary(file: &mut FileBuilder, name: &str) -> GroupBuilder {
    let mut group = file.create_group(name);
    describe(&mut group, "dict", "0.1.0");
    group
}

fn write_texts<'t>(dataset: &mut DatasetBuilder, values: impl Iterator<Item = &'t str>) {
    dataset.with_vlen_strings(&values.collect::<Vec<_>>());
    describe_array(dataset, "string-array");
}

/// What h5py reads as numpy's bool: an enumeration of FALSE and TRUE over one byte.
fn write_flags(dataset: &mut DatasetBuilder, values: &[bool]) {
    let datatype = EnumTypeBuilder::u8_based()
        .u8_value("FALSE", 0)
        .u8_value("TRUE", 1)
        .build();
    let datatype = datatype.expect("two distinct members of one byte");
    dataset.with_enum_u8_data(
        datatype,
        &values.iter().map(|&value| u8::from(value)).collect::<Vec<_>>(),
    );
}

fn write_scalar(dataset: &mut DatasetBuilder, value: &Scalar) {
    match value {
        Scalar::Text(text) => {
            dataset.with_vlen_strings(&[text]);
            describe_array(dataset, "string");
        }
        Scalar::Number(number) => {
            dataset.with_f64_data(&[*number]);
            describe_array(dataset, "numeric-scalar");
        }
        Scalar::Bool(flag) => {
            write_flags(dataset, &[*flag]);
            describe_array(dataset, "numeric-scalar");
        }
    }
    dataset.with_shape(&[]);
}
