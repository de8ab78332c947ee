//! The wire forms of Google's embedding methods.

use aigate_contract::{Call, Embed, Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    error::Status,
    site::{Api, Site},
};

/// One of Google's ways to embed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Vertex AI: `:predict`, many texts, or one for gemini-embedding-001.
    Predict { batch: usize },
    /// Vertex AI: `:predict` of multimodalembedding@001, one text.
    Multimodal,
    /// Vertex AI: `:embedContent`, one text; for every newer Gemini model.
    EmbedContent,
    /// Gemini API: `:batchEmbedContents`, up to 100 texts.
    BatchEmbedContents,
}

/// What one request gave.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) vectors: Vec<Vec<f32>>,
    /// `None` when Google did not say.
    pub(super) tokens: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    predictions: Vec<Prediction>,
    embedding: Option<Embedding>,
    embeddings: Vec<Embedding>,
    usage_metadata: Option<UsageMetadata>,
    truncated: bool,
    error: Option<Status>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Prediction {
    embeddings: Option<Embedding>,
    text_embedding: Option<Vec<f32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Embedding {
    values: Vec<f32>,
    statistics: Option<Statistics>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Statistics {
    token_count: Option<f64>,
    truncated: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UsageMetadata {
    prompt_token_count: Option<u64>,
}

impl Method {
    /// The method of a model, as Google's own client chooses it.
    pub(super) fn of(model: &str, api: &Api) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        match api {
            Api::Gemini => Self::BatchEmbedContents,
            Api::Vertex { .. } if name.starts_with("multimodalembedding") => Self::Multimodal,
            Api::Vertex { .. } if name == "gemini-embedding-001" => Self::Predict { batch: 1 },
            Api::Vertex { .. } if name.contains("gemini") || name.contains("maas") => Self::EmbedContent,
            Api::Vertex { .. } => Self::Predict { batch: 250 },
        }
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Predict { .. } | Self::Multimodal => "predict",
            Self::EmbedContent => "embedContent",
            Self::BatchEmbedContents => "batchEmbedContents",
        }
    }

    /// The most texts of one request.
    pub(super) fn batch(self) -> usize {
        match self {
            Self::Predict { batch } => batch,
            Self::Multimodal | Self::EmbedContent => 1,
            Self::BatchEmbedContents => 100,
        }
    }

    /// A request's body. Nothing may be cut off in silence, where Google lets us say so.
    pub(super) fn request(self, site: &Site, call: &Call<Embed>, texts: &[String]) -> Result<Value> {
        let dimensions = call.request.dimensions;
        let content = |text: &String| json!({"parts": [{"text": text}]});
        let mut options = json!({});
        Ok(match self {
            Self::Predict { .. } => {
                let instances: Vec<_> = texts.iter().map(|text| json!({"content": text})).collect();
                options["autoTruncate"] = json!(false);
                set(&mut options, "outputDimensionality", dimensions);
                json!({"instances": instances, "parameters": options})
            }
            Self::Multimodal => {
                let instances: Vec<_> = texts.iter().map(|text| json!({"text": text})).collect();
                set(&mut options, "dimension", dimensions);
                json!({"instances": instances, "parameters": options})
            }
            Self::EmbedContent => {
                options["autoTruncate"] = json!(false);
                set(&mut options, "outputDimensionality", dimensions);
                json!({"content": texts.first().map(content), "embedContentConfig": options})
            }
            Self::BatchEmbedContents => {
                let model =
                    site.resource(&call.target.model).map_err(|why| Error::new(ErrorKind::Missing, why))?;
                let request = |text: &String| {
                    let mut request = json!({"model": model, "content": content(text)});
                    set(&mut request, "outputDimensionality", dimensions);
                    request
                };
                json!({"requests": texts.iter().map(request).collect::<Vec<_>>()})
            }
        })
    }

    /// Reads an answer to `count` texts.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] when a text was cut, [`ErrorKind::Malformed`] when a vector is missing.
    pub(super) fn read(self, body: &[u8], count: usize) -> Result<Batch> {
        let answer: Answer = serde_json::from_slice(body).map_err(|error| {
            Error::new(ErrorKind::Malformed, "google's answer is not of its documented form")
                .with_source(error)
        })?;
        if let Some(error) = answer.error {
            return Err(error.into_error(None, None));
        }
        let reported = answer.usage_metadata.and_then(|usage| usage.prompt_token_count);
        let embeddings: Vec<Embedding> = match self {
            Self::Predict { .. } => {
                answer.predictions.into_iter().filter_map(|item| item.embeddings).collect()
            }
            Self::Multimodal => answer
                .predictions
                .into_iter()
                .filter_map(|item| item.text_embedding)
                .map(|values| Embedding { values, statistics: None })
                .collect(),
            Self::EmbedContent => answer.embedding.into_iter().collect(),
            Self::BatchEmbedContents => answer.embeddings,
        };
        let cut = |item: &Embedding| item.statistics.as_ref().is_some_and(|found| found.truncated);
        if answer.truncated || embeddings.iter().any(cut) {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "google cut an input that is too long for the model",
            )
            .with_param("input"));
        }
        if embeddings.len() != count || embeddings.iter().any(|item| item.values.is_empty()) {
            let message = format!("google gave {} vectors for {count} inputs", embeddings.len());
            return Err(Error::new(ErrorKind::Malformed, message));
        }
        let counted = embeddings.iter().map(Embedding::tokens).sum::<Option<u64>>();
        Ok(Batch {
            vectors: embeddings.into_iter().map(|item| item.values).collect(),
            tokens: reported.or(counted),
        })
    }
}

impl Embedding {
    fn tokens(&self) -> Option<u64> {
        let count = self.statistics.as_ref()?.token_count?;
        // Google writes the count as a float; it is a whole number far below 2^53.
        (0.0..9e15).contains(&count).then_some(count as u64)
    }
}

fn set(options: &mut Value, name: &str, value: Option<u32>) {
    if let Some(value) = value {
        options[name] = json!(value);
    }
}
