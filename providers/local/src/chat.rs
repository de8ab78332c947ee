//! Chat, whole and streamed, with a model of this machine.
//!
//! What is asked is read where calls are served ([`wish`]); all else happens on the model's worker ([`speak`]), which sends what
//! it says as it says it.

mod speak;
mod wish;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use aigate_contract::{
    Call, Chat, ChatStream, Error, ErrorKind, FinishReason, Result, Serve, Task, Usage,
    chat::{ChatChunk, ChatReply, ChatRequest, Choice, ChunkStream, ChunkWriter, Completion},
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use uuid::Uuid;

use crate::Local;
use wish::Wish;

/// What a worker says.
#[derive(Debug)]
enum Said {
    /// More of a choice's text, with the log probabilities of its tokens.
    Text { choice: u32, text: String, logprobs: Option<Value> },
    /// More of a choice's thoughts.
    Reasoning { choice: u32, text: String },
    /// A tool call of a choice, whole.
    ToolCall { choice: u32, name: String, arguments: String },
    /// A choice ends.
    Finish { choice: u32, reason: FinishReason },
    /// All choices have ended.
    Done(Usage),
}

/// What comes from a worker; when it is dropped, the worker stops within a token.
struct Saying {
    said: UnboundedReceiver<Result<Said>>,
    stop: Arc<AtomicBool>,
    done: bool,
}

impl Serve<Chat> for Local {
    async fn serve(&self, call: Call<Chat>) -> Result<ChatReply> {
        let model = call.target.model.to_string();
        let mut saying = self.speak(call)?;
        let (mut choices, mut usage) = (Vec::new(), None);
        while let Some(said) = saying.next().await? {
            write(said, &mut choices, &mut usage);
        }
        let completion = Completion { id: answer_id(), created: now(), model, choices, usage };
        completion.into_reply()
    }
}

impl Serve<ChatStream> for Local {
    async fn serve(&self, call: Call<ChatStream>) -> Result<ChunkStream> {
        let writer = ChunkWriter::new(answer_id(), now(), &*call.target.model);
        let mut saying = self.speak(call)?;
        let first = saying.next().await?;
        let streaming = Streaming { saying, writer, first, begun: 0, calls: 0, chunks: Vec::new() };
        Ok(Box::pin(stream::unfold(streaming, |mut streaming| async {
            Some((streaming.next().await.transpose()?, streaming))
        })))
    }
}

impl Local {
    /// Hands the call to a worker of its model.
    fn speak<T: Task<Request = ChatRequest>>(&self, call: Call<T>) -> Result<Saying> {
        let wish = Wish::read(&call)?;
        let model = self.language.chat(&call.target.model);
        let model = model.map_err(|why| Error::new(ErrorKind::Missing, why))?;
        let (sender, said) = unbounded_channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        model.submit(Box::new(move |speaker| {
            let outcome = match speaker {
                // Whoever asked may have gone while the call waited.
                Ok(_) if stopped.load(Ordering::Relaxed) => return,
                Ok(speaker) => speak::speak(&mut speaker.0, &call, wish, &stopped, &|said| {
                    // Nobody listens: the flag is about to be set.
                    let _ = sender.send(Ok(said));
                }),
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                let _ = sender.send(Err(error));
            }
        }))?;
        Ok(Saying { said, stop, done: false })
    }
}

impl Saying {
    /// `None` after the end.
    async fn next(&mut self) -> Result<Option<Said>> {
        let said = self.said.recv().await.transpose()?;
        match &said {
            None if !self.done => Err(Error::new(ErrorKind::Internal, "a worker ended before its answer")),
            said_now => {
                self.done |= matches!(said_now, Some(Said::Done(_)));
                Ok(said)
            }
        }
    }
}

impl Drop for Saying {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Adds what was said to a whole answer.
fn write(said: Said, choices: &mut Vec<Choice>, usage: &mut Option<Usage>) {
    let choice = match &said {
        Said::Text { choice, .. }
        | Said::Reasoning { choice, .. }
        | Said::ToolCall { choice, .. }
        | Said::Finish { choice, .. } => *choice as usize,
        Said::Done(_) => 0,
    };
    if choices.len() <= choice {
        choices.resize_with(choice + 1, Choice::default);
    }
    let Some(place) = choices.get_mut(choice) else { return };
    match said {
        Said::Text { text, logprobs, .. } => {
            place.text.get_or_insert_default().push_str(&text);
            add_logprobs(&mut place.logprobs, logprobs);
        }
        Said::Reasoning { text, .. } => place.reasoning.get_or_insert_default().push_str(&text),
        Said::ToolCall { name, arguments, .. } => place.tool_calls.push((call_id(), name, arguments)),
        Said::Finish { reason, .. } => {
            // An answer without a word is an empty text, unless it calls tools.
            if place.tool_calls.is_empty() {
                place.text.get_or_insert_default();
            }
            place.finish = Some(reason);
        }
        Said::Done(consumed) => *usage = Some(consumed),
    }
}

/// Both in OpenAI's form: a list of tokens under `content`.
fn add_logprobs(whole: &mut Option<Value>, more: Option<Value>) {
    let Some(mut more) = more else { return };
    match whole.as_mut().and_then(|whole| whole["content"].as_array_mut()) {
        Some(tokens) => tokens.append(more["content"].as_array_mut().unwrap_or(&mut Vec::new())),
        None => *whole = Some(more),
    }
}

/// A streamed answer.
struct Streaming {
    saying: Saying,
    writer: ChunkWriter,
    /// What was waited for before the stream began.
    first: Option<Said>,
    /// Choices that have begun.
    begun: u32,
    /// Tool calls of the running choice.
    calls: u32,
    /// Chunks that wait, the last one first.
    chunks: Vec<ChatChunk>,
}

impl Streaming {
    async fn next(&mut self) -> Result<Option<ChatChunk>> {
        while self.chunks.is_empty() {
            let said = match self.first.take() {
                Some(first) => Some(first),
                None => self.saying.next().await?,
            };
            let Some(said) = said else { return Ok(None) };
            self.chunks = self.write(said)?;
            self.chunks.reverse();
        }
        Ok(self.chunks.pop())
    }

