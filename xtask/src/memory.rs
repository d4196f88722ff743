//! How much memory reading may take.

use std::fs;

use anyhow::Result;

use crate::failure::bad_input;

const GIB: f64 = (1u64 << 30) as f64;
/// Where the machine does not tell.
const FALLBACK: u64 = 4 << 30;

/// The budget in bytes: what the user gave in GiB, else three quarters of the machine's memory.
pub fn budget(gib: Option<f64>) -> Result<u64> {
    match gib {
        Some(gib) if gib > 0.0 && gib.is_finite() => Ok((gib * GIB) as u64),
        Some(gib) => Err(bad_input(format!("--memory {gib}: not a positive number of GiB"))),
        None => Ok(machine().map_or(FALLBACK, |bytes| bytes / 4 * 3)),
    }
}

/// The machine's memory in bytes, where the system tells (Linux).
fn machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_given_in_gib() {
        assert_eq!(budget(Some(1.5)).unwrap(), 3 << 29);
        assert!(budget(Some(-1.0)).is_err() && budget(Some(f64::NAN)).is_err());
        assert!(budget(None).unwrap() > 0);
    }
}
