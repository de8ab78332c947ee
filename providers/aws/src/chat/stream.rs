//! ConverseStream's events as an OpenAI stream's chunks.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>

use std::collections::{HashMap, VecDeque};

use aigate_contract::{
    Error, ErrorKind, Result,
    chat::{ChatChunk, ChunkStream, ChunkWriter},
};
use aws_sdk_bedrockruntime::{
    primitives::event_stream::EventReceiver,
    types::{
        ContentBlockDelta, ContentBlockStart, ConverseStreamOutput as Event, ReasoningContentBlockDelta,
        ToolUseBlockStart, error::ConverseStreamOutputError,
    },
};
use futures_util::stream::unfold;
use serde_json::Value;

use super::{
    reasoning::{hidden, signed},
    reply::{finish, not_shown, usage, with_details},
};
use crate::error::{cut, from_stream};

type Receiver = EventReceiver<Event, ConverseStreamOutputError>;

/// Waits for the first content, then gives the stream. Dropping either closes the connection.
///
/// # Errors
/// All that goes wrong before the first content, exceptions inside the stream included.
pub(super) async fn begin(receiver: Receiver, writer: ChunkWriter) -> Result<ChunkStream> {
    let mut events = Events { receiver, reader: Reader::new(writer), over: false };
    let mut ready = VecDeque::new();
    while !events.reader.has_content {
        if !events.next(&mut ready).await? {
            return Err(cut());
        }
    }
    Ok(Box::pin(unfold((events, ready), |(mut events, mut ready)| async move {
        loop {
            if let Some(chunk) = ready.pop_front() {
                return Some((Ok(chunk), (events, ready)));
            }
            if events.over {
                return None;
            }
            match events.next(&mut ready).await {
                Ok(true) => {}
                Ok(false) => events.over = true,
                Err(error) => {
                    events.over = true;
                    // Chunks of the event that failed were never shown, so none is ready here.
                    return Some((Err(error), (events, ready)));
                }
            }
        }
    })))
}

struct Events {
    receiver: Receiver,
    reader: Reader,
    over: bool,
}

impl Events {
    /// Reads one event; `false` when the stream ended as it should.
    async fn next(&mut self, ready: &mut VecDeque<ChatChunk>) -> Result<bool> {
        match self.receiver.recv().await.map_err(from_stream)? {
            Some(event) => self.reader.take(event, ready).map(|()| true),
            None if self.reader.finished => Ok(false),
            None => Err(cut()),
        }
    }
}

/// Turns events into chunks, one answer long.
#[derive(Debug)]
struct Reader {
    writer: ChunkWriter,
    /// Content blocks that have begun and not ended, by their index.
    blocks: HashMap<i32, Block>,
    /// Tool calls so far.
    calls: u32,
    /// Thoughts with a signature so far.
    thoughts: usize,
    has_role: bool,
    has_content: bool,
    finished: bool,
}

#[derive(Debug)]
enum Block {
    /// A tool call: its number, and whether any argument came.
    Call { number: u32, has_arguments: bool },
    /// A thought so far, with its signature.
    Thought { text: String, signature: String },
}

impl Reader {
    fn new(writer: ChunkWriter) -> Self {
        let blocks = HashMap::new();
        Self { writer, blocks, calls: 0, thoughts: 0, has_role: false, has_content: false, finished: false }
    }

    fn take(&mut self, event: Event, ready: &mut VecDeque<ChatChunk>) -> Result<()> {
        if !self.has_role {
            self.has_role = true;
            ready.push_back(self.writer.role(0)?);
        }
        match event {
            Event::MessageStart(_) => {}
            Event::ContentBlockStart(event) => {
                self.has_content = true;
                self.start(event.content_block_index, event.start, ready)?;
            }
            Event::ContentBlockDelta(event) => {
                self.has_content = true;
                self.delta(event.content_block_index, event.delta, ready)?;
            }
            Event::ContentBlockStop(event) => self.stop(event.content_block_index, ready)?,
            Event::MessageStop(event) => {
                self.has_content = true;
                self.finished = true;
                let native = event.stop_reason.as_str();
                ready.push_back(self.writer.finish(0, finish(&event.stop_reason)?, Some(native))?);
            }
            Event::Metadata(event) => {
                if let Some(usage) = event.usage.as_ref().and_then(usage) {
                    ready.push_back(self.writer.usage(usage)?);
                }
            }
            // Content comes in deltas alone; an event of another kind tells about it.
            _ => tracing::debug!("Bedrock sent an event of an unknown kind"),
        }
        Ok(())
    }

