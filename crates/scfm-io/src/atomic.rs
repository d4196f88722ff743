use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::Error;

/// Writes a file so that it appears under its name only when it is whole: the bytes go to a temporary file in the
/// same folder, are flushed to disk, and the file is then renamed over `path`.
///
/// Folders on the way are made. Where anything fails, whatever stood at `path` stays as it was.
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
    temporary.prefix(".").suffix(".part");
    // A run folder is there to be shared; the private mode of temporary files would stay with the final name.
    #[cfg(unix)]
    temporary.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let (file, temporary_path) = temporary.tempfile_in(folder)?.into_parts();

    let mut file = BufWriter::with_capacity(1 << 16, file);
    let result = write(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    temporary_path.persist(path)?;
    Ok(result)
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
}
