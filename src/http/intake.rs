//! Reading a request's body: of the right kind, within its bounds of size and time.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::error::Refusal;
use crate::gateway::Snapshot;

/// A body, and the room it takes until it is dropped.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// Reads a JSON body whole.
pub(super) async fn read_json(here: &Snapshot, headers: &HeaderMap, body: Body) -> Result<Held, Refusal> {
    check_type(headers, false)?;
    read(here, headers, body).await
}

/// Reads a message of the Open Inference Protocol whole: JSON, with binary tensors behind it where a header says so. Its
/// clients send either content type, or none.
pub(super) async fn read_message(here: &Snapshot, headers: &HeaderMap, body: Body) -> Result<Held, Refusal> {
    check_type(headers, true)?;
    read(here, headers, body).await
}

async fn read(here: &Snapshot, headers: &HeaderMap, body: Body) -> Result<Held, Refusal> {
    let too_large = || {
        let message = format!("the body is larger than {} bytes, the limit of this gateway", here.max_body);
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message).code("request_too_large")
    };
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > here.max_body as u64) {
        return Err(too_large());
    }
    // A body of unknown length takes the room of the largest.
    let length = declared.map_or(here.max_body, |length| usize::try_from(length).unwrap_or(usize::MAX));
    let room = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX);
    let Ok(room) = Arc::clone(&here.room).try_acquire_many_owned(room) else {
        let message =
            "there is no room for one more request of this size at the moment (`max_buffered_bytes`)";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message).code("overloaded").retry_later());
    };
    match timeout(here.body_timeout, Limited::new(body, here.max_body).collect()).await {
        Ok(Ok(body)) => Ok(Held { bytes: body.to_bytes(), _room: room }),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => {
            Err(Refusal::new(StatusCode::BAD_REQUEST, "the body broke off").code("incomplete_body"))
        }
        Err(_) => {
            let limit = humantime::format_duration(here.body_timeout);
            let message = format!("the body did not arrive within {limit}");
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, message).code("body_timeout"))
        }
    }
}

fn check_type(headers: &HeaderMap, binary: bool) -> Result<(), Refusal> {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let json = kind == "application/json"
        || (kind.len() > 17 && kind.starts_with("application/") && kind.ends_with("+json"))
        || (binary && (kind.is_empty() || kind == "application/octet-stream"));
    if json && headers.get(header::CONTENT_ENCODING).is_none_or(|value| value == "identity") {
        return Ok(());
    }
    let message = match (json, text) {
        (true, _) => "compressed bodies are not read: send it without `Content-Encoding`".to_owned(),
        (false, "") => "no content type: send `Content-Type: application/json`".to_owned(),
        (false, other) => format!("the content type is `{other}`: send `Content-Type: application/json`"),
    };
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).code("unsupported_media_type"))
}
