//! What the vocabularies of all models have in common.

use std::collections::HashMap;

use crate::Error;

/// The entries in order of token.
///
/// # Errors
/// [`Error::Vocabulary`] for tokens that are not 0..n.
pub(crate) fn keys_by_token(tokens: &HashMap<String, u32>) -> Result<Vec<String>, Error> {
    let mut keys: Vec<Option<&String>> = vec![None; tokens.len()];
    for (key, &token) in tokens {
        match keys.get_mut(token as usize) {
            None => {
                return Err(Error::Vocabulary(format!(
                    "token {token} of {key} is beyond the {} entries; tokens must be 0, 1, 2, … without a gap",
                    tokens.len()
                )));
            }
            Some(Some(other)) => {
                let (first, second) = (key.min(other), key.max(other));
                return Err(Error::Vocabulary(format!(
                    "{first} and {second} share token {token}"
                )));
            }
            Some(slot) => *slot = Some(key),
        }
    }
    // As many keys as places, and no place twice: none is left.
    Ok(keys.into_iter().flatten().cloned().collect())
}

/// Whether an entry stands for no gene.
pub(crate) fn is_special(key: &str) -> bool {
    key.starts_with('<') && key.ends_with('>')
}
