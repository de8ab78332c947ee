//! Money, exactly: US dollars in integers of a trillionth.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Neg, Sub, SubAssign},
    str::FromStr,
};

/// An amount of US dollars in trillionths. Exact: a price per million tokens with six decimals, times one token, is a whole
/// number of them. Sums saturate far beyond any bill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i128);

/// Trillionths in a dollar.
const UNIT: i128 = 1_000_000_000_000;
/// Digits after the point.
const DIGITS: usize = 12;

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most.
    pub const MAX: Self = Self(i128::MAX);

    /// So many trillionths of a dollar.
    pub const fn from_trillionths(count: i128) -> Self {
        Self(count)
    }

    /// In trillionths of a dollar.
    pub const fn trillionths(self) -> i128 {
        self.0
    }

    /// For metrics, which count in floating point.
    #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
    pub fn as_dollars(self) -> f64 {
        self.0 as f64 / UNIT as f64
    }
}

impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Money {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Neg for Money {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, |sum, item| sum + item)
    }
}

/// As a decimal number of dollars without needless zeros: `0.00042`, `12`, `-0.5`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0.unsigned_abs() / UNIT as u128, self.0.unsigned_abs() % UNIT as u128);
        let sign = if self.0 < 0 { "-" } else { "" };
        if part == 0 {
            return write!(f, "{sign}{whole}");
        }
        let digits = format!("{part:0DIGITS$}");
        write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// Reads what [`Money`] prints.
impl FromStr for Money {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not an amount of US dollars such as 12.50, with at most 12 decimals");
        let plain = text.strip_prefix('-').unwrap_or(text);
        let (whole, part) = plain.split_once('.').unwrap_or((plain, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 15 || !digits(whole) || !digits(part) || part.len() > DIGITS {
            return Err(wrong());
        }
        let padded = format!("{whole}{part:0<DIGITS$}");
        let count: i128 = padded.parse().map_err(|_| wrong())?;
        Ok(Self(if plain.len() < text.len() { -count } else { count }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_reads_as_it_prints() {
        for text in ["0", "12", "0.5", "0.000000000001", "-0.25", "1234567.89"] {
            assert_eq!(text.parse::<Money>().unwrap().to_string(), text);
        }
        assert_eq!("2.50".parse::<Money>().unwrap(), Money::from_trillionths(2_500_000_000_000));
        for text in ["", "-", ".5", "1.0000000000001", "1e3", "12 USD", "1_000"] {
            assert!(text.parse::<Money>().is_err(), "{text}");
        }
    }
}
