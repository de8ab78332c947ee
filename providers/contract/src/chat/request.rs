//! The request of `POST /v1/chat/completions`.
//!
//! <https://platform.openai.com/docs/api-reference/chat/create>

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, value::RawValue};

use super::{Content, Message, Part, ResponseFormat, Tool, ToolChoice};
use crate::{Body, BodyError, Call, Result, Task};

/// Fields that do not change the answer. A provider that has no use for one leaves it out and says so in
/// `x-aigate-dropped`; it does not refuse the call.
pub const HINTS: [&str; 7] = [
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
];

/// A chat completion request: typed where aigate understands it, with the whole body for providers that speak OpenAI.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    /// The body as the caller sent it.
    pub body: Body,
    /// The model's name in the config.
    pub model: String,
    /// The conversation.
    pub messages: Vec<Message>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Options of the stream.
    pub stream_options: Option<StreamOptions>,
    /// The most output tokens: `max_completion_tokens`, or the older `max_tokens`.
    pub max_tokens: Option<u32>,
    /// Sampling temperature, 0 to 2.
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1.
    pub top_p: Option<f64>,
    /// Stop sequences.
    pub stop: Vec<String>,
    /// Seed for repeatable sampling.
    pub seed: Option<i64>,
    /// How many choices.
    pub n: Option<u32>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Whether to return log probabilities.
    pub logprobs: Option<bool>,
    /// How many alternatives per token, 0 to 20.
    pub top_logprobs: Option<u32>,
    /// How hard to think: `none`, `minimal`, `low`, `medium`, `high`, `xhigh`.
    pub reasoning_effort: Option<String>,
    /// The caller's end user.
    pub user: Option<String>,
    /// Tools the model may call.
    pub tools: Vec<Tool>,
    /// Which tool it must or may call.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several at once.
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer.
    pub response_format: Option<ResponseFormat>,
    /// Names of top-level fields that aigate does not know, `null`s left out.
    pub unknown: Vec<String>,
}

/// `stream_options`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StreamOptions {
    /// Whether the last chunk is to carry the usage.
    #[serde(default)]
    pub include_usage: Option<bool>,
    /// Whether chunks are padded against side channels.
    #[serde(default)]
    pub include_obfuscation: Option<bool>,
}

/// The fields read below; the rest are unknown.
const KNOWN: [&str; 23] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "n",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "reasoning_effort",
    "user",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "functions",
    "function_call",
];

