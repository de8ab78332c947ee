//! Constrained decoding: which tokens may come next so that the text is what was asked for.
//!
//! The grammar work is done by llguidance (<https://github.com/guidance-ai/llguidance>). On top of it stand a
//! guard against texts that are grammatical but that no reader takes (numbers out of range, endless
//! digits, nesting without end) and a strict reading of JSON Schema: a keyword that cannot be
//! enforced is refused by name.
//!
//! What comes out of a finished constraint parses; against its schema it validates. White space between
//! JSON's tokens is a single space or a line feed with at most 16 spaces, never more.

mod calls;
mod guard;
mod mask;
mod schema;
mod vocabulary;

use llguidance::Matcher;
use llguidance::api::{GrammarInit, GrammarWithLexer, TopLevelGrammar};
use serde_json::{Value, json};

use crate::tools::Style;
use guard::Guard;
pub use mask::Mask;
pub use vocabulary::Vocabulary;

/// The constraint of one sequence, from its first generated token on.
#[derive(Debug)]
pub struct Constraint {
    vocabulary: Vocabulary,
    matcher: Hidden,
    guard: Guard,
}

/// Which calls a constraint of [`Constraint::tool_calls`] asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls<'a> {
    /// Only this function; `None`: any of the tools.
    pub name: Option<&'a str>,
    /// Several calls may follow one another.
    pub several: bool,
}

impl Constraint {
    /// Any one JSON object.
    pub fn json_object(vocabulary: &Vocabulary) -> Result<Constraint, String> {
        Constraint::schema(vocabulary, &json!({"type": "object"}))
    }

    /// JSON that validates against this JSON Schema (<https://json-schema.org/draft/2020-12>).
    ///
    /// Enforced are the types, `enum`, `const`, `anyOf`, `allOf`, `oneOf` (of options that exclude one another by
    /// type or constant), `$ref` within the schema, all keywords of `properties`, `required`, `items`,
    /// `prefixItems` and their counts, lengths, `pattern`, `format`, bounds and `multipleOf`. Annotations pass. Any
    /// other keyword, and what cannot be enforced of these, is refused with its place.
    ///
    /// Properties come in the order of the schema. A pattern is read by the rules of Rust's `regex` crate, `\d` and
    /// `\w` are ASCII. A `format` holds the text to its shape: "date" allows 29 February in any year. Strings are
    /// written without `\u` escapes.
    pub fn schema(vocabulary: &Vocabulary, schema: &Value) -> Result<Constraint, String> {
        let grammar = GrammarWithLexer::from_json_schema(schema::compile(schema)?);
        Constraint::of(vocabulary, vec![grammar])
    }

    /// One or more calls of the `tools` (OpenAI's shape: `[{"type": "function", "function": {"name",
    /// "parameters"}}]`), written in the model's `style`, with arguments that validate against the tools'
    /// parameters. A tool without parameters takes an empty object.
    pub fn tool_calls(
        vocabulary: &Vocabulary,
        style: Style,
        tools: &Value,
        calls: Calls<'_>,
    ) -> Result<Constraint, String> {
        Constraint::of(vocabulary, calls::grammars(vocabulary, style, tools, calls)?)
    }

    /// The tokens that may come next: those that end the sequence where the text is complete, only those once
    /// it is finished. Never empty.
    pub fn mask(&mut self) -> Result<Mask, String> {
        let grammatical = self.matcher.0.compute_mask_or_eos().map_err(first_line)?;
        let mut allowed = grammatical.clone();
        allowed.and(&self.vocabulary.allowed_by(self.guard));
        let allowed = if allowed.is_zero() { grammatical } else { allowed };
        if allowed.is_zero() {
            return Err("the constraint has come to a place where no token can follow".into());
        }
        Ok(Mask::of(allowed))
    }

    /// Moves on by the token that was picked. Fails for one that the mask did not allow.
    pub fn accept(&mut self, token: u32) -> Result<(), String> {
        let refused = || format!("token {token} is not one that the constraint allows here");
        if token as usize >= self.vocabulary.size() {
            return Err(refused());
        }
        if self.is_finished() {
            return if self.vocabulary.is_end(token) { Ok(()) } else { Err(refused()) };
        }
        self.guard = self.vocabulary.moved(self.guard, token);
        self.matcher.0.consume_token(token).map_err(|error| format!("{}: {}", refused(), first_line(error)))
    }

    /// Whether the text is complete and nothing but the sequence's end can follow.
    pub fn is_finished(&self) -> bool {
        self.matcher.0.is_stopped() && !self.matcher.0.is_error()
    }

    fn of(vocabulary: &Vocabulary, grammars: Vec<GrammarWithLexer>) -> Result<Constraint, String> {
        let grammar = GrammarInit::Serialized(TopLevelGrammar { grammars, max_tokens: None });
        let parser = vocabulary.parser(grammar).map_err(first_line)?;
        let mut matcher = Matcher::new(Ok(parser));
        if let Some(warning) = matcher.grammar_warnings().first() {
            return Err(format!("the constraint cannot be enforced as written: {warning}"));
        }
        Ok(Constraint { vocabulary: vocabulary.clone(), matcher: Hidden(matcher), guard: Guard::default() })
    }
}

/// Keeps the grammar engine's inner state out of debug output.
struct Hidden(Matcher);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:?}", self.0.stop_reason())
    }
}

/// The grammar engine appends its state and backtraces to its errors; the first line says what is wrong. That of a regular
/// expression only announces it: the reason is the last one.
fn first_line(error: impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().to_owned();
    match lines.find(|line| line.starts_with("error:")) {
        Some(reason) if first.ends_with(':') => {
            format!("{first} {}", reason.trim_start_matches("error:").trim())
        }
        _ => first,
    }
}

#[cfg(test)]
mod tests;
