//! A glance at JSON that is passed on: what it says about errors, finish reasons and usage, without reading it into types.
//!
//! A quotation mark inside a JSON string is escaped, so `"usage"` in a JSON text is a key, or a whole string; followed by a
//! colon it is a key. The text must be checked to be JSON as well: [`is_json`].

use std::{borrow::Cow, sync::LazyLock};

use aigate_contract::{Facts, FinishReason, OpenAiUsage, Usage};
use memchr::memmem::Finder;
use serde::{Deserialize, de::IgnoredAny};

/// Searches that are prepared once.
struct Finders {
    error: Finder<'static>,
    choice: Finder<'static>,
    finish_reason: Finder<'static>,
    usage: Finder<'static>,
}

static FINDERS: LazyLock<Finders> = LazyLock::new(|| Finders {
    error: Finder::new("\"error\""),
    choice: Finder::new("\"choices\":[{"),
    finish_reason: Finder::new("\"finish_reason\""),
    usage: Finder::new("\"usage\""),
});

/// Whether the text is one JSON value.
pub(crate) fn is_json(data: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(data).is_ok()
}

/// Whether a chunk has choices, and no error, finish reason or usage. When in doubt it says no, which only costs a closer
/// look.
pub(crate) fn only_adds(data: &[u8]) -> bool {
    FINDERS.choice.find(data).is_some()
        && FINDERS.error.find(data).is_none()
        && values(&FINDERS.finish_reason, data).all(is_null)
        && values(&FINDERS.usage, data).all(is_null)
}

/// The finish reasons and the usage of a whole completion. `None` when it must be read properly: it may be no completion,
/// or hold an error.
pub(crate) fn completion(data: &[u8]) -> Option<Facts> {
    if FINDERS.choice.find(data).is_none() || FINDERS.error.find(data).is_some() || !is_json(data) {
        return None;
    }
    let mut facts = Facts::default();
    for value in values(&FINDERS.finish_reason, data).filter(|value| !is_null(value)) {
        facts.finish.push(FinishReason::from(leading::<Cow<'_, str>>(value)?.as_ref()));
    }
    let mut usages = values(&FINDERS.usage, data).filter(|value| !is_null(value));
    if let Some(value) = usages.next() {
        facts.usage = Some(Usage::from(leading::<OpenAiUsage>(value)?));
    }
    // A second one is an extension of the provider's: read properly which is which.
    usages.next().is_none().then_some(facts)
}

/// The JSON value that `data` begins with.
fn leading<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Option<T> {
    T::deserialize(&mut serde_json::Deserializer::from_slice(data)).ok()
}

/// What stands behind each place of a key.
fn values<'a>(key: &'static Finder<'static>, data: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let length = key.needle().len();
    key.find_iter(data).map(move |place| {
        let rest = data.get(place + length..).unwrap_or_default();
        let value = rest.iter().position(|byte| !matches!(byte, b':' | b' ')).unwrap_or(rest.len());
        rest.get(value..).unwrap_or_default()
    })
}

fn is_null(value: &[u8]) -> bool {
    value.starts_with(b"null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_at_a_completion_sees_what_reading_it_would() {
        let whole = br#"{"choices":[{"message":{"content":"\"usage\":{\"x\":1}"},"finish_reason":"stop"}],
            "usage":{"prompt_tokens":3,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":2}}}"#;
        let facts = completion(whole).unwrap();
        assert_eq!(facts.finish, [FinishReason::Stop]);
        let usage = facts.usage.unwrap();
        assert_eq!((usage.fresh_input, usage.cached_read, usage.output), (Some(1), Some(2), Some(1)));
        for doubtful in [
            &br#"{"choices":[{"finish_reason":"stop"}]"#[..],
            br#"{"choices":[{"finish_reason":5}]}"#,
            br#"{"choices":[{"finish_reason":"stop"}],"x":{"usage":{}},"usage":{"prompt_tokens":1}}"#,
            br#"{"choices":[{"finish_reason":"stop"}],"error":{"message":"x"}}"#,
            br#"{"choices":[]}"#,
            b"",
        ] {
            assert!(completion(doubtful).is_none(), "{}", String::from_utf8_lossy(doubtful));
        }
    }

    #[test]
    fn a_chunk_that_tells_something_is_never_taken_for_one_that_only_adds_text() {
        assert!(only_adds(
            br#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"usage":null}"#
        ));
        assert!(only_adds(br#"{"choices":[{"delta":{"content":"\"usage\": \"finish_reason\":\"stop\""}}]}"#));
        for telling in [
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":3}}"#,
            r#"{"choices":[]}"#,
            r#"{"choices":[{"delta":{},"finish_reason" : "stop"}]}"#,
            r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1}}"#,
            r#"{"choices":[{"delta":{"content":"a"},"finish_reason":null},{"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"delta":{}}],"error":{"message":"x"}}"#,
        ] {
            assert!(!only_adds(telling.as_bytes()), "{telling}");
        }
    }
}
