//! A stream of `chat.completion.chunk`s, passed through: each is looked at, none is written anew.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use aigate_contract::{
    Error, ErrorKind, Result, Usage,
    chat::{ChatChunk, ChunkStream},
};
use aigate_transport::{Response, SseStream, events};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde_json::Value;
use tokio::time::{Sleep, sleep};

use crate::{chat::read, glance};

/// How long to wait for the body's end after `[DONE]`, so that the connection can serve again.
const DRAIN: Duration = Duration::from_millis(100);

/// The chunks of an answer.
pub(crate) struct Chunks<S = SseStream> {
    events: S,
    state: State,
}

enum State {
    /// `[DONE]` has not come.
    Running,
    /// It has come: only the body's end is awaited, and not for long.
    Draining(Pin<Box<Sleep>>),
    /// Over.
    Ended,
}

impl Chunks {
    pub(crate) fn new(answer: Response) -> Self {
        Self { events: events(answer.into_body()), state: State::Running }
    }
}

impl<S: Stream<Item = Result<aigate_transport::Event>> + Unpin> Stream for Chunks<S> {
    type Item = Result<ChatChunk>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Ended => return Poll::Ready(None),
                State::Draining(timer) => {
                    let over = timer.as_mut().poll(cx).is_ready();
                    match this.events.poll_next_unpin(cx) {
                        Poll::Ready(Some(Ok(_))) if !over => {}
                        Poll::Pending if !over => return Poll::Pending,
                        _ => this.state = State::Ended,
                    }
                }
                State::Running => {
                    let Poll::Ready(item) = this.events.poll_next_unpin(cx) else { return Poll::Pending };
                    let item = match item {
                        Some(Ok(event)) if event.data.as_ref() == b"[DONE]" => {
                            this.state = State::Draining(Box::pin(sleep(DRAIN)));
                            continue;
                        }
                        Some(Ok(event)) if event.data.is_empty() => continue,
                        Some(Ok(event)) => read_chunk(event.data),
                        Some(Err(error)) => Err(error),
                        None => {
                            Err(Error::new(ErrorKind::Interrupted, "the stream ended before its `[DONE]`"))
                        }
                    };
                    if item.is_err() {
                        this.state = State::Ended;
                    }
                    return Poll::Ready(Some(item));
                }
            }
        }
    }
}

/// Reads on until a chunk that says something is in hand; an error until then is the call's error.
pub(crate) async fn open(
    mut chunks: impl Stream<Item = Result<ChatChunk>> + Unpin + Send + 'static,
) -> Result<ChunkStream> {
    let mut held = VecDeque::new();
    loop {
        match poll_fn(|cx| chunks.poll_next_unpin(cx)).await {
            Some(Ok(chunk)) => {
                let commits = says_something(&chunk) || held.len() >= MOST_HELD;
                held.push_back(chunk);
                if commits {
                    return Ok(Box::pin(futures_util::stream::iter(held.into_iter().map(Ok)).chain(chunks)));
                }
            }
            Some(Err(error)) => return Err(error),
            None => return Err(Error::new(ErrorKind::Malformed, "the stream ended without saying anything")),
        }
    }
}

/// The most chunks that are held back while none says anything.
const MOST_HELD: usize = 16;

/// Azure's first event has no choice, only the prompt's filter results; others begin with the role alone, before the model
/// has begun: neither commits to anything.
fn says_something(chunk: &ChatChunk) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(&chunk.json) else { return true };
    let choices = value.get("choices").and_then(Value::as_array);
    let silent = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    choices.into_iter().flatten().any(|choice| {
        let delta = choice.get("delta").and_then(Value::as_object);
        let speaks = delta.into_iter().flatten().any(|(name, value)| name != "role" && !silent(value));
        speaks || choice.get("finish_reason").is_some_and(|reason| !reason.is_null())
    })
}

/// Most chunks only add text: they are checked to be JSON, and nothing in them needs to be known.
fn read_chunk(data: Bytes) -> Result<ChatChunk> {
    if glance::only_adds(&data) && glance::is_json(&data) {
        return Ok(ChatChunk { finish: Vec::new(), usage: None, usage_only: false, json: data });
    }
    let peek = read(&data, "chunk")?;
    if let Some(error) = peek.failure() {
        return Err(error);
    }
    let finish = peek.finish();
    let empty = match &peek.choices {
        Some(choices) => choices.is_empty(),
        None => {
            return Err(Error::new(
                ErrorKind::Malformed,
                "a chunk of the provider's stream has no `choices`",
            ));
        }
    };
    let usage = peek.usage.map(Usage::from);
    Ok(ChatChunk { finish, usage, usage_only: empty, json: data })
}

#[cfg(test)]
mod tests {
    use aigate_transport::Event;
    use futures_util::stream;

    use super::*;

    async fn run(events: &[&'static str]) -> Result<Vec<Result<ChatChunk>>> {
        let event = |data: &&'static str| Ok(Event { name: None, data: Bytes::from_static(data.as_bytes()) });
        let events: Vec<Result<Event>> = events.iter().map(event).collect();
        let chunks = open(Chunks { events: stream::iter(events), state: State::Running }).await?;
        Ok(chunks.collect().await)
    }

    const TEXT: &str =
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"usage":null}"#;
    const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    const USAGE: &str =
        r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;

    #[tokio::test]
    async fn a_whole_stream_passes_unchanged() {
        let chunks = run(&[TEXT, STOP, USAGE, "[DONE]"]).await.unwrap();
        let texts: Vec<_> = chunks.iter().map(|chunk| chunk.as_ref().unwrap().json.clone()).collect();
        assert_eq!(texts, [TEXT, STOP, USAGE]);
        let last = chunks[2].as_ref().unwrap();
        assert!(last.usage_only);
        assert_eq!(last.usage.as_ref().unwrap().output, Some(1));
    }

    #[tokio::test]
    async fn a_stream_without_done_is_interrupted_even_after_its_finish_reason() {
        let chunks = run(&[TEXT, STOP]).await.unwrap();
        assert_eq!(chunks.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Interrupted);
    }

    #[tokio::test]
    async fn an_error_as_the_first_event_is_the_call_s_error() {
        let error = run(&[r#"{"error":{"message":"x","code":"rate_limit_exceeded"}}"#]).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Throttled);
        assert_eq!(run(&["{oops"]).await.err().unwrap().kind(), ErrorKind::Malformed);
        assert_eq!(run(&[]).await.err().unwrap().kind(), ErrorKind::Interrupted);
        assert_eq!(run(&["[DONE]"]).await.err().unwrap().kind(), ErrorKind::Malformed);
    }

    #[tokio::test]
    async fn a_stream_that_has_only_named_its_role_can_still_fail_over() {
        const ROLE: &str =
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
        const FILTER: &str = r#"{"choices":[],"prompt_filter_results":[{}]}"#;
        let error = run(&[FILTER, ROLE, r#"{"error":{"message":"x"}}"#]).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(
            run(&[FILTER, ROLE, TEXT, "[DONE]"]).await.unwrap().len(),
            3,
            "what was held is handed on"
        );
    }

    #[tokio::test]
    async fn an_error_after_the_first_chunk_is_the_stream_s_last_item() {
        let chunks = run(&[TEXT, "{oops", TEXT]).await.unwrap();
        assert_eq!(chunks.len(), 2);
        assert_eq!(chunks[1].as_ref().unwrap_err().kind(), ErrorKind::Malformed);
    }
}
