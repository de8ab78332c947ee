//! Keeps a caller's text from becoming control tokens.
//!
//! Before rendering, a breaker (a private-use character that occurs in none of the texts) is put into the
//! caller's texts wherever a control token could begin: behind every first character of one, unless the text
//! there begins with a literal of the template's own, such as `</think>`, which templates search and split
//! by. What the template then does to the text (trim, split, replace, join) cannot make a control token of
//! it: each one would have to begin with a character that has a breaker behind it. After rendering, what
//! still reads as a control token is the template's, and the breakers go. So the texts that a template sees
//! are the caller's own wherever they could matter to it, and the rendered text is the same as without
//! protection. Only a length that a template takes of a text with such characters counts the breakers as well.

use std::collections::HashMap;

use serde_json::Value;

/// The texts of a model's control tokens.
#[derive(Debug, Clone)]
pub struct Controls {
    /// By first character, the longest first.
    texts: HashMap<char, Vec<String>>,
}

/// A piece of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text to be tokenized.
    Text(String),
    /// The text of a control token that the template wrote.
    Control(String),
}

/// How the caller's texts of one prompt are protected.
pub(super) struct Guard<'a> {
    controls: &'a Controls,
    breaker: char,
    /// The template's literals that its conditions may look for.
    literals: Vec<&'a str>,
}

impl Controls {
    /// The control tokens with these texts. User-defined tokens that the template writes belong to them as
    /// well.
    pub fn new(texts: impl IntoIterator<Item = String>) -> Controls {
        let mut by_first: HashMap<char, Vec<String>> = HashMap::new();
        for text in texts {
            if let Some(first) = text.chars().next() {
                by_first.entry(first).or_default().push(text);
            }
        }
        for texts in by_first.values_mut() {
            texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
            texts.dedup();
        }
        Controls { texts: by_first }
    }

    pub(super) fn guard<'a>(
        &'a self,
        source: &'a str,
        messages: &Value,
        tools: Option<&Value>,
    ) -> Result<Guard<'a>, String> {
        let used = |breaker| {
            source.contains(breaker)
                || holds(messages, breaker)
                || tools.is_some_and(|tools| holds(tools, breaker))
        };
        let breaker = ('\u{F0000}'..='\u{FFFFD}').find(|breaker| !used(*breaker));
        let breaker = breaker.ok_or("the messages hold every private-use character of plane 15")?;
        let literals = literals(source).into_iter().filter(|literal| self.is_harmless(literal)).collect();
        Ok(Guard { controls: self, breaker, literals })
    }

    /// The control token that `text` begins with, the longest one.
    pub(super) fn at_start(&self, text: &str) -> Option<&str> {
        let texts = self.texts.get(&text.chars().next()?)?;
        texts.iter().map(String::as_str).find(|control| text.starts_with(control))
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        self.texts.values().flatten().map(String::as_str)
    }

    /// Whether a control token can begin with this character and it is punctuation, which no template trims
    /// or counts.
    fn may_begin(&self, character: char) -> bool {
        character.is_ascii_punctuation() && self.texts.contains_key(&character)
    }

    /// Whether a literal neither begins a control token nor begins with one.
    fn is_harmless(&self, literal: &str) -> bool {
        let begins = |control: &str| control.starts_with(literal) || literal.starts_with(control);
        literal.chars().count() > 2
            && literal.chars().next().is_some_and(|first| self.may_begin(first))
            && !self.all().any(begins)
    }

    /// Whether a text begins with the end of a control token, so that the template's text before it could
    /// complete one.
    fn ends_at_start(&self, text: &str) -> bool {
        let tail =
            |control: &str| control.char_indices().skip(1).any(|(at, _)| text.starts_with(&control[at..]));
        self.all().any(tail)
    }
}

impl Guard<'_> {
    /// A copy of the caller's value with breakers in all its texts and names.
    pub(super) fn protect(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.broken(text)),
            Value::Array(list) => Value::Array(list.iter().map(|one| self.protect(one)).collect()),
            Value::Object(object) => Value::Object(
                object.iter().map(|(name, one)| (self.broken(name), self.protect(one))).collect(),
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    /// The rendered text in pieces, without breakers.
    pub(super) fn pieces(&self, rendered: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = rendered;
        while let Some(first) = rest.chars().next() {
            if let Some(control) = self.controls.at_start(rest) {
                self.cut(std::mem::take(&mut text), &mut pieces);
                pieces.push(Piece::Control(control.to_owned()));
                rest = &rest[control.len()..];
                continue;
            }
            if first != self.breaker {
                text.push(first);
            }
            rest = &rest[first.len_utf8()..];
        }
        self.cut(text, &mut pieces);
        pieces
    }

    /// Adds a text, cut within everything that reads as a control token.
    fn cut(&self, text: String, pieces: &mut Vec<Piece>) {
        let mut start = 0;
        for (at, first) in text.char_indices() {
            if self.controls.at_start(&text[at..]).is_some() {
                let end = at + first.len_utf8();
                pieces.push(Piece::Text(text[start..end].to_owned()));
                start = end;
            }
        }
        if start < text.len() {
            pieces.push(Piece::Text(text[start..].to_owned()));
        }
    }

    fn broken(&self, text: &str) -> String {
        let mut broken = String::with_capacity(text.len());
        if self.controls.ends_at_start(text) {
            broken.push(self.breaker);
        }
        for (at, character) in text.char_indices() {
            broken.push(character);
            let rest = &text[at..];
            let begins = self.controls.may_begin(character)
                && !self.literals.iter().any(|literal| rest.starts_with(literal));
            if begins || self.controls.at_start(rest).is_some() {
                broken.push(self.breaker);
            }
        }
        broken
    }
}

/// Whether a text or name in `value` holds the character.
fn holds(value: &Value, character: char) -> bool {
    match value {
        Value::String(text) => text.contains(character),
        Value::Array(list) => list.iter().any(|one| holds(one, character)),
        Value::Object(object) => {
            object.iter().any(|(name, one)| name.contains(character) || holds(one, character))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The string literals in a template's expressions and tags; those with escapes are left out.
fn literals(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = [rest.find("{%"), rest.find("{{")].into_iter().flatten().min() {
        rest = &rest[at + 2..];
        while let Some(next) = rest.find(['\'', '"', '}']) {
            let quote = rest.as_bytes()[next];
            rest = &rest[next + 1..];
            if quote == b'}' {
                break;
            }
            let Some(end) = literal_end(rest, quote) else { return found };
            if !rest[..end].contains('\\') {
                found.push(&rest[..end]);
            }
            rest = &rest[end + 1..];
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn literal_end(text: &str, quote: u8) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == quote && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}
