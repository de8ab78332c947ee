//! What policies need to know of an answer without reading it again.

use serde::{Serialize, Serializer};

use crate::{Usage, chat::ChatChunk};

/// What is known of an answer. Everything is optional: unknown is not zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// What the call consumed.
    pub usage: Option<Usage>,
    /// Why each choice ended, in order of arrival.
    pub finish: Vec<FinishReason>,
    /// How much of a stream arrived.
    pub streamed: Streamed,
}

/// How much of a stream arrived: what is left to reckon with when a caller leaves before the provider has told the usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streamed {
    /// Chunks.
    pub chunks: u64,
    /// Bytes of all chunks.
    pub bytes: u64,
    /// Bytes of the smallest chunk: about what a chunk has besides its text.
    pub smallest: u64,
}

impl Streamed {
    fn absorb(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.smallest = if self.chunks == 0 { bytes } else { self.smallest.min(bytes) };
        self.chunks += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// About how many tokens arrived: a token a chunk, and one for each four bytes that are more than the smallest chunk's.
    pub fn tokens(&self) -> u64 {
        let text = self.bytes.saturating_sub(self.chunks.saturating_mul(self.smallest));
        self.chunks.saturating_add(text / 4)
    }
}

impl Facts {
    /// Adds what a chunk of a stream tells.
    pub fn absorb(&mut self, chunk: &ChatChunk) {
        if let Some(usage) = &chunk.usage {
            self.usage = Some(usage.clone());
        }
        self.streamed.absorb(chunk.json.len());
        self.finish.extend(chunk.finish.iter().cloned());
    }
}

/// Why a choice ended, in OpenAI's words. A word that OpenAI does not have stays the provider's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done, or a stop sequence came.
    Stop,
    /// The token limit was reached.
    Length,
    /// The model wants tools to be called.
    ToolCalls,
    /// A filter withheld the rest.
    ContentFilter,
    /// The provider's own word.
    Other(String),
}

impl FinishReason {
    /// The word on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for FinishReason {
    fn from(word: &str) -> Self {
        match word {
            "stop" => Self::Stop,
            "length" => Self::Length,
            "tool_calls" => Self::ToolCalls,
            "content_filter" => Self::ContentFilter,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Serialize for FinishReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
