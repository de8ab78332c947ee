//! Embeddings: each model family's own body, through InvokeModel.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html>

#[cfg(test)]
mod tests;

use aigate_contract::{
    Call, Embed, Error, ErrorKind, Result, Serve, Usage,
    embed::{EmbedReply, EmbedRequest, Input, Vectors},
};
use aws_sdk_bedrockruntime::{Client, primitives::Blob};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Aws,
    error::from_sdk,
    model,
    send::{TokenCount, prepare},
};

/// Requests of one call under way at once.
const CONCURRENT: usize = 8;
/// Cohere's limit of texts in a request.
const COHERE_TEXTS: usize = 96;
/// What a text is for, unless the caller's `input_type` says otherwise.
const INPUT_TYPE: &str = "search_document";
const INPUT_TYPES: [&str; 4] = ["search_document", "search_query", "classification", "clustering"];

/// The models whose bodies are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Embedder {
    TitanV1,
    TitanV2,
    CohereV3,
    CohereV4,
}

/// Vectors of some texts, and their tokens if the answer told.
struct Batch {
    vectors: Vec<Vec<f32>>,
    tokens: Option<u64>,
}

impl Serve<Embed> for Aws {
    async fn serve(&self, call: Call<Embed>) -> Result<EmbedReply> {
        self.access.attempt(|clients| embed(&call, clients.bedrock)).await
    }
}

/// Checks that `target` names a model whose body is known.
pub(crate) fn check(target: &str) -> Result<(), String> {
    match Embedder::of(target) {
        Some(_) => Ok(()),
        None if model::id(target).is_none() => {
            Err(format!("`{target}` hides its model: name the model or a region's inference profile"))
        }
        None => Err(format!(
            "`{target}` is not an embedding model known here: amazon.titan-embed-text-v1, \
             amazon.titan-embed-text-v2:0, cohere.embed-english-v3, cohere.embed-multilingual-v3, cohere.embed-v4:0"
        )),
    }
}

async fn embed(call: &Call<Embed>, client: Client) -> Result<EmbedReply> {
    let request = &*call.request;
    let target = &*call.target.model;
    let Some(embedder) = Embedder::of(target) else {
        return Err(check(target).err().map_or_else(
            || Error::new(ErrorKind::Internal, "an embedding model without a body"),
            |why| Error::new(ErrorKind::Missing, why),
        ));
    };
    request.refuse_unknown(call, embedder.handled())?;
    let Input::Texts(texts) = &request.input else {
        return Err(Error::unsupported("input", "Bedrock embeds texts, not tokens"));
    };
    let dimensions = embedder.dimensions(call)?;
    let input_type = input_type(request)?;
    let bodies: Vec<Value> = texts
        .chunks(embedder.texts_per_request())
        .map(|texts| embedder.body(texts, dimensions, &input_type))
        .collect();
    let batches = stream::iter(bodies)
        .map(|body| invoke(call, &client, embedder, body))
        .buffered(CONCURRENT)
        .try_collect::<Vec<Batch>>()
        .await?;
    // Known only when each part is known.
    let tokens = batches.iter().map(|batch| batch.tokens).sum::<Option<u64>>();
    let vectors = Vectors {
        vectors: batches.into_iter().flat_map(|batch| batch.vectors).collect(),
        model: target.to_owned(),
        usage: tokens.map(|tokens| Usage { fresh_input: Some(tokens), ..Usage::default() }),
    };
    vectors.into_reply(texts.len(), request.encoding_format)
}

async fn invoke(call: &Call<Embed>, client: &Client, embedder: Embedder, body: Value) -> Result<Batch> {
    let count = TokenCount::default();
    let request = client
        .invoke_model()
        .model_id(&*call.target.model)
        .content_type("application/json")
        .accept("application/json")
        .body(Blob::new(body.to_string()))
        .customize()
        .mutate_request(prepare(call.trail.traceparent().map(str::to_owned), false))
        .interceptor(count.clone());
    let answer = Box::pin(request.send()).await.map_err(from_sdk)?;
    embedder.read(answer.body.as_ref(), count.get())
}

