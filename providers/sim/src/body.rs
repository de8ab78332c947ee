//! The body of an answer: pieces, pauses between them, and an end that may be too early.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::{
    answer::{Events, Framing},
    cloud::{Phase, Visit},
};

/// A body on its way to the client.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    /// What is left to send.
    rest: Bytes,
    /// Where the pieces end, counted from the first byte.
    ends: std::vec::IntoIter<usize>,
    sent: usize,
    /// The length that the head promises, for whole answers.
    length: Option<u64>,
    pace: Pace,
    pause: Option<Pin<Box<Sleep>>>,
    /// What follows the last piece.
    ending: Ending,
    visit: Visit,
}

/// Pauses of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// Before the first piece.
    pub(crate) first: Duration,
    /// Before each other piece.
    pub(crate) between: Duration,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Proper,
    /// The connection is to break, once the pieces before are on their way.
    Cut {
        flushed: bool,
    },
}

/// The connection is to break here.
#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is cut, as told")
    }
}

impl std::error::Error for Cut {}

impl AnswerBody {
    /// A body in one piece.
    pub(crate) fn whole(body: Bytes, mut visit: Visit) -> Self {
        let length = body.len();
        if body.is_empty() {
            // The server asks for no piece of it.
            visit.reach(Phase::Done);
        }
        Self {
            rest: body,
            ends: vec![length].into_iter(),
            sent: 0,
            length: u64::try_from(length).ok(),
            pace: Pace::default(),
            pause: None,
            ending: Ending::Proper,
            visit,
        }
    }

    /// Half of a body whose head promises all of it.
    pub(crate) fn half(body: Bytes, visit: Visit) -> Self {
        let half = body.len() / 2;
        let whole = Self::whole(body, visit);
        Self { ends: vec![half].into_iter(), ending: Ending::Cut { flushed: false }, ..whole }
    }

    /// A body in events: the first `count`, then a proper end or a cut.
    pub(crate) fn events(mut events: Events, count: usize, cut: bool, pace: Pace, visit: Visit) -> Self {
        let complete = count >= events.ends.len();
        events.ends.truncate(count);
        if events.framing == Framing::Array
            && complete
            && let Some(last) = events.ends.last_mut()
        {
            events.buffer.push(b']');
            *last += 1;
        }
        Self {
            rest: Bytes::from(events.buffer),
            ends: events.ends.into_iter(),
            sent: 0,
            length: None,
            pace,
            pause: (!pace.first.is_zero()).then(|| Box::pin(sleep(pace.first))),
            ending: if cut { Ending::Cut { flushed: false } } else { Ending::Proper },
            visit,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(pause) = self.pause.as_mut() {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        if let Some(end) = self.ends.next() {
            let length = end.saturating_sub(self.sent).min(self.rest.len());
            self.sent = end;
            let piece = self.rest.split_to(length);
            let last = self.ends.as_slice().is_empty();
            if last && self.ending == Ending::Proper {
                // A client that has all it needs may leave without waiting for the end.
                self.visit.reach(Phase::Done);
            } else {
                self.visit.reach(Phase::MidStream);
            }
            if !self.pace.between.is_zero() && !last {
                self.pause = Some(Box::pin(sleep(self.pace.between)));
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match self.ending {
            Ending::Proper => {
                self.visit.reach(Phase::Done);
                Poll::Ready(None)
            }
            Ending::Cut { flushed: false } => {
                // The server flushes what it has when a body is not ready; only then may the connection break.
                self.ending = Ending::Cut { flushed: true };
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ending::Cut { flushed: true } => {
                self.visit.reach(Phase::Sabotaged);
                Poll::Ready(Some(Err(Cut)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // A stream's end is a chunk of its own, even where nothing came before.
        self.length.is_some() && self.ends.as_slice().is_empty() && self.ending == Ending::Proper
    }

    fn size_hint(&self) -> SizeHint {
        // What is left of what was promised; read once, before the first piece.
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
