//! One stream, several readers: a tape of what came so far, over an upstream that whoever is at the tape's end polls.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use aigate_contract::{
    Error, ErrorKind, Facts, Result,
    chat::{ChatChunk, ChunkStream},
};
use futures_util::{Stream, future::BoxFuture};

use crate::{
    Answer, Entry, Origin,
    entry::{size_of_chunk, worth_keeping},
    flights::{again, broken},
    slots::Claim,
};

/// A stream whose first chunk is in hand, and who answers.
pub struct Opened {
    /// The chunks.
    pub chunks: ChunkStream,
    /// Who answers.
    pub origin: Arc<Origin>,
}

/// What is done with a stream that ended well.
pub(crate) type Keep = Box<dyn FnOnce(Entry) + Send>;

/// The memory of all tapes, in bytes.
#[derive(Debug)]
pub(crate) struct Memory {
    held: AtomicUsize,
    most: usize,
}

impl Memory {
    /// At most so many bytes, but for what readers lack that are behind others of their stream.
    pub(crate) fn new(most: usize) -> Self {
        Self { held: AtomicUsize::new(0), most }
    }

    fn is_over(&self) -> bool {
        self.held.load(Ordering::Relaxed) > self.most
    }
}

/// One stream and what came of it so far. Dropped with its last reader, and the upstream with it.
pub(crate) struct Tape {
    state: Mutex<State>,
    wakers: Arc<Wakers>,
    /// The one waker that the upstream knows: it wakes every reader that waits.
    waker: Waker,
    /// Bytes that may be on the tape while it can still be joined.
    limit: usize,
}

struct State {
    upstream: Upstream,
    origin: Option<Arc<Origin>>,
    chunks: VecDeque<ChatChunk>,
    /// How many chunks have fallen off the tape's beginning.
    fallen: usize,
    /// Bytes on the tape.
    bytes: usize,
    /// They are counted here as well.
    memory: Arc<Memory>,
    /// Whether the tape grew beyond its limit or the memory: it is not joined any more and not kept.
    overgrown: bool,
    /// How it ended.
    end: Option<Result<(), Arc<Error>>>,
    facts: Facts,
    /// How many chunks each reader has seen, by its id.
    readers: HashMap<u64, usize>,
    next_reader: u64,
    claim: Option<Claim<Weak<Tape>>>,
    keep: Option<Keep>,
}

enum Upstream {
    Opening(BoxFuture<'static, Result<Opened>>),
    Open(ChunkStream),
    Over,
}

/// One reader of a stream. Everyone sees the whole stream from its first chunk.
pub struct Reader {
    tape: Arc<Tape>,
    id: u64,
    /// How many chunks it has seen.
    seen: usize,
    done: bool,
}

impl Tape {
    /// A stream that is opened when a reader is first polled.
    pub(crate) fn new(
        opening: BoxFuture<'static, Result<Opened>>,
        limit: usize,
        memory: Arc<Memory>,
        keep: Keep,
    ) -> Arc<Self> {
        let wakers = Arc::new(Wakers::default());
        let state = State {
            upstream: Upstream::Opening(opening),
            origin: None,
            chunks: VecDeque::new(),
            fallen: 0,
            bytes: 0,
            memory,
            overgrown: false,
            end: None,
            facts: Facts::default(),
            readers: HashMap::new(),
            next_reader: 0,
            claim: None,
            keep: Some(keep),
        };
        let waker = Waker::from(Arc::clone(&wakers));
        Arc::new(Self { state: Mutex::new(state), wakers, waker, limit })
    }

    /// Holds the claim until the stream can no longer be joined.
    pub(crate) fn hold(&self, claim: Option<Claim<Weak<Self>>>) {
        self.lock().claim = claim;
    }

    /// One more reader, unless the tape's beginning may be gone.
    pub(crate) fn join(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.lock();
        let id = if state.overgrown { None } else { Some(state.enter()) };
        drop(state);
        id.map(|id| Reader { tape: Arc::clone(self), id, seen: 0, done: false })
    }

