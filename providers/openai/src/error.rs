//! From an error in OpenAI's shape to ours: status and body to kind, in one function.
//!
//! <https://platform.openai.com/docs/guides/error-codes>

use aigate_contract::{Error, ErrorKind};
use aigate_transport::{excerpt, kind_of_status, retry_after};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Body {
    error: Value,
}

/// The error behind an answer whose status is not a success.
pub fn from_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let error = serde_json::from_slice::<Body>(body).unwrap_or_default().error;
    let error = match error {
        Value::Null => {
            let said = excerpt(body);
            let message = if said.is_empty() { status.to_string() } else { format!("{status}: {said}") };
            Error::new(kind_of_status(status), format!("the provider answered {message}"))
        }
        error => from_object(&error, Some(status)),
    };
    error.with_status(status.as_u16()).with_retry_after(retry_after(headers))
}

/// The error of an `error` object, with the status it came with; `None` inside a success.
pub(crate) fn from_object(error: &Value, status: Option<StatusCode>) -> Error {
    let text = |name: &str| error.get(name).and_then(Value::as_str);
    let code = match error.get("code") {
        Some(Value::String(code)) => Some(code.clone()),
        Some(Value::Number(code)) => Some(code.to_string()),
        _ => None,
    };
    let word = code.as_deref().or(text("type")).unwrap_or_default();
    let message = text("message").or(error.as_str()).unwrap_or("no message");
    let kind = kind_of_word(word, message)
        .or(status.map(kind_of_status))
        .or_else(|| word.parse().ok().and_then(|code| StatusCode::from_u16(code).ok()).map(kind_of_status))
        .unwrap_or(ErrorKind::Unavailable);
    let where_ = status.map_or_else(|| "inside a success".to_owned(), |status| format!("with {status}"));
    let mut ours =
        Error::new(kind, format!("the provider answered {where_}: {}", excerpt(message.as_bytes())));
    if let Some(code) = code {
        ours = ours.with_code(code);
    }
    match text("param") {
        Some(param) => ours.with_param(param),
        None => ours,
    }
}

/// Codes and types that say more than the status. <https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter>
fn kind_of_word(word: &str, message: &str) -> Option<ErrorKind> {
    Some(match word {
        "context_length_exceeded" | "string_above_max_length" | "request_too_large" => ErrorKind::TooLarge,
        "content_filter" | "content_policy_violation" | "invalid_prompt" | "ResponsibleAIPolicyViolation" => {
            ErrorKind::Filtered
        }
        "unsupported_parameter" | "unsupported_value" | "OperationNotSupported" => ErrorKind::Unsupported,
        // The account has run out of money: waiting does not help, and it is the operator's to mend.
        "insufficient_quota" | "billing_hard_limit_reached" => ErrorKind::Denied,
        "invalid_api_key" | "invalid_organization" => ErrorKind::Denied,
        "model_not_found" | "DeploymentNotFound" => ErrorKind::Missing,
        "rate_limit_exceeded" | "rate_limit_error" | "tokens" | "requests" => ErrorKind::Throttled,
        "server_error" | "overloaded_error" | "engine_overloaded" => ErrorKind::Unavailable,
        "invalid_request_error" | "BadRequestError"
            if message.contains("maximum context length") || message.contains("context window") =>
        {
            ErrorKind::TooLarge
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, body: &str) -> ErrorKind {
        from_answer(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes()).kind()
    }

    #[test]
    fn the_code_says_more_than_the_status() {
        for (status, body, expected) in [
            (
                400,
                r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#,
                ErrorKind::TooLarge,
            ),
            (
                400,
                r#"{"error":{"message":"x","code":"content_filter","innererror":{}}}"#,
                ErrorKind::Filtered,
            ),
            (
                400,
                r#"{"error":{"message":"x","code":"unsupported_parameter","param":"n"}}"#,
                ErrorKind::Unsupported,
            ),
            (400, r#"{"error":{"message":"x","type":"invalid_request_error"}}"#, ErrorKind::Invalid),
            (401, r#"{"error":{"message":"x","code":"invalid_api_key"}}"#, ErrorKind::Denied),
            (404, r#"{"error":{"code":"DeploymentNotFound","message":"x"}}"#, ErrorKind::Missing),
            (
                429,
                r#"{"error":{"message":"x","type":"requests","code":"rate_limit_exceeded"}}"#,
                ErrorKind::Throttled,
            ),
            (429, r#"{"error":{"message":"x","code":"insufficient_quota"}}"#, ErrorKind::Denied),
            (429, r#"{"error":{"message":"x","code":"429"}}"#, ErrorKind::Throttled),
            (500, "<html>oops</html>", ErrorKind::Unavailable),
            (503, "", ErrorKind::Unavailable),
            (400, r#"{"error":"plain text, as Ollama writes it"}"#, ErrorKind::Invalid),
        ] {
            assert_eq!(kind(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn the_message_says_what_the_provider_said_and_no_more_than_that() {
        let error = from_answer(
            StatusCode::BAD_REQUEST,
            &HeaderMap::new(),
            br#"{"error":{"message":"bad n","param":"n","code":null}}"#,
        );
        assert_eq!(error.message(), "the provider answered with 400 Bad Request: bad n");
        assert_eq!(error.param(), Some("n"));
    }
}
