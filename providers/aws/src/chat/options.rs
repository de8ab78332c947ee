//! Sampling, the form of the answer, and what is told beside the conversation.

use std::collections::HashMap;

use aigate_contract::{
    Call, Error, ErrorKind, Result, Task,
    chat::{ChatRequest, JsonSchemaFormat, ResponseFormat},
};
use aws_sdk_bedrockruntime::types::{
    InferenceConfiguration, JsonSchemaDefinition, OutputConfig, OutputFormat, OutputFormatStructure,
    OutputFormatType, ServiceTier, ServiceTierType,
};
use serde_json::{Map, Value};

use super::unbuilt;
use crate::model::Family;

/// `requestMetadata` holds at most this many entries.
const MAX_METADATA: usize = 16;

/// Refuses what Converse cannot do. What OpenAI's own models at Bedrock know beyond it goes into `model_fields`:
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html>
///
/// # Errors
/// The first field that changes the answer and cannot be honoured.
pub(super) fn refuse<T>(call: &Call<T>, family: Family, model_fields: &mut Map<String, Value>) -> Result<()>
where
    T: Task<Request = ChatRequest>,
{
    let request = &*call.request;
    // A penalty of zero is none.
    let penalty = |value: Option<f64>| value.filter(|value| *value != 0.0).map(Value::from);
    for (name, value) in [
        ("seed", request.seed.map(Value::from)),
        ("presence_penalty", penalty(request.presence_penalty)),
        ("frequency_penalty", penalty(request.frequency_penalty)),
    ] {
        match value {
            Some(value) if family == Family::OpenAi => {
                model_fields.insert(name.to_owned(), value);
            }
            Some(_) => call.unsupported(name, "Bedrock's Converse API has nothing like it")?,
            None => {}
        }
    }
    if request.logprobs == Some(true) {
        call.unsupported("logprobs", "Bedrock's Converse API gives no log probabilities")?;
    }
    if request.top_logprobs.is_some_and(|count| count > 0) {
        call.unsupported("top_logprobs", "Bedrock's Converse API gives no log probabilities")?;
    }
    if request.n.is_some_and(|count| count > 1) {
        call.unsupported("n", "Bedrock's Converse API gives one answer")?;
    }
    Ok(())
}

/// `inferenceConfig`.
///
/// # Errors
/// A limit of tokens beyond what the API can say.
pub(super) fn inference(request: &ChatRequest) -> Result<Option<InferenceConfiguration>> {
    let max_tokens = request.max_tokens.map(i32::try_from).transpose().map_err(|_| {
        Error::new(ErrorKind::Invalid, "more tokens than Bedrock can count").with_param("max_tokens")
    })?;
    if max_tokens.is_none()
        && request.temperature.is_none()
        && request.top_p.is_none()
        && request.stop.is_empty()
    {
        return Ok(None);
    }
    let inference = InferenceConfiguration::builder()
        .set_max_tokens(max_tokens)
        .set_temperature(request.temperature.map(single))
        .set_top_p(request.top_p.map(single))
        .set_stop_sequences((!request.stop.is_empty()).then(|| request.stop.clone()));
    Ok(Some(inference.build()))
}

/// The API's numbers are of single precision.
fn single(number: f64) -> f32 {
    number as f32
}

/// `outputConfig`: the answer's schema, and the effort where the model takes it there.
///
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html>
///
/// # Errors
/// A form of the answer that Converse cannot promise.
pub(super) fn output<T>(call: &Call<T>, effort: Option<String>) -> Result<Option<OutputConfig>>
where
    T: Task<Request = ChatRequest>,
{
    const FIELD: &str = "response_format";
    let format = match &call.request.response_format {
        None | Some(ResponseFormat::Text) => None,
        Some(ResponseFormat::Other) => {
            call.unsupported("response_format", "Bedrock knows text and json_schema")?;
            None
        }
        Some(ResponseFormat::JsonObject) => {
            call.unsupported(FIELD, "Bedrock has no JSON mode without a schema: use `json_schema`")?;
            None
        }
        Some(ResponseFormat::JsonSchema { json_schema }) => match &json_schema.schema {
            Some(schema) => Some(schema_format(json_schema, schema)?),
            None => {
                call.unsupported(FIELD, "Bedrock wants the schema that the answer must follow")?;
                None
            }
        },
    };
    if format.is_none() && effort.is_none() {
        return Ok(None);
    }
    Ok(Some(OutputConfig::builder().set_text_format(format).set_effort(effort).build()))
}

fn schema_format(wanted: &JsonSchemaFormat, schema: &Map<String, Value>) -> Result<OutputFormat> {
    let text = serde_json::to_string(schema)
        .map_err(|error| Error::new(ErrorKind::Internal, "a schema cannot be written").with_source(error))?;
    let definition = JsonSchemaDefinition::builder()
        .name(&wanted.name)
        .set_description(wanted.description.clone())
        .schema(text)
        .build()
        .map_err(unbuilt)?;
    OutputFormat::builder()
        .r#type(OutputFormatType::JsonSchema)
        .structure(OutputFormatStructure::JsonSchema(definition))
        .build()
        .map_err(unbuilt)
}

/// `requestMetadata`: `metadata`, and `user` under its own name, as far as they fit the API's rules.
///
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>
///
/// # Errors
/// None today: what does not fit is left out and named.
pub(super) fn metadata<T>(call: &Call<T>) -> Result<Option<HashMap<String, String>>>
where
    T: Task<Request = ChatRequest>,
{
    let request = &*call.request;
    let mut entries = HashMap::new();
    if request.body.raw("metadata").is_some() {
        match request.body.get::<HashMap<String, String>>("metadata") {
            Ok(None) => {}
            Ok(Some(wanted))
                if wanted.len() <= MAX_METADATA
                    && wanted.iter().all(|(key, value)| !key.is_empty() && fits(key) && fits(value)) =>
            {
                entries = wanted;
            }
            Ok(Some(_)) | Err(_) => call.leave_out("metadata"),
        }
    }
    if let Some(user) = &request.user {
        if fits(user) && entries.len() < MAX_METADATA && !entries.contains_key("user") {
            entries.insert("user".to_owned(), user.clone());
        } else {
            call.leave_out("user");
        }
    }
    Ok((!entries.is_empty()).then_some(entries))
}

fn fits(text: &str) -> bool {
    let fits = |character: char| {
        character.is_ascii_alphanumeric()
            || character.is_ascii_whitespace()
            || "._:/=+$@-".contains(character)
    };
    text.len() <= 256 && text.chars().all(fits)
}

/// `serviceTier`. `auto` is what Bedrock does by itself.
///
/// # Errors
/// None today: a tier that Bedrock does not have is left out and named.
pub(super) fn tier<T>(call: &Call<T>) -> Result<Option<ServiceTier>>
where
    T: Task<Request = ChatRequest>,
{
    const FIELD: &str = "service_tier";
    let tier = match call.request.body.get::<String>(FIELD) {
        Ok(None) => return Ok(None),
        Ok(Some(word)) if word == "auto" => return Ok(None),
        Ok(Some(word)) => ServiceTierType::try_parse(&word).ok(),
        Err(_) => None,
    };
    match tier {
        Some(tier) => ServiceTier::builder().r#type(tier).build().map(Some).map_err(unbuilt),
        None => {
            call.leave_out(FIELD);
            Ok(None)
        }
    }
}