    /// The first reader of a tape that nobody else knows.
    pub(crate) fn enter(self: &Arc<Self>) -> Reader {
        let id = self.lock().enter();
        Reader { tape: Arc::clone(self), id, seen: 0, done: false }
    }

    /// Looks whether there is what a reader waits for; while there is not, polls the upstream in its name.
    fn poll<T>(
        &self,
        reader: u64,
        cx: &mut Context<'_>,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Poll<T> {
        loop {
            let mut state = self.lock();
            if let Some(found) = look(&mut state) {
                return Poll::Ready(found);
            }
            // Before the poll: the upstream may call the waker from within it.
            self.wakers.add(reader, cx.waker());
            let Poll::Ready(event) = state.upstream.poll(&mut Context::from_waker(&self.waker)) else {
                return Poll::Pending;
            };
            let leftover = state.take_in(event, self.limit);
            drop(state);
            self.wakers.remove(reader);
            self.waker.wake_by_ref();
            leftover.clear_away();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the upstream did.
enum Event {
    Opened(Opened),
    Chunk(ChatChunk),
    Ended,
    Failed(Error),
}

impl Upstream {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let polled = catch_unwind(AssertUnwindSafe(|| match self {
            Self::Opening(opening) => opening.as_mut().poll(cx).map(|opened| match opened {
                Ok(opened) => Event::Opened(opened),
                Err(error) => Event::Failed(error),
            }),
            Self::Open(chunks) => chunks.as_mut().poll_next(cx).map(|item| match item {
                Some(Ok(chunk)) => Event::Chunk(chunk),
                Some(Err(error)) => Event::Failed(error),
                None => Event::Ended,
            }),
            Self::Over => Poll::Ready(Event::Ended),
        }));
        polled.unwrap_or_else(|_| Poll::Ready(Event::Failed(broken())))
    }
}

impl State {
    fn enter(&mut self) -> u64 {
        self.next_reader += 1;
        self.readers.insert(self.next_reader, 0);
        self.next_reader
    }

    /// What a reader that has seen so many chunks sees next; `None` when that has not come yet.
    fn next(&mut self, reader: u64, seen: usize) -> Option<Option<Result<ChatChunk>>> {
        let Some(place) = seen.checked_sub(self.fallen) else {
            let message = "the stream was read too slowly: its other readers are far ahead";
            return Some(Some(Err(Error::new(ErrorKind::Interrupted, message))));
        };
        if let Some(chunk) = self.chunks.get(place).cloned() {
            self.readers.insert(reader, seen + 1);
            if place == 0 {
                self.forget();
            }
            return Some(Some(Ok(chunk)));
        }
        match self.end.as_ref()? {
            Ok(()) => Some(None),
            Err(error) => Some(Some(Err(again(error)))),
        }
    }

    /// Takes in what the upstream did. What is to be dropped is handed out: not under the lock.
    fn take_in(&mut self, event: Event, limit: usize) -> Leftover {
        match event {
            Event::Opened(Opened { chunks, origin }) => {
                self.origin = Some(origin);
                Leftover { upstream: self.replace(Upstream::Open(chunks)), ..Leftover::default() }
            }
            Event::Chunk(chunk) => {
                self.facts.absorb(&chunk);
                let bytes = size_of_chunk(&chunk);
                self.bytes += bytes;
                self.memory.held.fetch_add(bytes, Ordering::Relaxed);
                self.chunks.push_back(chunk);
                self.bound(limit)
            }
            Event::Ended => {
                self.end = Some(Ok(()));
                let keep = self.keep.take().filter(|_| worth_keeping(&self.facts));
                let chunks = || self.chunks.iter().cloned().collect();
                let answer = keep.is_some().then(|| Answer::ChatStream(chunks(), self.facts.clone()));
                let (upstream, claim) = (self.replace(Upstream::Over), self.claim.take());
                Leftover { upstream, claim, keep, answer, origin: self.origin.clone() }
            }
            Event::Failed(error) => {
                self.end = Some(Err(Arc::new(error)));
                let (upstream, claim) = (self.replace(Upstream::Over), self.claim.take());
                Leftover { upstream, claim, keep: self.keep.take(), ..Leftover::default() }
            }
        }
    }

    /// Keeps the tape within its bounds: what is longer than `limit`, or more than the memory holds, is not joined any
    /// more, and of what is twice as long as `limit` the beginning falls off, be there a reader who has not seen it or not.
    fn bound(&mut self, limit: usize) -> Leftover {
        if self.bytes <= limit && !self.memory.is_over() {
            return Leftover::default();
        }
        self.overgrown = true;
        self.forget();
        self.shorten(|state| state.bytes > limit.saturating_mul(2) && state.chunks.len() > 1);
        Leftover { claim: self.claim.take(), keep: self.keep.take(), ..Leftover::default() }
    }

    fn leave(&mut self, reader: u64) {
        self.readers.remove(&reader);
        self.forget();
    }

    /// Forgets what all readers have seen, when nobody can join them any more.
    fn forget(&mut self) {
        if self.overgrown {
            let least = self.readers.values().copied().min().unwrap_or(usize::MAX);
            self.shorten(|state| state.fallen < least);
        }
    }

    fn shorten(&mut self, too_long: impl Fn(&Self) -> bool) {
        while too_long(self)
            && let Some(chunk) = self.chunks.pop_front()
        {
            let bytes = size_of_chunk(&chunk);
            self.bytes -= bytes;
            self.memory.held.fetch_sub(bytes, Ordering::Relaxed);
            self.fallen += 1;
        }
    }

    fn replace(&mut self, upstream: Upstream) -> Option<Upstream> {
        Some(std::mem::replace(&mut self.upstream, upstream))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.memory.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What is left to do, or to drop, when the tape's lock is released.
#[derive(Default)]
struct Leftover {
    upstream: Option<Upstream>,
    claim: Option<Claim<Weak<Tape>>>,
    keep: Option<Keep>,
    answer: Option<Answer>,
    origin: Option<Arc<Origin>>,
}

impl Leftover {
    fn clear_away(self) {
        let Self { upstream, claim, keep, answer, origin } = self;
        if let (Some(keep), Some(answer), Some(origin)) = (keep, answer, origin) {
            keep(Entry::new(answer, origin));
        }
        // Last: from now on an equal call does not find the stream, but it does find what was kept of it.
        drop((upstream, claim));
    }
}

impl Reader {
    /// Waits until the stream is open: its first chunk is in hand. Need not be called before reading.
    ///
    /// # Errors
    /// When the call failed.
    pub async fn opened(&mut self) -> Result<Arc<Origin>> {
        poll_fn(|cx| {
            self.tape.poll(self.id, cx, |state| match (&state.origin, &state.end) {
                (Some(origin), _) => Some(Ok(Arc::clone(origin))),
                (None, Some(Err(error))) => Some(Err(again(error))),
                (None, _) => None,
            })
        })
        .await
    }
}

impl Stream for Reader {
    type Item = Result<ChatChunk>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        let polled = this.tape.poll(this.id, cx, |state| state.next(this.id, this.seen));
        if let Poll::Ready(item) = &polled {
            this.seen += 1;
            this.done = !matches!(item, Some(Ok(_)));
        }
        polled
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.tape.wakers.remove(self.id);
        self.tape.lock().leave(self.id);
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("seen", &self.seen).field("done", &self.done).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// The readers that wait, by their ids.
#[derive(Default)]
struct Wakers(Mutex<HashMap<u64, Waker>>);

impl Wakers {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, reader: u64, waker: &Waker) {
        let old = self.lock().insert(reader, waker.clone());
        drop(old);
    }

    fn remove(&self, reader: u64) {
        let old = self.lock().remove(&reader);
        drop(old);
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// Wakes all that wait: whoever is polled first goes on with the upstream, and one that was woken may leave unpolled.
    fn wake_by_ref(self: &Arc<Self>) {
        let waiting = std::mem::take(&mut *self.lock());
        waiting.into_values().for_each(Waker::wake);
    }
}
