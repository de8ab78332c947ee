//! A request as the wire protocols see it, and an answer before it is sent.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;

/// A request, whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a Method,
    /// As it was sent, still percent-encoded.
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a Bytes,
    /// A number for ids, unique at this cloud.
    pub(crate) number: u64,
    /// Whether credentials that cannot be renewed count as expired.
    pub(crate) keys_expired: bool,
}

/// Why a request is refused, in no vendor's words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The request is wrong.
    Invalid { message: String, field: Option<String> },
    /// There are no credentials, or they are wrong.
    Credentials(Wrong),
    /// The credentials have no right to this model.
    Denied(String),
    /// There is no such model.
    UnknownModel(String),
    /// There is no such method.
    UnknownPath,
    /// Too many requests.
    Throttled(Option<Duration>),
    /// A server error.
    Server(u16),
    /// The content filter refuses the prompt.
    Filtered,
    /// The vendor's own error, ready.
    Own(Box<Whole>),
}

/// What is wrong with the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Missing,
    Unknown,
    Expired,
    Audience,
    /// AWS: the signature does not match.
    Signature,
}

pub(crate) type Result<T, E = Refusal> = std::result::Result<T, E>;

/// An answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Whole(Whole),
    Stream(Stream),
}

/// An answer in one piece.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Whole {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

/// An answer in events.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) events: Events,
}

/// Events, encoded into one buffer.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) buffer: Vec<u8>,
    /// Where each event ends.
    pub(crate) ends: Vec<usize>,
    /// How many events come before the one that ends the answer.
    pub(crate) before_final: Option<usize>,
    pub(crate) framing: Framing,
}

/// How events are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Server-sent events, with this line end.
    Sse(&'static str),
    /// The elements of a JSON array.
    Array,
    /// AWS's binary frames.
    Frames,
}

pub(crate) const JSON: &str = "application/json";

impl Ask<'_> {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The token of `Authorization: Bearer …`.
    pub(crate) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    /// A parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        form_field(self.query, name)
    }

    /// A field of the body, if that is a form.
    pub(crate) fn form(&self, name: &str) -> Option<Cow<'_, str>> {
        form_field(std::str::from_utf8(self.body).unwrap_or_default(), name)
    }

    /// The body as JSON of this form; `refuse` makes the message out of what is wrong.
    pub(crate) fn json<'a, T: serde::Deserialize<'a>>(
        &'a self,
        refuse: impl FnOnce(&serde_json::Error) -> String,
    ) -> Result<T> {
        serde_json::from_slice(self.body)
            .map_err(|error| Refusal::Invalid { field: unknown_field(&error), message: refuse(&error) })
    }
}

/// The field's name in serde's "unknown field `x`".
fn unknown_field(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let (_, rest) = text.split_once("unknown field `")?;
    rest.split_once('`').map(|(field, _)| field.to_owned())
}

fn form_field<'a>(form: &'a str, name: &str) -> Option<Cow<'a, str>> {
    form.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| decode(value, true))
    })
}

/// Undoes percent-encoding, and `+` for a space in forms.
pub(crate) fn decode(text: &str, form: bool) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || (form && byte == b'+')) {
        return Cow::Borrowed(text);
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let hex = |digit: Option<u8>| digit.and_then(|digit| char::from(digit).to_digit(16));
        match byte {
            b'%' => match (hex(ahead.next()), hex(ahead.next())) {
                (Some(high), Some(low)) => {
                    decoded.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                    bytes = ahead;
                }
                _ => decoded.push(b'%'),
            },
            b'+' if form => decoded.push(b' '),
            byte => decoded.push(byte),
        }
    }
    Cow::Owned(String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned()))
}

impl Refusal {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), field: None }
    }

    pub(crate) fn at(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), field: Some(field.into()) }
    }

    /// What the names of models stand for: `missing…`, `busy…` and `denied…` are refused.
    pub(crate) fn by_model(model: &str) -> Result<()> {
        // An ARN or a resource name ends with the model's own name.
        let name = model.rsplit('/').next().unwrap_or(model);
        match name {
            name if name.starts_with("missing") => Err(Self::UnknownModel(model.to_owned())),
            name if name.starts_with("busy") => Err(Self::Throttled(None)),
            name if name.starts_with("denied") => Err(Self::Denied(model.to_owned())),
            _ => Ok(()),
        }
    }
}

