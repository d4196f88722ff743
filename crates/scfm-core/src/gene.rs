use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A gene's identifier as its file spells it: a symbol or an Ensembl id. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GeneId(Arc<str>);

impl GeneId {
    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: AsRef<str>> From<T> for GeneId {
    fn from(id: T) -> Self {
        Self(Arc::from(id.as_ref()))
    }
}

impl Borrow<str> for GeneId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GeneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for GeneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
