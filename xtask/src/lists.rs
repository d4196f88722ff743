//! Lists of edges and reference networks as users hand them over: files of any layout, alone or in a folder.

use std::path::{Path, PathBuf};

use anyhow::Result;
use scfm_core::{GeneId, Panel};
use scfm_grn::{EdgeList, Format, ListGenes, ReferenceNetwork};
use scfm_io::{EdgeRows, H5ad, ReadLimits, Scalar, is_hdf5, is_parquet, read_edge_rows};

use crate::args::NetworkOptions;
use crate::failure::bad_input;

/// A list of edges with what its file says of itself.
pub struct ListFile {
    pub path: PathBuf,
    pub list: EdgeList,
    /// Made from simulated data.
    pub simulated: bool,
}

impl ListFile {
    /// Reads h5ad and Parquet (told by their first bytes), csv or tsv; `network` says which network of an h5ad is meant.
    pub fn read(path: &Path, network: &NetworkOptions, limits: &ReadLimits) -> Result<Self> {
        check_there(path)?;
        if path.is_file() && is_hdf5(path)? {
            return Self::of_h5ad(path, network, limits);
        }
        if let Some(option) = network.given(false) {
            return Err(bad_input(format!(
                "{}: {option} is for h5ad files",
                path.display()
            )));
        }
        if !is_parquet(path)? {
            return Ok(Self {
                path: path.to_owned(),
                list: EdgeList::read(path)?,
                simulated: false,
            });
        }
        let rows = read_edge_rows(path, EdgeList::columns)?;
        let simulated = ("scfm.simulated".to_owned(), "true".to_owned());
        let simulated = rows.metadata.contains(&simulated);
        Self::of_rows(path, &rows, simulated)
    }

    fn of_h5ad(path: &Path, network: &NetworkOptions, limits: &ReadLimits) -> Result<Self> {
        let file = H5ad::open(path, limits)?;
        let chosen = match &network.path {
            Some(chosen) => chosen.clone(),
            None => only_network(path, file.networks(EdgeList::columns)?)?,
        };
        if let Some(option) = network.given(true).filter(|_| !chosen.starts_with("varp/")) {
            return Err(bad_input(format!(
                "{}: {option} is for a matrix in varp, and {chosen} is a table",
                path.display()
            )));
        }
        let regulators = network.regulators.map(Into::into).unwrap_or_default();
        let names = network.gene_column.as_deref();
        let rows = file.network(&chosen, EdgeList::columns, regulators, names)?;
        let simulated = file.uns("simulated")? == Some(Scalar::Bool(true));
        Self::of_rows(path, &rows, simulated)
    }

    fn of_rows(path: &Path, rows: &EdgeRows, simulated: bool) -> Result<Self> {
        let [source, target, score] = &rows.columns;
        let layout = format!("source = {source}, target = {target}, score = {score}");
        let gene = |position: u32| rows.genes[position as usize].as_str();
        let edges = rows.rows.iter().map(|&(s, t, score)| (gene(s), gene(t), score));
        let list = EdgeList::new(&file_name(path), &layout, edges)?;
        Ok(Self {
            path: path.to_owned(),
            list,
            simulated,
        })
    }
}

/// The network of a file that holds one.
fn only_network(path: &Path, mut networks: Vec<String>) -> Result<String> {
    let file = path.display();
    match (networks.pop(), networks.first()) {
        (None, _) => Err(bad_input(format!(
            "{file}: no network; expected a table of source, target and score in uns (as uns/prediction) or a matrix of \
             genes × genes in varp (as varp/GRN)"
        ))),
        (Some(only), None) => Ok(only),
        (Some(last), Some(first)) => {
            let hint = first.clone();
            networks.push(last);
            Err(bad_input(format!(
                "{file}: {} networks, {}; say which one by --network, as --network {hint}",
                networks.len(),
                networks.join(", ")
            )))
        }
    }
}

/// Which planned tests a reference answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Trrust,
    Dorothea,
    Other,
}

