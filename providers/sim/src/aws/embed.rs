//! Embeddings by InvokeModel: Titan and Cohere.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html>

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::refuse::serde_message;
use crate::{
    answer::{Ask, Refusal, Result, Whole},
    script::{self, vector},
};

/// The most texts of one Cohere request, and the longest text for version 3, in characters.
const MOST: usize = 96;
const LONGEST: usize = 2048;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Titan {
    input_text: String,
    dimensions: Option<i64>,
    normalize: Option<bool>,
    embedding_types: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cohere {
    texts: Option<Vec<String>>,
    inputs: Option<Vec<Input>>,
    images: Option<Vec<String>>,
    input_type: String,
    truncate: Option<String>,
    embedding_types: Option<Vec<String>>,
    output_dimension: Option<i64>,
    max_tokens: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    content: Vec<Part>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Part {
    Text { text: String },
    ImageUrl { image_url: Value },
}

pub(super) fn answer(ask: &Ask<'_>, model: &str) -> Result<Whole> {
    if !ask.header("content-type").unwrap_or("application/json").starts_with("application/json") {
        return Err(Refusal::invalid("The provided content type is not supported: use application/json."));
    }
    match model {
        model if model.contains("titan-embed") => titan(ask, model.contains("titan-embed-text-v2")),
        model if model.contains("cohere.embed-v4") => cohere(ask, true),
        model if model.contains("cohere.embed") => cohere(ask, false),
        _ => Err(Refusal::invalid("Malformed input request, please reformat your input and try again.")),
    }
}

fn titan(ask: &Ask<'_>, second: bool) -> Result<Whole> {
    let request: Titan = ask.json(serde_message)?;
    let text = request.input_text.as_str();
    if text.is_empty() {
        return Err(Refusal::invalid(
            "Malformed input request: #/inputText: expected minLength: 1, actual: 0",
        ));
    }
    let more =
        request.dimensions.is_some() || request.normalize.is_some() || request.embedding_types.is_some();
    if !second && more {
        return Err(Refusal::invalid("Malformed input request: extraneous key is not permitted"));
    }
    let length = match request.dimensions {
        None => vector::LENGTH,
        Some(256) => 256,
        Some(512) => 512,
        Some(1024) => 1024,
        Some(_) => {
            return Err(Refusal::invalid("Malformed input request: #/dimensions: not a valid enum value"));
        }
    };
    let types = request.embedding_types.unwrap_or_else(|| vec!["float".to_owned()]);
    if types.iter().any(|kind| kind != "float" && kind != "binary") {
        return Err(Refusal::invalid("Malformed input request: #/embeddingTypes: not a valid enum value"));
    }
    let embedding = vector::unit(text, length);
    let mut body = Map::new();
    if types.iter().any(|kind| kind == "float") || !second {
        body.insert("embedding".to_owned(), json!(embedding));
    }
    if second {
        let typed = types.iter().map(|kind| {
            let binary: Vec<_> = embedding.iter().map(|number| u8::from(*number > 0.0)).collect();
            (kind.clone(), if kind == "float" { json!(embedding) } else { json!(binary) })
        });
        body.insert("embeddingsByType".to_owned(), Value::Object(typed.collect()));
    }
    let words = script::words(text);
    let counted = !text.contains("no-usage");
    if counted {
        body.insert("inputTextTokenCount".to_owned(), json!(words));
    }
    Ok(told(Whole::json(200, &body), counted.then_some(words)))
}

fn cohere(ask: &Ask<'_>, fourth: bool) -> Result<Whole> {
    let request: Cohere = ask.json(serde_message)?;
    request.check(fourth)?;
    let length = match request.output_dimension {
        None => vector::LENGTH,
        Some(256) => 256,
        Some(512) => 512,
        Some(1024) => 1024,
        Some(1536) => 1536,
        Some(_) => return Err(Refusal::invalid("output_dimension must be 256, 512, 1024 or 1536")),
    };
    let texts = request.said();
    let vectors: Vec<_> = texts.iter().map(|text| vector::unit(text, length)).collect();
    let mut body = Map::new();
    body.insert("id".to_owned(), json!(format!("sim-{}", ask.number)));
    if let Some(texts) = &request.texts {
        body.insert("texts".to_owned(), json!(texts));
    }
    match &request.embedding_types {
        None => {
            body.insert("response_type".to_owned(), json!("embeddings_floats"));
            body.insert("embeddings".to_owned(), json!(vectors));
        }
        Some(types) => {
            let small = |number: &f32| (number * 127.0).round() as i8;
            let typed = types.iter().map(|kind| match kind.as_str() {
                "int8" => {
                    let vectors: Vec<Vec<i8>> =
                        vectors.iter().map(|v| v.iter().map(small).collect()).collect();
                    (kind.clone(), json!(vectors))
                }
                _ => (kind.clone(), json!(vectors)),
            });
            body.insert("response_type".to_owned(), json!("embeddings_by_type"));
            body.insert("embeddings".to_owned(), Value::Object(typed.collect()));
        }
    }
    let counted = !texts.iter().any(|text| text.contains("no-usage"));
    let words = texts.iter().map(|text| script::words(text)).sum();
    Ok(told(Whole::json(200, &body), counted.then_some(words)))
}

/// Adds what InvokeModel tells in headers.
fn told(whole: Whole, words: Option<u64>) -> Whole {
    let whole = whole.with("x-amzn-bedrock-invocation-latency", "1");
    match words {
        Some(words) => whole.with("x-amzn-bedrock-input-token-count", words.to_string()),
        None => whole,
    }
}

impl Cohere {
    fn check(&self, fourth: bool) -> Result<()> {
        let refuse = |message: &str| Err(Refusal::invalid(message));
        if !["search_document", "search_query", "classification", "clustering", "image"]
            .contains(&self.input_type.as_str())
        {
            return refuse("Malformed input request: #/input_type: not a valid enum value");
        }
        let truncates = if fourth { ["NONE", "LEFT", "RIGHT"] } else { ["NONE", "START", "END"] };
        if self.truncate.as_deref().is_some_and(|truncate| !truncates.contains(&truncate)) {
            return refuse("Malformed input request: #/truncate: not a valid enum value");
        }
        let given = [self.texts.is_some(), self.inputs.is_some(), self.images.is_some()];
        if given.into_iter().filter(|given| *given).count() != 1 {
            return refuse("Exactly one of texts, images and inputs must be given");
        }
        if !fourth && (self.inputs.is_some() || self.output_dimension.is_some() || self.max_tokens.is_some())
        {
            return refuse("Malformed input request: extraneous key is not permitted");
        }
        // The simulated models quantize to these two alone.
        let known = |kind: &String| kind == "float" || kind == "int8";
        if self.embedding_types.as_ref().is_some_and(|types| types.is_empty() || !types.iter().all(known)) {
            return refuse("Malformed input request: #/embedding_types: not a valid enum value");
        }
        if self.max_tokens.is_some_and(|most| !(1..=128_000).contains(&most)) {
            return refuse("max_tokens must be from 1 to 128000");
        }
        let said = self.said();
        if said.is_empty() || said.len() > MOST {
            return refuse("Malformed input request: from 1 to 96 inputs are permitted");
        }
        let truncated = self.truncate.as_deref().is_some_and(|truncate| truncate != "NONE");
        if !fourth && !truncated && said.iter().any(|text| text.chars().count() > LONGEST) {
            return refuse("Malformed input request: #/texts: expected maxLength: 2048");
        }
        Ok(())
    }

    /// One text for each vector.
    fn said(&self) -> Vec<String> {
        let mixed = self.inputs.iter().flatten().map(|input| {
            let parts = input.content.iter().map(|part| match part {
                Part::Text { text } => text.clone(),
                Part::ImageUrl { image_url } => image_url.to_string(),
            });
            parts.collect::<Vec<_>>().join(" ")
        });
        let plain = self.texts.iter().chain(&self.images).flatten().cloned();
        plain.chain(mixed).collect()
    }
}
