//! Where the repository and the user's downloads are.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the workspace that this binary was built from.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask stands inside the workspace")
}

/// The folder of downloaded data sets, models and references: `SCFM_CACHE`, else the user's cache folder.
pub fn cache() -> Option<PathBuf> {
    env::var_os("SCFM_CACHE")
        .map(PathBuf::from)
        .or_else(|| env::var_os("XDG_CACHE_HOME").map(|c| PathBuf::from(c).join("scfm-audit")))
        .or_else(|| env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache/scfm-audit")))
}
