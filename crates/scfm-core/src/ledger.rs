use crate::{Column, Table};

/// What went in and what was left out at each step on the way from a file to the pairs or cells that are
/// evaluated, so that no loss is silent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger(Vec<Step>);

/// One step of a [`Ledger`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is counted: `TRRUST pairs`, `perturbations`.
    pub subject: String,
    /// Why it was left out, or `kept` for what remained: `target not in the panel`.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// A few of them by name.
    pub examples: Vec<String>,
}

impl Ledger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `count` of `subject` were left out for `reason`; nothing is noted for a count of 0.
    pub fn lost(
        &mut self,
        subject: impl Into<String>,
        reason: impl Into<String>,
        count: u64,
        examples: impl IntoIterator<Item = impl ToString>,
    ) {
        if count > 0 {
            self.push(subject.into(), reason.into(), count, examples);
        }
    }

    /// Notes how many of `subject` remain.
    pub fn kept(&mut self, subject: impl Into<String>, count: u64) {
        self.push(subject.into(), "kept".to_owned(), count, [] as [&str; 0]);
    }

    fn push(
        &mut self,
        subject: String,
        reason: String,
        count: u64,
        examples: impl IntoIterator<Item = impl ToString>,
    ) {
        let examples = examples.into_iter().take(5).map(|e| e.to_string()).collect();
        self.0.push(Step {
            subject,
            reason,
            count,
            examples,
        });
    }

    /// The steps in the order in which they were noted.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Appends the steps of another ledger.
    pub fn extend(&mut self, other: Ledger) {
        self.0.extend(other.0);
    }

    /// The ledger as a table: `subject, reason, count, examples`.
    pub fn to_table(&self) -> Table {
        let mut table = Table::new(self.0.len());
        let columns = [
            ("subject", Column::text(self.0.iter().map(|s| &s.subject))),
            ("reason", Column::text(self.0.iter().map(|s| &s.reason))),
            (
                "count",
                Column::U64(self.0.iter().map(|s| Some(s.count)).collect()),
            ),
            (
                "examples",
                Column::text(self.0.iter().map(|s| s.examples.join(" "))),
            ),
        ];
        for (name, column) in columns {
            table
                .push(name, column)
                .expect("the four names differ and each column has a row per step");
        }
        table
    }
}
