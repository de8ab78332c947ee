//! From `GenerateContentResponse` to a chat completion in the OpenAI shape.
//!
//! <https://ai.google.dev/api/generate-content#generatecontentresponse>

use aigate_contract::{
    Error, ErrorKind, FinishReason, Result, Usage,
    chat::{ChatReply, Choice, Completion},
};
use aigate_transport::excerpt;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{logprobs::LogprobsResult, signature};
use crate::error::Status;

/// An answer, or a chunk of one.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Answer {
    pub(super) candidates: Vec<Candidate>,
    pub(super) prompt_feedback: Option<PromptFeedback>,
    pub(super) usage_metadata: Option<UsageMetadata>,
    pub(super) model_version: Option<String>,
    pub(super) response_id: Option<String>,
    error: Option<Status>,
}

/// One of the answers to a request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Candidate {
    pub(super) index: Option<u32>,
    pub(super) content: Content,
    pub(super) finish_reason: Option<String>,
    pub(super) logprobs_result: Option<LogprobsResult>,
}

/// What it says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Content {
    pub(super) parts: Vec<Part>,
}

/// A part of what it says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Part {
    text: Option<String>,
    thought: bool,
    thought_signature: Option<String>,
    function_call: Option<FunctionCall>,
    // Kinds that a chat completion cannot carry.
    inline_data: Option<IgnoredAny>,
    file_data: Option<IgnoredAny>,
    executable_code: Option<IgnoredAny>,
    code_execution_result: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FunctionCall {
    id: Option<String>,
    name: String,
    args: Option<Box<RawValue>>,
}

/// Why the request was refused.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PromptFeedback {
    pub(super) block_reason: Option<String>,
    block_reason_message: Option<String>,
}

/// What it consumed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct UsageMetadata {
    prompt_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
    tool_use_prompt_token_count: Option<u64>,
    total_token_count: Option<u64>,
}

/// A part, as it concerns a caller.
pub(super) enum Said {
    Text(String),
    Reasoning(String),
    ToolCall { id: String, name: String, arguments: String, signature: Option<String> },
    Nothing,
}

/// Reads a whole answer. `model` is what was asked, for an answer that does not say who gave it.
///
/// # Errors
/// [`ErrorKind::Filtered`] when the request was refused, [`ErrorKind::Malformed`] when the answer is not one, and the
/// provider's error when it stands in place of an answer.
pub(super) fn read(body: &[u8], model: &str, created: u64) -> Result<ChatReply> {
    let answer = Answer::parse(body)?;
    answer.check_not_blocked()?;
    if answer.candidates.is_empty() {
        return Err(Error::new(ErrorKind::Malformed, "google's answer has no candidate"));
    }
    let mut signatures = Vec::new();
    let mut choices = Vec::with_capacity(answer.candidates.len());
    let mut candidates = answer.candidates;
    candidates.sort_by_key(|candidate| candidate.index.unwrap_or(0));
    for (place, candidate) in candidates.into_iter().enumerate() {
        choices.push(candidate.into_choice(place, &mut signatures)?);
    }
    let completion = Completion {
        id: answer.response_id.unwrap_or_else(made_id),
        created,
        model: answer.model_version.unwrap_or_else(|| model.to_owned()),
        choices,
        usage: answer.usage_metadata.and_then(UsageMetadata::into_usage),
    };
    let mut reply = completion.into_reply()?;
    if !signatures.is_empty() {
        reply.json = signature::attach(&reply.json, "message", &signatures)?;
    }
    Ok(reply)
}

/// An id for an answer that has none.
pub(super) fn made_id() -> String {
    format!("chatcmpl-{}", uuid::Uuid::now_v7().simple())
}

impl Answer {
    /// Reads a body or an event.
    pub(super) fn parse(body: &[u8]) -> Result<Self> {
        let answer: Self = serde_json::from_slice(body).map_err(|error| {
            let message = format!(
                "google's answer is not of its documented form (line {}, column {})",
                error.line(),
                error.column()
            );
            Error::new(ErrorKind::Malformed, message).with_source(error)
        })?;
        match answer.error {
            Some(error) => Err(error.into_error(None, None)),
            None => Ok(answer),
        }
    }

    /// The reason why the request was refused.
    pub(super) fn blocked(&self) -> Option<&str> {
        self.prompt_feedback.as_ref()?.block_reason.as_deref()
    }

