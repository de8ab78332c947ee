//! What a limit counts.

use aigate_contract::Money;

/// What a limit counts. An amount is a whole number of it (`u64`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// Calls.
    Requests,
    /// Tokens, into and out of a model.
    Tokens,
    /// Characters of text.
    Characters,
    /// Rows of a table.
    Rows,
    /// Images.
    Images,
    /// Pages of documents.
    Pages,
    /// Sound: amounts are milliseconds, texts say seconds.
    AudioMs,
    /// Money: amounts are trillionths of a US dollar, texts say dollars.
    Money,
}

impl Unit {
    /// The word in configuration, messages, metrics and headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Characters => "characters",
            Self::Rows => "rows",
            Self::Images => "images",
            Self::Pages => "pages",
            Self::AudioMs => "audio_seconds",
            Self::Money => "money",
        }
    }

    /// How many digits a text may have after the point: an amount is counted in units of the last one.
    const fn decimals(self) -> usize {
        match self {
            Self::Money => 12,
            Self::AudioMs => 3,
            _ => 0,
        }
    }

    /// Reads an amount as people write it: `60_000`; of sound, seconds: `1.5`; of money, dollars: `2.50`.
    ///
    /// # Errors
    /// Text that is no such number, in words.
    pub fn parse(self, text: &str) -> Result<u64, String> {
        let decimals = self.decimals();
        let what = if self == Self::Money { "an amount" } else { "a number" };
        let wrong = || format!("`{text}` is not {what} of {}{}", self.as_str(), self.hint());
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let point_is_right = text.contains('.') != part.is_empty();
        if !point_is_right
            || part.len() > decimals
            || !groups_of_digits(whole)
            || !part.bytes().all(|b| b.is_ascii_digit())
        {
            return Err(wrong());
        }
        let digits = format!("{}{part:0<decimals$}", whole.replace('_', ""));
        digits.parse().map_err(|_| format!("`{text}` is more {} than can be counted", self.as_str()))
    }

    /// An amount as [`Unit::parse`] reads it: `60000`; of sound in seconds: `1.5`; of money in dollars: `2.5`.
    pub(crate) fn show(self, amount: u64) -> String {
        let decimals = self.decimals();
        if decimals == 0 {
            return amount.to_string();
        }
        let digits = format!("{amount:0>width$}", width = decimals + 1);
        let (whole, part) = digits.split_at(digits.len() - decimals);
        format!("{whole}.{part}").trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::Money => " (US dollars such as 2.50, with at most 12 decimals)",
            Self::AudioMs => " (seconds such as 90 or 1.5, with at most 3 decimals)",
            _ => " (a whole number such as 60_000)",
        }
    }
}

/// Money as an amount of [`Unit::Money`]. Less than nothing is nothing; 18 million dollars, far beyond any call, is the most.
pub fn amount_of(money: Money) -> u64 {
    u64::try_from(money.trillionths().max(0)).unwrap_or(u64::MAX)
}

/// Digits, perhaps with single underscores between them.
fn groups_of_digits(text: &str) -> bool {
    text.split('_').all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_read_in_the_words_of_its_unit_and_shown_so() {
        for (unit, text, amount, shown) in [
            (Unit::Tokens, "60_000", 60_000, "60000"),
            (Unit::Requests, "7", 7, "7"),
            (Unit::AudioMs, "1.5", 1_500, "1.5"),
            (Unit::AudioMs, "90", 90_000, "90"),
            (Unit::Money, "2.50", 2_500_000_000_000, "2.5"),
            (Unit::Money, "0.000000000001", 1, "0.000000000001"),
            (Unit::Money, "10", 10_000_000_000_000, "10"),
        ] {
            assert_eq!(unit.parse(text), Ok(amount), "{text}");
            assert_eq!(unit.show(amount), shown);
            assert_eq!(unit.parse(&unit.show(amount)), Ok(amount));
        }
        assert_eq!(Unit::Tokens.show(0), "0");
        assert_eq!(Unit::Money.show(0), "0");
    }

    #[test]
    fn what_is_no_amount_is_refused_with_what_would_be_one() {
        for (unit, text) in [
            (Unit::Tokens, ""),
            (Unit::Tokens, "-1"),
            (Unit::Tokens, "1.5"),
            (Unit::Tokens, "1_"),
            (Unit::Tokens, "1__0"),
            (Unit::Tokens, "ten"),
            (Unit::Money, "1."),
            (Unit::Money, ".5"),
            (Unit::Money, "1.0000000000001"),
            (Unit::Money, "$2"),
            (Unit::AudioMs, "1.0005"),
        ] {
            let fault = unit.parse(text).unwrap_err();
            assert!(fault.contains("such as") && fault.contains(unit.as_str()), "{text}: {fault}");
        }
        assert!(Unit::Tokens.parse("99999999999999999999").unwrap_err().contains("can be counted"));
    }

    #[test]
    fn money_becomes_an_amount_without_losing_a_trillionth() {
        assert_eq!(amount_of(Money::from_trillionths(3)), 3);
        assert_eq!(amount_of(Money::from_trillionths(-3)), 0);
        assert_eq!(amount_of(Money::MAX), u64::MAX);
    }
}
