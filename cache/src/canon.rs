//! The canonical bytes of a request: equal exactly when nothing differs that may change the answer.
//!
//! Every part begins with a tag; texts carry their length, lists and tables an end mark. So the bytes can be read in one
//! way only, and no two different requests run together to the same bytes.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, ops::Range};

use aigate_contract::Body;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// How deep tables and lists are read. What is deeper is taken as the text it was sent as: such a request is then equal
/// only to itself, letter by letter.
const MAX_DEPTH: usize = 64;

/// Collects the canonical bytes of a request.
#[derive(Debug)]
pub struct Canon {
    out: Vec<u8>,
}

impl Canon {
    /// Room for a request of about this many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    /// The SHA-256 of all that was added.
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.out).into()
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) {
        push(&mut self.out, b's', text.as_bytes());
    }

    /// Adds a text that may be absent.
    pub fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.out.push(b'-'),
        }
    }

    /// Adds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        push(&mut self.out, b'b', bytes);
    }

    /// Adds a count or a length.
    pub fn number(&mut self, number: u64) {
        self.out.push(b'i');
        self.out.extend_from_slice(&number.to_le_bytes());
    }

    /// Adds a JSON value, given as valid JSON text. Neither white space nor the order of a table's fields matters, except
    /// for a table called `properties`: a JSON Schema's order of properties is the order in which a model writes them.
    /// Numbers are equal when they are written alike.
    pub fn json(&mut self, text: &str) {
        self.value(text, false);
    }

    /// Adds a table of JSON values; its order does not matter.
    pub fn table(&mut self, fields: &Map<String, Value>) {
        let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
        fields.sort_unstable_by_key(|(name, _)| *name);
        self.out.push(b'o');
        for (name, value) in fields {
            self.text(name);
            self.value(&value.to_string(), name == "properties");
        }
        self.out.push(b'e');
    }

    /// Adds all fields of a body, but those called in `left_out`; their order does not matter.
    pub fn body(&mut self, body: &Body, left_out: &[&str]) {
        let mut names: Vec<&str> = body.names().filter(|name| !left_out.contains(name)).collect();
        names.sort_unstable();
        self.out.push(b'o');
        for name in names {
            self.text(name);
            let raw = body.raw(name).unwrap_or_default();
            match std::str::from_utf8(raw) {
                Ok(text) => self.value(text, name == "properties"),
                // A body is UTF-8: it was checked when it came in.
                Err(_) => self.bytes(raw),
            }
        }
        self.out.push(b'e');
    }

    fn value(&mut self, text: &str, ordered: bool) {
        let start = self.out.len();
        let mut walk = Walk { text, at: 0, out: &mut self.out };
        if walk.value(0, ordered).is_none() || !walk.at_end() {
            self.out.truncate(start);
            push(&mut self.out, b'r', text.as_bytes());
        }
    }
}

/// Tag, length, bytes. A length is one byte, or 255 and eight: most texts are short, and all of it is hashed.
fn push(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    match u8::try_from(bytes.len()) {
        Ok(length) if length < u8::MAX => out.push(length),
        _ => {
            out.push(u8::MAX);
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

/// Goes once through a JSON text. It was parsed before, so `None` means that it is deeper than [`MAX_DEPTH`].
struct Walk<'a> {
    text: &'a str,
    at: usize,
    out: &'a mut Vec<u8>,
}

impl Walk<'_> {
    fn value(&mut self, depth: usize, ordered: bool) -> Option<()> {
        match self.peek()? {
            b'{' if depth < MAX_DEPTH => self.object(depth, ordered),
            b'[' if depth < MAX_DEPTH => self.array(depth),
            b'{' | b'[' => None,
            b'"' => self.string().map(|_| ()),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize, ordered: bool) -> Option<()> {
        self.at += 1;
        self.out.push(if ordered { b'O' } else { b'o' });
        let mut fields = Vec::new();
        if self.peek()? == b'}' {
            self.at += 1;
        } else {
            loop {
                let start = self.out.len();
                let name = self.string()?;
                let schema = self.out.get(name.clone())? == b"properties";
                self.step(b':')?;
                self.value(depth + 1, schema)?;
                fields.push(Field { name, whole: start..self.out.len() });
                match self.next()? {
                    b',' => {}
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        if !ordered {
            sort(self.out, &mut fields);
        }
        self.out.push(b'e');
        Some(())
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.at += 1;
        self.out.push(b'a');
        if self.peek()? == b']' {
            self.at += 1;
        } else {
            loop {
                self.value(depth + 1, false)?;
                match self.next()? {
                    b',' => {}
                    b']' => break,
                    _ => return None,
                }
            }
        }
        self.out.push(b'e');
        Some(())
    }

    /// A string, told without its escapes. Gives the place of its text in the output.
    fn string(&mut self) -> Option<Range<usize>> {
        self.step(b'"')?;
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut escaped = false;
        loop {
            let run = bytes.get(self.at..)?.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            self.at += run;
            if bytes.get(self.at)? == &b'"' {
                break;
            }
            escaped = true;
            self.at += 2;
        }
        let inner = self.text.get(start..self.at)?;
        let quoted = self.text.get(start - 1..=self.at)?;
        self.at += 1;
        let decoded = if escaped { serde_json::from_str(quoted).ok() } else { Some(Cow::Borrowed(inner)) };
        let (tag, text) = match &decoded {
            Some(text) => (b's', text.as_ref()),
            // Half of a surrogate pair stands for no character: told as it was sent.
            None => (b'r', quoted),
        };
        push(self.out, tag, text.as_bytes());
        Some(self.out.len() - text.len()..self.out.len())
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let length = rest.iter().position(|byte| !plain(byte)).unwrap_or(rest.len());
        if length == 0 {
            return None;
        }
        push(self.out, b'n', &rest[..length]);
        self.at += length;
        Some(())
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn step(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    fn at_end(&mut self) -> bool {
        self.peek().is_none()
    }
}

/// Where a table's field stands in the output.
struct Field {
    name: Range<usize>,
    whole: Range<usize>,
}

/// Puts the fields, which are the end of `out`, in the order of their names. A name that stands twice keeps its order:
/// which of the two counts is the provider's business.
fn sort(out: &mut Vec<u8>, fields: &mut [Field]) {
    if fields.is_sorted_by(|a, b| out[a.name.clone()] <= out[b.name.clone()]) {
        return;
    }
    let start = fields.iter().map(|field| field.whole.start).min().unwrap_or(out.len());
    fields.sort_by(|a, b| out[a.name.clone()].cmp(&out[b.name.clone()]));
    let mut sorted = Vec::with_capacity(out.len() - start);
    for field in &*fields {
        sorted.extend_from_slice(&out[field.whole.clone()]);
    }
    out.truncate(start);
    out.append(&mut sorted);
}
