//! Embeddings at Google: `:predict`, `:embedContent`, `:batchEmbedContents`.
//!
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>,
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/multimodal-embeddings-api>,
//! <https://ai.google.dev/api/embeddings>

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{House, refuse::serde_message, request::Content};
use crate::{
    answer::{Answer, Ask, Refusal, Result, Whole},
    script::{self, vector},
};

/// The most texts of one `:predict`, and the most requests of one batch.
const MOST_INSTANCES: usize = 250;
const MOST_REQUESTS: usize = 100;

const TASKS: [&str; 8] = [
    "RETRIEVAL_QUERY",
    "RETRIEVAL_DOCUMENT",
    "SEMANTIC_SIMILARITY",
    "CLASSIFICATION",
    "CLUSTERING",
    "QUESTION_ANSWERING",
    "FACT_VERIFICATION",
    "CODE_RETRIEVAL_QUERY",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predict<I, P> {
    instances: Vec<I>,
    parameters: Option<P>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextInstance {
    content: String,
    task_type: Option<String>,
    title: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TextParameters {
    #[serde(alias = "output_dimensionality")]
    output_dimensionality: Option<i64>,
    #[serde(rename = "autoTruncate", alias = "auto_truncate")]
    _auto_truncate: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MultimodalInstance {
    text: Option<String>,
    image: Option<Image>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Image {
    #[serde(alias = "bytes_base64_encoded")]
    bytes_base64_encoded: Option<String>,
    #[serde(alias = "gcs_uri")]
    gcs_uri: Option<String>,
    #[serde(rename = "mimeType", alias = "mime_type")]
    _mime_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MultimodalParameters {
    dimension: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EmbedContent<'a> {
    #[serde(borrow)]
    content: Content<'a>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default, alias = "task_type")]
    task_type: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default, alias = "output_dimensionality")]
    output_dimensionality: Option<i64>,
    #[serde(default, rename = "autoTruncate", alias = "auto_truncate")]
    _auto_truncate: Option<bool>,
    #[serde(default, alias = "embed_content_config")]
    embed_content_config: Option<EmbedConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EmbedConfig {
    #[serde(alias = "task_type")]
    task_type: Option<String>,
    title: Option<String>,
    #[serde(alias = "output_dimensionality")]
    output_dimensionality: Option<i64>,
    #[serde(rename = "autoTruncate", alias = "auto_truncate")]
    _auto_truncate: Option<bool>,
    #[serde(rename = "documentOcr", alias = "document_ocr")]
    _document_ocr: Option<bool>,
    #[serde(rename = "audioTrackExtraction", alias = "audio_track_extraction")]
    _audio_track_extraction: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(borrow)]
    requests: Vec<EmbedContent<'a>>,
}

/// `:predict`, for the text models and the multimodal one.
pub(super) fn predict(ask: &Ask<'_>, model: &str) -> Result<Answer> {
    if model.starts_with("multimodalembedding") {
        return predict_multimodal(ask);
    }
    let request: Predict<TextInstance, TextParameters> = ask.json(serde_message)?;
    // This model alone takes one text at a time.
    let most = if model.starts_with("gemini-embedding") { 1 } else { MOST_INSTANCES };
    if request.instances.is_empty() || request.instances.len() > most {
        let count = request.instances.len();
        let message =
            format!("{count} instance(s) is allowed per prediction. Actual: {count}, at most {most}.");
        return Err(Refusal::at("instances", message));
    }
    let longest = if model.starts_with("gemini-embedding") { 3072 } else { 768 };
    let length = length(request.parameters.and_then(|parameters| parameters.output_dimensionality), longest)?;
    let mut characters = 0;
    let mut predictions = Vec::with_capacity(request.instances.len());
    for instance in &request.instances {
        check_task(instance.task_type.as_deref(), instance.title.is_some())?;
        let text = instance.content.as_str();
        if text.is_empty() {
            return Err(Refusal::at("instances.content", "The text content is empty."));
        }
        characters += text.chars().filter(|character| !character.is_whitespace()).count();
        let mut embeddings = json!({"values": vector::unit(text, length)});
        if let (false, Some(embeddings)) = (text.contains("no-usage"), embeddings.as_object_mut()) {
            let statistics = json!({"truncated": false, "token_count": script::words(text)});
            embeddings.insert("statistics".to_owned(), statistics);
        }
        predictions.push(json!({"embeddings": embeddings}));
    }
    let body = json!({"predictions": predictions, "metadata": {"billableCharacterCount": characters}});
    Ok(Whole::json(200, &body).into())
}

fn predict_multimodal(ask: &Ask<'_>) -> Result<Answer> {
    let request: Predict<MultimodalInstance, MultimodalParameters> = ask.json(serde_message)?;
    let [instance] = request.instances.as_slice() else {
        return Err(Refusal::at("instances", "Only one instance is allowed per prediction."));
    };
    let length = match request.parameters.and_then(|parameters| parameters.dimension) {
        None => vector::LENGTH,
        Some(dimension @ (128 | 256 | 512 | 1408)) => usize::try_from(dimension).unwrap_or(vector::LENGTH),
        Some(_) => {
            return Err(Refusal::at("parameters.dimension", "dimension must be 128, 256, 512 or 1408."));
        }
    };
    let mut prediction = serde_json::Map::new();
    if let Some(text) = &instance.text {
        prediction.insert("textEmbedding".to_owned(), json!(vector::unit(text, length)));
    }
    if let Some(image) = &instance.image {
        let data = match (&image.bytes_base64_encoded, &image.gcs_uri) {
            (Some(data), None) if BASE64_STANDARD.decode(data).is_ok() => data,
            (None, Some(uri)) if uri.starts_with("gs://") => uri,
            _ => return Err(Refusal::at("instances.image", "An image needs bytesBase64Encoded or gcsUri.")),
        };
        prediction.insert("imageEmbedding".to_owned(), json!(vector::unit(data, length)));
    }
    if prediction.is_empty() {
        return Err(Refusal::at("instances", "At least one of text, image and video is required."));
    }
    Ok(Whole::json(200, &json!({"predictions": [prediction], "deployedModelId": "1"})).into())
}

/// `:embedContent`: one content.
pub(super) fn embed_content(ask: &Ask<'_>, model: &str, house: House) -> Result<Answer> {
    if house == House::Vertex && (model.starts_with("text-") || model == "gemini-embedding-001") {
        let message = format!("The embedContent method is not supported for model {model}. Use predict.");
        return Err(Refusal::at("model", message));
    }
    let request: EmbedContent<'_> = ask.json(serde_message)?;
    let text = request.text()?;
    let mut body = json!({"embedding": {"values": vector::unit(&text, request.length()?)}});
    if let (House::Vertex, false, Some(body)) = (house, text.contains("no-usage"), body.as_object_mut()) {
        let words = script::words(&text);
        body.insert("usageMetadata".to_owned(), json!({"promptTokenCount": words, "totalTokenCount": words}));
        body.insert("truncated".to_owned(), Value::Bool(false));
    }
    Ok(Whole::json(200, &body).into())
}

/// `:batchEmbedContents` of the Gemini API, which tells no usage.
pub(super) fn batch(ask: &Ask<'_>, model: &str) -> Result<Answer> {
    let batch: Batch<'_> = ask.json(serde_message)?;
    if batch.requests.is_empty() || batch.requests.len() > MOST_REQUESTS {
        let message =
            format!("BatchEmbedContentsRequest.requests: from 1 to {MOST_REQUESTS} requests are allowed.");
        return Err(Refusal::at("requests", message));
    }
    let mut embeddings = Vec::with_capacity(batch.requests.len());
    for request in &batch.requests {
        if request.model.as_deref().map(|named| named.trim_start_matches("models/")) != Some(model) {
            let message = "The model in each request must match the model of the batch.";
            return Err(Refusal::at("requests.model", message));
        }
        embeddings.push(json!({"values": vector::unit(&request.text()?, request.length()?)}));
    }
    Ok(Whole::json(200, &json!({"embeddings": embeddings})).into())
}

impl EmbedContent<'_> {
    fn text(&self) -> Result<String> {
        let config = self.embed_content_config.as_ref();
        let task =
            self.task_type.as_deref().or_else(|| config.and_then(|config| config.task_type.as_deref()));
        let titled = self.title.is_some() || config.is_some_and(|config| config.title.is_some());
        check_task(task, titled)?;
        let text = self.content.texts().collect::<Vec<_>>().join(" ");
        if text.is_empty() {
            return Err(Refusal::at("content", "The content is empty."));
        }
        Ok(text)
    }

    fn length(&self) -> Result<usize> {
        let config = self.embed_content_config.as_ref();
        length(
            self.output_dimensionality.or_else(|| config.and_then(|config| config.output_dimensionality)),
            3072,
        )
    }
}

fn check_task(task: Option<&str>, titled: bool) -> Result<()> {
    if let Some(task) = task.filter(|task| !TASKS.contains(task)) {
        return Err(Refusal::at("task_type", format!("Unsupported task type: {task}.")));
    }
    if titled && task != Some("RETRIEVAL_DOCUMENT") {
        return Err(Refusal::at("title", "The title is only valid with task_type=RETRIEVAL_DOCUMENT."));
    }
    Ok(())
}

fn length(wanted: Option<i64>, longest: i64) -> Result<usize> {
    match wanted {
        None => Ok(vector::LENGTH),
        Some(length) if (1..=longest).contains(&length) => {
            Ok(usize::try_from(length).unwrap_or(vector::LENGTH))
        }
        Some(length) => {
            let message = format!("outputDimensionality {length} is out of range: from 1 to {longest}.");
            Err(Refusal::at("outputDimensionality", message))
        }
    }
}
