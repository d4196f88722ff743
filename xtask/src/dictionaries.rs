//! Where a model's dictionaries are: the names under which they are published.

use std::path::{Path, PathBuf};

/// The file of a dictionary in a folder, under its plain name or that of a release, JSON before pickle.
pub fn find(folder: &Path, stem: &str) -> Option<PathBuf> {
    ["", "_gc30M", "_gc95M", "_gc104M"]
        .iter()
        .flat_map(|release| {
            ["json", "pkl"].map(|extension| folder.join(format!("{stem}{release}.{extension}")))
        })
        .find(|path| path.exists())
}
