//! What a token server answers: a token, or why not. Its words go into messages, its tokens never.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aigate_contract::{Error, ErrorKind, Result};
use aigate_transport::{Token, excerpt, retry_after};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::Way;

/// The longest life of a token that is believed.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// A token, as Entra ID (`expires_in` a number), the machine's service (both, as texts) and App Service (`expires_on`
/// only) write it.
#[derive(Deserialize)]
struct Granted {
    #[serde(default)]
    access_token: String,
    /// Seconds.
    #[serde(default)]
    expires_in: Option<Value>,
    /// Seconds since 1970.
    #[serde(default)]
    expires_on: Option<Value>,
}

/// A refusal. <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: Option<String>,
    error_description: Option<String>,
    /// App Service's.
    message: Option<String>,
}

/// Reads the token out of a success.
pub(super) fn read_token(server: &str, body: &[u8]) -> Result<Token> {
    // The parser's own message could quote the token.
    let malformed = |why| Error::new(ErrorKind::Malformed, format!("the answer of {server} {why}"));
    let granted: Granted = serde_json::from_slice(body).map_err(|_| malformed("is not a token in JSON"))?;
    if granted.access_token.is_empty() {
        return Err(malformed("holds no `access_token`"));
    }
    let lifetime = match (seconds(granted.expires_in.as_ref()), seconds(granted.expires_on.as_ref())) {
        (Some(seconds), _) => Duration::from_secs(seconds),
        (None, Some(end)) => (UNIX_EPOCH.checked_add(Duration::from_secs(end)))
            .and_then(|end| end.duration_since(SystemTime::now()).ok())
            .unwrap_or_default(),
        (None, None) => return Err(malformed("does not say in seconds when the token expires")),
    };
    Token::bearer(&granted.access_token, lifetime.min(LONGEST_LIFE))
}

fn seconds(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Reads a refusal: the server's own code and the first line of its description.
pub(super) fn read_refusal(
    way: &Way,
    server: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Error {
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let line = refusal.error_description.or(refusal.message).unwrap_or_default();
    let line = excerpt(line.lines().next().unwrap_or_default().as_bytes());
    let code = refusal.error.as_deref().map(|code| excerpt(code.as_bytes()));
    let mut message = format!("{server} gave no token for {}: {status}", subject(way));
    for part in code.as_deref().into_iter().chain([line.as_str()]).filter(|part| !part.is_empty()) {
        message.push_str(": ");
        message.push_str(part);
    }
    let error =
        Error::new(kind(way, status, code.as_deref()), message).with_retry_after(retry_after(headers));
    match code {
        Some(code) => error.with_code(code),
        None => error,
    }
}

/// A refusal is the operator's to mend, except where the server says that it will pass.
fn kind(way: &Way, status: StatusCode, code: Option<&str>) -> ErrorKind {
    let machine = matches!(way, Way::Machine { .. } | Way::AppService { .. });
    match status.as_u16() {
        408 | 429 | 500..=599 => ErrorKind::Unavailable,
        // The machine's service answers so while it is being updated.
        404 | 410 if machine => ErrorKind::Unavailable,
        400..=499 if code == Some("temporarily_unavailable") => ErrorKind::Unavailable,
        400..=499 => ErrorKind::Denied,
        _ => ErrorKind::Malformed,
    }
}

fn subject(way: &Way) -> String {
    match way {
        Way::ClientSecret { client_id, .. } => format!("the client secret of `{client_id}`"),
        Way::Workload { client_id, .. } => format!("the workload identity `{client_id}`"),
        Way::Machine { client_id: Some(id), .. } | Way::AppService { client_id: Some(id), .. } => {
            format!("the managed identity `{id}`")
        }
        Way::Machine { .. } | Way::AppService { .. } => "the system-assigned managed identity".to_owned(),
    }
}