impl ChatRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// When the body is not JSON, lacks a field, or has one of a wrong type or out of its range: says which and why.
    pub fn parse(bytes: Bytes) -> Result<Self, BodyError> {
        let body = Body::parse(bytes)?;
        let model = body.get("model")?.ok_or_else(|| missing("model"))?;
        let messages: Vec<Message> = body.get("messages")?.ok_or_else(|| missing("messages"))?;
        if messages.is_empty() {
            return Err(BodyError::at("messages", "there must be at least one message"));
        }
        for deprecated in ["functions", "function_call"] {
            if body.raw(deprecated).is_some_and(|raw| raw != b"null") {
                return Err(BodyError::at(
                    deprecated,
                    "this field is deprecated: use `tools` and `tool_choice`",
                ));
            }
        }
        let request = Self {
            model,
            messages,
            stream: body.get("stream")?.unwrap_or(false),
            stream_options: body.get("stream_options")?,
            max_tokens: match body.get("max_completion_tokens")? {
                Some(limit) => Some(limit),
                None => body.get("max_tokens")?,
            },
            temperature: number(&body, "temperature", 0.0, 2.0)?,
            top_p: number(&body, "top_p", 0.0, 1.0)?,
            stop: body.get::<Stop>("stop")?.map(|stop| stop.0).unwrap_or_default(),
            seed: body.get("seed")?,
            n: body.get("n")?,
            presence_penalty: number(&body, "presence_penalty", -2.0, 2.0)?,
            frequency_penalty: number(&body, "frequency_penalty", -2.0, 2.0)?,
            logprobs: body.get("logprobs")?,
            top_logprobs: body.get("top_logprobs")?,
            reasoning_effort: body.get("reasoning_effort")?,
            user: body.get("user")?,
            tools: body.get("tools")?.unwrap_or_default(),
            tool_choice: body.get("tool_choice")?,
            parallel_tool_calls: body.get("parallel_tool_calls")?,
            response_format: body.get("response_format")?,
            unknown: body.unknown(&KNOWN),
            body,
        };
        request.check()?;
        Ok(request)
    }

    fn check(&self) -> Result<(), BodyError> {
        let both = self.body.raw("max_tokens").is_some_and(|raw| raw != b"null")
            && self.body.raw("max_completion_tokens").is_some_and(|raw| raw != b"null");
        if both {
            return Err(BodyError::at("max_tokens", "set `max_completion_tokens` or `max_tokens`, not both"));
        }
        if self.max_tokens == Some(0) {
            return Err(BodyError::at("max_tokens", "must be at least 1"));
        }
        if !matches!(self.n, None | Some(1..=128)) {
            return Err(BodyError::at("n", "must be between 1 and 128"));
        }
        if !matches!(self.top_logprobs, None | Some(0..=20)) {
            return Err(BodyError::at("top_logprobs", "must be between 0 and 20"));
        }
        if self.stream_options.is_some() && !self.stream {
            return Err(BodyError::at("stream_options", "only allowed when `stream` is true"));
        }
        for (index, message) in self.messages.iter().enumerate() {
            message.check().map_err(|error| BodyError {
                param: Some(format!("messages[{index}]{}", error.param.unwrap_or_default())),
                ..error
            })?;
        }
        Ok(())
    }

    /// `service_tier`, where it asks for another class of service than the usual one.
    pub fn unusual_tier(&self) -> Option<String> {
        let tier = self.body.get::<String>("service_tier").ok().flatten()?;
        (!matches!(tier.as_str(), "auto" | "default" | "standard")).then_some(tier)
    }

    /// Whether the caller asked for the usage at the end of a stream.
    pub fn wants_stream_usage(&self) -> bool {
        self.stream_options.is_some_and(|options| options.include_usage == Some(true))
    }

    /// For providers that do not speak OpenAI: refuses each unknown field by name, or leaves it out if it is one of
    /// the [`HINTS`]. `handled` names unknown fields and hints that the provider does honour. Covers message fields too.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] naming the first such field, unless the deployment drops them.
    pub fn refuse_unknown<T: Task>(&self, call: &Call<T>, handled: &[&str]) -> Result<()> {
        if self.user.is_some() && !handled.contains(&"user") {
            call.leave_out("user");
        }
        for name in &self.unknown {
            match name.as_str() {
                name if handled.contains(&name) => {}
                name if HINTS.contains(&name) => call.leave_out(name),
                name => call.unsupported(name, "this provider has nothing like it")?,
            }
        }
        for (index, message) in self.messages.iter().enumerate() {
            for (name, value) in &message.extra {
                match name.as_str() {
                    _ if is_empty(value) => {}
                    // What an answer said comes back with the conversation; it asks for nothing.
                    "reasoning_content" | "annotations" | "audio" | "native_finish_reason" => {
                        call.leave_out(&format!("messages[].{name}"));
                    }
                    name => {
                        let field = format!("messages[{index}].{name}");
                        call.unsupported(&field, "this provider has nothing like it")?;
                    }
                }
            }
            self.refuse_unknown_parts(call, index, message)?;
            for name in message.tool_calls.iter().flat_map(|call| call.extra.keys()) {
                if name != "type" && !handled.contains(&name.as_str()) {
                    call.leave_out(&format!("messages[].tool_calls.{name}"));
                }
            }
        }
        self.refuse_unknown_in_tools(call, handled)
    }

    /// The part of [`Self::refuse_unknown`] that looks into a message's content.
    ///
    /// # Errors
    /// See [`Self::refuse_unknown`].
    pub fn refuse_unknown_parts<T: Task>(
        &self,
        call: &Call<T>,
        index: usize,
        message: &Message,
    ) -> Result<()> {
        for (place, part) in message.content.iter().flat_map(Content::parts).enumerate() {
            for name in part.unknown() {
                match name {
                    "cache_control" | "annotations" => {
                        call.leave_out(&format!("messages[].content[].{name}"))
                    }
                    _ => {
                        let field = format!("messages[{index}].content[{place}].{name}");
                        call.unsupported(&field, "this provider has nothing like it")?;
                    }
                }
            }
            if *part == Part::Other {
                let field = format!("messages[{index}].content[{place}].type");
                call.unsupported(&field, "this provider takes no parts of this type")?;
            }
        }
        Ok(())
    }

    /// The part of [`Self::refuse_unknown`] that looks into the tools.
    ///
    /// # Errors
    /// See [`Self::refuse_unknown`].
    pub fn refuse_unknown_in_tools<T: Task>(&self, call: &Call<T>, handled: &[&str]) -> Result<()> {
        for (index, tool) in self.tools.iter().enumerate() {
            let inner = tool.function.iter().flat_map(|function| &function.extra);
            for (name, _) in tool.extra.iter().chain(inner).filter(|(_, value)| !value.is_null()) {
                let field = format!("tools[{index}].{name}");
                match name.as_str() {
                    name if handled.contains(&name) => {}
                    "cache_control" => call.leave_out("tools[].cache_control"),
                    _ => call.unsupported(&field, "this provider has nothing like it")?,
                }
            }
        }
        Ok(())
    }
}