impl Whole {
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, content_type, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn json(status: u16, body: &impl Serialize) -> Self {
        // No value that is written here can fail: there are no maps with odd keys, and floats are finite.
        Self::new(status, JSON, serde_json::to_vec(body).unwrap_or_default())
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }
}

impl Stream {
    pub(crate) fn new(content_type: &'static str, events: Events) -> Self {
        Self { content_type, headers: Vec::new(), events }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }
}

impl From<Whole> for Answer {
    fn from(whole: Whole) -> Self {
        Self::Whole(whole)
    }
}

impl From<Stream> for Answer {
    fn from(stream: Stream) -> Self {
        Self::Stream(stream)
    }
}

impl Events {
    pub(crate) fn new(framing: Framing) -> Self {
        Self { buffer: Vec::with_capacity(4096), ends: Vec::with_capacity(32), before_final: None, framing }
    }

    /// The next event is the one that ends the answer.
    pub(crate) fn final_is_next(&mut self) {
        self.before_final.get_or_insert(self.ends.len());
    }

    /// Adds an event that is JSON, in one of the text framings.
    pub(crate) fn json(&mut self, event: &impl Serialize) {
        match self.framing {
            Framing::Sse(_) => self.buffer.extend_from_slice(b"data: "),
            Framing::Array => {
                self.buffer.extend_from_slice(if self.ends.is_empty() { b"[" } else { b",\r\n" })
            }
            Framing::Frames => {}
        }
        // Writing to memory cannot fail; nor can these values.
        let _written = serde_json::to_writer(&mut self.buffer, event);
        self.end();
    }

    /// Adds an event that is a word.
    pub(crate) fn word(&mut self, word: &str) {
        self.buffer.extend_from_slice(b"data: ");
        self.buffer.extend_from_slice(word.as_bytes());
        self.end();
    }

    /// Closes the event that was written to the buffer.
    pub(crate) fn end(&mut self) {
        if let Framing::Sse(line) = self.framing {
            self.buffer.extend_from_slice(line.as_bytes());
            self.buffer.extend_from_slice(line.as_bytes());
        }
        self.ends.push(self.buffer.len());
    }

    /// Breaks the second event, or the only one.
    pub(crate) fn break_second(&mut self) {
        let index = usize::from(self.ends.len() > 1);
        let Some(&end) = self.ends.get(index) else { return };
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let broken = match self.framing {
            // The last byte belongs to the frame's checksum.
            Framing::Frames => end - 1,
            _ => start + (end - start) / 2,
        };
        match self.framing {
            Framing::Frames => self.buffer.get_mut(broken).into_iter().for_each(|byte| *byte ^= 0xff),
            Framing::Array => self.buffer.get_mut(broken..end).into_iter().for_each(|rest| rest.fill(b'{')),
            // Half a JSON text, then the blank line that ends the event.
            Framing::Sse(line) => {
                let rest = end - 2 * line.len();
                self.buffer.get_mut(broken..rest).into_iter().for_each(|rest| rest.fill(b' '));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone() {
        assert_eq!(decode("a%3Ab+c", false), "a:b+c");
        assert_eq!(decode("a%3ab+c", true), "a:b c");
        assert_eq!(decode("100%", false), "100%");
        assert_eq!(decode("%zz%4", false), "%zz%4");
        assert_eq!(decode("%ff", false), "%ff");
        assert_eq!(form_field("a=1&b=%20x&c", "b").as_deref(), Some(" x"));
        assert_eq!(form_field("a=1&b=%20x&c", "c").as_deref(), Some(""));
        assert_eq!(form_field("", "c"), None);
    }

    #[test]
    fn the_second_event_can_be_broken() {
        let mut events = Events::new(Framing::Sse("\n"));
        events.json(&serde_json::json!({"a": 1}));
        events.json(&serde_json::json!({"b": 2}));
        events.break_second();
        let text = String::from_utf8(events.buffer).unwrap();
        let (first, rest) = text.split_once("\n\n").unwrap();
        assert_eq!(first, r#"data: {"a":1}"#);
        assert!(serde_json::from_str::<serde_json::Value>(rest.trim_start_matches("data: ").trim()).is_err());
        assert!(rest.ends_with("\n\n"));
    }
}
