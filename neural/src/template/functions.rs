//! What `apply_chat_template` adds to Jinja.

use std::error::Error as _;
use std::fmt;
use std::time::SystemTime;

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};
use serde::Serialize;
use serde_json::ser::Formatter;
use time::OffsetDateTime;
use time::format_description::parse_strftime_borrowed;

/// The most spaces that JSON is indented by.
const WIDEST: usize = 16;

/// What a template said when it refused its messages.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

/// The template's way of refusing its messages.
pub(super) fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Raised(message)))
}

/// Why a rendering failed, for whoever wrote the messages.
pub(super) fn refusal(error: &Error) -> String {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(raised) = inner.downcast_ref::<Raised>() {
            return format!("the model's chat template refuses the messages: {raised}");
        }
        source = inner.source();
    }
    format!("the model's chat template failed: {}", message(error))
}

/// An error with its line, where it has one.
pub(super) fn message(error: &Error) -> String {
    let mut text = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    if let Some(inner) = error.source() {
        text += &format!(": {inner}");
    }
    if let Some(line) = error.line() {
        text += &format!(" (line {line})");
    }
    text
}

/// `strftime_now(format)` at a time, in UTC.
pub(super) fn strftime_now(now: SystemTime) -> Value {
    let now = OffsetDateTime::from(now);
    Value::from_function(move |format: &str| {
        let bad = |error: &dyn fmt::Display| {
            Error::new(ErrorKind::InvalidOperation, format!("strftime_now({format:?}): {error}"))
        };
        let items = parse_strftime_borrowed(format).map_err(|error| bad(&error))?;
        now.format(&items).map_err(|error| bad(&error))
    })
}

/// Whether a value is a sequence as Jinja has it: whatever has a length and elements.
pub(super) fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map)
}

/// JSON as Python's `json.dumps(.., ensure_ascii=False)` writes it, with `indent` and `separators`.
pub(super) fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let refused = |what: &str| Error::new(ErrorKind::InvalidOperation, format!("tojson: {what}"));
    let indent: Option<usize> = options.get("indent")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    if options.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        return Err(refused("ensure_ascii is not supported"));
    }
    if options.get::<Option<bool>>("sort_keys")? == Some(true) {
        return Err(refused("sort_keys is not supported"));
    }
    options.assert_all_used()?;
    if indent.is_some_and(|indent| indent > WIDEST) {
        return Err(refused(&format!("indent must be at most {WIDEST}")));
    }
    let (item, key) = match separators.as_deref() {
        None => (if indent.is_some() { "," } else { ", " }, ": "),
        Some([item, key]) => (item.as_str(), key.as_str()),
        Some(_) => return Err(refused("separators must be two texts")),
    };
    let mut written = Vec::new();
    let python = Python { item, key, indent, depth: 0, filled: false };
    let mut serializer = serde_json::Serializer::with_formatter(&mut written, python);
    value.serialize(&mut serializer).map_err(|error| refused(&error.to_string()))?;
    String::from_utf8(written).map_err(|error| refused(&error.to_string()))
}

/// Python's way of spacing JSON.
struct Python<'a> {
    item: &'a str,
    key: &'a str,
    indent: Option<usize>,
    depth: usize,
    /// Whether the innermost array or object has had a value.
    filled: bool,
}

impl Python<'_> {
    fn open<W: std::io::Write + ?Sized>(&mut self, out: &mut W, bracket: &[u8]) -> std::io::Result<()> {
        self.depth += 1;
        self.filled = false;
        out.write_all(bracket)
    }

    fn close<W: std::io::Write + ?Sized>(&mut self, out: &mut W, bracket: &[u8]) -> std::io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        if self.filled {
            self.line(out)?;
        }
        self.filled = true;
        out.write_all(bracket)
    }

    fn next<W: std::io::Write + ?Sized>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
        if !first {
            out.write_all(self.item.as_bytes())?;
        }
        self.line(out)
    }

    fn line<W: std::io::Write + ?Sized>(&self, out: &mut W) -> std::io::Result<()> {
        match self.indent {
            None => Ok(()),
            Some(indent) => write!(out, "\n{:1$}", "", indent * self.depth),
        }
    }
}

impl Formatter for Python<'_> {
    fn begin_array<W: std::io::Write + ?Sized>(&mut self, out: &mut W) -> std::io::Result<()> {
        self.open(out, b"[")
    }

    fn end_array<W: std::io::Write + ?Sized>(&mut self, out: &mut W) -> std::io::Result<()> {
        self.close(out, b"]")
    }

    fn begin_array_value<W: std::io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        self.next(out, first)
    }

    fn end_array_value<W: std::io::Write + ?Sized>(&mut self, _: &mut W) -> std::io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn begin_object<W: std::io::Write + ?Sized>(&mut self, out: &mut W) -> std::io::Result<()> {
        self.open(out, b"{")
    }

    fn end_object<W: std::io::Write + ?Sized>(&mut self, out: &mut W) -> std::io::Result<()> {
        self.close(out, b"}")
    }

    fn begin_object_key<W: std::io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        self.next(out, first)
    }

    fn begin_object_value<W: std::io::Write + ?Sized>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(self.key.as_bytes())
    }

    fn end_object_value<W: std::io::Write + ?Sized>(&mut self, _: &mut W) -> std::io::Result<()> {
        self.filled = true;
        Ok(())
    }
}

/// A template's text as Jinja reads it: line feeds alone end lines, a backslash at a line's end in a tag
/// joins the lines, and `{% generation %}` blocks, which only mark the assistant's text for training, are
/// plain blocks.
pub(super) fn normalized(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut kept = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some((before, tag, after)) = next_tag(rest) {
        kept.push_str(before);
        let tag = tag.replace("\\\n", "");
        match tag.trim_matches(['{', '%', '}', '-', '+', ' ', '\n', '\t']) {
            "generation" => kept.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => kept.push_str(&tag.replace("endgeneration", "endif")),
            _ => kept.push_str(&tag),
        }
        rest = after;
    }
    kept + rest
}

/// What stands before the first tag or expression, it itself, and what stands behind it.
fn next_tag(source: &str) -> Option<(&str, &str, &str)> {
    let starts = [source.find("{%").map(|at| (at, "%}")), source.find("{{").map(|at| (at, "}}"))];
    let (start, close) = starts.into_iter().flatten().min()?;
    let end = start + source[start..].find(close)? + close.len();
    Some((&source[..start], &source[start..end], &source[end..]))
}