    fn write(&mut self, said: Said) -> Result<Vec<ChatChunk>> {
        let mut chunks = Vec::with_capacity(2);
        let writer = &self.writer;
        match said {
            Said::Text { choice, text, logprobs } => {
                begin(&mut self.begun, &mut self.calls, writer, choice, &mut chunks)?;
                chunks.push(writer.text(choice, &text, logprobs.as_ref())?);
            }
            Said::Reasoning { choice, text } => {
                begin(&mut self.begun, &mut self.calls, writer, choice, &mut chunks)?;
                chunks.push(writer.reasoning(choice, &text)?);
            }
            Said::ToolCall { choice, name, arguments } => {
                begin(&mut self.begun, &mut self.calls, writer, choice, &mut chunks)?;
                chunks.push(writer.tool_call(choice, self.calls, &call_id(), &name, &arguments)?);
                self.calls += 1;
            }
            Said::Finish { choice, reason } => {
                begin(&mut self.begun, &mut self.calls, writer, choice, &mut chunks)?;
                chunks.push(writer.finish(choice, reason, None)?);
            }
            Said::Done(usage) => chunks.push(writer.usage(usage)?),
        }
        Ok(chunks)
    }
}

/// The first chunk of a choice. Choices come one after the other.
fn begin(
    begun: &mut u32,
    calls: &mut u32,
    writer: &ChunkWriter,
    choice: u32,
    chunks: &mut Vec<ChatChunk>,
) -> Result<()> {
    if *begun <= choice {
        (*begun, *calls) = (choice + 1, 0);
        chunks.push(writer.role(choice)?);
    }
    Ok(())
}

fn answer_id() -> String {
    format!("chatcmpl-{}", Uuid::new_v4().simple())
}

fn call_id() -> String {
    format!("call_{}", Uuid::new_v4().simple())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `logprobs` in OpenAI's form.
fn logprobs(tokens: &[aigate_neural::chat::Told]) -> Value {
    let token = |bytes: &[u8], logprob: f32| json!({ "token": String::from_utf8_lossy(bytes), "bytes": bytes, "logprob": logprob });
    let content = tokens.iter().map(|told| {
        let top: Vec<Value> = told.top.iter().map(|(bytes, logprob)| token(bytes, *logprob)).collect();
        let mut one = token(&told.bytes, told.logprob);
        one["top_logprobs"] = top.into();
        one
    });
    json!({ "content": content.collect::<Vec<_>>() })
}
