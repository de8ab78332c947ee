//! Embeddings in OpenAI's form.
//!
//! <https://platform.openai.com/docs/api-reference/embeddings/create>

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::{missing, serde_message};
use crate::{
    answer::{Ask, Refusal, Result, Whole},
    script::{self, vector},
};

/// The most inputs of one request, and the longest vector of any model.
const MOST: usize = 2048;
const LONGEST: i64 = 3072;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    input: Input,
    dimensions: Option<i64>,
    encoding_format: Option<Encoding>,
    #[serde(rename = "user")]
    _user: Option<String>,
    /// Of Foundry models.
    #[serde(rename = "input_type")]
    _input_type: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    Base64,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

#[derive(Debug, Serialize)]
struct Reply<'a> {
    object: &'static str,
    data: Vec<Embedding>,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Debug, Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Vector {
    Floats(Vec<f32>),
    Base64(String),
}

#[derive(Debug, Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

pub(super) fn answer(ask: &Ask<'_>, deployment: Option<&str>) -> Result<Whole> {
    let request: Request<'_> = ask.json(serde_message)?;
    let model = deployment.or(request.model.as_deref()).ok_or_else(|| missing("model"))?;
    Refusal::by_model(model)?;
    let inputs = request.input.texts()?;
    let length = length(request.dimensions, model)?;
    let tokens: u64 = inputs.iter().map(|(_, tokens)| tokens).sum();
    let left_out = inputs.iter().any(|(text, _)| text.contains("no-usage"));
    let encoding = request.encoding_format.unwrap_or_default();
    let data = inputs.iter().enumerate().map(|(index, (text, _))| {
        let vector = vector::unit(text, length);
        Embedding { object: "embedding", index, embedding: Vector::new(vector, encoding) }
    });
    let usage = (!left_out).then_some(Usage { prompt_tokens: tokens, total_tokens: tokens });
    Ok(Whole::json(200, &Reply { object: "list", data: data.collect(), model, usage }))
}

fn length(wanted: Option<i64>, model: &str) -> Result<usize> {
    let Some(length) = wanted else { return Ok(vector::LENGTH) };
    if model.contains("ada-002") {
        return Err(Refusal::at("dimensions", "This model does not support specifying dimensions."));
    }
    match usize::try_from(length) {
        Ok(fit) if (1..=LONGEST).contains(&length) => Ok(fit),
        _ => {
            let message = format!("Invalid value for 'dimensions' = {length}. Must be from 1 to {LONGEST}.");
            Err(Refusal::at("dimensions", message))
        }
    }
}

impl Input {
    /// The inputs as texts, with their lengths in tokens.
    fn texts(self) -> Result<Vec<(String, u64)>> {
        let text = |text: String| {
            let tokens = script::words(&text);
            (text, tokens)
        };
        let list =
            |tokens: Vec<u32>| (format!("{tokens:?}"), u64::try_from(tokens.len()).unwrap_or(u64::MAX));
        let texts: Vec<_> = match self {
            Self::Text(one) => vec![text(one)],
            Self::Texts(many) => many.into_iter().map(text).collect(),
            Self::Tokens(one) => vec![list(one)],
            Self::TokenLists(many) => many.into_iter().map(list).collect(),
        };
        if texts.is_empty() || texts.iter().any(|(text, _)| text.is_empty() || text == "[]") {
            return Err(Refusal::at("input", "Invalid 'input': input cannot be an empty string or array."));
        }
        if texts.len() > MOST {
            let message =
                format!("Invalid 'input': array too long. Expected an array with maximum length {MOST}.");
            return Err(Refusal::at("input", message));
        }
        Ok(texts)
    }
}

impl Vector {
    fn new(vector: Vec<f32>, encoding: Encoding) -> Self {
        match encoding {
            Encoding::Float => Self::Floats(vector),
            Encoding::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                Self::Base64(BASE64_STANDARD.encode(bytes))
            }
        }
    }
}
