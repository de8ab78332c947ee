//! The key-value pairs of a GGUF file, read by type.

use std::collections::BTreeMap;

use super::{Array, Error, Value};

/// The metadata of a file. A key that is absent is `None`; a value of the wrong type is an error.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    values: BTreeMap<String, Value>,
}

impl Metadata {
    /// The value under the key, of whatever type.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// All keys and values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// What `get` finds under the key, where its absence is an error: `require("llama.block_count", Metadata::u32)`.
    pub fn require<'a, T>(
        &'a self,
        key: &str,
        get: impl FnOnce(&'a Self, &str) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        get(self, key)?.ok_or_else(|| Error::Missing { key: key.to_owned() })
    }

    /// A text.
    pub fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        self.find(key, "a text", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// An integer of any width that fits a `u32`.
    pub fn u32(&self, key: &str) -> Result<Option<u32>, Error> {
        self.find(key, "an integer from 0 to 4294967295", |value| value.integer()?.try_into().ok())
    }

    /// An integer of any width that fits a `u64`.
    pub fn u64(&self, key: &str) -> Result<Option<u64>, Error> {
        self.find(key, "an integer of at least 0", |value| value.integer()?.try_into().ok())
    }

    /// A floating-point number; one of 64 bits is rounded.
    pub fn f32(&self, key: &str) -> Result<Option<f32>, Error> {
        self.find(key, "a floating-point number", |value| match value {
            Value::F32(number) => Some(*number),
            Value::F64(number) => Some(*number as f32),
            _ => None,
        })
    }

    /// A truth value.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, Error> {
        self.find(key, "a bool", |value| match value {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        })
    }

    /// An array of texts.
    pub fn texts(&self, key: &str) -> Result<Option<&[String]>, Error> {
        self.find(key, "an array of texts", |value| match value {
            Value::Array(Array::String(texts)) => Some(texts.as_slice()),
            _ => None,
        })
    }

    /// An array of floating-point numbers; those of 64 bits are rounded.
    pub fn floats(&self, key: &str) -> Result<Option<Vec<f32>>, Error> {
        self.find(key, "an array of floating-point numbers", |value| match value {
            Value::Array(Array::F32(numbers)) => Some(numbers.clone()),
            Value::Array(Array::F64(numbers)) => Some(numbers.iter().map(|number| *number as f32).collect()),
            _ => None,
        })
    }

    /// An array of integers of any width; all must fit an `i64`.
    pub fn integers(&self, key: &str) -> Result<Option<Vec<i64>>, Error> {
        self.find(key, "an array of integers", |value| match value {
            Value::Array(array) => array.integers(),
            _ => None,
        })
    }

    fn find<'a, T>(
        &'a self,
        key: &str,
        wanted: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let found = || match value.integer() {
            Some(number) => format!("{} ({number})", value.kind()),
            None => value.kind().to_owned(),
        };
        read(value).map(Some).ok_or_else(|| Error::Type { key: key.to_owned(), wanted, found: found() })
    }
}

impl<K: Into<String>> FromIterator<(K, Value)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(pairs: I) -> Self {
        Self { values: pairs.into_iter().map(|(key, value)| (key.into(), value)).collect() }
    }
}
