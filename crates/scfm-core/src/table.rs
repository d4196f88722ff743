use crate::Error;

/// A column of a [`Table`]; `None` is a missing value, never a sentinel.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Numbers.
    F64(Vec<Option<f64>>),
    /// Counts.
    U64(Vec<Option<u64>>),
    /// Truth values.
    Bool(Vec<Option<bool>>),
    /// Text.
    Text(Vec<Option<String>>),
}

impl Column {
    /// A text column without missing values.
    pub fn text<T: ToString>(values: impl IntoIterator<Item = T>) -> Self {
        Self::Text(values.into_iter().map(|v| Some(v.to_string())).collect())
    }

    /// A column of numbers in which `NaN` becomes a missing value.
    pub fn numbers(values: impl IntoIterator<Item = f64>) -> Self {
        Self::F64(
            values
                .into_iter()
                .map(|v| Some(v).filter(|v| !v.is_nan()))
                .collect(),
        )
    }

    /// A column of counts without missing values.
    pub fn counts(values: impl IntoIterator<Item = usize>) -> Self {
        Self::U64(values.into_iter().map(|v| Some(v as u64)).collect())
    }

    /// A column of truth values without missing values.
    pub fn flags(values: impl IntoIterator<Item = bool>) -> Self {
        Self::Bool(values.into_iter().map(Some).collect())
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::F64(v) => v.len(),
            Self::U64(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::Text(v) => v.len(),
        }
    }

    /// Whether the column has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A cell as people read it, empty where the value is missing.
    ///
    /// # Panics
    /// When `row` is not below [`Column::len`].
    pub fn display(&self, row: usize) -> String {
        fn show<T: ToString>(value: Option<&T>) -> String {
            value.map(T::to_string).unwrap_or_default()
        }
        match self {
            Self::F64(v) => show(v[row].as_ref()),
            Self::U64(v) => show(v[row].as_ref()),
            Self::Bool(v) => show(v[row].as_ref()),
            Self::Text(v) => show(v[row].as_ref()),
        }
    }
}

/// Named columns of equal length: what analyses hand to the writers of files and reports.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    n_rows: usize,
    columns: Vec<(String, Column)>,
}

impl Table {
    /// A table of `n_rows` rows without any column yet.
    pub fn new(n_rows: usize) -> Self {
        Self {
            n_rows,
            columns: Vec::new(),
        }
    }

    /// Adds a column at the right.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of rows, [`Error::DuplicateColumn`] for a name that is taken.
    pub fn push(&mut self, name: impl Into<String>, column: Column) -> Result<(), Error> {
        let name = name.into();
        if column.len() != self.n_rows {
            return Err(Error::Shape {
                what: format!("column {name}"),
                found: vec![column.len()],
                expected: vec![self.n_rows],
            });
        }
        if self.column(&name).is_some() {
            return Err(Error::DuplicateColumn(name));
        }
        self.columns.push((name, column));
        Ok(())
    }

    /// The same table with one more column, for chains.
    ///
    /// # Errors
    /// Those of [`Table::push`].
    pub fn with(mut self, name: impl Into<String>, column: Column) -> Result<Self, Error> {
        self.push(name, column)?;
        Ok(self)
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, column)| column)
    }

    /// All columns from left to right.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &Column)> {
        self.columns.iter().map(|(name, column)| (name.as_str(), column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_another_length_or_a_taken_name_are_refused() {
        let table = Table::new(2).with("a", Column::counts([1, 2])).unwrap();
        assert!(matches!(
            table.clone().push("b", Column::counts([1])),
            Err(Error::Shape { .. })
        ));
        assert_eq!(
            table.clone().push("a", Column::counts([1, 2])),
            Err(Error::DuplicateColumn("a".to_owned()))
        );
    }

    #[test]
    fn missing_values_show_as_nothing() {
        assert_eq!(Column::numbers([f64::NAN]).display(0), "");
        assert_eq!(Column::numbers([0.5]).display(0), "0.5");
    }
}
