//! Splits what a model thinks (`<think>..</think>` before its answer: Qwen3, DeepSeek-R1 and others) from its
//! answer.

use super::Part;

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Splits one answer, pushed in any pieces. Thinking counts only at the answer's beginning; the tags, and the
/// white space around what is between and behind them, are left out.
#[derive(Clone, Debug)]
pub struct Thoughts {
    place: Place,
    /// Text whose part is not decided yet.
    held: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before anything but white space.
    Start,
    /// In the thoughts; whether some of them were passed on.
    Inside {
        begun: bool,
    },
    /// Behind the closing tag, before anything but white space.
    Behind,
    Answer,
}

impl Thoughts {
    /// A splitter where the chat template knows of thinking; `prompt` is what it rendered, which may itself
    /// have opened the thoughts.
    pub fn of(template: &str, prompt: &str) -> Option<Thoughts> {
        let place =
            if prompt.trim_end().ends_with(OPEN) { Place::Inside { begun: false } } else { Place::Start };
        template.contains(CLOSE).then_some(Thoughts { place, held: String::new() })
    }

    /// Takes the next piece of the answer and returns what is decided: [`Part::Reasoning`] and
    /// [`Part::Text`].
    pub fn push(&mut self, text: &str) -> Vec<Part> {
        self.held.push_str(text);
        let mut parts = Vec::new();
        while self.step(&mut parts) {}
        parts
    }

    /// The rest, at the answer's end.
    pub fn finish(mut self) -> Vec<Part> {
        match self.place {
            Place::Start | Place::Answer => filled(Part::Text(self.held)),
            Place::Inside { .. } => {
                self.held.truncate(self.held.trim_end().len());
                filled(Part::Reasoning(self.held))
            }
            Place::Behind => Vec::new(),
        }
    }

    /// Whether there is more to decide with what is held.
    fn step(&mut self, parts: &mut Vec<Part>) -> bool {
        match self.place {
            Place::Start => {
                let rest = self.held.trim_start();
                if let Some(inside) = rest.strip_prefix(OPEN) {
                    (self.place, self.held) = (Place::Inside { begun: false }, inside.to_owned());
                    return true;
                }
                if OPEN.starts_with(rest) {
                    return false;
                }
                self.place = Place::Answer;
                true
            }
            Place::Inside { begun } => {
                if !begun {
                    self.held.drain(..self.held.len() - self.held.trim_start().len());
                }
                let close = self.held.find(CLOSE);
                let kept = match close {
                    Some(at) => self.held[..at].trim_end().len(),
                    None => self.held[..self.held.len() - overlap(&self.held, CLOSE)].trim_end().len(),
                };
                let thought: String = self.held[..kept].to_owned();
                self.held.drain(..close.map_or(kept, |at| at + CLOSE.len()));
                self.place = match close {
                    Some(_) => Place::Behind,
                    None => Place::Inside { begun: begun || !thought.is_empty() },
                };
                parts.extend(filled(Part::Reasoning(thought)));
                close.is_some()
            }
            Place::Behind => {
                self.held.drain(..self.held.len() - self.held.trim_start().len());
                if self.held.is_empty() {
                    return false;
                }
                self.place = Place::Answer;
                true
            }
            Place::Answer => {
                parts.extend(filled(Part::Text(std::mem::take(&mut self.held))));
                false
            }
        }
    }
}

/// The length of the longest end of `text` that `marker` begins with, without the whole of it.
pub(super) fn overlap(text: &str, marker: &str) -> usize {
    (1..marker.len())
        .rev()
        .find(|&length| marker.is_char_boundary(length) && text.ends_with(&marker[..length]))
        .unwrap_or(0)
}

pub(super) fn filled(part: Part) -> Vec<Part> {
    match &part {
        Part::Text(text) | Part::Reasoning(text) if text.is_empty() => Vec::new(),
        _ => vec![part],
    }
}
