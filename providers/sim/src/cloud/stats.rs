//! What a cloud counts, and the guard that follows one request to its end.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What a cloud has seen so far. Requests for tokens are counted apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests that arrived.
    pub seen: u64,
    /// Requests answered to the end with a status below 400.
    pub answered: u64,
    /// Requests answered with a status from 400.
    pub refused: u64,
    /// Streams whose head was sent.
    pub streams_begun: u64,
    /// Requests on which a fault acted, connections closed at once among them.
    pub faulted: u64,
    /// Requests that the client gave up before the answer's head.
    pub abandoned_before_head: u64,
    /// Requests that the client gave up between the head and the first chunk.
    pub abandoned_before_first_chunk: u64,
    /// Streams that the client gave up between the first chunk and the last.
    pub abandoned_mid_stream: u64,
    /// Requests under way now.
    pub in_flight: u64,
    /// Requests to token endpoints.
    pub token_requests: u64,
}

/// The live counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) seen: AtomicU64,
    answered: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) streams_begun: AtomicU64,
    pub(crate) faulted: AtomicU64,
    abandoned_before_head: AtomicU64,
    abandoned_before_first_chunk: AtomicU64,
    abandoned_mid_stream: AtomicU64,
    in_flight: AtomicU64,
    pub(crate) token_requests: AtomicU64,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its head is not sent.
    Asked,
    /// Its head is sent.
    Headed,
    /// Its first chunk is sent.
    MidStream,
    /// All of it is sent.
    Done,
    /// It was refused; all of it is sent.
    Refused,
    /// A fault ended it.
    Sabotaged,
}

/// One request; counts, when dropped, how it ended.
#[derive(Debug)]
pub(crate) struct Visit {
    counters: Arc<Counters>,
    phase: Phase,
    /// Whether it counts among the requests to models.
    counted: bool,
    refused: bool,
}

impl Counters {
    pub(crate) fn read(&self) -> Stats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        Stats {
            seen: load(&self.seen),
            answered: load(&self.answered),
            refused: load(&self.refused),
            streams_begun: load(&self.streams_begun),
            faulted: load(&self.faulted),
            abandoned_before_head: load(&self.abandoned_before_head),
            abandoned_before_first_chunk: load(&self.abandoned_before_first_chunk),
            abandoned_mid_stream: load(&self.abandoned_mid_stream),
            in_flight: load(&self.in_flight),
            token_requests: load(&self.token_requests),
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::AcqRel);
}

impl Visit {
    pub(crate) fn begin(counters: &Arc<Counters>, counted: bool) -> Self {
        if counted {
            count(&counters.seen);
            count(&counters.in_flight);
        } else {
            count(&counters.token_requests);
        }
        Self { counters: Arc::clone(counters), phase: Phase::Asked, counted, refused: false }
    }

    /// The answer is a refusal.
    pub(crate) fn refuse(&mut self) {
        self.refused = true;
    }

    pub(crate) fn reach(&mut self, phase: Phase) {
        self.phase = if phase == Phase::Done && self.refused { Phase::Refused } else { phase };
    }

    pub(crate) fn faulted(&self) {
        count(&self.counters.faulted);
    }

    pub(crate) fn stream_begins(&self) {
        count(&self.counters.streams_begun);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if !self.counted {
            return;
        }
        match self.phase {
            Phase::Asked => count(&self.counters.abandoned_before_head),
            Phase::Headed => count(&self.counters.abandoned_before_first_chunk),
            Phase::MidStream => count(&self.counters.abandoned_mid_stream),
            Phase::Done => count(&self.counters.answered),
            Phase::Refused => count(&self.counters.refused),
            Phase::Sabotaged => {}
        }
        self.counters.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
