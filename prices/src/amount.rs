//! A decimal number as it is written, exactly.

use std::{borrow::Cow, fmt};

use aigate_contract::Money;
use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

/// Decimals of [`Money`].
const DECIMALS: u32 = 12;

/// A decimal number in the config: `0.4`, or as text `"0.4"`. A number becomes its shortest decimal, so that 0.4 is four
/// tenths and not the binary fraction next to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount(Decimal);

impl Amount {
    /// As US dollars. `None` when it has more than 12 decimals.
    pub(crate) fn money(self) -> Option<Money> {
        let plain = self.0.normalize();
        let shift = DECIMALS.checked_sub(plain.scale())?;
        plain.mantissa().checked_mul(10_i128.pow(shift)).map(Money::from_trillionths)
    }

    /// As a fraction of whole numbers: 1.1 is 11 / 10.
    pub(crate) fn fraction(self) -> (i128, i128) {
        let plain = self.0.normalize();
        (plain.mantissa(), 10_i128.pow(plain.scale()))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.normalize().fmt(f)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal number such as 0.4 or \"0.4\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
        let wrong = |_| E::custom(format!("`{text}` is not a decimal number such as 0.4"));
        Decimal::from_str_exact(text).map(Amount).map_err(wrong)
    }

    /// Rust prints the shortest decimal that reads back as the same number, never with an exponent.
    fn visit_f64<E: Error>(self, number: f64) -> Result<Amount, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Amount, E> {
        Ok(Amount(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Amount, E> {
        Ok(Amount(number.into()))
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["number", "string"],
            "description": "A decimal number: `0.4`, or as text `\"0.4\"`.",
            "examples": [0.4]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<String, String> {
        serde_json::from_str::<Amount>(json)
            .map(|amount| amount.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_number_becomes_its_shortest_decimal_and_a_text_is_taken_as_it_stands() {
        for (json, decimal) in [
            ("0.4", "0.4"),
            ("0.1", "0.1"),
            ("3", "3"),
            ("0.0000001", "0.0000001"),
            ("\"0.40\"", "0.4"),
            ("\"0.000000000001\"", "0.000000000001"),
        ] {
            assert_eq!(read(json).as_deref(), Ok(decimal), "{json}");
        }
        for wrong in ["\"\"", "\"1 USD\"", "true", "1e300", "[]"] {
            assert!(read(wrong).unwrap_err().contains("such as 0.4"), "{wrong}");
        }
    }

    #[test]
    fn an_amount_is_dollars_as_long_as_it_has_no_more_than_twelve_decimals() {
        let money = |json: &str| serde_json::from_str::<Amount>(json).unwrap().money();
        assert_eq!(money("0.4"), Some(Money::from_trillionths(400_000_000_000)));
        assert_eq!(money("\"0.0000000000010\""), Some(Money::from_trillionths(1)));
        assert_eq!(money("\"0.0000000000001\""), None);
    }
}
