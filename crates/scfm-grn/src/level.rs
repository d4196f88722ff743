use std::fmt;

/// How well DoRothEA supports an edge: from A, curated or seen by several kinds of evidence, to E, predicted only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Curated in the literature, or supported by all kinds of evidence.
    A,
    /// Curated and supported by ChIP-seq, or by signatures.
    B,
    /// One kind of evidence beside a second one.
    C,
    /// One kind of evidence.
    D,
    /// Predicted computationally.
    E,
}

impl Level {
    /// All levels, the best first.
    pub const ALL: [Self; 5] = [Self::A, Self::B, Self::C, Self::D, Self::E];

    /// The level of a field; of several, as in `A;D`, the best. `Err` for another letter. A number or a word is a
    /// confidence of some other kind, and no level.
    pub(crate) fn of_field(field: &str) -> Result<Option<Self>, ()> {
        let mut best: Option<Self> = None;
        for part in field.split([';', ',']).map(str::trim) {
            let mut letters = part.chars();
            let (Some(letter), None) = (letters.next(), letters.next()) else {
                continue;
            };
            if !letter.is_ascii_alphabetic() {
                continue;
            }
            let level = match letter.to_ascii_uppercase() {
                'A' => Self::A,
                'B' => Self::B,
                'C' => Self::C,
                'D' => Self::D,
                'E' => Self::E,
                _ => return Err(()),
            };
            best = Some(best.map_or(level, |best| best.min(level)));
        }
        Ok(best)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
            Self::E => "E",
        })
    }
}
