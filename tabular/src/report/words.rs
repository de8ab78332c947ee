//! Numbers as people read them.

/// Shown where a figure has no meaning or is not known.
pub(super) const ABSENT: &str = "–";

/// A share or a score: three decimals.
pub(super) fn share(value: f64) -> String {
    format!("{value:.3}")
}

/// A share in per cent.
pub(super) fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

/// A number of any size: four digits that count.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e6).contains(&size) {
        let decimals = (3.0 - size.log10().floor()).clamp(0.0, 6.0) as usize;
        format!("{value:.decimals$}")
    } else {
        format!("{value:.3e}")
    }
}

/// A count, with thin spaces between thousands.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// The text of a figure that may be absent.
pub(super) fn known(value: Option<f64>, text: fn(f64) -> String) -> String {
    value.map_or(ABSENT.to_owned(), text)
}

/// A group's name; a group of rows without a name is said to be so.
pub(super) fn group(name: &str) -> &str {
    if name.trim().is_empty() { "(no value)" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits_and_counts_are_grouped() {
        assert_eq!(
            [0.0, 0.012_345, 12.3456, 1234.56, -98_765.4].map(number),
            ["0", "0.01235", "12.35", "1235", "-98765"]
        );
        assert_eq!([1.5e9, 2.5e-7, f64::MAX].map(number), ["1.500e9", "2.500e-7", "1.798e308"]);
        assert_eq!(
            [7, 999, 1000, 1_234_567].map(count),
            ["7", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]
        );
    }
}
