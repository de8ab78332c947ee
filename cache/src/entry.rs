//! What is kept of an answer.

mod codec;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aigate_contract::{
    Facts, FinishReason, Target,
    chat::{ChatChunk, ChatReply},
    embed::EmbedReply,
    predict::{Data, Datatype, PredictReply, Tensor},
};
use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::{
    Fingerprint,
    replay::{chunks_of, whole_of},
};

/// An answer that is kept, with its age.
#[derive(Debug)]
pub struct Entry {
    answer: Answer,
    origin: Arc<Origin>,
    made: Instant,
    /// How old it was when it was made here: more than nothing for one that comes from another replica.
    age_before: Duration,
    size: usize,
}

/// An answer of any task.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A chat answer that came whole.
    Chat(ChatReply),
    /// All chunks of a chat answer that came as a stream, and what is known of it.
    ChatStream(Vec<ChatChunk>, Facts),
    /// Embeddings.
    Embed(EmbedReply),
    /// A prediction.
    Predict(PredictReply),
}

/// Where an answer comes from, and what it was asked without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The deployment that answered.
    pub target: Arc<Target>,
    /// The request's fields that it left out.
    pub dropped: Vec<String>,
}

/// What an entry costs besides its answer: its key, its links in the store, the allocations' own bytes. An estimate.
const OVERHEAD: usize = 320;

impl Entry {
    /// Keeps an answer that has just come. What it consists of is copied: a part of a larger buffer would keep all of it
    /// in memory, uncounted.
    pub fn new(answer: Answer, origin: Arc<Origin>) -> Self {
        Self::aged(answer, origin, Duration::ZERO)
    }

    /// Keeps an answer that came `age` ago.
    pub fn aged(answer: Answer, origin: Arc<Origin>, age: Duration) -> Self {
        let answer = answer.compact();
        let size = OVERHEAD + size_of::<Self>() + answer.size() + origin.size();
        Self { answer, origin, made: Instant::now(), age_before: age, size }
    }

    /// The answer as it came.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Who gave it.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// How long ago it was given.
    pub fn age(&self) -> Duration {
        self.age_before.saturating_add(self.made.elapsed())
    }

    /// Bytes of memory that it takes, about.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The chat answer, whole; `None` when it is no chat answer, or came in chunks that cannot be put together faithfully.
    pub fn chat(&self) -> Option<ChatReply> {
        match &self.answer {
            Answer::Chat(reply) => Some(reply.clone()),
            Answer::ChatStream(chunks, _) => whole_of(chunks),
            Answer::Embed(_) | Answer::Predict(_) => None,
        }
    }

    /// The chat answer in chunks; `None` when it is no chat answer, or one that cannot be told in chunks faithfully.
    pub fn chat_stream(self: &Arc<Self>) -> Option<impl Iterator<Item = ChatChunk> + Send + use<>> {
        let told = match &self.answer {
            Answer::Chat(reply) => chunks_of(reply)?,
            Answer::ChatStream(..) => Vec::new(),
            Answer::Embed(_) | Answer::Predict(_) => return None,
        };
        // What came in chunks is copied chunk by chunk, as far as it is read.
        let entry = Arc::clone(self);
        let kept = (0..).map_while(move |place| match &entry.answer {
            Answer::ChatStream(chunks, _) => chunks.get(place).cloned(),
            _ => None,
        });
        Some(told.into_iter().chain(kept))
    }

    /// Writes the entry for a store that replicas share. `now` is the time by the clock: the age goes with it. `None` when it
    /// would be more than 1 MiB, the most that such a store takes.
    pub fn to_bytes(&self, fingerprint: &Fingerprint, now: SystemTime) -> Option<Vec<u8>> {
        codec::write(self, fingerprint, now)
    }

    /// Reads an entry; `None` when the bytes are not an entry of this very fingerprint, whole and unharmed, of a form that
    /// this version knows. Of its target only what names it comes back, and whether it is a fallback. An entry that was
    /// written by a clock ahead of `now` is as old as nothing.
    pub fn from_bytes(bytes: &[u8], fingerprint: &Fingerprint, now: SystemTime) -> Option<Self> {
        codec::read(bytes, fingerprint, now)
    }
}

/// Whether an answer is worth keeping by how it ended. One that a filter cut off is not: the filter may decide otherwise
/// the next time. Nor is a chat answer that does not say why it ended, or says it in a word that is not OpenAI's. One that
/// was cut at its length is: it is what was asked for.
pub fn worth_keeping(facts: &Facts) -> bool {
    let good = |reason: &FinishReason| match reason {
        FinishReason::Stop | FinishReason::Length | FinishReason::ToolCalls => true,
        FinishReason::ContentFilter | FinishReason::Other(_) => false,
    };
    !facts.finish.is_empty() && facts.finish.iter().all(good)
}

