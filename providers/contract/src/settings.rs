//! Types of configuration values that every crate shares: secrets, intervals, and the faults found in them.

use std::{borrow::Cow, fmt, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

/// Something wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, as a key path relative to the part that was checked; empty for the part itself.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Fault {
    /// A fault at a key.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// A secret in the config: the text itself (after `${VAR}` was filled in), or `file:PATH`, read when the config is
/// loaded. Never printed.
#[derive(Clone)]
pub enum Secret {
    /// The secret itself.
    Plain(SecretString),
    /// A file that holds it; surrounding white space is not part of it.
    File(PathBuf),
}

impl Secret {
    /// The secret's text.
    ///
    /// # Errors
    /// A message for the operator when the file cannot be read, or the secret is empty or not fit for a header.
    pub fn read(&self) -> Result<SecretString, String> {
        use secrecy::ExposeSecret;
        let secret = match self {
            Self::Plain(secret) => secret.clone(),
            Self::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => SecretString::from(text.trim().to_owned()),
                Err(error) => {
                    return Err(format!("cannot read the secret's file {}: {error}", path.display()));
                }
            },
        };
        let text = secret.expose_secret();
        if text.is_empty() {
            return Err("the secret is empty".to_owned());
        }
        if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err("the secret has characters that cannot stand in an HTTP header".to_owned());
        }
        Ok(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => f.write_str("Secret(***)"),
            Self::File(path) => write!(f, "Secret(file:{})", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.strip_prefix("file:") {
            Some(path) => Self::File(PathBuf::from(path)),
            None => Self::Plain(SecretString::from(text)),
        })
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A secret: `${VARIABLE}`, `file:PATH`, or (not advised) the text itself."
        })
    }
}

/// A length of time in the config, with its unit in the value: `250ms`, `30s`, `5m`, `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval(pub Duration);

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match humantime::parse_duration(&text) {
            Ok(duration) if duration.as_secs() <= 7 * 86_400 => Ok(Self(duration)),
            Ok(_) => Err(serde::de::Error::custom(format!("`{text}` is longer than seven days"))),
            Err(error) => Err(serde::de::Error::custom(format!(
                "`{text}` is not a length of time such as \"250ms\", \"30s\" or \"5m\": {error}"
            ))),
        }
    }
}

impl JsonSchema for Interval {
    fn schema_name() -> Cow<'static, str> {
        "Interval".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A length of time with its unit: `250ms`, `30s`, `5m`, `1h 30m`.",
            "examples": ["30s"]
        })
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// An amount of memory in the config, with its unit in the value: `512MiB`, `4GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;

        impl serde::de::Visitor<'_> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount of memory with its unit, such as \"512MiB\" or \"4GiB\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Size, E> {
                let has_unit = text.trim_end().ends_with(|last: char| last.is_ascii_alphabetic());
                match text.parse::<ByteSize>() {
                    Ok(size) if has_unit => Ok(Size(size.as_u64())),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(SizeVisitor)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An amount of memory with its unit: `512MiB`, `4GiB`.",
            "examples": ["4GiB"]
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ByteSize(self.0).display().iec().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> Result<u64, String> {
        let quoted = serde_json::Value::from(text);
        serde_json::from_value::<Size>(quoted).map(|size| size.0).map_err(|error| error.to_string())
    }

    #[test]
    fn an_amount_of_memory_is_read_with_its_unit_and_only_with_one() {
        assert_eq!(size("4GiB"), Ok(4 << 30));
        assert_eq!(size("512 MiB"), Ok(512 << 20));
        assert_eq!(size("2GB"), Ok(2_000_000_000));
        for wrong in ["4096", "", "four", "-1GiB", "4 parrots"] {
            assert!(size(wrong).unwrap_err().contains("such as \"512MiB\""), "{wrong}");
        }
        assert_eq!(Size(1536 << 20).to_string(), "1.5 GiB");
    }
}
