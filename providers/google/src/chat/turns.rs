//! The conversation: messages to turns that alternate between the user and the model.
//!
//! <https://ai.google.dev/api/caching#Content>

use std::collections::HashMap;

use aigate_contract::{
    Call, Error, ErrorKind, Result, Task,
    chat::{self, ChatRequest, Message, Role, TextPart, ToolCall},
};
use aigate_transport::Fetcher;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    generation::Generation,
    media::{self, Media},
    signature,
};
use crate::site::Api;

/// One turn.
#[derive(Debug, Serialize)]
pub(super) struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<Speaker>,
    pub(super) parts: Vec<Part<'a>>,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Speaker {
    User,
    Model,
}

/// A part of a turn.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Part<'a> {
    Text {
        text: &'a str,
    },
    Media(Media),
    #[serde(rename_all = "camelCase")]
    Call {
        function_call: FunctionCall<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        thought_signature: Option<&'a str>,
    },
    #[serde(rename_all = "camelCase")]
    Response {
        function_response: FunctionResponse<'a>,
    },
}

/// A tool call of the model's. Vertex AI's v1 has no field for its id: there calls and results meet by name and order.
#[derive(Debug, Serialize)]
pub(super) struct FunctionCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    args: &'a RawValue,
}

/// A tool's result.
#[derive(Debug, Serialize)]
pub(super) struct FunctionResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    response: Output<'a>,
}

#[derive(Debug, Serialize)]
struct Output<'a> {
    output: Told<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Told<'a> {
    Json(&'a RawValue),
    Text(String),
}

/// The conversation, translated.
#[derive(Debug, Default)]
pub(super) struct Turns<'a> {
    pub(super) system: Option<Content<'a>>,
    pub(super) contents: Vec<Content<'a>>,
}

/// Translates the messages. System messages become one instruction, wherever they stand.
///
/// # Errors
/// [`ErrorKind::Invalid`] or [`ErrorKind::Unsupported`] with the path of the message's field.
pub(super) async fn translate<'a, T: Task<Request = ChatRequest>>(
    call: &'a Call<T>,
    api: &Api,
    generation: Generation,
    fetcher: &Fetcher,
) -> Result<Turns<'a>> {
    let mut turns = Turns::default();
    let mut results = Results { ids: matches!(api, Api::Gemini), ..Results::default() };
    for (index, message) in call.request.messages.iter().enumerate() {
        let reader = Reader { call, index, api, fetcher };
        if message.role != Role::Tool {
            turns.push(Speaker::User, results.take());
        }
        if message.name.is_some() && message.role != Role::Tool {
            call.leave_out(&format!("messages[{index}].name"));
        }
        match message.role {
            Role::System | Role::Developer => turns.instruct(reader.texts(message)?),
            Role::User => turns.push(Speaker::User, reader.parts(message).await?),
            Role::Tool => results.add(message, reader.texts(message)?, index)?,
            Role::Assistant => {
                let mut parts = reader.parts(message).await?;
                parts.extend(message.refusal.as_deref().map(|text| Part::Text { text }));
                parts.extend(reader.calls(message, &mut results, generation)?);
                turns.push(Speaker::Model, parts);
            }
        }
    }
    turns.push(Speaker::User, results.take());
    Ok(turns)
}

impl<'a> Turns<'a> {
    fn instruct(&mut self, parts: Vec<Part<'a>>) {
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        if !parts.is_empty() {
            self.system.get_or_insert_with(|| Content { role: None, parts: Vec::new() }).parts.extend(parts);
        }
    }

    /// Adds to the speaker's turn, or begins it. Gemini refuses texts and turns that are empty.
    fn push(&mut self, speaker: Speaker, parts: Vec<Part<'a>>) {
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        match self.contents.last_mut() {
            _ if parts.is_empty() => {}
            Some(last) if last.role == Some(speaker) => last.parts.extend(parts),
            _ => self.contents.push(Content { role: Some(speaker), parts }),
        }
    }
}

impl Part<'_> {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Text { text } if text.is_empty())
    }
}

/// The calls that were made, and the results of the tools so far, which Gemini wants in the order of the calls.
#[derive(Default)]
struct Results<'a> {
    /// By the caller's id: the place among all calls, and the function's name.
    calls: HashMap<&'a str, (usize, &'a str)>,
    made: usize,
    waiting: Vec<(usize, Part<'a>)>,
    /// Whether ids are told.
    ids: bool,
}

impl<'a> Results<'a> {
    fn expect(&mut self, call: &'a ToolCall) -> Option<&'a str> {
        self.calls.insert(&call.id, (self.made, &call.function.name));
        self.made += 1;
        self.ids.then_some(&call.id)
    }

    fn add(&mut self, message: &'a Message, parts: Vec<Part<'a>>, index: usize) -> Result<()> {
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        let Some((place, name)) = self.calls.get(id).copied() else {
            let why = format!("no tool call before this message has the id `{id}`");
            return Err(
                Error::new(ErrorKind::Invalid, why).with_param(format!("messages[{index}].tool_call_id"))
            );
        };
        let response = Output { output: told(parts) };
        let function_response = FunctionResponse { id: self.ids.then_some(id), name, response };
        self.waiting.push((place, Part::Response { function_response }));
        Ok(())
    }

    fn take(&mut self) -> Vec<Part<'a>> {
        let mut results = std::mem::take(&mut self.waiting);
        results.sort_by_key(|(place, _)| *place);
        results.into_iter().map(|(_, part)| part).collect()
    }
}

