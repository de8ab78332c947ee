//! A stream put together to a whole answer.

use std::collections::BTreeMap;

use aigate_contract::{
    Facts, FinishReason,
    chat::{ChatChunk, ChatReply},
};
use bytes::Bytes;
use serde_json::value::RawValue;

use super::{
    TEXTS,
    fields::{Fields, Table, list, number_of, quoted, text_of},
};

/// Puts the chunks of a finished stream together to a `chat.completion`: texts and arguments are joined, tool calls found
/// by their index, lists of logprobs joined. Any other field must be said once, or the same each time it is said; a field of a
/// delta that is not known must be said once, since it may as well be a piece of something. `None` where that is not so,
/// where a choice does not end, and where a chunk is not as OpenAI writes them.
pub(crate) fn whole_of(chunks: &[ChatChunk]) -> Option<ChatReply> {
    // The tables borrow from the chunks' texts.
    let tables = chunks.iter().map(|chunk| Fields::parse(&chunk.json)).collect::<Option<Vec<_>>>()?;
    let mut whole = Whole::default();
    tables.iter().try_for_each(|table| whole.add(table))?;
    whole.write(chunks)
}

/// What was said so far. Nothing is ever said as `null`.
#[derive(Default)]
struct Said<'a>(Vec<(String, &'a RawValue)>);

#[derive(Default)]
struct Whole<'a> {
    said: Said<'a>,
    choices: BTreeMap<u64, Choice<'a>>,
    usage: Option<&'a RawValue>,
}

#[derive(Default)]
struct Choice<'a> {
    said: Said<'a>,
    role: Said<'a>,
    texts: BTreeMap<usize, String>,
    /// Fields of the message that are not known.
    others: Said<'a>,
    calls: BTreeMap<u64, Call<'a>>,
    logprobs: BTreeMap<String, Vec<&'a RawValue>>,
}

#[derive(Default)]
struct Call<'a> {
    said: Said<'a>,
    others: Said<'a>,
    function: Option<Piecewise<'a>>,
    custom: Option<Piecewise<'a>>,
}

/// A function or a custom tool: a name, and a text that comes in pieces.
#[derive(Default)]
struct Piecewise<'a> {
    name: Said<'a>,
    text: String,
    others: Said<'a>,
}

impl<'a> Said<'a> {
    /// Said again it must be the same. Azure and others begin with empty values, which are none.
    fn agree(&mut self, name: &str, raw: &'a RawValue) -> Option<()> {
        self.add(name, raw, |before, now| before == now)
    }

    fn once(&mut self, name: &str, raw: &'a RawValue) -> Option<()> {
        self.add(name, raw, |_, _| false)
    }

    fn add(&mut self, name: &str, raw: &'a RawValue, same: impl Fn(&str, &str) -> bool) -> Option<()> {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            None => self.0.push((name.to_owned(), raw)),
            Some((_, before)) if is_empty(before) => *before = raw,
            Some(_) if is_empty(raw) => {}
            Some((_, before)) => return same(before.get(), raw.get()).then_some(()),
        }
        Some(())
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, raw)| (name.as_str(), *raw))
    }
}

fn is_empty(raw: &RawValue) -> bool {
    matches!(raw.get(), "\"\"" | "0" | "{}" | "[]")
}

impl<'a> Whole<'a> {
    fn add(&mut self, chunk: &Fields<'a>) -> Option<()> {
        // Azure's first chunk says `""`.
        let is_chunk = |object: &RawValue| matches!(object.get(), "\"chat.completion.chunk\"" | "\"\"");
        if !chunk.said("object").is_none_or(is_chunk) || chunk.said("error").is_some() {
            return None;
        }
        // `obfuscation` is padding.
        for (name, raw) in chunk.rest(&["object", "choices", "usage", "obfuscation"]) {
            self.said.agree(name, raw)?;
        }
        self.usage = chunk.said("usage").or(self.usage);
        let choices = chunk.said("choices").map_or(Some(Vec::new()), Fields::list)?;
        for (place, choice) in choices.iter().enumerate() {
            let index = choice.said("index").map_or(Some(place as u64), number_of)?;
            self.choices.entry(index).or_default().add(choice)?;
        }
        Some(())
    }

    fn write(self, chunks: &[ChatChunk]) -> Option<ChatReply> {
        if self.choices.is_empty() {
            return None;
        }
        let choices = self.choices.iter().map(|(index, choice)| choice.write(*index));
        let (choices, finish): (Vec<String>, Vec<FinishReason>) =
            choices.collect::<Option<Vec<_>>>()?.into_iter().unzip();
        let table = Table::new()
            .with_all(self.said.iter())
            .with("object", "\"chat.completion\"")
            .with("choices", &list(&choices))
            .with_all(self.usage.into_iter().map(|usage| ("usage", usage)));
        let usage = chunks.iter().rev().find_map(|chunk| chunk.usage.clone());
        Some(ChatReply { json: Bytes::from(table.end()), facts: Facts { usage, finish, ..Facts::default() } })
    }
}