    pub(super) fn check_not_blocked(&self) -> Result<()> {
        let Some(reason) = self.blocked().filter(|_| self.candidates.is_empty()) else { return Ok(()) };
        let told =
            self.prompt_feedback.as_ref().and_then(|feedback| feedback.block_reason_message.as_deref());
        let message = match told {
            Some(text) => {
                format!("google's filter refused the request ({reason}): {}", excerpt(text.as_bytes()))
            }
            None => format!("google's filter refused the request ({reason})"),
        };
        Err(Error::new(ErrorKind::Filtered, message).with_code(reason))
    }
}

impl Candidate {
    fn into_choice(self, place: usize, signatures: &mut Vec<(usize, usize, String)>) -> Result<Choice> {
        let mut choice = Choice::default();
        for part in self.content.parts {
            match part.said()? {
                Said::Text(text) => choice.text.get_or_insert_default().push_str(&text),
                Said::Reasoning(text) => choice.reasoning.get_or_insert_default().push_str(&text),
                Said::ToolCall { id, name, arguments, signature } => {
                    signatures.extend(signature.map(|text| (place, choice.tool_calls.len(), text)));
                    choice.tool_calls.push((id, name, arguments));
                }
                Said::Nothing => {}
            }
        }
        let calls = !choice.tool_calls.is_empty();
        choice.finish = self.finish_reason.as_deref().map(|word| finish(word, calls));
        choice.native_finish = self.finish_reason;
        choice.logprobs = self.logprobs_result.and_then(LogprobsResult::into_openai);
        Ok(choice)
    }
}

impl Part {
    /// What the part says to a caller.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for kinds that a chat completion cannot carry, such as a picture.
    pub(super) fn said(self) -> Result<Said> {
        if let Some(call) = self.function_call {
            return Ok(Said::ToolCall {
                id: call.id.filter(|id| !id.is_empty()).unwrap_or_else(made_call_id),
                name: call.name,
                arguments: call.args.map_or_else(|| "{}".to_owned(), |args| compact(args.get())),
                signature: self.thought_signature,
            });
        }
        let foreign = [
            ("inlineData", self.inline_data.is_some()),
            ("fileData", self.file_data.is_some()),
            ("executableCode", self.executable_code.is_some()),
            ("codeExecutionResult", self.code_execution_result.is_some()),
        ];
        if let Some((kind, _)) = foreign.into_iter().find(|(_, given)| *given) {
            let message =
                format!("google's answer has a part `{kind}`, which a chat completion cannot carry");
            return Err(Error::new(ErrorKind::Malformed, message));
        }
        Ok(match self.text {
            Some(text) if self.thought => Said::Reasoning(text),
            Some(text) => Said::Text(text),
            None => Said::Nothing,
        })
    }
}

/// Vertex AI gives calls no ids, OpenAI's callers need them.
fn made_call_id() -> String {
    format!("call_{}", uuid::Uuid::now_v7().simple())
}

/// JSON without the white space between its tokens: Google prints its answers for people.
fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for letter in json.chars() {
        if !quoted && letter.is_ascii_whitespace() {
            continue;
        }
        quoted ^= letter == '"' && !escaped;
        escaped = quoted && letter == '\\' && !escaped;
        out.push(letter);
    }
    out
}

/// Google's word in OpenAI's words. <https://ai.google.dev/api/generate-content#FinishReason>
pub(super) fn finish(word: &str, calls: bool) -> FinishReason {
    match word {
        "STOP" if calls => FinishReason::ToolCalls,
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => FinishReason::ContentFilter,
        other => FinishReason::Other(other.to_owned()),
    }
}

impl UsageMetadata {
    /// In disjoint parts: cached tokens are a part of the prompt's, thoughts come on top of the candidates'.
    pub(super) fn into_usage(self) -> Option<Usage> {
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
        };
        let input = sum(self.prompt_token_count, self.tool_use_prompt_token_count);
        let told = sum(self.candidates_token_count, self.thoughts_token_count);
        // An output of zero is left out; the total tells it from one that is unknown.
        let output = told.or_else(|| self.total_token_count?.checked_sub(input?));
        let usage = Usage {
            fresh_input: input.map(|all| all.saturating_sub(self.cached_content_token_count.unwrap_or(0))),
            cached_read: self.cached_content_token_count,
            cache_write: None,
            output,
            reasoning: self.thoughts_token_count,
            ..Usage::default()
        };
        (usage != Usage::default()).then_some(usage)
    }
}
