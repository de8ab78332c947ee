//! Contents and their parts: their form, their order, and what the script hears of them.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    answer::{Refusal, Result},
    script::Prompt,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::google) struct Content<'a> {
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    parts: Vec<Part<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default, alias = "inline_data")]
    inline_data: Option<Blob<'a>>,
    #[serde(borrow, default, alias = "file_data")]
    file_data: Option<FileData<'a>>,
    #[serde(borrow, default, alias = "function_call")]
    function_call: Option<FunctionCall<'a>>,
    #[serde(borrow, default, alias = "function_response")]
    function_response: Option<FunctionResponse<'a>>,
    #[serde(default)]
    thought: Option<bool>,
    #[serde(default, rename = "thoughtSignature", alias = "thought_signature")]
    _thought_signature: Option<String>,
    #[serde(default, rename = "videoMetadata", alias = "video_metadata")]
    _video_metadata: Option<Value>,
    #[serde(default, rename = "mediaResolution", alias = "media_resolution")]
    _media_resolution: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Blob<'a> {
    #[serde(borrow, alias = "mime_type")]
    mime_type: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(default, rename = "displayName", alias = "display_name")]
    _display_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileData<'a> {
    #[serde(borrow, default, alias = "mime_type")]
    mime_type: Option<Cow<'a, str>>,
    #[serde(borrow, alias = "file_uri")]
    file_uri: Cow<'a, str>,
    #[serde(default, rename = "displayName", alias = "display_name")]
    _display_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FunctionCall<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    args: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FunctionResponse<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    response: Value,
    #[serde(default, rename = "parts")]
    _parts: Option<Value>,
}

