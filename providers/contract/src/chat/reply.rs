//! The answer of `POST /v1/chat/completions`, whole.
//!
//! <https://platform.openai.com/docs/api-reference/chat/object>

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::{Error, ErrorKind, Facts, FinishReason, OpenAiUsage, Result, Usage};

/// A `chat.completion`, already written as JSON, with what the policies need to know of it.
#[derive(Clone, Debug)]
pub struct ChatReply {
    /// The JSON text for the caller.
    pub json: Bytes,
    /// What is known of it.
    pub facts: Facts,
}

/// A `chat.completion` to be written, by providers that do not speak OpenAI.
#[derive(Clone, Debug)]
pub struct Completion {
    /// The provider's id of the answer, or one made for it.
    pub id: String,
    /// Seconds since the epoch.
    pub created: u64,
    /// The model that answered.
    pub model: String,
    /// The answers.
    pub choices: Vec<Choice>,
    /// What it consumed, if the provider said.
    pub usage: Option<Usage>,
}

/// One answer of a completion.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The text, if there is any.
    pub text: Option<String>,
    /// The model's reasoning, where the provider shows it: `reasoning_content`, as DeepSeek and vLLM name it.
    pub reasoning: Option<String>,
    /// Tool calls: id, name, arguments as JSON text.
    pub tool_calls: Vec<(String, String, String)>,
    /// Why it ended, if the provider said.
    pub finish: Option<FinishReason>,
    /// The provider's own word for it.
    pub native_finish: Option<String>,
    /// `logprobs` in OpenAI's form.
    pub logprobs: Option<Value>,
}

#[derive(Serialize)]
struct Wire<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<OpenAiUsage>,
}

#[derive(Serialize)]
struct WireChoice<'a> {
    index: usize,
    message: WireMessage<'a>,
    finish_reason: Option<&'a FinishReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    native_finish_reason: Option<&'a str>,
    logprobs: Option<&'a Value>,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireToolCall<'a>>,
}

#[derive(Serialize)]
struct WireToolCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: WireFunction<'a>,
}

#[derive(Serialize)]
struct WireFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl Completion {
    /// Writes the completion as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if it cannot be written, which no value above can cause.
    pub fn into_reply(self) -> Result<ChatReply> {
        let wire = Wire {
            id: &self.id,
            object: "chat.completion",
            created: self.created,
            model: &self.model,
            choices: self.choices.iter().enumerate().map(|(index, choice)| choice.wire(index)).collect(),
            usage: self.usage.as_ref().map(OpenAiUsage::from),
        };
        let json = serde_json::to_vec(&wire).map_err(|error| {
            Error::new(ErrorKind::Internal, "the answer cannot be written").with_source(error)
        })?;
        let facts = Facts {
            finish: self.choices.iter().filter_map(|choice| choice.finish.clone()).collect(),
            usage: self.usage,
            ..Facts::default()
        };
        Ok(ChatReply { json: Bytes::from(json), facts })
    }
}

impl Choice {
    fn wire(&self, index: usize) -> WireChoice<'_> {
        WireChoice {
            index,
            message: WireMessage {
                role: "assistant",
                content: self.text.as_deref(),
                refusal: None,
                reasoning_content: self.reasoning.as_deref(),
                tool_calls: self.tool_calls.iter().map(WireToolCall::new).collect(),
            },
            finish_reason: self.finish.as_ref(),
            native_finish_reason: self.native_finish.as_deref(),
            logprobs: self.logprobs.as_ref(),
        }
    }
}

impl<'a> WireToolCall<'a> {
    fn new((id, name, arguments): &'a (String, String, String)) -> Self {
        Self { id, kind: "function", function: WireFunction { name, arguments } }
    }
}
