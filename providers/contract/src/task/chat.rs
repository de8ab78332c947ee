//! Chat, whole and streamed: the same request, two tasks.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{End, Task, Tend};
use crate::{
    Demand, Endpoint, Error, ErrorKind, Facts, Offers, Result,
    chat::{ChatChunk, ChatReply, ChatRequest, ChunkStream},
};

/// A chat completion, answered whole.
#[derive(Clone, Copy, Debug)]
pub struct Chat;

/// A chat completion, answered chunk by chunk. `serve` resolves when the first chunk is in hand: until then retry and
/// failover work as for any call; after it an error is an item of the stream and nothing is replayed.
#[derive(Clone, Copy, Debug)]
pub struct ChatStream;

impl Task for Chat {
    const NAME: &'static str = "chat";
    const OPERATION: &'static str = "chat";
    type Request = ChatRequest;
    type Response = ChatReply;

    fn offer(offers: &Offers) -> Option<&Endpoint<Self>> {
        offers.chat.as_ref()
    }

    fn demand(request: &Self::Request, visit: &mut dyn FnMut(&str)) -> Demand {
        Demand::of_chat(request, visit)
    }

    fn class(request: &Self::Request) -> Option<String> {
        request.unusual_tier()
    }

    fn tend(response: ChatReply, tender: impl Tend) -> ChatReply {
        tender.end(End::Complete(&response.facts));
        response
    }

    fn bound(response: ChatReply, _idle: Duration, _deadline: Instant) -> ChatReply {
        response
    }
}

impl Task for ChatStream {
    const NAME: &'static str = "chat_stream";
    const OPERATION: &'static str = "chat";
    const STREAMED: bool = true;
    type Request = ChatRequest;
    type Response = ChunkStream;

    fn offer(offers: &Offers) -> Option<&Endpoint<Self>> {
        offers.chat_stream.as_ref()
    }

    fn demand(request: &Self::Request, visit: &mut dyn FnMut(&str)) -> Demand {
        Demand::of_chat(request, visit)
    }

    fn class(request: &Self::Request) -> Option<String> {
        request.unusual_tier()
    }

    fn tend(response: ChunkStream, tender: impl Tend) -> ChunkStream {
        Box::pin(Tended { inner: response, facts: Facts::default(), tender: Some(tender) })
    }

    fn bound(response: ChunkStream, idle: Duration, deadline: Instant) -> ChunkStream {
        let now = Instant::now();
        let timer = Box::pin(sleep_until(deadline.min(now + idle)));
        Box::pin(Bounded { inner: response, idle, deadline, last: now, timer, done: false })
    }
}

/// A stream with somebody who waits for its end.
struct Tended<A: Tend> {
    inner: ChunkStream,
    facts: Facts,
    tender: Option<A>,
}

impl<A: Tend> Stream for Tended<A> {
    type Item = Result<ChatChunk>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let item = ready!(this.inner.as_mut().poll_next(cx));
        match &item {
            Some(Ok(chunk)) => this.facts.absorb(chunk),
            Some(Err(error)) => {
                if let Some(tender) = this.tender.take() {
                    tender.end(End::Failed(error));
                }
            }
            None => {
                if let Some(tender) = this.tender.take() {
                    tender.end(End::Complete(&this.facts));
                }
            }
        }
        Poll::Ready(item)
    }
}

impl<A: Tend> Drop for Tended<A> {
    fn drop(&mut self) {
        if let Some(tender) = self.tender.take() {
            // Those beneath hear of it first, as they do of every other end.
            self.inner = Box::pin(futures_util::stream::empty());
            tender.end(End::Abandoned(&self.facts));
        }
    }
}

/// A stream that may be silent for `idle` at most and must have ended by `deadline`.
struct Bounded {
    inner: ChunkStream,
    idle: Duration,
    deadline: Instant,
    last: Instant,
    /// Set lazily: it is moved on when it fires, not with each chunk.
    timer: Pin<Box<Sleep>>,
    done: bool,
}

impl Bounded {
    fn too_late(&self, now: Instant) -> Option<Error> {
        if now >= self.deadline {
            return Some(Error::new(
                ErrorKind::Deadline,
                "the call's deadline passed before the stream ended",
            ));
        }
        let message = || format!("the stream was silent for {:?} (idle timeout)", self.idle);
        (now >= self.last + self.idle).then(|| Error::new(ErrorKind::Timeout, message()))
    }
}

impl Stream for Bounded {
    type Item = Result<ChatChunk>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        if let Poll::Ready(item) = this.inner.as_mut().poll_next(cx) {
            this.last = Instant::now();
            this.done = !matches!(item, Some(Ok(_)));
            // A provider that never pauses would otherwise never meet the timer.
            if !this.done
                && this.last >= this.deadline
                && let Some(error) = this.too_late(this.last)
            {
                this.done = true;
                return Poll::Ready(Some(Err(error)));
            }
            return Poll::Ready(item);
        }
        while this.timer.as_mut().poll(cx).is_ready() {
            if let Some(error) = this.too_late(Instant::now()) {
                this.done = true;
                return Poll::Ready(Some(Err(error)));
            }
            let next = this.deadline.min(this.last + this.idle);
            this.timer.as_mut().reset(next);
        }
        Poll::Pending
    }
}
