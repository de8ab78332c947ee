//! What cannot be honoured is refused by name; what AWS refuses gets the right kind.

use std::time::Duration;

use aigate_contract::{Chat, Error, ErrorKind, Serve};
use serde_json::{Value, json};

use crate::testing::{Answer, chat, keys, played};

const CLAUDE: &str = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";

async fn refused(target: &str, more: Value) -> Error {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let (aws, bedrock) = played(keys(), []);
    let error = aws.serve(chat::<Chat>(target, &body, false)).await.unwrap_err();
    assert!(bedrock.asked().is_empty());
    error
}

#[tokio::test]
async fn fields_that_cannot_be_honoured_are_refused_by_name() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let odd = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "[1]"}});
    let history = json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "y"},
    ]);
    let user = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
    for (target, more, field) in [
        (CLAUDE, json!({"seed": 1}), "seed"),
        (CLAUDE, json!({"presence_penalty": 0.5}), "presence_penalty"),
        (CLAUDE, json!({"frequency_penalty": -0.5}), "frequency_penalty"),
        (CLAUDE, json!({"logprobs": true}), "logprobs"),
        (CLAUDE, json!({"n": 2}), "n"),
        (CLAUDE, json!({"top_k": 3}), "top_k"),
        (CLAUDE, json!({"response_format": {"type": "json_object"}}), "response_format"),
        (CLAUDE, json!({"tools": tools, "tool_choice": "none", "messages": history}), "tool_choice"),
        (CLAUDE, json!({"messages": history}), "tools"),
        (CLAUDE, json!({"tools": [{"type": "custom"}]}), "tools[0].type"),
        (
            "amazon.nova-lite-v1:0",
            json!({"tools": tools, "parallel_tool_calls": false}),
            "parallel_tool_calls",
        ),
        (
            CLAUDE,
            json!({"tools": tools, "parallel_tool_calls": false, "tool_choice": "required"}),
            "parallel_tool_calls",
        ),
        ("amazon.nova-lite-v1:0", json!({"reasoning_effort": "low"}), "reasoning_effort"),
        ("global.anthropic.claude-opus-4-6-v1", json!({"reasoning_effort": "minimal"}), "reasoning_effort"),
        ("global.anthropic.claude-sonnet-5", json!({"reasoning_effort": "none"}), "reasoning_effort"),
        (CLAUDE, json!({"reasoning_effort": "low", "max_tokens": 100}), "reasoning_effort"),
        (
            CLAUDE,
            user(json!({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,aGk="}})),
            "messages[0].content[0].image_url.url",
        ),
        (
            CLAUDE,
            user(json!({"type": "file", "file": {"file_id": "f"}})),
            "messages[0].content[0].file.file_id",
        ),
        (
            CLAUDE,
            user(json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "9h"}})),
            "messages[0].content[0].cache_control.ttl",
        ),
        (CLAUDE, json!({"messages": [{"role": "user", "content": "x", "mood": 1}]}), "messages[0].mood"),
        (CLAUDE, json!({"messages": [{"role": "user", "content": ""}]}), "messages[0].content"),
        (
            CLAUDE,
            json!({"messages": [{"role": "assistant", "tool_calls": [odd]}]}),
            "messages[0].tool_calls[0].function.arguments",
        ),
    ] {
        let error = refused(target, more.clone()).await;
        assert_eq!((error.kind(), error.param()), (ErrorKind::Unsupported, Some(field)), "{more}");
    }
}

#[tokio::test]
async fn requests_that_are_wrong_anywhere_are_invalid() {
    for (more, field) in [
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"max_tokens": 3_000_000_000_u32}), "max_tokens"),
    ] {
        let error = refused(CLAUDE, more.clone()).await;
        assert_eq!((error.kind(), error.param()), (ErrorKind::Invalid, Some(field)), "{more}");
    }
}

async fn answered(answer: Answer) -> Error {
    let (aws, _) = played(keys(), [answer]);
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
    aws.serve(chat::<Chat>(CLAUDE, &body, false)).await.unwrap_err()
}

#[tokio::test]
async fn aws_s_refusals_get_their_kind_from_the_name_not_from_the_status() {
    for (status, code, message, kind) in [
        (429, "ThrottlingException", "Too many requests", ErrorKind::Throttled),
        (400, "ThrottlingException", "Too many requests", ErrorKind::Throttled),
        (400, "ServiceQuotaExceededException", "quota", ErrorKind::Throttled),
        (429, "ModelNotReadyException", "wait", ErrorKind::Throttled),
        (400, "ValidationException", "maxTokens is wrong", ErrorKind::Invalid),
        (400, "ValidationException", "Input is too long for requested model.", ErrorKind::TooLarge),
        (403, "AccessDeniedException", "no access", ErrorKind::Denied),
        (403, "UnrecognizedClientException", "bad token", ErrorKind::Denied),
        (403, "ExpiredTokenException", "expired", ErrorKind::Denied),
        (404, "ResourceNotFoundException", "no such model", ErrorKind::Missing),
        (408, "ModelTimeoutException", "slow", ErrorKind::Timeout),
        (424, "ModelErrorException", "broken", ErrorKind::Unavailable),
        (500, "InternalServerException", "oops", ErrorKind::Unavailable),
        (503, "ServiceUnavailableException", "away", ErrorKind::Unavailable),
        (418, "TeapotException", "short and stout", ErrorKind::Invalid),
    ] {
        let error = answered(Answer::refusal(status, code, message)).await;
        assert_eq!(error.kind(), kind, "{code}: {error:?}");
        assert_eq!((error.code(), error.status()), (Some(code), Some(status)));
        assert!(error.message().contains(message), "{error}");
    }
}

#[tokio::test]
async fn retry_after_is_believed() {
    let answer = Answer::refusal(429, "ThrottlingException", "later").with("retry-after", "7");
    assert_eq!(answered(answer).await.retry_after(), Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_refused_signature_is_told_without_what_was_signed() {
    let message = "The Canonical String should have been x-amz-security-token:SECRET";
    let error = answered(Answer::refusal(403, "InvalidSignatureException", message)).await;
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!format!("{error:?} {error}").contains("SECRET"));
}

#[tokio::test]
async fn an_answer_that_is_not_json_is_malformed() {
    let error = answered(Answer::stream(vec!["<html>".into()])).await;
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error:?}");
    assert_eq!(error.status(), Some(200));
}