/// Checks the contents and tells the prompt of them.
pub(super) fn read(contents: &[Content<'_>], prompt: &mut Prompt) -> Result<()> {
    if contents.is_empty() {
        return Err(Refusal::at("contents", "contents is not specified"));
    }
    for (index, content) in contents.iter().enumerate() {
        content.check(index)?;
        content.count(prompt);
    }
    check_order(contents)?;
    // A user turn that only carries results is not what the user said last.
    let said = |content: &&Content<'_>| content.is_user() && content.responses().next().is_none();
    if let Some(user) = contents.iter().rfind(said) {
        user.hear(prompt)?;
    }
    prompt.results = results(contents);
    Ok(())
}

/// A turn of calls is followed by a turn of as many responses, and responses follow nothing else.
fn check_order(contents: &[Content<'_>]) -> Result<()> {
    let mut open: Option<usize> = None;
    for content in contents {
        let responses = content.responses().count();
        match (open.take(), responses) {
            (None, 0) => {}
            (None, _) => {
                let message =
                    "Please ensure that function response turn comes immediately after a function call turn.";
                return Err(Refusal::at("contents", message));
            }
            (Some(calls), responses) if calls != responses => return Err(Refusal::at("contents", UNEQUAL)),
            (Some(_), _) => {}
        }
        let calls = content.calls().count();
        open = (calls > 0).then_some(calls);
    }
    // A conversation may not end with open calls either: there is nothing for the model to add.
    if open.is_some() { Err(Refusal::at("contents", UNEQUAL)) } else { Ok(()) }
}

const UNEQUAL: &str = "Please ensure that the number of function response parts is equal to the number of function call \
                       parts of the function call turn.";

/// The results that end the conversation, in the order of their calls.
fn results(contents: &[Content<'_>]) -> Option<Vec<String>> {
    let (last, before) = contents.split_last()?;
    let mut left: Vec<_> = last.responses().collect();
    if left.is_empty() {
        return None;
    }
    let mut results = Vec::with_capacity(left.len());
    for call in before.last().into_iter().flat_map(Content::calls) {
        let fits = |response: &&FunctionResponse<'_>| match (&call.id, &response.id) {
            (Some(call), Some(response)) => call == response,
            _ => call.name == response.name,
        };
        let Some(place) = left.iter().position(fits) else { continue };
        results.push(shown(&left.remove(place).response));
    }
    results.extend(left.into_iter().map(|response| shown(&response.response)));
    Some(results)
}

/// A response as text: what it wraps, if it wraps one text under a usual name, else its JSON.
fn shown(response: &Value) -> String {
    let one = response.as_object().filter(|object| object.len() == 1).and_then(|object| object.iter().next());
    match one {
        Some((name, Value::String(text)))
            if ["output", "result", "content", "error"].contains(&name.as_str()) =>
        {
            text.clone()
        }
        _ => response.to_string(),
    }
}

impl Content<'_> {
    fn is_user(&self) -> bool {
        self.role.as_deref().is_none_or(|role| role != "model")
    }

    fn check(&self, index: usize) -> Result<()> {
        let at = |field: &str| format!("contents[{index}].{field}");
        // `function` is the older role of responses.
        if !["user", "model", "function"].contains(&self.role.as_deref().unwrap_or("user")) {
            let message = "Please use a valid role: user, model.";
            return Err(Refusal::at(at("role"), message));
        }
        if self.parts.is_empty() {
            let message = "Unable to submit request because it must include at least one parts field, which describes \
                           the prompt input.";
            return Err(Refusal::at(at("parts"), message));
        }
        for part in &self.parts {
            let kinds = [
                part.text.is_some(),
                part.inline_data.is_some(),
                part.file_data.is_some(),
                part.function_call.is_some(),
                part.function_response.is_some(),
            ];
            if kinds.into_iter().filter(|set| *set).count() != 1 {
                let message =
                    format!("{}: required oneof field 'data' must have one initialized field", at("parts"));
                return Err(Refusal::at(at("parts"), message));
            }
            if part.function_call.is_some() && self.is_user()
                || part.function_response.is_some() && !self.is_user()
            {
                return Err(Refusal::at(
                    at("role"),
                    "Function calls belong to the model, responses to the user.",
                ));
            }
            let object = |value: &Value| value.is_object();
            let calls = part.function_call.as_ref().and_then(|call| call.args.as_ref()).is_none_or(object);
            if !calls
                || !part.function_response.as_ref().map(|response| &response.response).is_none_or(object)
            {
                return Err(Refusal::at(at("parts"), "Arguments and responses are objects (Struct)."));
            }
        }
        Ok(())
    }

    fn calls(&self) -> impl Iterator<Item = &FunctionCall<'_>> {
        self.parts.iter().filter_map(|part| part.function_call.as_ref())
    }

    fn responses(&self) -> impl Iterator<Item = &FunctionResponse<'_>> {
        self.parts.iter().filter_map(|part| part.function_response.as_ref())
    }

    pub(in crate::google) fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter(|part| part.thought != Some(true)).filter_map(|part| part.text.as_deref())
    }

    /// Counts its words; responses count as what they say.
    pub(super) fn count(&self, prompt: &mut Prompt) {
        for text in self.texts() {
            prompt.count(text);
        }
        for response in self.responses() {
            prompt.count(&shown(&response.response));
        }
    }

    fn hear(&self, prompt: &mut Prompt) -> Result<()> {
        for text in self.texts() {
            prompt.hear(text);
        }
        for part in &self.parts {
            if let Some(blob) = &part.inline_data {
                let bytes = BASE64_STANDARD.decode(blob.data.as_bytes()).map_err(|_| {
                    Refusal::at(
                        "contents.parts.inline_data.data",
                        "Invalid value (TYPE_BYTES): Base64 decoding failed.",
                    )
                })?;
                prompt.see(&blob.mime_type, bytes.len());
            }
            if let Some(file) = &part.file_data {
                let kind = file.mime_type.as_deref().unwrap_or("file");
                prompt.images.push(format!("[{kind} {}]", file.file_uri));
            }
        }
        Ok(())
    }
}
