//! From a stream of `GenerateContentResponse` to chunks in the OpenAI shape.
//!
//! <https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent>

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    task::{Context, Poll, ready},
};

use aigate_contract::{
    Error, ErrorKind, FinishReason, Result, Usage,
    chat::{ChatChunk, ChunkStream, ChunkWriter},
};
use aigate_transport::Event;
use futures_util::{Stream, StreamExt};

use super::{
    logprobs::LogprobsResult,
    reply::{Answer, Candidate, Said, UsageMetadata, finish, made_id},
    signature,
};

/// Waits until the first chunk is in hand, then gives the stream.
///
/// # Errors
/// What came in place of the first chunk: the provider's error, its filter's refusal, or an end.
pub(super) async fn start<S>(mut events: S, model: String, created: u64) -> Result<ChunkStream>
where
    S: Stream<Item = Result<Event>> + Send + Unpin + 'static,
{
    let mut machine = Machine::new(model, created);
    let mut waiting = VecDeque::new();
    while waiting.is_empty() {
        match events.next().await {
            Some(event) => machine.take(&event?.data, &mut waiting)?,
            None => return Err(interrupted()),
        }
    }
    Ok(Box::pin(Chunks { events, machine, waiting, ended: false }))
}

fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, "google's stream ended before its last event")
}

/// The chunks as they come.
struct Chunks<S> {
    events: S,
    machine: Machine,
    waiting: VecDeque<ChatChunk>,
    ended: bool,
}

impl<S: Stream<Item = Result<Event>> + Send + Unpin> Stream for Chunks<S> {
    type Item = Result<ChatChunk>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(chunk) = this.waiting.pop_front() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let step = match ready!(this.events.poll_next_unpin(cx)) {
                Some(Ok(event)) => this.machine.take(&event.data, &mut this.waiting),
                Some(Err(error)) => Err(error),
                None => {
                    this.ended = true;
                    this.machine.end(&mut this.waiting)
                }
            };
            if let Err(error) = step {
                // Chunks of an event that broke half-way are worthless without its rest.
                this.waiting.clear();
                this.ended = true;
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

/// What is known of the stream so far.
struct Machine {
    model: String,
    created: u64,
    writer: Option<ChunkWriter>,
    choices: BTreeMap<u32, Progress>,
    usage: Option<Usage>,
}

/// How far a choice has come.
#[derive(Default)]
struct Progress {
    calls: u32,
    finished: bool,
}

impl Machine {
    fn new(model: String, created: u64) -> Self {
        Self { model, created, writer: None, choices: BTreeMap::new(), usage: None }
    }

    /// Takes one event.
    fn take(&mut self, data: &[u8], out: &mut VecDeque<ChatChunk>) -> Result<()> {
        let answer = Answer::parse(data)?;
        if self.choices.is_empty() {
            answer.check_not_blocked()?;
        }
        let blocked = answer.blocked().map(str::to_owned);
        if let Some(usage) = answer.usage_metadata.and_then(UsageMetadata::into_usage) {
            self.usage = Some(usage);
        }
        let writer = self.writer.get_or_insert_with(|| {
            let id = answer.response_id.unwrap_or_else(made_id);
            ChunkWriter::new(id, self.created, answer.model_version.unwrap_or_else(|| self.model.clone()))
        });
        for candidate in answer.candidates {
            let index = candidate.index.unwrap_or(0);
            let progress = match self.choices.entry(index) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => {
                    out.push_back(writer.role(index)?);
                    new.insert(Progress::default())
                }
            };
            progress.take(index, candidate, writer, out)?;
        }
        if let Some(reason) = blocked {
            for (index, progress) in self.choices.iter_mut().filter(|(_, progress)| !progress.finished) {
                progress.finished = true;
                out.push_back(writer.finish(*index, FinishReason::ContentFilter, Some(&reason))?);
            }
        }
        Ok(())
    }

    /// The stream has ended: well, if every choice that began has ended too.
    fn end(&mut self, out: &mut VecDeque<ChatChunk>) -> Result<()> {
        let complete = !self.choices.is_empty() && self.choices.values().all(|progress| progress.finished);
        match (&self.writer, self.usage.take()) {
            _ if !complete => Err(interrupted()),
            (Some(writer), Some(usage)) => {
                out.push_back(writer.usage(usage)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Progress {
    fn take(
        &mut self,
        index: u32,
        candidate: Candidate,
        writer: &ChunkWriter,
        out: &mut VecDeque<ChatChunk>,
    ) -> Result<()> {
        let mut logprobs = candidate.logprobs_result.and_then(LogprobsResult::into_openai);
        for part in candidate.content.parts {
            match part.said()? {
                Said::Text(text) if text.is_empty() => {}
                Said::Text(text) => out.push_back(writer.text(index, &text, logprobs.take().as_ref())?),
                Said::Reasoning(text) if text.is_empty() => {}
                Said::Reasoning(text) => out.push_back(writer.reasoning(index, &text)?),
                Said::ToolCall { id, name, arguments, signature } => {
                    let mut chunk = writer.tool_call(index, self.calls, &id, &name, &arguments)?;
                    if let Some(signature) = signature {
                        chunk.json = signature::attach(&chunk.json, "delta", &[(0, 0, signature)])?;
                    }
                    out.push_back(chunk);
                    self.calls += 1;
                }
                Said::Nothing => {}
            }
        }
        if let Some(logprobs) = &logprobs {
            out.push_back(writer.text(index, "", Some(logprobs))?);
        }
        if let Some(word) = candidate.finish_reason.filter(|_| !self.finished) {
            self.finished = true;
            out.push_back(writer.finish(index, finish(&word, self.calls > 0), Some(&word))?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
