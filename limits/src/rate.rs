//! How much a bucket lets through: an amount a period, and how much at once.

use std::time::Duration;

use crate::Unit;

/// An amount a period, and how much of it may come at once.
///
/// Amounts are at least 1 and at most [`Rate::MOST`], periods whole seconds up to [`Rate::LONGEST`]: within these bounds the
/// bucket's arithmetic cannot overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    amount: u64,
    burst: u64,
    period: Duration,
}

impl Rate {
    /// The greatest amount and burst: of money a million dollars.
    pub const MOST: u64 = 1_000_000_000_000_000_000;
    /// The longest period.
    pub const LONGEST: Duration = Duration::from_secs(31 * 86_400);

    /// A rate; without `burst`, with the burst that [`Rate::parse`] describes.
    ///
    /// # Errors
    /// An amount, a burst or a period out of bounds, in words.
    pub fn new(amount: u64, period: Duration, burst: Option<u64>) -> Result<Self, String> {
        let burst = burst.unwrap_or_else(|| usual_burst(amount, period));
        for (what, value) in [("amount", amount), ("burst", burst)] {
            if value == 0 || value > Self::MOST {
                return Err(format!(
                    "the {what} must be more than 0 and at most 10^18 (of money: a million dollars)"
                ));
            }
        }
        if period.is_zero() || period.subsec_nanos() != 0 || period > Self::LONGEST {
            return Err("the period must be whole seconds, at least one and at most 31 days".to_owned());
        }
        Ok(Self { amount, burst, period })
    }

    /// Reads a rate as a configuration states it: `100/s`, `60_000/m` (or `/min`), `5/h`, `1000/d`, `20/10s`; for another burst than
    /// the usual one: `100/s burst 20`. Amounts are in the words of [`Unit::parse`]: of money `2.50/h`, dollars.
    ///
    /// The usual burst is the whole amount: `5/m` lets five calls pass at once, then one every twelve seconds. For periods of a
    /// second it is a tenth of the amount, but at least ten (or the amount, where that is less): whoever measures `100/s` over ten
    /// seconds must find 1,000, not 1,100, while a few calls that arrive together still pass.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right.
    pub fn parse(text: &str, unit: Unit) -> Result<Self, String> {
        let fault = |what: String| {
            format!("`{text}` is not a rate such as `100/s`, `60_000/m` or `100/s burst 20`: {what}")
        };
        let (rate, burst) = match text.split_once(" burst ") {
            Some((rate, burst)) => (rate, Some(unit.parse(burst.trim()).map_err(fault)?)),
            None => (text, None),
        };
        let (amount, period) =
            rate.split_once('/').ok_or_else(|| fault("it has no period, such as `/s`".to_owned()))?;
        let amount = unit.parse(amount.trim()).map_err(fault)?;
        let period = parse_period(period.trim()).map_err(fault)?;
        Self::new(amount, period, burst).map_err(fault)
    }

    /// In messages: `100/s`, `2.5 USD/h`, with its burst where that is not the usual one. But for ` USD`, [`Rate::parse`] reads it.
    pub fn words(self, unit: Unit) -> String {
        let currency = if unit == Unit::Money { " USD" } else { "" };
        let amount = |count: u64| unit.show(count) + currency;
        let period = match self.period.as_secs() {
            1 => "s".to_owned(),
            60 => "m".to_owned(),
            3600 => "h".to_owned(),
            86_400 => "d".to_owned(),
            seconds => format!("{seconds}s"),
        };
        let burst = (self.burst != usual_burst(self.amount, self.period))
            .then(|| format!(" burst {}", amount(self.burst)));
        format!("{}/{period}{}", amount(self.amount), burst.unwrap_or_default())
    }

    /// How much a period, in the limit's unit.
    pub const fn amount(self) -> u64 {
        self.amount
    }

    /// How much at once, in the limit's unit.
    pub const fn burst(self) -> u64 {
        self.burst
    }

    /// In what time.
    pub const fn period(self) -> Duration {
        self.period
    }
}

fn usual_burst(amount: u64, period: Duration) -> u64 {
    if period > Duration::from_secs(1) { amount } else { (amount / 10).max(10).min(amount) }
}

/// `s`, `m`, `min`, `h`, `d`, perhaps with a number before it: `10s`.
fn parse_period(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a period such as `s`, `10s`, `m`, `min`, `h` or `d`");
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let count = &text[..text.len() - unit.len()];
    let count: u64 = if count.is_empty() { 1 } else { count.parse().map_err(|_| wrong())? };
    let seconds = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(count.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> (u64, u64, u64) {
        let rate = Rate::parse(text, Unit::Tokens).unwrap();
        (rate.amount(), rate.period().as_secs(), rate.burst())
    }

    #[test]
    fn a_rate_is_an_amount_a_period_and_a_burst() {
        assert_eq!(rate("60_000/m"), (60_000, 60, 60_000));
        assert_eq!(rate("60000/min"), (60_000, 60, 60_000));
        assert_eq!(rate("5/h"), (5, 3_600, 5));
        assert_eq!(rate("7 / d"), (7, 86_400, 7));
        assert_eq!(rate("20/10s"), (20, 10, 20));
        assert_eq!(rate("100/s burst 20"), (100, 1, 20));
        let money = Rate::parse("2.50/h burst 1", Unit::Money).unwrap();
        assert_eq!((money.amount(), money.burst()), (2_500_000_000_000, 1_000_000_000_000));
    }

    #[test]
    fn the_usual_burst_is_all_of_it_but_a_tenth_of_a_second_for_rates_a_second() {
        assert_eq!(rate("5/m").2, 5);
        assert_eq!(rate("100/s").2, 10);
        assert_eq!(rate("1000/s").2, 100);
        assert_eq!(rate("50/s").2, 10);
        assert_eq!(rate("3/s").2, 3);
    }

    #[test]
    fn a_rate_reads_as_it_is_told_in_messages() {
        for (text, unit, words) in [
            ("60_000/min", Unit::Tokens, "60000/m"),
            ("100/s burst 10", Unit::Requests, "100/s"),
            ("20/10s burst 7", Unit::Images, "20/10s burst 7"),
            ("1000/2d", Unit::Rows, "1000/172800s"),
            ("1.50/h burst 0.005", Unit::AudioMs, "1.5/h burst 0.005"),
            ("2.50/d burst 1", Unit::Money, "2.5 USD/d burst 1 USD"),
        ] {
            let rate = Rate::parse(text, unit).unwrap();
            assert_eq!(rate.words(unit), words);
            assert_eq!(Rate::parse(&words.replace(" USD", ""), unit), Ok(rate));
        }
    }

    #[test]
    fn what_is_no_rate_is_refused_with_what_would_be_one() {
        for (text, part) in [
            ("", "no period"),
            ("100", "no period"),
            ("/s", "number of tokens"),
            ("0/s", "more than 0"),
            ("1.5/s", "whole number"),
            ("100/", "not a period"),
            ("100/week", "not a period"),
            ("100/0s", "whole seconds, at least one"),
            ("100/32d", "31 days"),
            ("100/99999999999999999999s", "not a period"),
            ("100/99999999999999999d", "31 days"),
            ("100/s burst 0", "burst must be more than 0"),
            ("100/s burst", "not a period"),
            ("100/s burst x", "number of tokens"),
            ("1000000000000000001/s", "at most 10^18"),
            ("100/é", "not a period"),
        ] {
            let fault = Rate::parse(text, Unit::Tokens).unwrap_err();
            assert!(fault.contains(part) && fault.contains("such as"), "{text}: {fault}");
        }
    }
}
