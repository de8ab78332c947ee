//! JSON tables read field by field, their values left as they are written.

use std::borrow::Cow;

use aigate_contract::Spans;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// A table's fields, in order, none of them twice.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Spans<'a>", bound(deserialize = "'de: 'a"))]
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// More fields than any answer has in one table.
const MOST: usize = 256;

impl<'a> Fields<'a> {
    /// Reads a table.
    pub(super) fn parse(json: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// Reads a value that is a table.
    pub(super) fn of(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// Reads a value that is a list of tables.
    pub(super) fn list(raw: &'a RawValue) -> Option<Vec<Self>> {
        serde_json::from_str(raw.get()).ok()
    }

    /// A field's value, unless it is absent or `null`.
    pub(super) fn said(&self, name: &str) -> Option<&'a RawValue> {
        self.rest(&[]).find(|(field, _)| *field == name).map(|(_, raw)| raw)
    }

    /// All fields that are not `null` and not called in `but`.
    pub(super) fn rest(&self, but: &[&str]) -> impl Iterator<Item = (&str, &'a RawValue)> {
        let fields = self.0.iter().filter(|(name, raw)| raw.get() != "null" && !but.contains(&name.as_ref()));
        fields.map(|(name, raw)| (name.as_ref(), *raw))
    }
}

impl<'a> TryFrom<Spans<'a>> for Fields<'a> {
    type Error = &'static str;

    fn try_from(spans: Spans<'a>) -> Result<Self, Self::Error> {
        if spans.0.len() > MOST || spans.twice().is_some() {
            return Err("a field stands twice, or there are too many");
        }
        Ok(Self(spans.0))
    }
}

/// A text, borrowed when it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A JSON table that is being written.
#[derive(Clone, Debug)]
pub(super) struct Table(String);

impl Table {
    pub(super) fn new() -> Self {
        Self("{".to_owned())
    }

    /// Adds a field; its value is JSON text.
    pub(super) fn with(mut self, name: &str, json: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&quoted(name));
        self.0.push(':');
        self.0.push_str(json);
        self
    }

    /// Adds fields.
    pub(super) fn with_all<'a>(self, fields: impl Iterator<Item = (&'a str, &'a RawValue)>) -> Self {
        fields.fold(self, |table, (name, raw)| table.with(name, raw.get()))
    }

    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A JSON list of JSON texts.
pub(super) fn list(items: &[impl AsRef<str>]) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    format!("[{}]", items.join(","))
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The text that a JSON value is, if it is one.
pub(super) fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|Text(text)| text)
}

/// The count that a JSON value is, if it is one.
pub(super) fn number_of(raw: &RawValue) -> Option<u64> {
    serde_json::from_str(raw.get()).ok()
}