impl Role {
    /// Told by the name of the file.
    fn of(name: &str) -> Self {
        let name = name.to_lowercase();
        if name.contains("trrust") {
            Self::Trrust
        } else if name.contains("dorothea") || name.contains("collectri") {
            Self::Dorothea
        } else {
            Self::Other
        }
    }
}

/// A reference network and where it came from.
pub struct Reference {
    pub role: Role,
    pub path: PathBuf,
    pub network: ReferenceNetwork,
}

/// The reference network of a file, or those of a folder in the order of their names.
pub fn read_references(path: &Path) -> Result<Vec<Reference>> {
    check_there(path)?;
    if !path.is_dir() {
        return Ok(vec![read_reference(path)?]);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.is_file() && is_table(&file_name(file)));
    // The first reference of a role speaks for it: DoRothEA before CollecTRI, of which the plan does not speak by name.
    files.sort_by_key(|file| (file_name(file).to_lowercase().contains("collectri"), file.clone()));
    if files.is_empty() {
        return Err(bad_input(format!(
            "{}: no reference network in the folder; expected files that end in .csv, .tsv, .csv.gz or .tsv.gz",
            path.display()
        )));
    }
    files.iter().map(|file| read_reference(file)).collect()
}

fn read_reference(path: &Path) -> Result<Reference> {
    let role = Role::of(&file_name(path));
    let format = if role == Role::Trrust && !has_header(path)? {
        Format::Trrust
    } else {
        Format::EdgeList
    };
    Ok(Reference {
        role,
        path: path.to_owned(),
        network: ReferenceNetwork::read(path, format)?,
    })
}

/// TRRUST as downloaded has no header; a converted one has.
fn has_header(path: &Path) -> Result<bool> {
    use std::io::BufRead;
    let mut line = Vec::new();
    std::io::BufReader::new(std::fs::File::open(path)?).read_until(b'\n', &mut line)?;
    let line = String::from_utf8_lossy(&line).to_lowercase();
    let names: Vec<&str> = line.trim().split([',', '\t', ';']).collect();
    Ok(names.contains(&"target"))
}

/// The genes that `--universe` asks for.
pub fn universe(argument: &str) -> Result<ListGenes> {
    match argument {
        "observed" => return Ok(ListGenes::Observed),
        "panel" => return Ok(ListGenes::Panel),
        _ => {}
    }
    let text = std::fs::read_to_string(argument).map_err(|error| {
        bad_input(format!(
            "--universe {argument}: neither observed nor panel, and as a file: {error}"
        ))
    })?;
    Ok(ListGenes::Given(gene_panel(argument, &text)?))
}

/// The genes of a file with one per line.
pub fn read_genes(path: &Path) -> Result<Panel> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| bad_input(format!("{name}: {error}")))?;
    gene_panel(&name, &text)
}

fn gene_panel(name: &str, text: &str) -> Result<Panel> {
    let mut seen = std::collections::HashSet::new();
    let genes = text
        .lines()
        .map(|line| line.trim_start_matches('\u{feff}').trim())
        .filter(|line| !line.is_empty() && !line.starts_with('#') && seen.insert(*line));
    let panel = Panel::new(genes.map(GeneId::from))?;
    match panel
        .genes()
        .iter()
        .find(|gene| gene.as_str().contains([',', '\t', ';']))
    {
        _ if panel.is_empty() => Err(bad_input(format!("{name}: no gene; expected one per line"))),
        Some(gene) => Err(bad_input(format!(
            "{name}: {:?} is no gene; expected one per line",
            gene.as_str()
        ))),
        None => Ok(panel),
    }
}

pub fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

fn is_table(name: &str) -> bool {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    [".csv", ".tsv"].iter().any(|end| name.ends_with(end))
}

fn check_there(path: &Path) -> Result<()> {
    if path.exists() {
        Ok(())
    } else {
        Err(bad_input(format!("{}: no such file or folder", path.display())))
    }
}
