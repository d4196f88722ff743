use std::fmt::{self, Write};

/// Characters of the longest text that a message quotes: room for a dozen names.
const LONGEST: usize = 500;

/// Text of unknown origin, such as a name from a file, as a part of a message: control characters are escaped, so that the
/// message stays one line and cannot speak to the terminal, and what is longer than 500 characters is cut.
///
/// ```
/// use scfm_core::Shown;
///
/// assert_eq!(Shown("STAT1").to_string(), "STAT1");
/// assert_eq!(Shown("two\nlines\u{1b}[31m").to_string(), r"two\nlines\u{1b}[31m");
/// assert_eq!(Shown(&"A".repeat(1000)).to_string().chars().count(), 501); // and …
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut n_shown = 0;
        for character in self.0.chars() {
            if n_shown >= LONGEST {
                return f.write_char('…');
            }
            if character.is_control() {
                let escaped = character.escape_default();
                n_shown += escaped.len();
                write!(f, "{escaped}")?;
            } else {
                n_shown += 1;
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}
