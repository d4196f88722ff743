//! Numbers as people read them.

/// A figure with four significant digits: `0.7042`, `−0.0004`, `559,720`, `1.235e9`.
pub(crate) fn significant(x: f64) -> String {
    if !x.is_finite() {
        return if x.is_nan() {
            "undefined"
        } else if x > 0.0 {
            "∞"
        } else {
            "−∞"
        }
        .to_owned();
    }
    let sign = if x < 0.0 { "−" } else { "" };
    let size = x.abs();
    let text = if size == 0.0 {
        "0".to_owned()
    } else if size.fract() == 0.0 && size < 1e15 {
        count(size as u64)
    } else if (1e-4..1e6).contains(&size) {
        let decimals = (3 - size.log10().floor() as i32).max(0) as usize;
        trimmed(&format!("{size:.decimals$}"))
    } else {
        let text = format!("{size:.3e}");
        match text.split_once('e') {
            Some((mantissa, exponent)) => format!("{}e{exponent}", trimmed(mantissa)),
            None => text,
        }
    };
    format!("{sign}{text}")
}

/// A p-value: `0.73`, `1.2e-5`, and `< 1e-300` where it underflows; `ln_p` is its natural logarithm.
pub(crate) fn p_value(p: f64, ln_p: f64) -> String {
    if ln_p < -300.0 * std::f64::consts::LN_10 {
        "< 1e-300".to_owned()
    } else if p >= 0.001 {
        let decimals = if p >= 0.1 {
            2
        } else if p >= 0.01 {
            3
        } else {
            4
        };
        trimmed(&format!("{p:.decimals$}"))
    } else {
        format!("{p:.1e}")
    }
}

/// A count with its thousands apart: `559,720`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An interval: `[0.69, 0.72]`.
pub(crate) fn interval(low: f64, high: f64) -> String {
    format!("[{}, {}]", significant(low), significant(high))
}

fn trimmed(decimal: &str) -> String {
    match decimal.contains('.') {
        true => decimal.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => decimal.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_four_significant_digits() {
        for (x, text) in [
            (0.0, "0"),
            (0.704_23, "0.7042"),
            (0.7, "0.7"),
            (-0.000_412_345, "−0.0004123"),
            (12.3456, "12.35"),
            (0.999_96, "1"),
            (559_720.0, "559,720"),
            (-280.0, "−280"),
            (1.234_56e-7, "1.235e-7"),
            (5e-9, "5e-9"),
            (1_234_567.8, "1.235e6"),
            (f64::NEG_INFINITY, "−∞"),
            (f64::NAN, "undefined"),
        ] {
            assert_eq!(significant(x), text);
        }
    }

    #[test]
    fn p_values_keep_their_size() {
        for (p, text) in [
            (1.0, "1"),
            (0.731, "0.73"),
            (0.0454, "0.045"),
            (0.001_23, "0.0012"),
            (1.23e-5, "1.2e-5"),
        ] {
            assert_eq!(p_value(p, f64::ln(p)), text);
        }
        assert_eq!(p_value(0.0, -800.0), "< 1e-300");
        assert_eq!(p_value(1e-299, f64::ln(1e-299)), "1.0e-299");
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
