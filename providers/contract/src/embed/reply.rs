//! The answer of `POST /v1/embeddings`.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Serialize;

use super::EncodingFormat;
use crate::{Error, ErrorKind, Facts, Result, Usage};

/// A list of embeddings, already written as JSON, with what the policies need to know of it.
#[derive(Clone, Debug)]
pub struct EmbedReply {
    /// The JSON text for the caller.
    pub json: Bytes,
    /// What is known of it.
    pub facts: Facts,
}

/// Vectors to be written, by providers that do not speak OpenAI.
#[derive(Clone, Debug)]
pub struct Vectors {
    /// One vector per input, in the inputs' order.
    pub vectors: Vec<Vec<f32>>,
    /// The model that made them.
    pub model: String,
    /// What it consumed, if the provider said.
    pub usage: Option<Usage>,
}

#[derive(Serialize)]
struct Wire<'a> {
    object: &'static str,
    data: Vec<Item<'a>>,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<WireUsage>,
}

#[derive(Serialize)]
struct Item<'a> {
    object: &'static str,
    index: usize,
    embedding: Embedding<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Embedding<'a> {
    Float(&'a [f32]),
    Base64(String),
}

#[derive(Serialize)]
struct WireUsage {
    prompt_tokens: u64,
    total_tokens: u64,
}

impl Vectors {
    /// Writes the vectors as JSON in the wanted encoding.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when the provider gave another number of vectors than there are inputs, or a number
    /// that is not finite.
    pub fn into_reply(self, inputs: usize, format: EncodingFormat) -> Result<EmbedReply> {
        if self.vectors.len() != inputs {
            let message = format!("the provider gave {} vectors for {inputs} inputs", self.vectors.len());
            return Err(Error::new(ErrorKind::Malformed, message));
        }
        if self.vectors.iter().flatten().any(|number| !number.is_finite()) {
            return Err(Error::new(
                ErrorKind::Malformed,
                "the provider gave a vector with a number that is not finite",
            ));
        }
        let input = self.usage.as_ref().and_then(Usage::input);
        let wire = Wire {
            object: "list",
            data: (self.vectors.iter().enumerate())
                .map(|(index, vector)| Item { object: "embedding", index, embedding: encode(vector, format) })
                .collect(),
            model: &self.model,
            usage: input.map(|tokens| WireUsage { prompt_tokens: tokens, total_tokens: tokens }),
        };
        let json = serde_json::to_vec(&wire).map_err(|error| {
            Error::new(ErrorKind::Internal, "the answer cannot be written").with_source(error)
        })?;
        let facts = Facts { usage: self.usage, ..Facts::default() };
        Ok(EmbedReply { json: Bytes::from(json), facts })
    }
}

fn encode(vector: &[f32], format: EncodingFormat) -> Embedding<'_> {
    match format {
        EncodingFormat::Float => Embedding::Float(vector),
        EncodingFormat::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            Embedding::Base64(STANDARD.encode(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_little_endian_floats_and_unknown_usage_is_left_out() {
        let vectors = Vectors { vectors: vec![vec![1.0, -2.5]], model: "m".into(), usage: None };
        let reply = vectors.into_reply(1, EncodingFormat::Base64).unwrap();
        let text = String::from_utf8(reply.json.to_vec()).unwrap();
        assert!(text.contains(r#""embedding":"AACAPwAAIMA=""#), "{text}");
        assert!(!text.contains("usage"), "{text}");
    }

    #[test]
    fn a_missing_vector_is_an_error() {
        let vectors = Vectors { vectors: vec![vec![1.0]], model: "m".into(), usage: None };
        assert_eq!(vectors.into_reply(2, EncodingFormat::Float).unwrap_err().kind(), ErrorKind::Malformed);
    }
}
