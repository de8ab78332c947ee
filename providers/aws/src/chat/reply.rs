//! From Converse's answer to an OpenAI chat completion.

use aigate_contract::{
    Error, ErrorKind, FinishReason, Result, Usage,
    chat::{ChatReply, Choice, Completion},
};
use aws_sdk_bedrockruntime::{
    operation::converse::ConverseOutput as Answer,
    types::{
        CitationGeneratedContent, ContentBlock, ConverseOutput, ReasoningContentBlock, StopReason,
        TokenUsage, ToolUseBlock,
    },
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::reasoning::{hidden, signed};
use crate::document::to_value;

/// What the SDK writes where the answer has no stop reason.
const NO_REASON: &str = "no value was set";

/// A whole answer.
///
/// # Errors
/// [`ErrorKind::Malformed`] when the answer lacks its message or the reason of its end; [`ErrorKind::Unsupported`] when
/// it holds what a chat completion cannot show.
pub(super) fn whole(answer: Answer, id: String, created: u64, model: &str) -> Result<ChatReply> {
    let finish = finish(&answer.stop_reason)?;
    let native = answer.stop_reason.as_str().to_owned();
    let usage = answer.usage.as_ref().and_then(usage);
    let Some(ConverseOutput::Message(message)) = answer.output else {
        return Err(Error::new(ErrorKind::Malformed, "Bedrock's answer has no message"));
    };
    let mut said = Said::default();
    for block in message.content {
        said.add(block)?;
    }
    let choice = Choice {
        text: said.text,
        reasoning: said.reasoning,
        tool_calls: said.tool_calls,
        finish: Some(finish),
        native_finish: Some(native),
        logprobs: None,
    };
    let completion = Completion { id, created, model: model.to_owned(), choices: vec![choice], usage };
    let reply = completion.into_reply()?;
    if said.details.is_empty() {
        return Ok(reply);
    }
    let json = with_details(&reply.json, "message", said.details)?;
    Ok(ChatReply { json, ..reply })
}

#[derive(Debug, Default)]
struct Said {
    text: Option<String>,
    reasoning: Option<String>,
    tool_calls: Vec<(String, String, String)>,
    details: Vec<Value>,
}

impl Said {
    fn add(&mut self, block: ContentBlock) -> Result<()> {
        match block {
            ContentBlock::Text(text) => append(&mut self.text, &text),
            ContentBlock::ToolUse(call) => self.tool_calls.push(tool_call(call)?),
            ContentBlock::ReasoningContent(ReasoningContentBlock::ReasoningText(thought)) => {
                if let Some(signature) = &thought.signature {
                    self.details.push(signed(self.details.len(), &thought.text, signature));
                }
                append(&mut self.reasoning, &thought.text);
            }
            ContentBlock::ReasoningContent(ReasoningContentBlock::RedactedContent(data)) => {
                self.details.push(hidden(self.details.len(), data.as_ref()));
            }
            ContentBlock::CitationsContent(cited) => {
                for content in cited.content.unwrap_or_default() {
                    match content {
                        CitationGeneratedContent::Text(text) => append(&mut self.text, &text),
                        _ => return Err(not_shown("an unknown kind of cited content")),
                    }
                }
            }
            ContentBlock::Image(_) => return Err(not_shown("a picture")),
            ContentBlock::Audio(_) => return Err(not_shown("sound")),
            ContentBlock::Video(_) => return Err(not_shown("a video")),
            _ => return Err(not_shown("an unknown kind of content")),
        }
        Ok(())
    }
}

fn append(whole: &mut Option<String>, more: &str) {
    whole.get_or_insert_default().push_str(more);
}

fn tool_call(call: ToolUseBlock) -> Result<(String, String, String)> {
    if call.r#type.is_some() {
        return Err(not_shown("a tool that Bedrock runs itself"));
    }
    let arguments = to_value(&call.input).to_string();
    Ok((call.tool_use_id, call.name, arguments))
}

/// The answer holds what was not asked for and a chat completion has no place for.
pub(super) fn not_shown(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the model answered with {what}, which a chat cannot show"))
}

/// Why the answer ended, in OpenAI's words where it has one.
///
/// # Errors
/// [`ErrorKind::Malformed`] when Bedrock did not say.
pub(super) fn finish(reason: &StopReason) -> Result<FinishReason> {
    Ok(match reason {
        StopReason::EndTurn | StopReason::StopSequence => FinishReason::Stop,
        StopReason::ToolUse => FinishReason::ToolCalls,
        StopReason::MaxTokens | StopReason::ModelContextWindowExceeded => FinishReason::Length,
        StopReason::GuardrailIntervened | StopReason::ContentFiltered => FinishReason::ContentFilter,
        other if other.as_str() == NO_REASON => {
            return Err(Error::new(ErrorKind::Malformed, "Bedrock did not say why the answer ended"));
        }
        other => FinishReason::Other(other.as_str().to_owned()),
    })
}

/// What the call consumed. `inputTokens` counts neither cache reads nor cache writes:
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>
///
/// Where the answer has no usage the SDK writes zeros; no answer consumes nothing, so zeros are unknown.
pub(super) fn usage(usage: &TokenUsage) -> Option<Usage> {
    if usage.input_tokens == 0 && usage.output_tokens == 0 && usage.total_tokens == 0 {
        return None;
    }
    let count = |tokens: i32| u64::try_from(tokens).ok();
    Some(Usage {
        fresh_input: count(usage.input_tokens),
        cached_read: usage.cache_read_input_tokens.and_then(count),
        cache_write: usage.cache_write_input_tokens.and_then(count),
        output: count(usage.output_tokens),
        // Bedrock does not tell reasoning from the rest of the output.
        reasoning: None,
        ..Usage::default()
    })
}

/// Adds `reasoning_details` to the first choice's `message` or `delta`: the contract's types have no place for them.
pub(super) fn with_details(json: &Bytes, place: &str, details: Vec<Value>) -> Result<Bytes> {
    let unwritten =
        |error| Error::new(ErrorKind::Internal, "the answer cannot be written").with_source(error);
    let mut value: Value = serde_json::from_slice(json).map_err(unwritten)?;
    let place = value.pointer_mut(&format!("/choices/0/{place}")).and_then(Value::as_object_mut);
    if let Some(place) = place {
        place.insert(super::fields::REASONING_DETAILS.to_owned(), json!(details));
    }
    serde_json::to_vec(&value).map(Bytes::from).map_err(unwritten)
}
