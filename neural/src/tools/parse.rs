//! Reads tool calls out of generated text as it comes.
//!
//! Text is held back only while it may still turn out to be a call. What began like a call and was none comes
//! out as text, unchanged: no JSON object, no function that was offered, arguments that are no object, or an
//! end in the middle of it. White space between a call and what follows it is left out.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::thoughts::{filled, overlap};
use super::{Part, Style};

/// What ends a call of [`Style::Hermes`].
const CLOSE: &str = "</tool_call>";
/// The longest call that is read, in bytes; a longer one is text.
const LONGEST: usize = 1 << 20;

/// Reads one answer, pushed in any pieces.
#[derive(Debug)]
pub struct Parser {
    style: Style,
    names: Vec<String>,
    place: Place,
    /// Text that is not decided yet. In a call: its beginning, marker included.
    held: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before anything but white space, where a Llama call may begin without a marker.
    Start,
    Text,
    /// In a call; the scan stands in `held`.
    Call(Scan),
    /// Behind a call: a separator, another call or, unless it came, the closing marker may follow.
    Behind {
        closed: bool,
    },
    /// Behind an answer's last call, where only text follows.
    Over,
}

/// How far a JSON object was scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Scan {
    /// Where the object begins, once that was found.
    start: Option<usize>,
    /// The next byte to look at.
    next: usize,
    /// Whether Mistral's list was opened.
    list: bool,
    depth: usize,
    string: bool,
    escape: bool,
}

enum Scanned {
    /// Not yet decided.
    Open(Scan),
    /// The object stands at these bytes.
    Object(usize, usize),
    /// Not a call.
    Nothing,
}

#[derive(Deserialize)]
struct Written<'a> {
    name: String,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

impl Parser {
    /// A parser of answers in this style, to calls of functions with these names.
    pub fn new(style: Style, names: Vec<String>) -> Parser {
        Parser { style, names, place: Place::Start, held: String::new() }
    }

    /// Takes the next piece of the answer and returns what is decided: [`Part::Text`] and [`Part::Call`].
    pub fn push(&mut self, text: &str) -> Vec<Part> {
        self.held.push_str(text);
        let mut parts = Vec::new();
        while self.step(&mut parts) {}
        parts
    }

    /// The rest, at the answer's end.
    pub fn finish(mut self) -> Vec<Part> {
        let mut parts = Vec::new();
        loop {
            match self.place {
                // What follows the marker of a call that was none may hold a whole call.
                Place::Call(_) => {
                    self.no_call(&mut parts);
                    while self.step(&mut parts) {}
                }
                Place::Behind { .. } if self.held.trim().is_empty() => return parts,
                _ => break,
            }
        }
        parts.extend(filled(Part::Text(self.held)));
        parts
    }

    /// Whether there is more to decide with what is held.
    fn step(&mut self, parts: &mut Vec<Part>) -> bool {
        match self.place {
            Place::Start => self.start(),
            Place::Text => self.text(parts),
            Place::Call(scan) => self.call(scan, parts),
            Place::Behind { closed } => self.behind(closed),
            Place::Over => {
                parts.extend(filled(Part::Text(std::mem::take(&mut self.held))));
                false
            }
        }
    }

    fn start(&mut self) -> bool {
        let rest = self.held.trim_start();
        if self.style != Style::Llama {
            self.place = Place::Text;
        } else if rest.starts_with('{') {
            self.place = Place::Call(Scan::default());
        } else if rest.starts_with(self.open()) {
            self.place = Place::Call(Scan {
                next: self.held.len() - rest.len() + self.open().len(),
                ..Scan::default()
            });
        } else if self.open().starts_with(rest) {
            return false;
        } else {
            self.place = Place::Over;
        }
        true
    }

    fn text(&mut self, parts: &mut Vec<Part>) -> bool {
        let open = self.open();
        let found = self.held.find(open);
        let clear = found.unwrap_or_else(|| self.held.len() - overlap(&self.held, open));
        parts.extend(filled(Part::Text(self.held.drain(..clear).collect())));
        if found.is_some() {
            self.place = Place::Call(Scan { next: open.len(), ..Scan::default() });
        }
        found.is_some()
    }

