//! From a chat request in the OpenAI shape to `GenerateContentRequest`.
//!
//! <https://ai.google.dev/api/generate-content#request-body>

use std::collections::BTreeMap;

use aigate_contract::{Call, Error, Result, Task, chat::ChatRequest};
use aigate_transport::Fetcher;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    generation::{self, Generation, GenerationConfig},
    tools::{self, ToolConfig, ToolSet},
    turns::{self, Content},
};
use crate::site::Api;

/// The body.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GenerateContent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'a>>,
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[ToolSet<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    generation_config: GenerationConfig<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

/// Translates a request. May fetch pictures.
///
/// # Errors
/// [`aigate_contract::ErrorKind::Unsupported`] naming what Gemini cannot honour,
/// [`aigate_contract::ErrorKind::Invalid`] naming what is wrong anywhere.
pub(super) async fn translate<'a, T: Task<Request = ChatRequest>>(
    call: &'a Call<T>,
    api: &Api,
    fetcher: &Fetcher,
) -> Result<GenerateContent<'a>> {
    let request: &ChatRequest = &call.request;
    let generation = Generation::of(&call.target.model);
    let labels = labels(call, api)?;
    if request.stream_options.is_some_and(|options| options.include_obfuscation == Some(true)) {
        call.leave_out("stream_options.include_obfuscation");
    }
    let generation_config = generation::config(call, generation)?;
    let (tools, tool_config) = tools::translate(call)?;
    let turns = turns::translate(call, api, generation, fetcher).await?;
    if turns.contents.is_empty() {
        return Err(Error::unsupported("messages", "gemini needs a message of the user that is not empty"));
    }
    Ok(GenerateContent {
        system_instruction: turns.system,
        contents: turns.contents,
        tools,
        tool_config,
        generation_config,
        labels,
    })
}

/// `user` and `metadata` become labels of the bill at Vertex AI, where they fit its rules.
/// <https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/add-labels-to-api-calls>
fn labels<T: Task<Request = ChatRequest>>(call: &Call<T>, api: &Api) -> Result<BTreeMap<String, String>> {
    let request: &ChatRequest = &call.request;
    let mut labels = BTreeMap::new();
    let mut handled = vec!["extra_content"];
    if let Api::Vertex { .. } = api {
        if let Some(user) = request.user.as_deref().filter(|user| fits(user)) {
            labels.insert("user".to_owned(), user.to_owned());
            handled.push("user");
        }
        let metadata = request.body.get::<Map<String, Value>>("metadata").ok().flatten().unwrap_or_default();
        for (name, value) in &metadata {
            match value.as_str().filter(|value| fits(value)) {
                Some(value) if is_key(name) && labels.len() < 64 && !labels.contains_key(name) => {
                    labels.insert(name.clone(), value.to_owned());
                }
                _ => call.leave_out(&format!("metadata.{name}")),
            }
        }
        if !metadata.is_empty() {
            handled.push("metadata");
        }
    }
    request.refuse_unknown(call, &handled)?;
    Ok(labels)
}

fn fits(value: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    !value.is_empty() && value.len() <= 63 && value.bytes().all(legal)
}

fn is_key(name: &str) -> bool {
    fits(name) && name.starts_with(|letter: char| letter.is_ascii_lowercase())
}
