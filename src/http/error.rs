//! From our errors to those of the surface that was called: the only place that knows which HTTP status a failure has.
//!
//! <https://platform.openai.com/docs/guides/error-codes>,
//! <https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md#errors>

use std::time::Duration;

use aigate_contract::{AttemptRecord, BodyError, Cost, Error, ErrorKind};
use axum::{extract::Request, response::Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::call::json;

/// When nothing better is known, a caller may come back after this long: about when the gateway itself would retry.
const COME_BACK: Duration = Duration::from_secs(1);

/// Whose words an answer is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// The OpenAI API.
    OpenAi,
    /// The Open Inference Protocol v2.
    Inference,
}

/// A request that is not answered.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    message: String,
    code: Option<Box<str>>,
    param: Option<Box<str>>,
    retry_after: Option<Duration>,
    allow: Option<&'static str>,
    attempts: Vec<AttemptRecord>,
}

#[derive(Serialize)]
struct Wire<'a> {
    error: WireError<'a>,
}

#[derive(Serialize)]
struct WireError<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'a str>,
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<WireAttempt<'a>>,
}

#[derive(Serialize)]
struct WireAttempt<'a> {
    deployment: &'a str,
    error: &'static str,
    message: &'a str,
    elapsed_ms: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why_no_cost: Option<&'a str>,
}

impl Surface {
    /// The surface that a path belongs to.
    pub(super) fn of(request: &Request) -> Self {
        let path = request.uri().path();
        if path == "/v2" || path.starts_with("/v2/") { Self::Inference } else { Self::OpenAi }
    }
}

impl Refusal {
    /// A refusal with this status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status,
            message,
            code: None,
            param: None,
            retry_after: None,
            allow: None,
            attempts: Vec::new(),
        }
    }

    /// Adds a code for programs.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into().into());
        self
    }

    /// Says to come back in a moment.
    #[must_use]
    pub fn retry_later(mut self) -> Self {
        self.retry_after = Some(COME_BACK);
        self
    }

    /// Says when to come back, if that is known.
    #[must_use]
    pub fn come_back(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    /// The path is there, the method is not: it takes only these.
    pub fn method_not_allowed(allow: &'static str, message: impl Into<String>) -> Self {
        let refusal = Self::new(StatusCode::METHOD_NOT_ALLOWED, message).code("method_not_allowed");
        Self { allow: Some(allow), ..refusal }
    }

    /// Names the field at fault.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into().into());
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The JSON of it, as it also stands in a broken stream's last event.
    pub fn to_json(&self) -> Vec<u8> {
        fn attempt(attempt: &AttemptRecord) -> Option<WireAttempt<'_>> {
            let AttemptRecord { target, elapsed, failure, cost } = attempt;
            let failure = failure.as_ref()?;
            Some(WireAttempt {
                deployment: &target.deployment,
                error: failure.kind.as_str(),
                message: failure.public(),
                elapsed_ms: elapsed.as_millis(),
                retry_after_ms: failure.retry_after.map(|wait| wait.as_millis()),
                cost_usd: cost.as_ref().and_then(Cost::money).map(|money| money.to_string()),
                why_no_cost: match cost {
                    Some(Cost::Absent(why)) => Some(why),
                    _ => None,
                },
            })
        }
        let wire = Wire {
            error: WireError {
                message: &self.message,
                kind: kind_of(self.status),
                param: self.param.as_deref(),
                code: self.code.as_deref(),
                attempts: self.attempts.iter().filter_map(attempt).collect(),
            },
        };
        serde_json::to_vec(&wire).unwrap_or_else(|_| br#"{"error":{"message":"internal error"}}"#.to_vec())
    }

    /// The HTTP answer.
    pub fn into_response(self, surface: Surface) -> Response {
        let mut response = json(match surface {
            Surface::OpenAi => self.to_json(),
            Surface::Inference => serde_json::json!({ "error": self.message }).to_string().into_bytes(),
        });
        *response.status_mut() = self.status;
        if let Some(allow) = self.allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if self.code.as_deref() == Some("insufficient_quota") {
            // The SDKs would try a spent budget again at once.
            response
                .headers_mut()
                .insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
        }
        if let Some(wait) = self.retry_after {
            let headers = response.headers_mut();
            // Whole seconds, rounded up; the SDKs prefer the milliseconds.
            let seconds = wait.as_millis().div_ceil(1000);
            headers
                .insert(header::RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            headers.insert(HeaderName::from_static("retry-after-ms"), HeaderValue::from(millis));
        }
        response
    }
}

/// OpenAI's `type` of an error with this status.
fn kind_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        let message = error.to_string();
        let code = if error.param.is_some() { "invalid_value" } else { "invalid_json" };
        Self { param: error.param.map(Into::into), ..Self::new(StatusCode::BAD_REQUEST, message).code(code) }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let kind = error.kind();
        let (status, code) = match kind {
            ErrorKind::Invalid => (StatusCode::BAD_REQUEST, "invalid_request"),
            ErrorKind::Unsupported => (StatusCode::BAD_REQUEST, "unsupported_parameter"),
            ErrorKind::TooLarge => (StatusCode::BAD_REQUEST, "context_length_exceeded"),
            ErrorKind::Filtered => (StatusCode::BAD_REQUEST, "content_filter"),
            ErrorKind::Exhausted => exhausted(error.attempts()),
            ErrorKind::Limited => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
            // As OpenAI says it. Its SDKs try again unless they are told not to.
            ErrorKind::OverBudget => (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota"),
            ErrorKind::LimitsUnknown => (StatusCode::SERVICE_UNAVAILABLE, "limits_unknown"),
            ErrorKind::Throttled | ErrorKind::Overloaded | ErrorKind::OverShare => {
                (StatusCode::TOO_MANY_REQUESTS, kind.as_str())
            }
            ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            ErrorKind::Denied
            | ErrorKind::Missing
            | ErrorKind::CircuitOpen
            | ErrorKind::AskedToWait
            | ErrorKind::Deadline
            | ErrorKind::Timeout
            | ErrorKind::Unavailable
            | ErrorKind::Interrupted
            | ErrorKind::Abandoned
            | ErrorKind::Malformed => (StatusCode::SERVICE_UNAVAILABLE, kind.as_str()),
        };
        let comes_back = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let message = match error.target() {
            Some(target) if error.attempts().is_empty() => {
                format!("{}: {}", target.deployment, error.message())
            }
            _ => error.message().to_owned(),
        };
        Self {
            param: error.param().map(Into::into),
            // A budget that is spent or too small says itself when to come back, if ever.
            retry_after: match kind {
                ErrorKind::OverBudget => error.retry_after(),
                _ => comes_back.then(|| error.retry_after().unwrap_or(COME_BACK)),
            },
            attempts: error.attempts().to_vec(),
            ..Self::new(status, message)
                .code(error.code().filter(|_| kind == ErrorKind::Invalid).unwrap_or(code))
        }
    }
}

/// 429 when every deployment only asks for patience, else 503.
fn exhausted(attempts: &[AttemptRecord]) -> (StatusCode, &'static str) {
    let kinds = || attempts.iter().filter_map(|attempt| attempt.failure.as_ref()).map(|failure| failure.kind);
    let throttled = |kind| {
        matches!(
            kind,
            ErrorKind::Throttled | ErrorKind::AskedToWait | ErrorKind::Overloaded | ErrorKind::OverShare
        )
    };
    let patience = |kind| throttled(kind) || kind == ErrorKind::CircuitOpen;
    if kinds().all(patience) && kinds().any(throttled) {
        (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "all_deployments_failed")
    }
}
