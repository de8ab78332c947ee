//! A whole chat answer as a stream, and a stream as a whole answer. What cannot be told faithfully in the other form is
//! not told at all: the caller then sees a miss, never a wrong answer.

mod fields;
#[cfg(test)]
mod tests;
mod whole;

use aigate_contract::{
    FinishReason,
    chat::{ChatChunk, ChatReply},
};
use bytes::Bytes;
use serde_json::value::RawValue;

use self::fields::{Fields, Table, list, number_of, text_of};
pub(crate) use self::whole::whole_of;

/// Fields of a message that a stream tells piece by piece.
const TEXTS: [&str; 4] = ["reasoning_content", "reasoning", "content", "refusal"];

/// Tells a whole `chat.completion` in chunks: for each choice its role, its texts, what else its message says, its tool
/// calls and its end; then the usage. What the answer says besides (`id`, `model`, …) stands in every chunk, what a
/// choice says besides in its last one. `None` when it is not a completion as OpenAI writes them.
pub(crate) fn chunks_of(reply: &ChatReply) -> Option<Vec<ChatChunk>> {
    let whole = Fields::parse(&reply.json)?;
    if whole.said("object").is_some_and(|object| object.get() != "\"chat.completion\"") {
        return None;
    }
    let head = Table::new()
        .with_all(whole.rest(&["object", "choices", "usage"]))
        .with("object", "\"chat.completion.chunk\"");
    let mut chunks = Vec::new();
    for (place, choice) in Fields::list(whole.said("choices")?)?.iter().enumerate() {
        let index = choice.said("index").map_or(Some(place as u64), number_of)?;
        let message = Fields::of(choice.said("message")?)?;
        Teller { head: &head, index, chunks: &mut chunks }.choice(choice, &message)?;
    }
    if let Some(usage) = whole.said("usage") {
        let json = head.with("choices", "[]").with("usage", usage.get()).end();
        let usage = reply.facts.usage.clone();
        chunks.push(ChatChunk { json: Bytes::from(json), finish: Vec::new(), usage, usage_only: true });
    }
    Some(chunks)
}

/// Tells one choice.
struct Teller<'a> {
    /// What stands in every chunk.
    head: &'a Table,
    index: u64,
    chunks: &'a mut Vec<ChatChunk>,
}

impl Teller<'_> {
    fn choice(&mut self, choice: &Fields<'_>, message: &Fields<'_>) -> Option<()> {
        let mut logprobs = choice.said("logprobs");
        self.role(message);
        for name in TEXTS {
            if let Some(text) = message.said(name) {
                // What is no text would not be put together again.
                text_of(text)?;
                let its_own = matches!(name, "content" | "refusal");
                let logprobs = if its_own { logprobs.take() } else { None };
                self.delta(Table::new().with(name, text.get()), logprobs);
            }
        }
        let others = [TEXTS.as_slice(), &["role", "tool_calls"]].concat();
        if message.rest(&others).next().is_some() {
            self.delta(Table::new().with_all(message.rest(&others)), None);
        }
        for (place, call) in
            message.said("tool_calls").map_or(Some(Vec::new()), Fields::list)?.iter().enumerate()
        {
            let call = Table::new().with("index", &place.to_string()).with_all(call.rest(&["index"]));
            self.delta(Table::new().with("tool_calls", &list(&[call.end()])), None);
        }
        self.end(choice, logprobs)
    }

    fn role(&mut self, message: &Fields<'_>) {
        let role = message.said("role").map_or("\"assistant\"", RawValue::get);
        let content = if message.said("content").is_some() { "\"\"" } else { "null" };
        self.delta(Table::new().with("role", role).with("content", content), None);
    }

    fn delta(&mut self, delta: Table, logprobs: Option<&RawValue>) {
        let choice = self.begin(delta, logprobs).with("finish_reason", "null");
        self.push(choice, Vec::new());
    }

    fn end(&mut self, choice: &Fields<'_>, logprobs: Option<&RawValue>) -> Option<()> {
        let reason = choice.said("finish_reason");
        let word = reason.map(|reason| text_of(reason).ok_or(())).transpose().ok()?;
        let table = self
            .begin(Table::new(), logprobs)
            .with("finish_reason", reason.map_or("null", RawValue::get))
            .with_all(choice.rest(&["index", "message", "logprobs", "finish_reason"]));
        self.push(table, word.iter().map(|word| FinishReason::from(word.as_ref())).collect());
        Some(())
    }

    fn begin(&self, delta: Table, logprobs: Option<&RawValue>) -> Table {
        Table::new()
            .with("index", &self.index.to_string())
            .with("delta", &delta.end())
            .with_all(logprobs.into_iter().map(|logprobs| ("logprobs", logprobs)))
    }

    fn push(&mut self, choice: Table, finish: Vec<FinishReason>) {
        let json = self.head.clone().with("choices", &list(&[choice.end()])).end();
        self.chunks.push(ChatChunk { json: Bytes::from(json), finish, usage: None, usage_only: false });
    }
}
