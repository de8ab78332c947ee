//! Equal calls under way at the same time, for streams: one is made, all read it.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Weak},
};

use aigate_contract::Result;
use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    Entry, Fingerprint, Opened, Reader,
    slots::{Role, Slots},
    tape::{Memory, Tape},
};

/// Streamed calls that are under way.
pub struct Streams {
    slots: Slots<Weak<Tape>>,
    memory: Arc<Memory>,
}

impl Streams {
    /// At most `most` streams can be joined at a time; more are made, each by itself. What came of all of them is held in
    /// memory up to `max_bytes`: streams that go on beyond that are not joined any more and not kept, and what all their
    /// readers have seen is forgotten.
    pub fn new(most: usize, max_bytes: usize) -> Self {
        Self { slots: Slots::new(most), memory: Arc::new(Memory::new(max_bytes)) }
    }

    /// Room for one stream that nobody else joins, in the same memory.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { slots: Slots::new(1), memory: Arc::clone(&self.memory) }
    }

    /// Joins an equal stream, however far it is, or makes one. The stream goes on for as long as it has a reader; when
    /// all have left it is given up.
    ///
    /// `make` is run when the reader is first polled, and not at all when there is an equal stream. A stream of more than
    /// `limit` bytes is not joined any more and not kept; its readers go on, but one that is more than `limit` bytes
    /// behind the others is cut off with [`aigate_contract::ErrorKind::Interrupted`].
    ///
    /// `keep` gets what was read when the stream ended well and is worth keeping ([`crate::worth_keeping`]), before the
    /// next equal call becomes a new one. It must not block.
    pub fn join<F, K>(&self, fingerprint: Fingerprint, limit: usize, make: F, keep: K) -> (Role, Reader)
    where
        F: FnOnce() -> BoxFuture<'static, Result<Opened>> + Send + 'static,
        K: FnOnce(Entry) + Send + 'static,
    {
        let opening = async move { make().await }.boxed();
        let fresh = Tape::new(opening, limit, Arc::clone(&self.memory), Box::new(keep));
        let (role, tape) = self.slots.join(fingerprint, Weak::upgrade, |claim| {
            fresh.hold(claim);
            (Arc::downgrade(&fresh), Arc::clone(&fresh))
        });
        match tape.join() {
            Some(reader) => (role, reader),
            // It outgrew its limit in this moment: this call is made by itself.
            None => (Role::Leader, fresh.enter()),
        }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("under_way", &self.slots.len()).finish()
    }
}
