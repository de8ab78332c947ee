//! The chat template that a model's file carries (`tokenizer.chat_template`), run as Hugging Face's
//! `apply_chat_template` runs it: Jinja with `trim_blocks`, `lstrip_blocks`, loop controls,
//! `raise_exception`, `strftime_now`, Python's methods and Python's JSON
//! (<https://huggingface.co/docs/transformers/chat_templating>).
//!
//! A model without a template has no defined way of chatting and is refused by the callers of this module;
//! none is made up.
//!
//! Text of the caller cannot forge control tokens: [`Template::render_parts`] returns the control tokens that
//! the template itself wrote as parts of their own, and no other part holds one's text. Where a template marks
//! turns by ordinary text (`[INST]` of Llama 2, `<|user|>` of Zephyr) a caller can write the same; no tokenizer
//! tells the two apart.

mod functions;
mod protect;

use std::fmt;
use std::io::Write;
use std::time::SystemTime;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde_json::{Value, json};

pub use protect::{Controls, Piece};

/// What one rendering may do, in the engine's units: an instruction, or 64 bytes of data. Some hundred times
/// what a full context of 128 Ki tokens takes.
const FUEL: u64 = 5_000_000;
/// The longest prompt that is rendered, in bytes.
const LONGEST: usize = 16 << 20;
/// The longest template, in bytes.
const LONGEST_SOURCE: usize = 1 << 20;

/// A model's chat template, ready to render.
pub struct Template {
    environment: Environment<'static>,
    source: String,
    bos: String,
    eos: String,
    takes_tools: bool,
    takes_system: bool,
}

/// What a template renders.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// A list of messages of OpenAI's shape: `role`, `content` (text, or null beside tool calls),
    /// `tool_calls` with `function.arguments` as an object, `tool_call_id` and `name` for a tool's result.
    pub messages: &'a Value,
    /// A list of tools of OpenAI's shape.
    pub tools: Option<&'a Value>,
    /// Whether the model should think before it answers (`enable_thinking`); `None` leaves it to the
    /// template.
    pub thinking: Option<bool>,
    /// The time that the template may name, in UTC.
    pub now: SystemTime,
}

