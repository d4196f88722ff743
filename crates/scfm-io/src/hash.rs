use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::Error;
use crate::h5ad::market::Folder;

/// SHA-256 of a file's content in lower-case hexadecimal, as `sha256sum` prints it. Of a MatrixMarket folder it is that of
/// what `sha256sum` prints for the files that are read, by name.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read, [`Error::Folder`] for any other folder.
pub fn content_hash(path: &Path) -> Result<String, Error> {
    if !path.is_dir() {
        return file_hash(path);
    }
    let folder = Folder::find(path)?;
    let mut lines = Vec::new();
    for file in folder.files() {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        lines.push((name.to_string(), file_hash(file)?));
    }
    lines.sort();
    let mut hasher = Sha256::new();
    for (name, hash) in lines {
        hasher.update(format!("{hash}  {name}\n"));
    }
    Ok(hexadecimal(hasher))
}

fn file_hash(path: &Path) -> Result<String, Error> {
    let reading = Error::reading(path);
    let mut file = File::open(path).map_err(&reading)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer).map_err(&reading)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hexadecimal(hasher))
}

fn hexadecimal(hasher: Sha256) -> String {
    hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_digest_of_abc() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(content_hash(&path).unwrap(), expected);
        assert!(matches!(
            content_hash(&folder.path().join("absent")),
            Err(Error::Io { .. })
        ));
    }
}
