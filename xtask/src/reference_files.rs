//! The reference files of a run: which there are, where they are looked for, and where the run folder keeps them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use scfm_grn::{Format, GeneSets, ReferenceNetwork, ScoredPairs, TfClasses, read_protein_names};

use crate::context::{Context, References};
use crate::failure::bad_input;
use crate::run_folder::RunFolder;

/// The least score of a pair of proteins that any analysis asks for, in thousandths.
pub const LEAST_STRING_SCORE: u16 = 700;

/// What a reference file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Trrust,
    String,
    StringNames,
    Reactome,
    Kegg,
    Go,
    Dorothea,
    TfClasses,
}

/// Reference files by what they are for.
pub type ReferenceFiles = BTreeMap<Role, PathBuf>;

impl Role {
    pub const ALL: [Self; 8] = [
        Self::Trrust,
        Self::String,
        Self::StringNames,
        Self::Reactome,
        Self::Kegg,
        Self::Go,
        Self::Dorothea,
        Self::TfClasses,
    ];

    /// The name in `run.toml` and in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trrust => "trrust",
            Self::String => "string",
            Self::StringNames => "string-names",
            Self::Reactome => "reactome",
            Self::Kegg => "kegg",
            Self::Go => "go",
            Self::Dorothea => "dorothea",
            Self::TfClasses => "tf-classes",
        }
    }

    /// The file inside the run folder, which holds the bytes of the original.
    pub fn stored(self) -> &'static str {
        match self {
            Self::Trrust => "references/trrust.tsv",
            Self::String => "references/string.txt",
            Self::StringNames => "references/string_names.txt",
            Self::Reactome => "references/reactome.gmt",
            Self::Kegg => "references/kegg.gmt",
            Self::Go => "references/go.gmt",
            Self::Dorothea => "references/dorothea.tsv",
            Self::TfClasses => "references/tf_classes.txt",
        }
    }

    /// The names under which a context looks for the file.
    pub fn file_names(self, references: &References) -> &[String] {
        match self {
            Self::Trrust => references.trrust.as_slice(),
            Self::String => &references.string.0,
            Self::StringNames => &references.string_names.0,
            Self::Reactome => &references.reactome.0,
            Self::Kegg => &references.kegg.0,
            Self::Go => &references.go.0,
            Self::Dorothea => &references.dorothea.0,
            Self::TfClasses => &references.tf_classes.0,
        }
    }

    /// Reads the file, so that a broken one is known before hours are spent on a model and before anything is written.
    fn check(self, path: &Path) -> Result<()> {
        match self {
            Self::Trrust => drop(ReferenceNetwork::read(path, Format::Trrust)?),
            Self::Dorothea => drop(ReferenceNetwork::read(path, Format::EdgeList)?),
            Self::String => drop(ScoredPairs::read(path, LEAST_STRING_SCORE)?),
            Self::StringNames => drop(read_protein_names(path)?),
            Self::Reactome | Self::Kegg | Self::Go => drop(GeneSets::read(path)?),
            Self::TfClasses => drop(TfClasses::read(path)?),
        }
        Ok(())
    }
}

/// The references of `context` in `folder`. A folder that the user `named` must hold TRRUST where the context asks for
/// it; what else is missing leaves the analyses that need it not run.
pub fn find(context: &Context, folder: Option<&Path>, named: bool) -> Result<ReferenceFiles> {
    let Some(folder) = folder else {
        return Ok(ReferenceFiles::new());
    };
    let mut found = ReferenceFiles::new();
    for role in Role::ALL {
        let names = role.file_names(&context.references);
        let path = names
            .iter()
            .map(|name| folder.join(name))
            .find(|path| path.exists());
        match (path, names) {
            (Some(path), _) => {
                role.check(&path)?;
                found.insert(role, path);
            }
            (None, [name, ..]) if named && role == Role::Trrust => {
                return Err(bad_input(format!(
                    "{}: no such file, which the context names as TRRUST",
                    folder.join(name).display()
                )));
            }
            _ => {}
        }
    }
    Ok(found)
}

/// One file, as TRRUST.
pub fn trrust(path: &Path) -> Result<ReferenceFiles> {
    Role::Trrust.check(path)?;
    Ok(ReferenceFiles::from([(Role::Trrust, path.to_owned())]))
}

/// Copies the files into the run folder, where analyses read them.
pub fn store(files: &ReferenceFiles, run: &RunFolder) -> Result<()> {
    for (role, path) in files {
        let bytes = std::fs::read(path)?;
        scfm_io::atomic_write(&run.file(role.stored()), |file| {
            std::io::Write::write_all(file, &bytes)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_a_name_and_a_file_of_its_own() {
        let of = |name: fn(Role) -> &'static str| {
            Role::ALL
                .map(name)
                .into_iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len()
        };
        assert_eq!(
            (of(Role::name), of(Role::stored)),
            (Role::ALL.len(), Role::ALL.len())
        );
    }

    #[test]
    fn the_first_name_that_is_there_is_meant_and_what_is_missing_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut context = Context::load("rpe1").unwrap();
        context.references.trrust = Some("trrust.tsv".to_owned());
        context.references.kegg.0 = ["first.gmt", "second.gmt"].map(str::to_owned).to_vec();
        std::fs::write(folder.path().join("second.gmt"), "S\t\tA\tB\n").unwrap();
        let found = find(&context, Some(folder.path()), false).unwrap();
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [Role::Kegg]);
        assert!(found[&Role::Kegg].ends_with("second.gmt"));

        let error = find(&context, Some(folder.path()), true).unwrap_err().to_string();
        assert!(
            error.contains("trrust.tsv") && error.contains("no such file"),
            "{error}"
        );

        std::fs::write(folder.path().join("first.gmt"), "no set\n").unwrap();
        let error = find(&context, Some(folder.path()), false)
            .unwrap_err()
            .to_string();
        assert!(error.contains("first.gmt, line 1"), "{error}");
    }
}