impl Template {
    /// Reads a template. `bos` and `eos` are the texts of the tokens that begin and end a sequence, empty
    /// where the model has none. Fails with the line of a syntax error.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Template, String> {
        if source.len() > LONGEST_SOURCE {
            return Err(format!(
                "the chat template has {} bytes, {LONGEST_SOURCE} at most are read",
                source.len()
            ));
        }
        let mut environment = environment()?;
        environment.add_template_owned("chat", functions::normalized(source)).map_err(|error| {
            format!("the model's chat template is not Jinja: {}", functions::message(&error))
        })?;
        let (bos, eos) = (bos.to_owned(), eos.to_owned());
        let (takes_tools, takes_system) = (false, false);
        let mut template =
            Template { environment, source: source.to_owned(), bos, eos, takes_tools, takes_system };
        template.takes_tools = template.shows_tools();
        template.takes_system = template.shows_system();
        Ok(template)
    }

    /// The template's own text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the template tells the model of tools, found by rendering one. If not, tools given to
    /// [`Template::render`] are refused.
    pub fn takes_tools(&self) -> bool {
        self.takes_tools
    }

    /// Whether the template takes a system message, found by rendering one. If not, the system message's text
    /// and a line feed are put before the next message's text, as llama.cpp does.
    pub fn takes_system(&self) -> bool {
        self.takes_system
    }

    /// The prompt as one text, up to the point where the model's answer begins. What the template itself
    /// refuses (roles out of turn) is refused with its own words. Control tokens in it cannot be told from
    /// the caller's text.
    pub fn render(&self, prompt: &Prompt<'_>) -> Result<String, String> {
        if prompt.tools.is_some() && !self.takes_tools {
            return Err("the model's chat template knows no tools".into());
        }
        let folded;
        let mut prompt = *prompt;
        if !self.takes_system {
            folded = fold_system(prompt.messages)?;
            prompt.messages = &folded;
        }
        self.run(&prompt)
    }

    /// The prompt in parts, in order: the control tokens that the template wrote, and the text between them.
    /// No text part holds a control token's text, so that they may be tokenized one by one with any rule for
    /// control tokens; two texts in a row belong together.
    pub fn render_parts(&self, prompt: &Prompt<'_>, controls: &Controls) -> Result<Vec<Piece>, String> {
        let guard = controls.guard(&self.source, prompt.messages, prompt.tools)?;
        let messages = guard.protect(prompt.messages);
        let tools = prompt.tools.map(|tools| guard.protect(tools));
        let text = self.render(&Prompt { messages: &messages, tools: tools.as_ref(), ..*prompt })?;
        Ok(guard.pieces(&text))
    }

    fn run(&self, prompt: &Prompt<'_>) -> Result<String, String> {
        let failed = |error: minijinja::Error| functions::refusal(&error);
        let template = self.environment.get_template("chat").map_err(failed)?;
        let mut variables = context! {
            messages => Serde(prompt.messages),
            tools => prompt.tools.map(Serde),
            add_generation_prompt => true,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            strftime_now => functions::strftime_now(prompt.now),
        };
        if let Some(thinking) = prompt.thinking {
            variables = context! { enable_thinking => thinking, ..variables };
        }
        let mut output = Bounded(Vec::new());
        template.render_captured_to(variables, &mut output).map_err(failed)?;
        String::from_utf8(output.0).map_err(|error| error.to_string())
    }

    fn shows_tools(&self) -> bool {
        let parameters = json!({"type": "object", "properties": {}});
        let tools = json!([{"type": "function", "function": {"name": PROBE, "description": PROBE, "parameters": parameters}}]);
        let messages = json!([{"role": "user", "content": "x"}]);
        self.run(&probe(&messages, Some(&tools))).is_ok_and(|prompt| prompt.contains(PROBE))
    }

    fn shows_system(&self) -> bool {
        let messages = json!([{"role": "system", "content": PROBE}, {"role": "user", "content": "x"}]);
        self.run(&probe(&messages, None)).is_ok_and(|prompt| prompt.contains(PROBE))
    }
}

/// A text that no template holds.
const PROBE: &str = "is_this_shown";

fn probe<'a>(messages: &'a Value, tools: Option<&'a Value>) -> Prompt<'a> {
    Prompt { messages, tools, thinking: None, now: SystemTime::UNIX_EPOCH }
}

/// Puts a leading system message's text before that of the message behind it.
fn fold_system(messages: &Value) -> Result<Value, String> {
    let mut messages = messages.as_array().cloned().ok_or("the messages must be a list")?;
    let system = |message: &Value| message.get("role").is_some_and(|role| role == "system");
    if messages.first().is_some_and(system) {
        let first = messages.remove(0);
        let text = |message: &Value| message.get("content").and_then(Value::as_str).map(str::to_owned);
        let next = messages.first_mut().ok_or("the model's chat template takes no system message alone")?;
        let (Some(first), Some(second), Some(next)) = (text(&first), text(next), next.as_object_mut()) else {
            return Err(
                "the model's chat template takes a system message only before a message of text".into()
            );
        };
        next.insert("content".into(), format!("{first}\n{second}").into());
    }
    if messages.iter().any(system) {
        return Err("the model's chat template takes a system message only at the beginning".into());
    }
    Ok(Value::Array(messages))
}

fn environment() -> Result<Environment<'static>, String> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true);
    environment.set_syntax(syntax.build().map_err(|error| error.to_string())?);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_fuel(Some(FUEL));
    environment.add_function("raise_exception", functions::raise_exception);
    environment.add_test("sequence", functions::is_sequence);
    environment.add_filter("tojson", functions::tojson);
    Ok(environment)
}

/// Collects a prompt up to the longest one.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(std::io::Error::other(format!("the prompt is longer than {LONGEST} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Template")
            .field("takes_tools", &self.takes_tools)
            .field("takes_system", &self.takes_system)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
