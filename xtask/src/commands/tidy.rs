//! `tidy`: what the compiler cannot check. Pages name the crates that exist, arrows between crates point down,
//! libraries draw no entropy, every claim points at a file that is there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// The module that needs pointers.
const UNSAFE_MODULE: &str = "crates/scfm-attention/src/product.rs";

pub fn run() -> Result<()> {
    let faults = faults(workspace::root())?;
    if faults.is_empty() {
        println!("tidy");
        return Ok(());
    }
    bail!("{} things to tidy:\n  {}", faults.len(), faults.join("\n  "));
}

fn faults(root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    check_architecture(root, &mut faults)?;
    check_sources(root, &mut faults)?;
    check_links(root, &mut faults)?;
    Ok(faults)
}

/// The table of `docs/architecture.md` lists every crate once with its floor, and no crate that is not there; a crate
/// depends only on crates of lower floors.
fn check_architecture(root: &Path, faults: &mut Vec<String>) -> Result<()> {
    let page = read(&root.join("docs/architecture.md"))?;
    let floors: Vec<(&str, u32)> = page.lines().filter_map(architecture_row).collect();
    let floor_of = |name: &str| floors.iter().find(|(n, _)| *n == name).map(|&(_, floor)| floor);
    let mut present = vec!["xtask".to_owned()];
    for entry in fs::read_dir(root.join("crates"))? {
        present.push(entry?.file_name().to_string_lossy().into_owned());
    }
    present.sort();
    for name in &present {
        let Some(floor) = floor_of(name) else {
            faults.push(format!("docs/architecture.md: no row for {name}"));
            continue;
        };
        let folder = if name == "xtask" {
            root.join(name)
        } else {
            root.join("crates").join(name)
        };
        let manifest: toml::Table = toml::from_str(&read(&folder.join("Cargo.toml"))?)?;
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
        for dependency in dependencies
            .into_iter()
            .flat_map(toml::Table::keys)
            .filter(|d| d.starts_with("scfm-"))
        {
            if floor_of(dependency).is_none_or(|below| below >= floor) {
                faults.push(format!("{name} (floor {floor}) must not depend on {dependency}"));
            }
        }
    }
    for (name, _) in &floors {
        if !present.iter().any(|p| p == name) {
            faults.push(format!("docs/architecture.md: {name} does not exist"));
        }
    }
    Ok(())
}

/// A row such as ``| 0 | `scfm-core` | … |``.
fn architecture_row(line: &str) -> Option<(&str, u32)> {
    let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
    let floor = cells.next()?.parse().ok()?;
    Some((cells.next()?.strip_prefix('`')?.strip_suffix('`')?, floor))
}

/// Sources open with what they are for, and libraries neither leave work undone nor draw entropy.
fn check_sources(root: &Path, faults: &mut Vec<String>) -> Result<()> {
    // Split so that this file does not find itself.
    let forbidden = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("thread_", "rng("),
        concat!("rand::", "rng()"),
        concat!("from_os", "_rng("),
        concat!("#[ig", "nore"),
    ];
    for folder in ["crates", "xtask/src", "xtask/tests"] {
        for path in rust_files(&root.join(folder))? {
            let text = read(&path)?;
            let shown = path.strip_prefix(root).unwrap_or(&path).display();
            let opens_a_crate =
                path.ends_with("lib.rs") || path.ends_with("main.rs") || folder == "xtask/src";
            if opens_a_crate && !text.starts_with("//!") {
                faults.push(format!("{shown}: does not open with what it is for (//!)"));
            }
            for word in forbidden {
                if text.contains(word) {
                    faults.push(format!("{shown}: contains {word}"));
                }
            }
            if text.contains(concat!("allow(", "unsafe_code)")) && !path.ends_with(UNSAFE_MODULE) {
                faults.push(format!("{shown}: allows unsafe code; only {UNSAFE_MODULE} may"));
            }
        }
    }
    Ok(())
}

/// Every relative link and every path in backticks of a claim leads to a file.
fn check_links(root: &Path, faults: &mut Vec<String>) -> Result<()> {
    for page in [
        "README.md",
        "docs/architecture.md",
        "docs/claims.md",
        "docs/files.md",
    ] {
        let text = read(&root.join(page))?;
        let folder = root
            .join(page)
            .parent()
            .expect("a file stands in a folder")
            .to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if !target.contains("://") && !file.is_empty() && !folder.join(file).exists() {
                faults.push(format!("{page}: link to {target}, which is not there"));
            }
        }
    }
    let claims = read(&root.join("docs/claims.md"))?;
    for path in claims
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.ends_with(".rs"))
    {
        if !root.join(path).exists() {
            faults.push(format!("docs/claims.md: {path} is not there"));
        }
    }
    Ok(())
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        assert_eq!(faults(workspace::root()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn rows_of_the_crate_table_are_recognised() {
        assert_eq!(
            architecture_row("| 2 | `scfm-attention` | inference | candle |"),
            Some(("scfm-attention", 2))
        );
        assert_eq!(architecture_row("| floor | crate | what |"), None);
    }
}