/// Null, or a list or table with nothing in it: SDKs send them along with what an answer said.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn missing(field: &str) -> BodyError {
    BodyError::at(field, format!("missing required field `{field}`"))
}

fn number(body: &Body, name: &str, low: f64, high: f64) -> Result<Option<f64>, BodyError> {
    match body.get::<f64>(name)? {
        Some(value) if !(low..=high).contains(&value) => {
            Err(BodyError::at(name, format!("{value} is out of range: must be between {low} and {high}")))
        }
        value => Ok(value),
    }
}

/// `stop`: a string or a list of strings.
struct Stop(Vec<String>);

impl<'de> Deserialize<'de> for Stop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: &RawValue = Deserialize::deserialize(deserializer)?;
        let list = if raw.get().starts_with('"') {
            serde_json::from_str(raw.get()).map(|one| vec![one])
        } else {
            serde_json::from_str(raw.get())
        };
        list.map(Self).map_err(|_| serde::de::Error::custom("expected a string or a list of strings"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ChatRequest, BodyError> {
        ChatRequest::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_request_is_read_with_its_unknown_fields_named() {
        let request = parse(
            r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stop":"END","max_tokens":5,"top_k":3,"x":null}"#,
        )
        .unwrap();
        assert_eq!(request.stop, ["END"]);
        assert_eq!(request.max_tokens, Some(5));
        assert_eq!(request.unknown, ["top_k"]);
    }

    #[test]
    fn faults_name_the_field() {
        for (text, param) in [
            (r#"{"messages":[]}"#, "model"),
            (r#"{"model":"m","messages":[]}"#, "messages"),
            (r#"{"model":"m","messages":[{"role":"user"}]}"#, "messages[0].content"),
            (r#"{"model":"m","messages":[{"role":"boss","content":""}]}"#, "messages[0].role"),
            (r#"{"model":"m","messages":[{"role":"user","content":3}]}"#, "messages[0].content"),
            (r#"{"model":"m","messages":[{"role":"tool","content":"x"}]}"#, "messages[0].tool_call_id"),
            (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":3}"#, "temperature"),
            (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"n":0}"#, "n"),
            (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"stop":[1]}"#, "stop"),
            (
                r#"{"model":"m","messages":[{"role":"user","content":"x"}],"stream_options":{}}"#,
                "stream_options",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().param.as_deref(), Some(param), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(text in r#"\{("(model|messages|stop|n|tools)":(\[|\]|\{|\}|"[a-z]*"|[0-9]|,)*,?)*\}"#) {
            let _ = parse(&text);
        }
    }
}
