//! A JSON object as the caller sent it, with the place of each top-level field: read once, handed on without copying
//! what nobody changes.

use std::{borrow::Cow, collections::HashSet, fmt, ops::Range};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A JSON object, with the place of each of its top-level fields.
#[derive(Clone, Debug)]
pub struct Body {
    bytes: Bytes,
    fields: Vec<Field>,
}

#[derive(Clone, Debug)]
struct Field {
    name: Box<str>,
    value: Range<usize>,
}

/// The most top-level fields of a body: far more than any API has.
const MAX_FIELDS: usize = 256;

/// Why a body is refused. The message is meant for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyError {
    /// What is wrong, where, and what would be right.
    pub message: String,
    /// The field at fault, as a path such as `messages[2].content`.
    pub param: Option<String>,
}

impl BodyError {
    /// A fault at a field.
    pub fn at(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { message: message.into(), param: Some(param.into()) }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.param {
            Some(param) => write!(f, "{param}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for BodyError {}

impl Body {
    /// Finds the top-level fields.
    ///
    /// # Errors
    /// When the bytes are not one JSON object (with line and column), or a field stands twice.
    pub fn parse(bytes: Bytes) -> Result<Self, BodyError> {
        let refuse = |message| BodyError { message, param: None };
        // Checked once for the whole body, instead of string by string.
        let text =
            std::str::from_utf8(&bytes).map_err(|error| refuse(format!("the body is not UTF-8: {error}")))?;
        let spans: Spans<'_> = serde_json::from_str(text)
            .map_err(|error| refuse(format!("the body is not a valid JSON object: {error}")))?;
        let start = bytes.as_ptr() as usize;
        if spans.0.len() > MAX_FIELDS {
            let message = format!("the body has {} fields: at most {MAX_FIELDS} are taken", spans.0.len());
            return Err(refuse(message));
        }
        if let Some(name) = spans.twice() {
            return Err(BodyError::at(name, "the field stands twice in the body"));
        }
        let mut fields = Vec::with_capacity(spans.0.len());
        for (name, raw) in &spans.0 {
            let from = raw.get().as_ptr() as usize - start;
            fields.push(Field { name: name.as_ref().into(), value: from..from + raw.get().len() });
        }
        Ok(Self { bytes, fields })
    }

    /// The fields' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| &*field.name)
    }

    /// The names of fields that are not in `known` and not `null`.
    pub fn unknown(&self, known: &[&str]) -> Vec<String> {
        let fields = self.fields.iter().filter(|field| !known.contains(&&*field.name));
        fields
            .filter(|field| &self.bytes[field.value.clone()] != b"null")
            .map(|field| field.name.to_string())
            .collect()
    }

    /// A field's JSON text.
    pub fn raw(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|field| &*field.name == name).map(|field| &self.bytes[field.value.clone()])
    }

    /// A field's value; `None` when it is absent or `null`.
    ///
    /// # Errors
    /// When the field is of another type, with the path to the fault inside it.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, BodyError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        if raw == b"null" {
            return Ok(None);
        }
        match serde_json::from_slice(raw) {
            Ok(value) => Ok(Some(value)),
            Err(plain) => Err(explain::<T>(name, raw, &plain)),
        }
    }

    /// The body as the caller sent it.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The body with some fields set to other JSON values. Fields that it does not have yet are added; a value of
    /// `None` removes the field. All else stays byte for byte.
    pub fn with(&self, changes: &[(&str, Option<&[u8]>)]) -> Vec<u8> {
        let added: usize =
            changes.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len) + 4).sum();
        let mut out = Vec::with_capacity(self.bytes.len() + added);
        out.push(b'{');
        for field in &self.fields {
            let value = match changes.iter().find(|(name, _)| *name == &*field.name) {
                Some((_, Some(value))) => value,
                Some((_, None)) => continue,
                None => &self.bytes[field.value.clone()],
            };
            push_field(&mut out, &field.name, value);
        }
        for (name, value) in changes {
            if let Some(value) = value
                && !self.names().any(|known| known == *name)
            {
                push_field(&mut out, name, value);
            }
        }
        out.push(b'}');
        out
    }
}

