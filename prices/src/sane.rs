//! Which prices can be right: a price in the wrong unit is off by a thousand or a million, and is refused.

use aigate_contract::{Money, settings::Fault};

use crate::amount::Amount;

/// What a price in this unit can be; nothing is always possible.
struct Range {
    least: Money,
    most: Money,
    /// Mistakes of unit: what was meant, and what to multiply with if that is what was written.
    mistakes: &'static [(&'static str, Scale)],
}

#[derive(Clone, Copy)]
enum Scale {
    Times(i128),
    Over(i128),
}

const TOKENS: &[(&str, Scale)] = &[
    ("token", Scale::Times(1_000_000)),
    ("1,000 tokens", Scale::Times(1000)),
    ("billion tokens", Scale::Over(1000)),
];
const CHARACTERS: &[(&str, Scale)] = &[
    ("character", Scale::Times(1000)),
    ("100 characters", Scale::Times(10)),
    ("million characters", Scale::Over(1000)),
];
const ITEMS: &[(&str, Scale)] = &[("1,000 of them", Scale::Over(1000))];

/// A price in dollars that can be right for its unit.
///
/// # Errors
/// A fault at `key`: negative, too fine, or in the wrong unit.
pub(crate) fn checked(key: &str, amount: Amount) -> Result<Money, Fault> {
    let Some(money) = amount.money() else {
        return Err(Fault::at(key, format!("{amount} has more than 12 decimals")));
    };
    let range = range(key);
    if money < Money::ZERO {
        return Err(Fault::at(key, format!("{amount} is negative; a price is 0 or more")));
    }
    if money == Money::ZERO || range.allows(money) {
        return Ok(money);
    }
    let meant: Vec<String> = range
        .mistakes
        .iter()
        .filter_map(|&(unit, scale)| {
            let right = match scale {
                Scale::Times(times) => money.trillionths().checked_mul(times)?,
                Scale::Over(parts) => money.trillionths() / parts,
            };
            let right = Money::from_trillionths(right);
            range.allows(right).then(|| format!("if it is a price per {unit}, write {right}"))
        })
        .collect();
    let Range { least, most, .. } = range;
    let mut message = format!("{amount} is no plausible price in this unit ({least} to {most}, or 0)");
    for hint in meant {
        message.push_str("; ");
        message.push_str(&hint);
    }
    Err(Fault::at(key, message))
}

impl Range {
    fn allows(&self, money: Money) -> bool {
        (self.least..=self.most).contains(&money)
    }
}

/// In millionths of a dollar.
fn range(key: &str) -> Range {
    let micro = |count: i128| Money::from_trillionths(count * 1_000_000);
    let (least, most, mistakes) = match key {
        "cached_read_usd_per_mtok" => (micro(500), micro(1_000_000_000), TOKENS),
        key if key.ends_with("_usd_per_mtok") => (micro(5000), micro(1_000_000_000), TOKENS),
        "usd_per_1k_characters" => (micro(10), micro(1_000_000), CHARACTERS),
        "usd_per_audio_minute" => (micro(100), micro(500_000), &[("hour", Scale::Over(60))][..]),
        "usd_per_audio_hour" => (micro(6000), micro(30_000_000), &[("minute", Scale::Times(60))][..]),
        "usd_per_page" => (micro(100), micro(1_000_000), ITEMS),
        "usd_per_image" => (micro(50), micro(1_000_000), ITEMS),
        "usd_per_hour" => (micro(1000), micro(1_000_000_000), &[("second", Scale::Times(3600))][..]),
        // A row or a request may be anything from a byte to a book.
        _ => (Money::from_trillionths(1), micro(100_000_000), &[][..]),
    };
    Range { least, most, mistakes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(key: &str, amount: &str) -> String {
        let amount = serde_json::from_str(amount).unwrap();
        checked(key, amount).unwrap_err().message
    }

    #[test]
    fn a_price_in_the_wrong_unit_is_refused_with_the_price_that_was_meant() {
        let per_token = message("input_usd_per_mtok", "0.0000004");
        assert!(per_token.contains("if it is a price per token, write 0.4"), "{per_token}");
        let per_thousand = message("output_usd_per_mtok", "0.0016");
        assert!(per_thousand.contains("if it is a price per 1,000 tokens, write 1.6"), "{per_thousand}");
        let too_much = message("output_usd_per_mtok", "400000");
        assert!(too_much.contains("per billion tokens, write 400"), "{too_much}");
        let per_million = message("usd_per_1k_characters", "15");
        assert!(per_million.contains("per million characters, write 0.015"), "{per_million}");
        let per_thousand = message("usd_per_image", "1.5");
        assert!(per_thousand.contains("per 1,000 of them, write 0.0015"), "{per_thousand}");
        let per_hour = message("usd_per_audio_minute", "1.44");
        assert!(per_hour.contains("per hour, write 0.024"), "{per_hour}");
        assert!(message("usd_per_row", "-1").contains("negative"));
        assert!(message("usd_per_row", "\"0.0000000000001\"").contains("12 decimals"));
    }

    #[test]
    fn an_explicit_zero_is_a_price() {
        let zero = serde_json::from_str("0").unwrap();
        assert_eq!(checked("input_usd_per_mtok", zero), Ok(Money::ZERO));
    }
}
