//! From what went wrong on the wire to an error of ours. Providers refine this with their own codes.

use std::time::{Duration, SystemTime};

use aigate_contract::{Error, ErrorKind};
use http::{HeaderMap, StatusCode, header};
use hyper_util::client::legacy;

/// The longest `Retry-After` that is believed.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// No answer came: the error of a request that was sent into the void.
pub(crate) fn transport_error(error: legacy::Error) -> Error {
    let message = if error.is_connect() {
        "cannot connect to the provider"
    } else {
        "the connection to the provider broke"
    };
    let message = match root_cause(&error) {
        Some(cause) => format!("{message}: {cause}"),
        None => message.to_owned(),
    };
    Error::new(ErrorKind::Unavailable, message).with_source(error)
}

fn root_cause(error: &dyn std::error::Error) -> Option<String> {
    let mut cause = error.source()?;
    while let Some(next) = cause.source() {
        cause = next;
    }
    Some(cause.to_string())
}

/// What an HTTP error status means when the provider's body says nothing better.
pub fn kind_of_status(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        // 402: the account is out of credit.
        401..=403 => ErrorKind::Denied,
        404 | 405 | 410 => ErrorKind::Missing,
        408 | 504 => ErrorKind::Timeout,
        409 | 425 => ErrorKind::Unavailable,
        413 => ErrorKind::TooLarge,
        429 => ErrorKind::Throttled,
        400..=499 => ErrorKind::Invalid,
        500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Malformed,
    }
}

/// When the provider says to come back: `retry-after-ms`, then `Retry-After` in seconds or as a date.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.parse::<f64>().ok()) {
        return seconds(millis / 1000.0);
    }
    let text = text(header::RETRY_AFTER.as_str())?;
    if let Ok(number) = text.parse::<f64>() {
        return seconds(number);
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let wait = date.duration_since(SystemTime::now()).unwrap_or_default();
    Some(wait.min(LONGEST_WAIT))
}

fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok().map(|wait| wait.min(LONGEST_WAIT))
}

/// The beginning of a provider's error body, in one line, for a message: at most 300 characters.
pub fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(1200)]);
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn retry_after_is_read_in_each_of_its_forms() {
        assert_eq!(retry_after(&headers("retry-after-ms", "1500")), Some(Duration::from_millis(1500)));
        assert_eq!(retry_after(&headers("retry-after", "2")), Some(Duration::from_secs(2)));
        assert_eq!(retry_after(&headers("retry-after", "0.5")), Some(Duration::from_millis(500)));
        assert_eq!(retry_after(&headers("retry-after", "-1")), None);
        assert_eq!(retry_after(&headers("retry-after", "soon")), None);
        assert_eq!(
            retry_after(&headers("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after(&headers("retry-after", "1e300")), None);
    }

    #[test]
    fn an_excerpt_is_one_short_line_whatever_the_body() {
        assert_eq!(excerpt(b"a\n  b\xff"), "a b\u{fffd}");
        assert!(excerpt("ä".repeat(5000).as_bytes()).chars().count() <= 301);
    }
}