/// A result that is a JSON object or list stays one; anything else is text.
fn told(parts: Vec<Part<'_>>) -> Told<'_> {
    let texts: Vec<&str> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Text { text } => Some(*text),
            _ => None,
        })
        .collect();
    if let [text] = texts.as_slice()
        && text.trim_start().starts_with(['{', '['])
        && let Ok(json) = serde_json::from_str(text)
    {
        return Told::Json(json);
    }
    Told::Text(texts.concat())
}

/// Reads one message.
struct Reader<'a, 'b, T: Task<Request = ChatRequest>> {
    call: &'a Call<T>,
    index: usize,
    api: &'b Api,
    fetcher: &'b Fetcher,
}

impl<'a, T: Task<Request = ChatRequest>> Reader<'a, '_, T> {
    fn field(&self, rest: &str) -> String {
        format!("messages[{}].{rest}", self.index)
    }

    /// The parts of a message that may hold texts only.
    fn texts(&self, message: &'a Message) -> Result<Vec<Part<'a>>> {
        match &message.content {
            None => Ok(Vec::new()),
            Some(chat::Content::Text(text)) => Ok(vec![Part::Text { text }]),
            Some(chat::Content::Parts(parts)) => {
                let mut texts = Vec::with_capacity(parts.len());
                for (place, part) in parts.iter().enumerate() {
                    match part {
                        chat::Part::Text(part) => texts.push(self.text(part)),
                        _ => self.call.unsupported(
                            &self.field(&format!("content[{place}]")),
                            "gemini takes only text in messages of this role",
                        )?,
                    }
                }
                Ok(texts)
            }
        }
    }

    /// All parts of a message. Pictures at URLs are fetched one after another.
    async fn parts(&self, message: &'a Message) -> Result<Vec<Part<'a>>> {
        let parts = match &message.content {
            None => return Ok(Vec::new()),
            Some(chat::Content::Text(text)) => return Ok(vec![Part::Text { text }]),
            Some(chat::Content::Parts(parts)) => parts,
        };
        let mut translated = Vec::with_capacity(parts.len());
        for (place, part) in parts.iter().enumerate() {
            let field = |rest: &str| self.field(&format!("content[{place}].{rest}"));
            translated.push(match part {
                chat::Part::Text(part) => self.text(part),
                chat::Part::Refusal { refusal, .. } => Part::Text { text: refusal },
                // Refused, or left out and named, by `refuse_unknown`.
                chat::Part::Other => continue,
                chat::Part::ImageUrl { image_url, cache_control, .. } => {
                    self.leave_out_cache_control(cache_control.is_some());
                    if image_url.detail.as_deref().is_some_and(|detail| detail != "auto") {
                        self.call.leave_out(&field("image_url.detail"));
                    }
                    let param = field("image_url.url");
                    Part::Media(
                        media::at_url(&image_url.url, &param, self.api, self.fetcher, &self.call.trail)
                            .await?,
                    )
                }
                chat::Part::InputAudio { input_audio, .. } => {
                    Part::Media(media::audio(input_audio, &field("input_audio"))?)
                }
                chat::Part::File { file, .. } => Part::Media(media::document(file, &field("file"))?),
            });
        }
        Ok(translated)
    }

    fn text(&self, part: &'a TextPart) -> Part<'a> {
        self.leave_out_cache_control(part.cache_control.is_some());
        Part::Text { text: &part.text }
    }

    /// Gemini finds repeated prefixes by itself.
    fn leave_out_cache_control(&self, given: bool) {
        if given {
            self.call.leave_out("cache_control");
        }
    }

    /// The tool calls of an assistant's message. The first one carries the signature of them all.
    fn calls(
        &self,
        message: &'a Message,
        results: &mut Results<'a>,
        generation: Generation,
    ) -> Result<Vec<Part<'a>>> {
        let mut parts = Vec::with_capacity(message.tool_calls.len());
        for (place, call) in message.tool_calls.iter().enumerate() {
            let field = |rest: &str| self.field(&format!("tool_calls[{place}].{rest}"));
            for (name, value) in &call.extra {
                match name.as_str() {
                    "type" if value.as_str() == Some("function") => {}
                    signature::FIELD | "index" => {}
                    _ if value.is_null() => {}
                    name => self.call.unsupported(&field(name), "gemini has nothing like it")?,
                }
            }
            let stand_in = (place == 0 && generation.wants_signatures()).then_some(signature::STAND_IN);
            parts.push(Part::Call {
                function_call: FunctionCall {
                    id: results.expect(call),
                    name: &call.function.name,
                    args: arguments(&call.function.arguments).map_err(|why| {
                        Error::new(ErrorKind::Invalid, why).with_param(field("function.arguments"))
                    })?,
                },
                thought_signature: signature::of(call).or(stand_in),
            });
        }
        Ok(parts)
    }
}

/// Arguments as JSON; OpenAI's clients write none as an empty text.
fn arguments(text: &str) -> Result<&RawValue, String> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    match serde_json::from_str::<&RawValue>(text) {
        Ok(json) if json.get().starts_with('{') => Ok(json),
        Ok(_) => Err("the arguments are not a JSON object".to_owned()),
        Err(error) => Err(format!("the arguments are not JSON: {error}")),
    }
}