fn input_type(request: &EmbedRequest) -> Result<String> {
    const FIELD: &str = "input_type";
    let invalid = |why: String| Error::new(ErrorKind::Invalid, why).with_param(FIELD);
    match request.body.get::<String>(FIELD) {
        Ok(None) => Ok(INPUT_TYPE.to_owned()),
        Ok(Some(word)) if INPUT_TYPES.contains(&word.as_str()) => Ok(word),
        Ok(Some(word)) => Err(invalid(format!("`{word}` is none of {}", INPUT_TYPES.join(", ")))),
        Err(error) => Err(invalid(error.message)),
    }
}

impl Embedder {
    fn of(target: &str) -> Option<Self> {
        match model::id(target)? {
            id if id.starts_with("amazon.titan-embed-text-v2") => Some(Self::TitanV2),
            id if id.starts_with("amazon.titan-embed-text-v1") => Some(Self::TitanV1),
            id if id.starts_with("amazon.titan-embed-g1-text") => Some(Self::TitanV1),
            id if id.starts_with("cohere.embed-v4") => Some(Self::CohereV4),
            id if id.starts_with("cohere.embed-") && id.contains("-v3") => Some(Self::CohereV3),
            _ => None,
        }
    }

    fn is_cohere(self) -> bool {
        matches!(self, Self::CohereV3 | Self::CohereV4)
    }

    /// Fields beyond OpenAI's that the model knows.
    fn handled(self) -> &'static [&'static str] {
        if self.is_cohere() { &["input_type"] } else { &[] }
    }

    fn texts_per_request(self) -> usize {
        if self.is_cohere() { COHERE_TEXTS } else { 1 }
    }

    /// The vectors' length to ask for; `None` for the model's own.
    fn dimensions(self, call: &Call<Embed>) -> Result<Option<u32>> {
        let Some(wanted) = call.request.dimensions else { return Ok(None) };
        let (fixed, choices): (bool, &[u32]) = match self {
            Self::TitanV1 => (true, &[1536]),
            Self::TitanV2 => (false, &[256, 512, 1024]),
            Self::CohereV3 => (true, &[1024]),
            Self::CohereV4 => (false, &[256, 512, 1024, 1536]),
        };
        if choices.contains(&wanted) {
            return Ok((!fixed).then_some(wanted));
        }
        let choices = choices.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        call.unsupported(
            "dimensions",
            &format!("this model's vectors have one of these lengths: {choices}"),
        )?;
        Ok(None)
    }

    fn body(self, texts: &[String], dimensions: Option<u32>, input_type: &str) -> Value {
        let mut body = match self {
            Self::TitanV1 | Self::TitanV2 => json!({"inputText": texts.first()}),
            Self::CohereV3 => json!({"texts": texts, "input_type": input_type, "truncate": "NONE"}),
            Self::CohereV4 => json!({
                "texts": texts, "input_type": input_type, "truncate": "NONE", "embedding_types": ["float"],
            }),
        };
        if let (Some(length), Some(fields)) = (dimensions, body.as_object_mut()) {
            let name = if self.is_cohere() { "output_dimension" } else { "dimensions" };
            fields.insert(name.to_owned(), Value::from(length));
        }
        body
    }

    fn read(self, body: &[u8], header_tokens: Option<u64>) -> Result<Batch> {
        let malformed = |error: serde_json::Error| {
            let message = "Bedrock's embeddings are not of their documented form";
            Error::new(ErrorKind::Malformed, message).with_source(error)
        };
        if self.is_cohere() {
            let answer: Cohere = serde_json::from_slice(body).map_err(malformed)?;
            let vectors = match answer.embeddings {
                CohereVectors::Plain(vectors) | CohereVectors::Typed { float: vectors } => vectors,
            };
            return Ok(Batch { vectors, tokens: header_tokens });
        }
        let answer: Titan = serde_json::from_slice(body).map_err(malformed)?;
        Ok(Batch { vectors: vec![answer.embedding], tokens: answer.tokens.or(header_tokens) })
    }
}

#[derive(Deserialize)]
struct Titan {
    embedding: Vec<f32>,
    #[serde(default, rename = "inputTextTokenCount")]
    tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Cohere {
    embeddings: CohereVectors,
}

/// A list, or lists by their type where the request named types.
#[derive(Deserialize)]
#[serde(untagged)]
enum CohereVectors {
    Plain(Vec<Vec<f32>>),
    Typed { float: Vec<Vec<f32>> },
}
