//! The battery on trial: simulated worlds whose truth is known, evaluated as any data set is, through files on disk and the
//! code that reads them. How often each test rejects where its null hypothesis holds, how often where it does not, and what
//! the verdict says of networks of each kind.

mod battery;
mod summary;
mod worlds;

use std::fmt;

pub use battery::{Judged, evaluate};
pub use summary::summarise;

/// Raised when worlds or what is done to them change: stored ones are then made anew.
pub const VERSION: u32 = 8;

/// What the attention of a world's model knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Truth {
    /// Nothing: its scores are unrelated to everything, and so is everything that control cells show. Perturbations have
    /// responders all the same.
    NoSignal,
    /// How prominent the target is: attention is a function of a gene-level feature, and genes are independent in control
    /// cells.
    GeneLevel,
    /// Which genes go together in control cells, which programmes make them do without any regulation.
    #[value(name = "co-expression")]
    CoExpression,
    /// The regulatory network, and the model predicts hidden genes by it.
    Regulatory,
}

impl Truth {
    /// All of them, from nothing to everything.
    pub const ALL: [Self; 4] = [
        Self::NoSignal,
        Self::GeneLevel,
        Self::CoExpression,
        Self::Regulatory,
    ];

    /// The world of the plan of tests.
    pub fn world(self) -> scfm_report::World {
        match self {
            Self::NoSignal => scfm_report::World::NoSignal,
            Self::GeneLevel => scfm_report::World::GeneLevel,
            Self::CoExpression => scfm_report::World::Coexpression,
            Self::Regulatory => scfm_report::World::Regulatory,
        }
    }

    /// Its name in the plan.
    pub fn name(self) -> &'static str {
        self.world().as_str()
    }
}

/// The family whose files a world's checkpoint is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    Geneformer,
    ScGpt,
}

impl Family {
    pub fn name(self) -> &'static str {
        match self {
            Self::Geneformer => "geneformer",
            Self::ScGpt => "scgpt",
        }
    }
}

/// One simulated world.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct World {
    pub truth: Truth,
    /// How strongly attention follows what it knows, in percent of the stated strength.
    pub strength: u32,
    pub family: Family,
    /// Which of the worlds of its kind.
    pub index: usize,
}

impl World {
    /// Its kind: `gene-level`, `regulatory-50` for half the stated strength.
    pub fn kind(&self) -> String {
        match self.strength {
            100 => self.truth.name().to_owned(),
            strength => format!("{}-{strength}", self.truth.name()),
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:04}", self.kind(), self.family.name(), self.index)
    }
}
