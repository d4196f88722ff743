//! What the fuzz targets share: a place for files, and what every error and every file must be like.

use std::error::Error;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

use scfm_io::{GeneMap, H5ad};

/// Bytes of the longest message. A message quotes names from the file, which may be long, and must stay readable.
const LONGEST_MESSAGE: usize = 4096;

/// Columns, entries and matrices that are read of a file: a file may name one of them a thousand times.
const MOST_NAMES: usize = 32;
/// Rows that are read of a file.
const MOST_ROWS: usize = 1 << 12;

/// A folder in memory for readers that take paths, the same for all inputs of a process.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new folder for a target.
    pub fn new(target: &str) -> Self {
        let in_memory = Path::new("/dev/shm");
        let place = match in_memory.is_dir() {
            true => in_memory.to_owned(),
            false => std::env::temp_dir(),
        };
        let folder = place.join(format!("scfm-fuzz-{target}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for temporary files");
        Self(folder)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Empties the folder.
    pub fn clear(&self) {
        for entry in fs::read_dir(&self.0).expect("the folder is there").flatten() {
            fs::remove_file(entry.path()).expect("a file of this process");
        }
    }

    /// A link to a file elsewhere, under the same name.
    pub fn link(&self, file: &Path) {
        let name = file.file_name().expect("a file has a name");
        std::os::unix::fs::symlink(file, self.0.join(name)).expect("a link in an empty folder");
    }

    /// A file of this content in the folder.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a temporary file");
        path
    }
}

/// An error is a line that a terminal can show, and short whatever the file holds. Its causes, which are other libraries'
/// errors, may say more.
pub fn check_error(error: &dyn Error) {
    let message = error.to_string();
    assert!(!message.is_empty(), "an error without a message");
    assert!(
        message.len() <= LONGEST_MESSAGE,
        "a message of {} bytes: {}",
        message.len(),
        message.chars().take(200).collect::<String>()
    );
    assert!(!message.contains(char::is_control), "{message:?}");
}

/// What was read, where reading succeeded; checks the error where it did not.
pub fn checked<T, E: Error + 'static>(result: Result<T, E>) -> Option<T> {
    result.inspect_err(|error| check_error(error)).ok()
}

/// Lets panics that a reader catches pass: libFuzzer's hook ends the process at each, caught or not. One that leaves the
/// reader still ends the run.
pub fn allow_caught_panics() {
    panic::set_hook(Box::new(|info| {
        // A panic that nobody catches is printed here, since the runner prints nothing.
        if std::env::var_os("SCFM_FUZZ_PANICS").is_some() {
            eprintln!("{info}");
        }
    }));
}

/// Reads all that a file of cells holds, going on behind errors, and checks that its parts fit each other.
pub fn read_h5ad(file: &H5ad) {
    let summary = checked(file.summary());
    for frame in [checked(file.obs()), checked(file.var())].into_iter().flatten() {
        if let Some(index) = checked(frame.index()) {
            assert_eq!(index.len(), frame.n_rows());
        }
        for name in frame.columns().iter().take(MOST_NAMES) {
            if let Some(column) = checked(frame.column(name)) {
                assert_eq!(column.len(), frame.n_rows(), "{name}");
                assert_eq!(column.labels().len(), frame.n_rows(), "{name}");
            }
        }
    }
    for key in summary.iter().flat_map(|summary| &summary.uns).take(MOST_NAMES) {
        checked(file.uns(key));
    }
    checked(file.counts_matrix());
    // Backwards, which reads and then puts into order.
    let rows: Vec<usize> = (0..file.n_cells().min(MOST_ROWS)).rev().collect();
    for matrix in checked(file.matrix_names())
        .into_iter()
        .flatten()
        .take(MOST_NAMES)
    {
        let Some(ids) = checked(file.gene_ids(&matrix, None)) else {
            continue;
        };
        let genes = GeneMap::new(&ids);
        let Some(counts) = checked(file.cells(&matrix, &rows, &genes)) else {
            continue;
        };
        assert_eq!(counts.counts().shape(), (rows.len(), genes.panel().len()));
        for (row, total) in counts.counts().outer_iterator().zip(counts.totals()) {
            let listed: f64 = row.iter().map(|(_, &count)| f64::from(count)).sum();
            assert!(row.iter().all(|(_, &count)| count > 0.0 && count.fract() == 0.0));
            assert!(listed <= *total, "{listed} of {total}");
        }
    }
}