impl<'a> Choice<'a> {
    fn add(&mut self, choice: &Fields<'a>) -> Option<()> {
        for (name, raw) in choice.rest(&["index", "delta", "logprobs"]) {
            self.said.agree(name, raw)?;
        }
        if let Some(logprobs) = choice.said("logprobs") {
            for (name, raw) in Fields::of(logprobs)?.rest(&[]) {
                let more: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
                self.logprobs.entry(name.to_owned()).or_default().extend(more);
            }
        }
        let delta = choice.said("delta").map_or(Some(Fields::default()), Fields::of)?;
        for (name, raw) in delta.rest(&[]) {
            match (name, TEXTS.iter().position(|text| *text == name)) {
                (_, Some(text)) => self.texts.entry(text).or_default().push_str(&text_of(raw)?),
                ("role", _) => self.role.agree(name, raw)?,
                ("tool_calls", _) => self.calls(raw)?,
                _ => self.others.once(name, raw)?,
            }
        }
        Some(())
    }

    fn calls(&mut self, raw: &'a RawValue) -> Option<()> {
        for call in Fields::list(raw)? {
            let index = number_of(call.said("index")?)?;
            self.calls.entry(index).or_default().add(&call)?;
        }
        Some(())
    }

    /// The choice as JSON, and why it ended.
    fn write(&self, index: u64) -> Option<(String, FinishReason)> {
        let reason = self.said.iter().find(|(name, _)| *name == "finish_reason").map(|(_, raw)| raw)?;
        let reason = FinishReason::from(text_of(reason)?.as_ref());
        let logprobs = self.logprobs.iter().fold(Table::new(), |table, (name, items)| {
            let items: Vec<&str> = items.iter().map(|item| item.get()).collect();
            table.with(name, &list(&items))
        });
        let logprobs = if self.logprobs.is_empty() { "null".to_owned() } else { logprobs.end() };
        let table = Table::new()
            .with("index", &index.to_string())
            .with("message", &self.message()?)
            .with("logprobs", &logprobs)
            .with_all(self.said.iter());
        Some((table.end(), reason))
    }

    fn message(&self) -> Option<String> {
        let role = self.role.iter().next().map_or("\"assistant\"", |(_, raw)| raw.get());
        let mut table = Table::new().with("role", role);
        for (place, name) in TEXTS.into_iter().enumerate() {
            // Where tools are called, streams begin with an empty text, whole answers have none.
            let text = self.texts.get(&place).filter(|text| !text.is_empty() || self.calls.is_empty());
            match text {
                Some(text) => table = table.with(name, &quoted(text)),
                None if matches!(name, "content" | "refusal") => table = table.with(name, "null"),
                None => {}
            }
        }
        table = table.with_all(self.others.iter());
        if !self.calls.is_empty() {
            let calls = self.calls.values().map(Call::write).collect::<Option<Vec<_>>>()?;
            table = table.with("tool_calls", &list(&calls));
        }
        Some(table.end())
    }
}

impl<'a> Call<'a> {
    fn add(&mut self, call: &Fields<'a>) -> Option<()> {
        for (name, raw) in call.rest(&["index"]) {
            match name {
                "function" => self.function.get_or_insert_default().add(raw, "arguments")?,
                "custom" => self.custom.get_or_insert_default().add(raw, "input")?,
                "id" | "type" => self.said.agree(name, raw)?,
                _ => self.others.once(name, raw)?,
            }
        }
        Some(())
    }

    /// `None` for a call that nobody could answer: without an id or a tool.
    fn write(&self) -> Option<String> {
        self.said.iter().find(|(name, _)| *name == "id")?;
        let mut table = Table::new().with_all(self.said.iter()).with_all(self.others.iter());
        match (&self.function, &self.custom) {
            (Some(function), None) => table = table.with("function", &function.write("arguments")),
            (None, Some(custom)) => table = table.with("custom", &custom.write("input")),
            _ => return None,
        }
        Some(table.end())
    }
}

impl<'a> Piecewise<'a> {
    fn add(&mut self, raw: &'a RawValue, text: &str) -> Option<()> {
        for (name, raw) in Fields::of(raw)?.rest(&[]) {
            match name {
                "name" => self.name.agree(name, raw)?,
                name if name == text => self.text.push_str(&text_of(raw)?),
                name => self.others.once(name, raw)?,
            }
        }
        Some(())
    }

    fn write(&self, text: &str) -> String {
        Table::new()
            .with_all(self.name.iter())
            .with(text, &quoted(&self.text))
            .with_all(self.others.iter())
            .end()
    }
}