    fn start(
        &mut self,
        index: i32,
        start: Option<ContentBlockStart>,
        ready: &mut VecDeque<ChatChunk>,
    ) -> Result<()> {
        match start {
            Some(ContentBlockStart::ToolUse(ToolUseBlockStart { r#type: Some(_), .. })) => {
                Err(not_shown("a tool that Bedrock runs itself"))
            }
            Some(ContentBlockStart::ToolUse(call)) => {
                let number = self.calls;
                self.calls = self.calls.saturating_add(1);
                self.blocks.insert(index, Block::Call { number, has_arguments: false });
                ready.push_back(self.writer.tool_call(0, number, &call.tool_use_id, &call.name, "")?);
                Ok(())
            }
            Some(ContentBlockStart::Image(_)) => Err(not_shown("a picture")),
            Some(ContentBlockStart::ToolResult(_)) => Err(not_shown("a result of its own tool")),
            // The start of a text or a thought has nothing to say; what it is shows in its deltas.
            _ => Ok(()),
        }
    }

    fn delta(
        &mut self,
        index: i32,
        delta: Option<ContentBlockDelta>,
        ready: &mut VecDeque<ChatChunk>,
    ) -> Result<()> {
        match delta {
            Some(ContentBlockDelta::Text(text)) => ready.push_back(self.writer.text(0, &text, None)?),
            Some(ContentBlockDelta::ToolUse(piece)) => {
                let Some(Block::Call { number, has_arguments }) = self.blocks.get_mut(&index) else {
                    let message = "Bedrock sent a tool's arguments before its call";
                    return Err(Error::new(ErrorKind::Malformed, message));
                };
                if !piece.input.is_empty() {
                    *has_arguments = true;
                    ready.push_back(self.writer.tool_arguments(0, *number, &piece.input)?);
                }
            }
            Some(ContentBlockDelta::ReasoningContent(piece)) => self.think(index, piece, ready)?,
            // Where a cited text comes from; the text itself comes as text.
            Some(ContentBlockDelta::Citation(_)) => {}
            Some(ContentBlockDelta::Image(_)) => return Err(not_shown("a picture")),
            Some(ContentBlockDelta::ToolResult(_)) => return Err(not_shown("a result of its own tool")),
            _ => return Err(not_shown("an unknown kind of content")),
        }
        Ok(())
    }

    fn think(
        &mut self,
        index: i32,
        piece: ReasoningContentBlockDelta,
        ready: &mut VecDeque<ChatChunk>,
    ) -> Result<()> {
        if let ReasoningContentBlockDelta::RedactedContent(data) = piece {
            let detail = hidden(self.thoughts, data.as_ref());
            return self.detail(detail, ready);
        }
        let empty = || Block::Thought { text: String::new(), signature: String::new() };
        let Block::Thought { text, signature } = self.blocks.entry(index).or_insert_with(empty) else {
            return Err(Error::new(ErrorKind::Malformed, "Bedrock mixed a thought into a tool call"));
        };
        match piece {
            ReasoningContentBlockDelta::Text(more) => {
                text.push_str(&more);
                ready.push_back(self.writer.reasoning(0, &more)?);
            }
            ReasoningContentBlockDelta::Signature(more) => signature.push_str(&more),
            _ => return Err(not_shown("an unknown kind of thought")),
        }
        Ok(())
    }

    fn stop(&mut self, index: i32, ready: &mut VecDeque<ChatChunk>) -> Result<()> {
        match self.blocks.remove(&index) {
            // A call without arguments still has JSON in them.
            Some(Block::Call { number, has_arguments: false }) => {
                ready.push_back(self.writer.tool_arguments(0, number, "{}")?);
                Ok(())
            }
            Some(Block::Thought { text, signature }) if !signature.is_empty() => {
                let detail = signed(self.thoughts, &text, &signature);
                self.detail(detail, ready)
            }
            _ => Ok(()),
        }
    }

    fn detail(&mut self, detail: Value, ready: &mut VecDeque<ChatChunk>) -> Result<()> {
        self.thoughts = self.thoughts.saturating_add(1);
        let chunk = self.writer.reasoning(0, "")?;
        let json = with_details(&chunk.json, "delta", vec![detail])?;
        ready.push_back(ChatChunk { json, ..chunk });
        Ok(())
    }
}
