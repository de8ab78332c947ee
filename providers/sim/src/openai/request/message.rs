//! The messages of a chat request: their form, their order, and what the script hears of them.

use std::{borrow::Cow, fmt};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor, value::SeqAccessDeserializer},
};
use serde_json::Value;

use crate::{
    answer::{Refusal, Result},
    script::Prompt,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message<'a> {
    role: Role,
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(borrow, default)]
    tool_call_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    refusal: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "name")]
    _name: Option<Cow<'a, str>>,
    /// Callers send answers back as they got them; these come in answers.
    #[serde(default, rename = "annotations")]
    _annotations: Option<Vec<Value>>,
    #[serde(default)]
    audio: Option<Value>,
    #[serde(default)]
    function_call: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
}

#[derive(Debug)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Part {
    Text { text: String },
    ImageUrl { image_url: ImageUrl },
    InputAudio { input_audio: Value },
    File { file: Value },
    Refusal { refusal: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageUrl {
    url: String,
    detail: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolCall<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    function: CalledFunction<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CalledFunction<'a> {
    #[serde(borrow, rename = "name")]
    _name: Cow<'a, str>,
    #[serde(borrow)]
    arguments: Cow<'a, str>,
}

/// Checks the messages and tells the prompt of them.
pub(super) fn read(messages: &[Message<'_>], prompt: &mut Prompt) -> Result<()> {
    for (index, message) in messages.iter().enumerate() {
        message.check(index)?;
        for text in message.texts() {
            prompt.count(text);
        }
    }
    check_order(messages)?;
    if let Some((index, user)) = messages.iter().enumerate().rfind(|(_, message)| message.role == Role::User)
    {
        for text in user.texts() {
            prompt.hear(text);
        }
        user.see(index, prompt)?;
    }
    prompt.results = results(messages);
    Ok(())
}

/// Every tool call must be answered by the tool messages right behind it, and those answer nothing else.
fn check_order(messages: &[Message<'_>]) -> Result<()> {
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let field = format_args!("messages[{index}]");
        if message.role == Role::Tool {
            let id = message.tool_call_id.as_deref().unwrap_or_default();
            let Some(place) = open.iter().position(|open| *open == id) else {
                let text = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message \
                            with 'tool_calls'.";
                return Err(Refusal::at(format!("{field}.role"), text));
            };
            open.swap_remove(place);
            continue;
        }
        unanswered(&open)?;
        open.extend(message.tool_calls.iter().flatten().map(|call| &*call.id));
    }
    unanswered(&open)
}

fn unanswered(open: &[&str]) -> Result<()> {
    if open.is_empty() {
        return Ok(());
    }
    let message = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. \
         The following tool_call_ids did not have response messages: {}",
        open.join(", ")
    );
    Err(Refusal::at("messages", message))
}

/// The results that end the conversation, in the order of their calls.
fn results(messages: &[Message<'_>]) -> Option<Vec<String>> {
    let asked = messages.iter().rposition(|message| message.role != Role::Tool)?;
    let results = messages.get(asked + 1..).filter(|results| !results.is_empty())?;
    let calls = messages.get(asked)?.tool_calls.as_deref().unwrap_or_default();
    let of = |call: &ToolCall<'_>| {
        let result = results.iter().find(|result| result.tool_call_id.as_deref() == Some(&*call.id));
        result.map(|result| result.texts().collect::<Vec<_>>().join(" "))
    };
    Some(calls.iter().filter_map(of).collect())
}

impl Message<'_> {
    fn check(&self, index: usize) -> Result<()> {
        let refuse =
            |field: &str, message: String| Err(Refusal::at(format!("messages[{index}].{field}"), message));
        let calls = self.tool_calls.as_deref().unwrap_or_default();
        if self.role != Role::Assistant && self.tool_calls.is_some() {
            return refuse("tool_calls", format!("Unknown parameter: 'messages[{index}].tool_calls'."));
        }
        if self.role != Role::Assistant && (self.refusal.is_some() || self.audio.is_some()) {
            return refuse("refusal", format!("Unknown parameter: 'messages[{index}].refusal'."));
        }
        if self.function_call.is_some() {
            return refuse(
                "function_call",
                "Unsupported parameter: 'function_call' is deprecated.".to_owned(),
            );
        }
        if self.tool_calls.as_ref().is_some_and(Vec::is_empty) {
            let message = format!("Invalid 'messages[{index}].tool_calls': empty array.");
            return refuse("tool_calls", message);
        }
        let may_be_silent = self.role == Role::Assistant && (!calls.is_empty() || self.refusal.is_some());
        if self.content.is_none() && !may_be_silent {
            let message = "Invalid value for 'content': expected a string, got null.".to_owned();
            return refuse("content", message);
        }
        if (self.role == Role::Tool) != self.tool_call_id.is_some() {
            return refuse(
                "tool_call_id",
                format!("Missing or unknown parameter: 'messages[{index}].tool_call_id'."),
            );
        }
        for call in calls {
            if call.kind != "function" || serde_json::from_str::<Value>(&call.function.arguments).is_err() {
                return refuse("tool_calls", "A tool call is a function with JSON arguments.".to_owned());
            }
        }
        self.check_parts(index)
    }

    fn check_parts(&self, index: usize) -> Result<()> {
        let Some(Content::Parts(parts)) = &self.content else { return Ok(()) };
        if parts.is_empty() {
            let message = format!("Invalid 'messages[{index}].content': empty array.");
            return Err(Refusal::at(format!("messages[{index}].content"), message));
        }
        for (at, part) in parts.iter().enumerate() {
            let fits = match part {
                Part::Text { .. } => true,
                Part::Refusal { .. } => self.role == Role::Assistant,
                Part::ImageUrl { image_url } => {
                    let details = ["auto", "low", "high"];
                    self.role == Role::User
                        && image_url.detail.as_deref().is_none_or(|word| details.contains(&word))
                }
                Part::InputAudio { input_audio } => self.role == Role::User && input_audio.is_object(),
                Part::File { file } => self.role == Role::User && file.is_object(),
            };
            if !fits {
                let field = format!("messages[{index}].content[{at}]");
                return Err(Refusal::at(field.as_str(), format!("Invalid value for '{field}'.")));
            }
        }
        Ok(())
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let (text, parts) = match &self.content {
            None => (None, &[][..]),
            Some(Content::Text(text)) => (Some(&**text), &[][..]),
            Some(Content::Parts(parts)) => (None, parts.as_slice()),
        };
        text.into_iter().chain(parts.iter().filter_map(|part| match part {
            Part::Text { text } | Part::Refusal { refusal: text } => Some(text.as_str()),
            _ => None,
        }))
    }

    /// Tells the prompt of the pictures.
    fn see(&self, index: usize, prompt: &mut Prompt) -> Result<()> {
        let Some(Content::Parts(parts)) = &self.content else { return Ok(()) };
        for part in parts {
            let Part::ImageUrl { image_url } = part else { continue };
            let url = image_url.url.as_str();
            if url.starts_with("http://") || url.starts_with("https://") {
                prompt.images.push(format!("[{url}]"));
                continue;
            }
            let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
            let bytes = data.and_then(|(kind, data)| Some((kind, BASE64_STANDARD.decode(data).ok()?.len())));
            let kinds = ["image/png", "image/jpeg", "image/gif", "image/webp"];
            match bytes {
                Some((kind, length)) if kinds.contains(&kind) => prompt.see(kind, length),
                _ => {
                    let field = format!("messages[{index}].content");
                    return Err(Refusal::at(
                        field,
                        "Invalid image data. Please check that it is a valid image.",
                    ));
                }
            }
        }
        Ok(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Content<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of content parts")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<Content<'de>, E> {
                Ok(Content::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> std::result::Result<Content<'de>, E> {
                Ok(Content::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> std::result::Result<Content<'de>, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(parts)).map(Content::Parts)
            }
        }

        deserializer.deserialize_any(Reader)
    }
}
