//! `chat/completions`, whole and streamed.
//!
//! <https://platform.openai.com/docs/api-reference/chat>

use std::borrow::Cow;

use aigate_contract::{
    Body, Call, Chat, ChatStream, Error, ErrorKind, Facts, FinishReason, OpenAiUsage, Result, Usage,
    chat::{ChatReply, ChatRequest, ChunkStream},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    Account, Dialect, Purpose, TokenLimitField, Wire,
    chunk::{Chunks, open},
    error::from_object,
    glance,
    wire::MAX_ANSWER,
};

impl<A: Account> Wire<A> {
    /// A chat completion, whole.
    ///
    /// # Errors
    /// What the provider says, or [`ErrorKind::Malformed`] when its answer is no completion.
    pub async fn chat(&self, call: &Call<Chat>) -> Result<ChatReply> {
        let body = write_body(&call.request, self.dialect, &call.target.model)?;
        let answer = self.send(call, Purpose::Chat, body).await?;
        let json = answer.bytes(MAX_ANSWER).await?;
        let facts = read_completion(&json)?;
        Ok(ChatReply { json, facts })
    }

    /// A chat completion, streamed: resolves with the first chunk that has a choice.
    ///
    /// # Errors
    /// As [`Self::chat`], also for an error that comes as the stream's first event.
    pub async fn chat_stream(&self, call: &Call<ChatStream>) -> Result<ChunkStream> {
        let body = write_body(&call.request, self.dialect, &call.target.model)?;
        let answer = self.send(call, Purpose::Chat, body).await?;
        open(Chunks::new(answer)).await
    }
}

/// The caller's body with the provider's model name, and with the usage asked for.
pub(crate) fn write_body(request: &ChatRequest, dialect: Dialect, model: &str) -> Result<Vec<u8>> {
    let model = json(&model)?;
    let mut changes: Vec<(&str, Option<&[u8]>)> =
        vec![("model", dialect.model_in_body.then_some(model.as_slice()))];
    let options = stream_options(request, dialect);
    if let Some(options) = &options {
        changes.push(("stream_options", Some(options)));
    }
    let limit = request.max_tokens.map(|limit| limit.to_string());
    if let Some(limit) = &limit {
        let names = match dialect.token_limit_field {
            TokenLimitField::AsSent => None,
            TokenLimitField::MaxCompletionTokens => Some(("max_completion_tokens", "max_tokens")),
            TokenLimitField::MaxTokens => Some(("max_tokens", "max_completion_tokens")),
        };
        if let Some((wanted, other)) = names {
            changes.extend([(wanted, Some(limit.as_bytes())), (other, None)]);
        }
    }
    Ok(request.body.with(&changes))
}

/// The caller's options with the usage asked for; what else stands in them stays as it is.
fn stream_options(request: &ChatRequest, dialect: Dialect) -> Option<Vec<u8>> {
    if !request.stream || !dialect.stream_usage {
        return None;
    }
    let own = request.body.raw("stream_options").filter(|raw| *raw != b"null").unwrap_or(b"{}");
    let own = Body::parse(Bytes::copy_from_slice(own)).ok()?;
    Some(own.with(&[("include_usage", Some(b"true"))]))
}

pub(crate) fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::new(ErrorKind::Internal, "the request cannot be written").with_source(error))
}

/// What is looked at in a completion or a chunk. All else passes unseen.
#[derive(Deserialize)]
pub(crate) struct Peek<'a> {
    #[serde(borrow, default)]
    pub(crate) choices: Option<Vec<PeekChoice<'a>>>,
    #[serde(default)]
    pub(crate) usage: Option<OpenAiUsage>,
    #[serde(borrow, default)]
    pub(crate) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(crate) struct PeekChoice<'a> {
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