fn push_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if out.len() > 1 {
        out.push(b',');
    }
    // A string always serialises.
    if serde_json::to_writer(&mut *out, name).is_ok() {
        out.push(b':');
        out.extend_from_slice(value);
    }
}

/// Reads again, slower, to tell where the fault is.
fn explain<T: DeserializeOwned>(name: &str, raw: &[u8], plain: &serde_json::Error) -> BodyError {
    let mut deserializer = serde_json::Deserializer::from_slice(raw);
    let (path, message) = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) => (error.path().to_string(), error.into_inner().to_string()),
        Ok(_) => (".".to_owned(), plain.to_string()),
    };
    // The position would count from the field's start: the path says it better.
    let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
    let param = match path.as_str() {
        "." => name.to_owned(),
        path if path.starts_with('[') => format!("{name}{path}"),
        path => format!("{name}.{path}"),
    };
    BodyError { message, param: Some(param) }
}

/// A JSON object's fields, in order, each value as it is written.
#[derive(Debug, Default)]
pub struct Spans<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl Spans<'_> {
    /// A name that stands twice. A usual object has few fields: comparing them beats hashing them.
    pub fn twice(&self) -> Option<&str> {
        let names = || self.0.iter().map(|(name, _)| name.as_ref());
        if self.0.len() <= 32 {
            return names()
                .enumerate()
                .find(|(place, name)| names().take(*place).any(|before| before == *name))
                .map(|(_, name)| name);
        }
        let mut seen = HashSet::with_capacity(self.0.len());
        names().find(|name| !seen.insert(*name))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Spans<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpansVisitor;

        impl<'de> Visitor<'de> for SpansVisitor {
            type Value = Spans<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Spans<'de>, A::Error> {
                let mut spans = Vec::with_capacity(16);
                while let Some(Name(name)) = map.next_key()? {
                    spans.push((name, map.next_value()?));
                }
                Ok(Spans(spans))
            }
        }

        deserializer.deserialize_map(SpansVisitor)
    }
}

/// A field's name, borrowed when it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn body(text: &str) -> Result<Body, BodyError> {
        Body::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_field_is_replaced_and_all_else_stays_byte_for_byte() {
        let body = body(r#"{ "model": "a", "n" : 1.50, "x":{"y": [1, 2]} }"#).unwrap();
        let out = body.with(&[("model", Some(b"\"b\"")), ("stream", Some(b"true")), ("n", None)]);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"model":"b","x":{"y": [1, 2]},"stream":true}"#);
    }

    #[test]
    fn invalid_json_is_refused_with_its_position() {
        let error = body("{\"model\": \"a\",\n  oops}").unwrap_err();
        assert!(error.message.contains("line 2 column 3"), "{error}");
    }

    #[test]
    fn a_field_that_stands_twice_is_refused_by_name() {
        assert_eq!(body(r#"{"a":1,"a":2}"#).unwrap_err().param.as_deref(), Some("a"));
    }

    #[test]
    fn a_wrong_type_is_refused_with_its_path() {
        let body = body(r#"{"a":[{"b":1},{"b":"x"}]}"#).unwrap();
        #[derive(Debug, Deserialize)]
        struct Item {
            #[serde(rename = "b")]
            _b: u32,
        }
        assert_eq!(body.get::<Vec<Item>>("a").unwrap_err().param.as_deref(), Some("a[1].b"));
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Body::parse(Bytes::from(bytes));
        }

        #[test]
        fn an_unchanged_body_means_the_same(keys in proptest::collection::btree_map(".{0,8}", any::<i64>(), 0..8)) {
            let value = json!(keys);
            let body = Body::parse(Bytes::from(value.to_string())).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Value>(&body.with(&[])).unwrap(), value);
        }
    }
}
