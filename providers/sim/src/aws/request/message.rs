//! The messages of a Converse request: their form, their order, and what the script hears of them.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::Value;

use super::{CachePoint, constraint, is_name};
use crate::{
    answer::{Refusal, Result},
    script::Prompt,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message<'a> {
    role: Role,
    #[serde(borrow)]
    content: Vec<Block<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
}

/// Blocks that are not told apart further are checked to be there, no more.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Block<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    #[serde(borrow)]
    Image(Image<'a>),
    #[serde(borrow)]
    Document(Document<'a>),
    #[serde(borrow)]
    ToolUse(ToolUse<'a>),
    #[serde(borrow)]
    ToolResult(ToolResult<'a>),
    CachePoint(CachePoint),
    #[expect(dead_code, reason = "checked for its type alone")]
    ReasoningContent(Value),
    #[expect(dead_code, reason = "checked for its type alone")]
    GuardContent(Value),
    #[expect(dead_code, reason = "checked for its type alone")]
    CitationsContent(Value),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Image<'a> {
    #[serde(borrow)]
    format: Cow<'a, str>,
    #[serde(borrow)]
    source: Source<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Source<'a> {
    #[serde(borrow)]
    Bytes(Cow<'a, str>),
    S3Location(S3Location),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct S3Location {
    uri: String,
    #[serde(rename = "bucketOwner")]
    _bucket_owner: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    #[serde(borrow, default)]
    format: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    source: Source<'a>,
    #[serde(default, rename = "context")]
    _context: Option<String>,
    #[serde(default, rename = "citations")]
    _citations: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ToolUse<'a> {
    #[serde(borrow)]
    tool_use_id: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    input: Value,
    #[serde(default, rename = "type")]
    _kind: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ToolResult<'a> {
    #[serde(borrow)]
    tool_use_id: Cow<'a, str>,
    #[serde(borrow)]
    content: Vec<Part<'a>>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(default, rename = "type")]
    _kind: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Part<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Json(Value),
    #[serde(borrow)]
    Image(Image<'a>),
    #[serde(borrow)]
    Document(Document<'a>),
}

/// Checks the messages and tells the prompt of them.
pub(super) fn read(
    messages: &[Message<'_>],
    with_tools: bool,
    model: &str,
    prompt: &mut Prompt,
) -> Result<()> {
    check_roles(messages, model)?;
    for (index, message) in messages.iter().enumerate() {
        message.check(index, with_tools)?;
        message.count(prompt);
    }
    check_results(messages)?;
    let said = |message: &&Message<'_>| message.role == Role::User && message.results().next().is_none();
    if let Some(user) = messages.iter().rfind(said) {
        user.hear(prompt)?;
    }
    if let [.., asked, last] = messages
        && last.results().next().is_some()
    {
        let of = |call: &ToolUse<'_>| last.results().find(|result| result.tool_use_id == call.tool_use_id);
        prompt.results = Some(asked.calls().filter_map(of).map(ToolResult::shown).collect());
    }
    Ok(())
}

/// A conversation begins with the user and takes turns; only Claude goes on from words put in its mouth.
fn check_roles(messages: &[Message<'_>], model: &str) -> Result<()> {
    let (Some(first), Some(last)) = (messages.first(), messages.last()) else {
        return Err(Refusal::invalid(
            "A conversation must have at least one message. Try again with a message.",
        ));
    };
    if first.role != Role::User {
        let message = "A conversation must start with a user message. Try again with a conversation that starts with a \
                       user message.";
        return Err(Refusal::invalid(message));
    }
    if messages.windows(2).any(|pair| matches!(pair, [before, after] if before.role == after.role)) {
        let message = "A conversation must alternate between user and assistant roles. Make sure the conversation \
                       alternates between user and assistant roles and try again.";
        return Err(Refusal::invalid(message));
    }
    if last.role != Role::User && !model.contains("anthropic") {
        let message = "A conversation must end with a user message. Try again with a conversation that ends with a user \
                       message.";
        return Err(Refusal::invalid(message));
    }
    Ok(())
}

/// Every call has its result in the very next turn, and results answer nothing else.
fn check_results(messages: &[Message<'_>]) -> Result<()> {
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        for result in message.results() {
            if let Some(place) = open.iter().position(|id| *id == result.tool_use_id) {
                open.swap_remove(place);
            } else {
                let message = format!(
                    "The number of toolResult blocks at messages.{index}.content exceeds the number of toolUse blocks of \
                     previous turn."
                );
                return Err(Refusal::invalid(message));
            }
        }
        if !open.is_empty() {
            let message = format!(
                "Expected toolResult blocks at messages.{index}.content for the following Ids: {}",
                open.join(", ")
            );
            return Err(Refusal::invalid(message));
        }
        open.extend(message.calls().map(|call| &*call.tool_use_id));
    }
    if open.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Expected toolResult blocks at messages.{}.content for the following Ids: {}",
        messages.len(),
        open.join(", ")
    );
    Err(Refusal::invalid(message))
}

impl Message<'_> {
    fn check(&self, index: usize, with_tools: bool) -> Result<()> {
        if self.content.is_empty() {
            let message = format!(
                "The content field in the Message object at messages.{index} is empty. Add a \
                                   ContentBlock object to the content field and try again."
            );
            return Err(Refusal::invalid(message));
        }
        for (at, block) in self.content.iter().enumerate() {
            block.check(self.role, &format!("messages.{index}.content.{at}"))?;
        }
        if !with_tools && (self.calls().next().is_some() || self.results().next().is_some()) {
            let message =
                "The toolConfig field must be defined when using toolUse and toolResult content blocks.";
            return Err(Refusal::invalid(message));
        }
        Ok(())
    }

    fn calls(&self) -> impl Iterator<Item = &ToolUse<'_>> {
        self.content.iter().filter_map(|block| match block {
            Block::ToolUse(call) => Some(call),
            _ => None,
        })
    }

    fn results(&self) -> impl Iterator<Item = &ToolResult<'_>> {
        self.content.iter().filter_map(|block| match block {
            Block::ToolResult(result) => Some(result),
            _ => None,
        })
    }

    fn count(&self, prompt: &mut Prompt) {
        for block in &self.content {
            match block {
                Block::Text(text) => prompt.count(text),
                Block::ToolResult(result) => prompt.count(&result.shown()),
                _ => {}
            }
        }
    }

    fn hear(&self, prompt: &mut Prompt) -> Result<()> {
        for block in &self.content {
            match block {
                Block::Text(text) => prompt.hear(text),
                Block::Image(image) => match &image.source {
                    Source::Bytes(data) => prompt.see(&format!("image/{}", image.format), decoded(data)?),
                    Source::S3Location(place) => {
                        prompt.images.push(format!("[image/{} {}]", image.format, place.uri))
                    }
                    Source::Text(_) => return Err(Refusal::invalid("An image has no text.")),
                },
                Block::Document(document) => {
                    let length = match &document.source {
                        Source::Bytes(data) => decoded(data)?,
                        Source::Text(text) => text.len(),
                        Source::S3Location(_) => 0,
                    };
                    let kind = document.format.as_deref().unwrap_or("txt");
                    prompt.images.push(format!("[document/{kind} {length} bytes]"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Block<'_> {
    fn check(&self, role: Role, at: &str) -> Result<()> {
        match self {
            Self::Text(text) if text.trim().is_empty() => {
                let message = format!(
                    "The text field in the ContentBlock object at {at} is blank. Add text to the text field, and try again."
                );
                Err(Refusal::invalid(message))
            }
            Self::Text(_) | Self::ReasoningContent(_) | Self::GuardContent(_) | Self::CitationsContent(_) => {
                Ok(())
            }
            Self::CachePoint(point) => point.check(),
            Self::Image(image) => image.check(role, at),
            Self::Document(document) => document.check(role, at),
            Self::ToolUse(call) if role == Role::Assistant => call.check(at),
            Self::ToolUse(_) => {
                Err(Refusal::invalid(format!("toolUse blocks at {at} belong to the assistant.")))
            }
            Self::ToolResult(result) if role == Role::User => result.check(at),
            Self::ToolResult(_) => {
                Err(Refusal::invalid(format!("toolResult blocks at {at} belong to the user.")))
            }
        }
    }
}

impl Image<'_> {
    fn check(&self, role: Role, at: &str) -> Result<()> {
        if !["png", "jpeg", "gif", "webp"].contains(&&*self.format) {
            return Err(constraint(&format!("{at}.image.format"), "one of [png, jpeg, gif, webp]"));
        }
        if role == Role::Assistant {
            return Err(Refusal::invalid(format!("Images at {at} belong to the user.")));
        }
        Ok(())
    }
}

impl Document<'_> {
    fn check(&self, role: Role, at: &str) -> Result<()> {
        let formats = ["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"];
        if self.format.as_deref().is_some_and(|format| !formats.contains(&format)) {
            return Err(constraint(&format!("{at}.document.format"), "one of the document formats"));
        }
        let sound = |letter: char| letter.is_alphanumeric() || " ()[]-".contains(letter);
        if self.name.is_empty() || self.name.chars().count() > 200 || !self.name.chars().all(sound) {
            let message = "The document file name can only contain alphanumeric characters, whitespace characters, \
                           hyphens, parentheses, and square brackets.";
            return Err(Refusal::invalid(message));
        }
        if role == Role::Assistant {
            return Err(Refusal::invalid(format!("Documents at {at} belong to the user.")));
        }
        Ok(())
    }
}

impl ToolUse<'_> {
    fn check(&self, at: &str) -> Result<()> {
        if !is_name(&self.name) || !is_id(&self.tool_use_id) {
            return Err(constraint(&format!("{at}.toolUse"), "pattern [a-zA-Z0-9_-]+, length from 1 to 64"));
        }
        if self.input.is_object() {
            return Ok(());
        }
        let message = format!(
            "The format of the value at {at}.toolUse.input is invalid. Provide a json object for the field and try again."
        );
        Err(Refusal::invalid(message))
    }
}

impl ToolResult<'_> {
    fn check(&self, at: &str) -> Result<()> {
        if !is_id(&self.tool_use_id) {
            return Err(constraint(&format!("{at}.toolResult.toolUseId"), "pattern [a-zA-Z0-9_.:-]+"));
        }
        if self.status.as_deref().is_some_and(|status| !["success", "error"].contains(&status)) {
            return Err(constraint(&format!("{at}.toolResult.status"), "one of [success, error]"));
        }
        for part in &self.content {
            match part {
                Part::Json(json) if !json.is_object() => {
                    let message = format!(
                        "The format of the value at {at}.toolResult.content.0.json is invalid. Provide a json object for \
                         the field and try again."
                    );
                    return Err(Refusal::invalid(message));
                }
                Part::Image(image) => image.check(Role::User, at)?,
                Part::Document(document) => document.check(Role::User, at)?,
                Part::Text(_) | Part::Json(_) => {}
            }
        }
        Ok(())
    }

    /// Its content as text.
    fn shown(&self) -> String {
        let parts = self.content.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.to_string()),
            Part::Json(json) => Some(json.to_string()),
            Part::Image(_) | Part::Document(_) => None,
        });
        parts.collect::<Vec<_>>().join(" ")
    }
}

fn is_id(id: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    (1..=64).contains(&id.len()) && id.bytes().all(sound)
}

fn decoded(data: &str) -> Result<usize> {
    let bytes = BASE64_STANDARD.decode(data.as_bytes());
    bytes.map(|bytes| bytes.len()).map_err(|_| Refusal::invalid("The bytes are not base64."))
}