impl Peek<'_> {
    /// The error inside a success, if there is one.
    pub(crate) fn failure(&self) -> Option<Error> {
        let raw = self.error.filter(|raw| raw.get() != "null")?;
        let value = serde_json::from_str(raw.get()).unwrap_or(Value::Null);
        Some(from_object(&value, None))
    }

    pub(crate) fn finish(&self) -> Vec<FinishReason> {
        let choices = self.choices.iter().flatten();
        choices.filter_map(|choice| choice.finish_reason.as_deref().map(FinishReason::from)).collect()
    }
}

pub(crate) fn read<'a>(data: &'a [u8], what: &str) -> Result<Peek<'a>> {
    // Without an excerpt: what it says is the caller's, not the log's.
    serde_json::from_slice(data).map_err(|error| {
        Error::new(
            ErrorKind::Malformed,
            format!("the provider's {what} is not what OpenAI's API says: {error}"),
        )
    })
}

fn read_completion(json: &[u8]) -> Result<Facts> {
    if let Some(facts) = glance::completion(json) {
        return Ok(facts);
    }
    let peek = read(json, "completion")?;
    if let Some(error) = peek.failure() {
        return Err(error);
    }
    if peek.choices.is_none() {
        return Err(Error::new(ErrorKind::Malformed, "the provider's completion has no `choices`"));
    }
    Ok(Facts { finish: peek.finish(), usage: peek.usage.map(Usage::from), ..Facts::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECT: Dialect =
        Dialect { model_in_body: true, stream_usage: true, token_limit_field: TokenLimitField::AsSent };

    fn body(text: &'static str, dialect: Dialect) -> String {
        let request = ChatRequest::parse(Bytes::from_static(text.as_bytes())).unwrap();
        String::from_utf8(write_body(&request, dialect, "real").unwrap()).unwrap()
    }

    #[test]
    fn the_body_passes_byte_for_byte_but_for_the_model_and_the_stream_options() {
        let text =
            r#"{"model":"alias","messages":[ {"role":"user","content":"hi"} ],"stream":true,"x_new":1.50}"#;
        assert_eq!(
            body(text, DIALECT),
            r#"{"model":"real","messages":[ {"role":"user","content":"hi"} ],"stream":true,"x_new":1.50,"stream_options":{"include_usage":true}}"#
        );
        let text = r#"{"model":"a","messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"x":[1]}}"#;
        assert!(body(text, DIALECT).contains(r#""stream_options":{"x":[1],"include_usage":true}"#));
    }

    #[test]
    fn a_deployment_in_the_url_takes_the_model_out_of_the_body() {
        let text = r#"{"model":"alias","messages":[{"role":"user","content":"hi"}]}"#;
        let dialect = Dialect { model_in_body: false, ..DIALECT };
        assert_eq!(body(text, dialect), r#"{"messages":[{"role":"user","content":"hi"}]}"#);
    }

    #[test]
    fn the_output_limit_goes_under_the_name_that_the_server_knows() {
        let text = r#"{"model":"a","messages":[{"role":"user","content":"hi"}],"max_tokens":7}"#;
        let dialect = Dialect { token_limit_field: TokenLimitField::MaxCompletionTokens, ..DIALECT };
        assert_eq!(
            body(text, dialect),
            r#"{"model":"real","messages":[{"role":"user","content":"hi"}],"max_completion_tokens":7}"#
        );
    }

    #[test]
    fn an_error_inside_a_success_and_a_body_without_choices_are_errors() {
        let error =
            read_completion(br#"{"error":{"message":"busy","code":"rate_limit_exceeded"}}"#).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Throttled);
        for text in ["{}", "[]", "{\"choices\":", "", "null"] {
            assert_eq!(read_completion(text.as_bytes()).unwrap_err().kind(), ErrorKind::Malformed, "{text}");
        }
    }

    #[test]
    fn what_the_provider_does_not_say_stays_unknown() {
        let facts = read_completion(br#"{"choices":[{"finish_reason":"novel"}]}"#).unwrap();
        assert_eq!(facts.usage, None);
        assert_eq!(facts.finish, [FinishReason::Other("novel".into())]);
    }
}