impl Answer {
    /// What is known of it.
    pub fn facts(&self) -> &Facts {
        match self {
            Self::Chat(reply) => &reply.facts,
            Self::ChatStream(_, facts) => facts,
            Self::Embed(reply) => &reply.facts,
            Self::Predict(reply) => &reply.facts,
        }
    }

    /// Bytes of what it says: less than it takes in any form.
    fn content(&self) -> usize {
        match self {
            Self::Chat(ChatReply { json, .. }) | Self::Embed(EmbedReply { json, .. }) => json.len(),
            Self::ChatStream(chunks, _) => chunks.iter().map(|chunk| chunk.json.len()).sum(),
            Self::Predict(reply) => reply
                .outputs
                .iter()
                .map(|tensor| match &tensor.data {
                    Data::Bytes(texts) => texts.iter().map(Bytes::len).sum(),
                    other => other.len() * other.datatype().size().unwrap_or(0),
                })
                .sum(),
        }
    }

    fn compact(self) -> Self {
        match self {
            Self::Chat(ChatReply { json, facts }) => Self::Chat(ChatReply { json: own(&json), facts }),
            Self::ChatStream(chunks, facts) => Self::ChatStream(own_chunks(chunks), facts),
            Self::Embed(EmbedReply { json, facts }) => Self::Embed(EmbedReply { json: own(&json), facts }),
            Self::Predict(mut reply) => {
                reply.outputs.iter_mut().for_each(own_texts);
                Self::Predict(reply)
            }
        }
    }

    fn size(&self) -> usize {
        let facts = self.facts().finish.len() * size_of::<FinishReason>();
        facts
            + match self {
                Self::Chat(reply) => reply.json.len(),
                Self::ChatStream(chunks, _) => chunks.iter().map(size_of_chunk).sum(),
                Self::Embed(reply) => reply.json.len(),
                Self::Predict(reply) => {
                    let tensors: usize = reply.outputs.iter().map(size_of_tensor).sum();
                    reply.version.len() + size_of_table(&reply.parameters) + tensors
                }
            }
    }
}

impl Origin {
    fn size(&self) -> usize {
        let texts: usize = self.dropped.iter().map(|field| field.len() + size_of::<String>()).sum();
        size_of::<Self>() + texts
    }
}

/// Bytes of memory that a chunk takes.
pub(crate) fn size_of_chunk(chunk: &ChatChunk) -> usize {
    let finish: usize = chunk.finish.iter().map(|reason| size_of_val(reason) + reason.as_str().len()).sum();
    size_of::<ChatChunk>() + chunk.json.len() + finish
}

fn size_of_tensor(tensor: &Tensor) -> usize {
    let data = match &tensor.data {
        Data::Bytes(texts) => texts.iter().map(|text| size_of::<Bytes>() + text.len()).sum(),
        other => other.len() * other.datatype().size().unwrap_or(0),
    };
    let shape = size_of_val(tensor.shape.as_slice());
    size_of::<Tensor>() + tensor.name.len() + shape + data + size_of_table(&tensor.parameters)
}

fn size_of_table(fields: &Map<String, Value>) -> usize {
    // A name, its value, and as much again for the table's own links.
    let slot = 2 * (size_of::<String>() + size_of::<Value>());
    fields.iter().map(|(name, value)| slot + name.len() + size_of_value(value)).sum()
}

fn size_of_value(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| size_of::<Value>() + size_of_value(item)).sum(),
        Value::Object(fields) => size_of_table(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// All chunks in one buffer of their own.
fn own_chunks(mut chunks: Vec<ChatChunk>) -> Vec<ChatChunk> {
    let mut all = BytesMut::with_capacity(chunks.iter().map(|chunk| chunk.json.len()).sum());
    chunks.iter().for_each(|chunk| all.extend_from_slice(&chunk.json));
    let mut all = all.freeze();
    for chunk in &mut chunks {
        chunk.json = all.split_to(chunk.json.len());
    }
    chunks.shrink_to_fit();
    chunks
}

fn own_texts(tensor: &mut Tensor) {
    if let Data::Bytes(_) = &tensor.data {
        let mut all = Vec::new();
        tensor.data.write_binary(&mut all);
        // What was written can be read.
        if let Ok(data) = Data::read_binary(Datatype::Bytes, &Bytes::from(all)) {
            tensor.data = data;
        }
    }
}
