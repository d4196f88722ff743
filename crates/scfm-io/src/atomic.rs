use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::Error;

/// Beginning and end of the names of files that are being written.
const PARTIAL: (&str, &str) = (".scfm-", ".part");

/// Writes a file so that it appears under its name only when it is whole: the bytes go to a temporary file in the
/// same folder, are flushed to disk, and the file is then renamed over `path`.
///
/// Folders on the way are made. Where anything fails, whatever stood at `path` stays as it was. A process that is
/// killed half-way leaves the temporary file behind; [`remove_partial_files`] takes such files away.
///
/// # Errors
/// [`Error::Io`] with `path`, whether the folder, the disk or `write` itself failed.
pub fn atomic_write<T>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<T>,
) -> Result<T, Error> {
    whole(path, write).map_err(|source| Error::Io {
        path: path.to_owned(),
        action: "write",
        source,
    })
}

fn whole<T>(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<T>) -> io::Result<T> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    let mut temporary = tempfile::Builder::new();
    temporary.prefix(PARTIAL.0).suffix(PARTIAL.1);
    // A run folder is there to be shared; the private mode of temporary files would stay with the final name.
    #[cfg(unix)]
    temporary.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let (file, temporary_path) = temporary.tempfile_in(folder)?.into_parts();

    let mut file = BufWriter::with_capacity(1 << 16, file);
    let result = write(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    temporary_path.persist(path)?;
    // The new name is durable only once the folder is.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(result)
}

/// Removes what killed processes have left half-written in `folder` and the folders below it. Nobody else may be
/// writing there.
///
/// # Errors
/// [`Error::Io`] with the folder that cannot be listed or the file that cannot be removed.
pub fn remove_partial_files(folder: &Path) -> Result<(), Error> {
    let failed = |path: &Path, action, source| Error::Io {
        path: path.to_owned(),
        action,
        source,
    };
    let unlisted = |source| failed(folder, "list", source);
    for entry in std::fs::read_dir(folder).map_err(unlisted)? {
        let entry = entry.map_err(unlisted)?;
        let path = entry.path();
        if entry.file_type().map_err(unlisted)?.is_dir() {
            remove_partial_files(&path)?;
            continue;
        }
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PARTIAL.0) && name.ends_with(PARTIAL.1) {
            std::fs::remove_file(&path).map_err(|source| failed(&path, "remove", source))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_half_way_leaves_the_old_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("verdict.json");
        atomic_write(&path, |file| file.write_all(b"old")).unwrap();
        let error = atomic_write(&path, |file| {
            file.write_all(b"half of the ne")?;
            Err::<(), _>(io::Error::other("disk full"))
        })
        .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("verdict.json: cannot write: disk full"),
            "{error}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);

        atomic_write(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn only_partial_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("edges")).unwrap();
        for name in [
            ".scfm-a1.part",
            "edges/.scfm-b2.part",
            "edges/a.part",
            ".part",
            "scfm",
        ] {
            std::fs::write(path(name), b"x").unwrap();
        }
        remove_partial_files(folder.path()).unwrap();
        let left = |name: &str| std::fs::read_dir(path(name)).unwrap().count();
        assert_eq!((left(""), left("edges")), (3, 1));
        assert!(remove_partial_files(&path("absent")).is_err());
    }
}