    fn call(&mut self, scan: Scan, parts: &mut Vec<Part>) -> bool {
        match scan.on(self.held.as_bytes(), self.style) {
            Scanned::Open(scan) if self.held.len() <= LONGEST => {
                self.place = Place::Call(scan);
                false
            }
            Scanned::Object(start, end) => {
                match self.written(&self.held[start..end]) {
                    Some(call) => {
                        parts.push(call);
                        self.held.drain(..end);
                        self.place = Place::Behind { closed: false };
                    }
                    None => self.no_call(parts),
                }
                true
            }
            Scanned::Open(_) | Scanned::Nothing => {
                self.no_call(parts);
                true
            }
        }
    }

    /// Passes the beginning of what was no call on as text: its marker, where it had one, since more calls
    /// may follow it.
    fn no_call(&mut self, parts: &mut Vec<Part>) {
        let open = self.open();
        self.place = if self.style == Style::Llama { Place::Over } else { Place::Text };
        if self.held.starts_with(open) {
            parts.push(Part::Text(self.held.drain(..open.len()).collect()));
        }
    }

    fn behind(&mut self, closed: bool) -> bool {
        let rest = self.held.trim_start();
        if rest.is_empty() {
            return false;
        }
        let at = self.held.len() - rest.len();
        match self.style {
            Style::Llama if rest.starts_with(['{', ';', ',']) => {
                let next = at + usize::from(!rest.starts_with('{'));
                self.place = Place::Call(Scan { next, ..Scan::default() });
            }
            Style::Mistral if !closed && rest.starts_with(',') => {
                self.place = Place::Call(Scan { next: at + 1, list: true, ..Scan::default() });
            }
            Style::Mistral if !closed && rest.starts_with(']') => {
                self.held.drain(..=at);
                self.place = Place::Behind { closed: true };
            }
            Style::Hermes if !closed && rest.starts_with(CLOSE) => {
                self.held.drain(..at + CLOSE.len());
                self.place = Place::Behind { closed: true };
            }
            Style::Hermes if !closed && CLOSE.starts_with(rest) => return false,
            style => {
                self.held.drain(..at);
                self.place = if style == Style::Llama { Place::Over } else { Place::Text };
            }
        }
        true
    }

    fn written(&self, object: &str) -> Option<Part> {
        let written: Written<'_> = serde_json::from_str(object).ok()?;
        let arguments = match (self.style, written.arguments, written.parameters) {
            (_, Some(arguments), None) | (_, None, Some(arguments)) => object_text(arguments)?,
            // A marker says that it is a call; without arguments there are none. A bare object says nothing.
            (Style::Hermes | Style::Mistral, None, None) => "{}".to_owned(),
            _ => return None,
        };
        let known = self.names.contains(&written.name);
        known.then_some(Part::Call { name: written.name, arguments })
    }

    fn open(&self) -> &'static str {
        self.style.markers()[0]
    }
}

/// Arguments as a JSON object's text; some models put that text into a string.
fn object_text(arguments: &RawValue) -> Option<String> {
    let text = arguments.get();
    if text.starts_with('{') {
        return Some(text.to_owned());
    }
    let inner: String = serde_json::from_str(text).ok()?;
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&inner).ok()?;
    drop(object);
    Some(inner)
}

impl Scan {
    /// Scans on to the end of the object or of the text.
    fn on(mut self, text: &[u8], style: Style) -> Scanned {
        while let Some(&byte) = text.get(self.next) {
            self.next += 1;
            match (self.start, byte) {
                (None, b' ' | b'\n' | b'\r' | b'\t') => {}
                (None, b'[') if style == Style::Mistral && !self.list => self.list = true,
                (None, b'{') if style != Style::Mistral || self.list => {
                    (self.start, self.depth) = (Some(self.next - 1), 1);
                }
                (None, _) => return Scanned::Nothing,
                (Some(_), _) if self.escape => self.escape = false,
                (Some(_), b'\\') if self.string => self.escape = true,
                (Some(_), b'"') => self.string = !self.string,
                (Some(_), b'{') if !self.string => self.depth += 1,
                (Some(start), b'}') if !self.string => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Scanned::Object(start, self.next);
                    }
                }
                _ => {}
            }
        }
        Scanned::Open(self)
    }
}
