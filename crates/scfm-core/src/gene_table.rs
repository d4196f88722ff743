use ndarray::{Array1, ArrayView1};

use crate::{Column, Error, Panel, Table};

/// Numbers per gene of a panel: mean, variance, dropout rate, out-degree.
#[derive(Debug, Clone)]
pub struct GeneTable {
    panel: Panel,
    features: Vec<(String, Array1<f64>)>,
}

impl GeneTable {
    /// A table over `panel` without any feature yet.
    pub fn new(panel: Panel) -> Self {
        Self {
            panel,
            features: Vec::new(),
        }
    }

    /// Adds a feature of length `panel.len()`.
    ///
    /// # Errors
    /// [`Error::Shape`] for another length, [`Error::DuplicateColumn`] for a name that is taken.
    pub fn insert(&mut self, name: impl Into<String>, values: Array1<f64>) -> Result<(), Error> {
        let name = name.into();
        if values.len() != self.panel.len() {
            return Err(Error::Shape {
                what: format!("gene feature {name}"),
                found: vec![values.len()],
                expected: vec![self.panel.len()],
            });
        }
        if self.feature(&name).is_some() {
            return Err(Error::DuplicateColumn(name));
        }
        self.features.push((name, values));
        Ok(())
    }

    /// The genes.
    pub fn panel(&self) -> &Panel {
        &self.panel
    }

    /// A feature by name, in panel order.
    pub fn feature(&self, name: &str) -> Option<ArrayView1<'_, f64>> {
        self.features
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, values)| values.view())
    }

    /// All features in the order of insertion.
    pub fn features(&self) -> impl Iterator<Item = (&str, ArrayView1<'_, f64>)> {
        self.features
            .iter()
            .map(|(name, values)| (name.as_str(), values.view()))
    }

    /// The table with a first column `gene`.
    ///
    /// # Errors
    /// [`Error::DuplicateColumn`] where a feature is itself called `gene`.
    pub fn to_table(&self) -> Result<Table, Error> {
        let mut table = Table::new(self.panel.len());
        table.push("gene", Column::text(self.panel.genes()))?;
        for (name, values) in self.features() {
            table.push(name, Column::F64(values.iter().map(|&v| Some(v)).collect()))?;
        }
        Ok(table)
    }
}
