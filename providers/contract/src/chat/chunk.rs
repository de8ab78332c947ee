//! The answer of `POST /v1/chat/completions`, streamed.
//!
//! <https://platform.openai.com/docs/api-reference/chat-streaming>

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use serde::Serialize;
use serde_json::Value;

use crate::{Error, ErrorKind, FinishReason, OpenAiUsage, Result, Usage};

/// The chunks of an answer. An error is the last item; an end without one means that the provider's final event came.
pub type ChunkStream = Pin<Box<dyn Stream<Item = Result<ChatChunk>> + Send>>;

/// One `chat.completion.chunk`, already written as JSON, with what the policies need to know of it.
#[derive(Clone, Debug)]
pub struct ChatChunk {
    /// The JSON text for the caller.
    pub json: Bytes,
    /// Why choices ended, if this chunk says so.
    pub finish: Vec<FinishReason>,
    /// What the call consumed, if this chunk says so.
    pub usage: Option<Usage>,
    /// Whether the chunk has no choices, only the usage: for callers who asked for it.
    pub usage_only: bool,
}

/// Writes the chunks of one answer, for providers that do not speak OpenAI.
#[derive(Clone, Debug)]
pub struct ChunkWriter {
    id: String,
    created: u64,
    model: String,
}

/// What a chunk adds to one choice.
#[derive(Debug, Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[ToolCallDelta<'a>; 1]>,
}

#[derive(Debug, Serialize)]
struct ToolCallDelta<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: FunctionDelta<'a>,
}

#[derive(Debug, Serialize)]
struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

#[derive(Serialize)]
struct WireChunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [WireChoice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<OpenAiUsage>,
}

#[derive(Serialize)]
struct WireChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    finish_reason: Option<&'a FinishReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    native_finish_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<&'a Value>,
}

impl ChunkWriter {
    /// Chunks of the answer `id` (the provider's own, or one made for it), begun at `created` (seconds since the
    /// epoch) by `model`.
    pub fn new(id: impl Into<String>, created: u64, model: impl Into<String>) -> Self {
        Self { id: id.into(), created, model: model.into() }
    }

    /// The first chunk of a choice: the assistant begins to speak.
    ///
    /// # Errors
    /// As all writers here: [`ErrorKind::Internal`] if JSON cannot be written, which no value can cause.
    pub fn role(&self, index: u32) -> Result<ChatChunk> {
        self.delta(index, Delta { role: Some("assistant"), content: Some(""), ..Delta::default() }, None)
    }

    /// More text, with `logprobs` in OpenAI's form where the provider gives them.
    ///
    /// # Errors
    /// See [`Self::role`].
    pub fn text(&self, index: u32, text: &str, logprobs: Option<&Value>) -> Result<ChatChunk> {
        self.delta(index, Delta { content: Some(text), ..Delta::default() }, logprobs)
    }

    /// More reasoning.
    ///
    /// # Errors
    /// See [`Self::role`].
    pub fn reasoning(&self, index: u32, text: &str) -> Result<ChatChunk> {
        self.delta(index, Delta { reasoning_content: Some(text), ..Delta::default() }, None)
    }

    /// A tool call begins: the `call`-th of this choice. `arguments` may be its first piece, or all of them.
    ///
    /// # Errors
    /// See [`Self::role`].
    pub fn tool_call(
        &self,
        index: u32,
        call: u32,
        id: &str,
        name: &str,
        arguments: &str,
    ) -> Result<ChatChunk> {
        let function = FunctionDelta { name: Some(name), arguments };
        let call = ToolCallDelta { index: call, id: Some(id), kind: Some("function"), function };
        self.delta(index, Delta { tool_calls: Some([call]), ..Delta::default() }, None)
    }

    /// More of a tool call's arguments.
    ///
    /// # Errors
    /// See [`Self::role`].
    pub fn tool_arguments(&self, index: u32, call: u32, arguments: &str) -> Result<ChatChunk> {
        let function = FunctionDelta { name: None, arguments };
        let call = ToolCallDelta { index: call, id: None, kind: None, function };
        self.delta(index, Delta { tool_calls: Some([call]), ..Delta::default() }, None)
    }

    /// A choice ends; `native` is the provider's own word for why.
    ///
    /// # Errors
    /// See [`Self::role`].
    pub fn finish(&self, index: u32, reason: FinishReason, native: Option<&str>) -> Result<ChatChunk> {
        let choice = WireChoice {
            index,
            delta: Delta::default(),
            finish_reason: Some(&reason),
            native_finish_reason: native,
            logprobs: None,
        };
        let json = self.write(&[choice], None)?;
        Ok(ChatChunk { json, finish: vec![reason], usage: None, usage_only: false })
    }

    /// What the call consumed: the last chunk, without choices.
    ///
    /// # Errors
    /// See [`Self::role`].
    pub fn usage(&self, usage: Usage) -> Result<ChatChunk> {
        let json = self.write(&[], Some(OpenAiUsage::from(&usage)))?;
        Ok(ChatChunk { json, finish: Vec::new(), usage: Some(usage), usage_only: true })
    }

    fn delta(&self, index: u32, delta: Delta<'_>, logprobs: Option<&Value>) -> Result<ChatChunk> {
        let choice = WireChoice { index, delta, finish_reason: None, native_finish_reason: None, logprobs };
        let json = self.write(&[choice], None)?;
        Ok(ChatChunk { json, finish: Vec::new(), usage: None, usage_only: false })
    }

    fn write(&self, choices: &[WireChoice<'_>], usage: Option<OpenAiUsage>) -> Result<Bytes> {
        let object = "chat.completion.chunk";
        let (id, model) = (self.id.as_str(), self.model.as_str());
        let chunk = WireChunk { id, object, created: self.created, model, choices, usage };
        serde_json::to_vec(&chunk)
            .map(Bytes::from)
            .map_err(|error| Error::new(ErrorKind::Internal, "a chunk cannot be written").with_source(error))
    }
}
