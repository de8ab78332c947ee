//! The request of `POST /v1/embeddings`.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;

use crate::{Body, BodyError, Call, Embed, Result, chat::HINTS};

/// An embeddings request.
#[derive(Clone, Debug)]
pub struct EmbedRequest {
    /// The body as the caller sent it.
    pub body: Body,
    /// The model's name in the config.
    pub model: String,
    /// What to embed.
    pub input: Input,
    /// How vectors are to be written.
    pub encoding_format: EncodingFormat,
    /// The wanted length of the vectors.
    pub dimensions: Option<u32>,
    /// The caller's end user.
    pub user: Option<String>,
    /// Names of top-level fields that aigate does not know, `null`s left out.
    pub unknown: Vec<String>,
}

/// What to embed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Texts.
    Texts(Vec<String>),
    /// Token arrays, for providers whose tokenizer the caller knows.
    Tokens(Vec<Vec<u32>>),
}

/// How vectors are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFormat {
    /// A list of numbers.
    #[default]
    Float,
    /// Base64 of little-endian 32-bit floats.
    Base64,
}

const KNOWN: [&str; 5] = ["model", "input", "encoding_format", "dimensions", "user"];

/// The most inputs of one request, as at OpenAI.
const MAX_INPUTS: usize = 2048;

impl EmbedRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// When the body is not JSON, lacks a field, or has one of a wrong type: says which and why.
    pub fn parse(bytes: Bytes) -> Result<Self, BodyError> {
        let body = Body::parse(bytes)?;
        let missing = |field: &str| BodyError::at(field, format!("missing required field `{field}`"));
        let request = Self {
            model: body.get("model")?.ok_or_else(|| missing("model"))?,
            input: body.get("input")?.ok_or_else(|| missing("input"))?,
            encoding_format: body.get("encoding_format")?.unwrap_or_default(),
            dimensions: body.get("dimensions")?,
            user: body.get("user")?,
            unknown: body.unknown(&KNOWN),
            body,
        };
        match request.input.len() {
            0 => Err(BodyError::at("input", "there must be at least one input")),
            1..=MAX_INPUTS if request.dimensions == Some(0) => {
                Err(BodyError::at("dimensions", "must be at least 1"))
            }
            1..=MAX_INPUTS => Ok(request),
            count => {
                Err(BodyError::at("input", format!("{count} inputs are too many: at most {MAX_INPUTS}")))
            }
        }
    }

    /// For providers that do not speak OpenAI: refuses unknown fields by name, leaves hints out. See
    /// [`crate::chat::ChatRequest::refuse_unknown`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] naming the first such field, unless the deployment drops them.
    pub fn refuse_unknown(&self, call: &Call<Embed>, handled: &[&str]) -> Result<()> {
        if self.user.is_some() && !handled.contains(&"user") {
            call.leave_out("user");
        }
        for name in &self.unknown {
            match name.as_str() {
                name if handled.contains(&name) => {}
                name if HINTS.contains(&name) => call.leave_out(name),
                name => call.unsupported(name, "this provider has nothing like it")?,
            }
        }
        Ok(())
    }
}

impl Input {
    /// How many vectors are asked for.
    pub fn len(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Tokens(tokens) => tokens.len(),
        }
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: &RawValue = Deserialize::deserialize(deserializer)?;
        let text = raw.get();
        let inner = text.trim_start_matches(|c: char| c == '[' || c.is_whitespace());
        let depth = text.len() - text.trim_start_matches('[').len();
        let read = match (depth, inner.as_bytes().first()) {
            (0, Some(b'"')) => serde_json::from_str(text).map(|one| Self::Texts(vec![one])),
            (_, Some(b'"' | b']')) => serde_json::from_str(text).map(Self::Texts),
            _ if text.trim_start_matches('[').trim_start().starts_with('[') || depth > 1 => {
                serde_json::from_str(text).map(Self::Tokens)
            }
            _ => serde_json::from_str(text).map(|one| Self::Tokens(vec![one])),
        };
        read.map_err(|_| {
            D::Error::custom(
                "expected a string, a list of strings, a list of tokens or a list of token lists",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(text: &str) -> Option<Input> {
        EmbedRequest::parse(Bytes::from(format!(r#"{{"model":"m","input":{text}}}"#))).ok().map(|r| r.input)
    }

    #[test]
    fn each_form_of_input_is_read() {
        assert_eq!(input(r#""a""#), Some(Input::Texts(vec!["a".into()])));
        assert_eq!(input(r#"[ "a", "b" ]"#), Some(Input::Texts(vec!["a".into(), "b".into()])));
        assert_eq!(input("[1, 2]"), Some(Input::Tokens(vec![vec![1, 2]])));
        assert_eq!(input("[ [1], [2, 3] ]"), Some(Input::Tokens(vec![vec![1], vec![2, 3]])));
        assert_eq!(input("[]"), None);
        assert_eq!(input("7"), None);
        assert_eq!(input(r#"["a", 1]"#), None);
    }
}
