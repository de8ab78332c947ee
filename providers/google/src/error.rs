//! From a refusal of Google's to an error of ours.
//!
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/api-errors>,
//! <https://ai.google.dev/gemini-api/docs/troubleshooting>

use std::time::Duration;

use aigate_contract::{Error, ErrorKind};
use aigate_transport::{Response, excerpt, kind_of_status, retry_after};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

/// More than this of an error's body is not read.
const MAX_BODY: usize = 256 * 1024;
/// The longest delay that is believed.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Google's `google.rpc.Status`, as JSON.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Status {
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Debug, Default, Deserialize)]
struct Detail {
    #[serde(default, rename = "retryDelay")]
    retry_delay: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Wrapped {
    error: Status,
}

/// The one place where a status and a body become an error.
pub(crate) fn from_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    match read(body) {
        Some(told) => told.into_error(Some(status), retry_after(headers)),
        None => {
            let text = excerpt(body);
            let message = match text.as_str() {
                "" => format!("google answered {status} without a word"),
                text => format!("google answered {status}: {text}"),
            };
            Error::new(kind_of_status(status), message)
                .with_status(status.as_u16())
                .with_retry_after(retry_after(headers))
        }
    }
}

/// Reads the body of a refusal.
pub(crate) async fn from_response(response: Response) -> Error {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes(MAX_BODY).await.unwrap_or_default();
    from_answer(status, &headers, &body)
}

/// Both forms: an object, and the list of one object that streams without `alt=sse` give.
fn read(body: &[u8]) -> Option<Status> {
    // Asked for an object, serde would take a list for its fields in order.
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let wrapped = match first {
        Some(b'[') => serde_json::from_slice::<Vec<Wrapped>>(body).ok()?.into_iter().next(),
        _ => serde_json::from_slice::<Wrapped>(body).ok(),
    };
    wrapped.map(|wrapped| wrapped.error)
}

impl Status {
    /// An error told in the body, with the HTTP status if that was the news.
    pub(crate) fn into_error(self, http: Option<StatusCode>, header: Option<Duration>) -> Error {
        let status = http
            .or_else(|| self.code.and_then(|code| StatusCode::from_u16(code).ok()))
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let word = self.status.as_deref().unwrap_or_default();
        let text = excerpt(self.message.as_deref().unwrap_or("no message").as_bytes());
        let kind = self.kind(status, &text);
        let code = if word.is_empty() { String::new() } else { format!(" {word}") };
        let message = format!("google answered {}{code}: {text}", status.as_u16());
        let delay = self.details.iter().find_map(|detail| seconds(detail.retry_delay.as_deref()?));
        let error = Error::new(kind, message).with_status(status.as_u16()).with_retry_after(delay.or(header));
        if word.is_empty() { error } else { error.with_code(word) }
    }

    fn kind(&self, status: StatusCode, text: &str) -> ErrorKind {
        let says = |words: &[&str]| {
            let text = text.to_ascii_lowercase();
            words.iter().any(|word| text.contains(word))
        };
        match (status.as_u16(), self.status.as_deref().unwrap_or_default()) {
            // The Gemini API refuses a wrong key, and an account in a country without free use, with 400.
            (400, _) if self.has_reason("API_KEY_INVALID") => ErrorKind::Denied,
            (400, "FAILED_PRECONDITION") if says(&["location is not supported", "billing"]) => {
                ErrorKind::Denied
            }
            (400, _) if says(TOO_LARGE) => ErrorKind::TooLarge,
            // Another model may well have what this one lacks.
            (400, _) if says(LACKING) => ErrorKind::Unsupported,
            (429, _) | (_, "RESOURCE_EXHAUSTED") => ErrorKind::Throttled,
            (499, _) => ErrorKind::Unavailable,
            _ => kind_of_status(status),
        }
    }

    fn has_reason(&self, reason: &str) -> bool {
        self.details.iter().any(|detail| detail.reason.as_deref() == Some(reason))
    }
}

const TOO_LARGE: &[&str] = &[
    "exceeds the maximum number of tokens",
    "input token count",
    "token count exceeds",
    "payload size exceeds",
    "tokens allowed",
    "input is too long",
];

const LACKING: &[&str] = &[
    "is not supported by",
    "is not supported for",
    "is not enabled for",
    "does not support",
    "is unsupported",
];

/// A protobuf `Duration` in JSON: `34.5s`.
fn seconds(text: &str) -> Option<Duration> {
    let number: f64 = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(number).ok().map(|wait| wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &str) -> Error {
        from_answer(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    fn kind(code: u16, status: &str, message: &str) -> ErrorKind {
        let body = serde_json::json!({"error": {"code": code, "status": status, "message": message}});
        error(code, &body.to_string()).kind()
    }

    #[test]
    fn each_refusal_has_its_kind() {
        use ErrorKind::*;
        for (code, status, message, expected) in [
            (400, "INVALID_ARGUMENT", "Unable to submit request because it has an empty text", Invalid),
            (
                400,
                "INVALID_ARGUMENT",
                "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                TooLarge,
            ),
            (400, "INVALID_ARGUMENT", "Logprobs is not enabled for models/gemini-3-pro", Unsupported),
            (400, "FAILED_PRECONDITION", "User location is not supported for the API use.", Denied),
            (401, "UNAUTHENTICATED", "expired", Denied),
            (403, "PERMISSION_DENIED", "no", Denied),
            (404, "NOT_FOUND", "no such model", Missing),
            (413, "", "large", TooLarge),
            (429, "RESOURCE_EXHAUSTED", "quota", Throttled),
            (499, "CANCELLED", "gone", Unavailable),
            (500, "INTERNAL", "oops", Unavailable),
            (503, "UNAVAILABLE", "overloaded", Unavailable),
            (504, "DEADLINE_EXCEEDED", "slow", Timeout),
        ] {
            assert_eq!(kind(code, status, message), expected, "{code} {status}");
        }
    }

    #[test]
    fn a_wrong_key_at_the_gemini_api_is_the_operator_s_fault() {
        let body = r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"API key not valid.",
            "details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#;
        assert_eq!(error(400, body).kind(), ErrorKind::Denied);
    }

    #[test]
    fn the_delay_is_read_from_the_body_also_when_the_error_stands_in_a_list() {
        let body = r#"[{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED","details":[
            {"@type":"type.googleapis.com/google.rpc.QuotaFailure"},
            {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}]"#;
        let error = error(429, body);
        assert_eq!(error.retry_after(), Some(Duration::from_millis(34_500)));
        assert_eq!(error.code(), Some("RESOURCE_EXHAUSTED"));
        assert_eq!(error.message(), "google answered 429 RESOURCE_EXHAUSTED: slow down");
    }

    #[test]
    fn a_header_serves_when_the_body_names_no_delay_and_a_page_of_html_is_cut_short() {
        let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, "7".parse().unwrap())]);
        let body = format!("<html>{}</html>", "x".repeat(5000));
        let error = from_answer(StatusCode::SERVICE_UNAVAILABLE, &headers, body.as_bytes());
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().len() < 400);
    }

    #[test]
    fn a_delay_that_is_nonsense_is_not_believed() {
        for text in ["", "5", "-1s", "NaNs", "infs"] {
            assert_eq!(seconds(text), None, "{text}");
        }
        assert_eq!(seconds("1e9s"), Some(LONGEST_WAIT));
    }
}
