//! The store of the whole gateway: every model's entries within one number of bytes.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use moka::{Expiry, notification::RemovalCause, sync::Cache};
use tokio::time::Instant;

use crate::{Entry, Fingerprint};

/// Keeps entries, each for its own time, all of them within a number of bytes; the least useful ones make room.
/// Cheap to clone: clones are the same store.
#[derive(Clone)]
pub struct Store {
    kept: Cache<Fingerprint, Kept>,
    evicted: Arc<AtomicU64>,
    max_bytes: u64,
    max_entry: usize,
}

#[derive(Clone)]
struct Kept {
    entry: Arc<Entry>,
    /// For how long, from when it was put here.
    keep: Duration,
    /// The same as a time of tokio's clock, which decides: moka's own clock only makes room.
    until: Instant,
}

/// How much is kept. Entries that have just come or gone may not be counted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Entries.
    pub entries: u64,
    /// Bytes of memory that they take, about.
    pub bytes: u64,
    /// Entries that had to make room, or found none, since the gateway began.
    pub evicted: u64,
}

impl Store {
    /// A store of at most `max_bytes`; an entry of more than `max_entry` bytes is not kept.
    pub fn new(max_bytes: u64, max_entry: usize) -> Self {
        Self::build(max_bytes, max_entry, Arc::default())
    }

    /// The store with other bounds: the same one if they are no others, else a new one with as much of the old one's
    /// entries as it has room for.
    #[must_use]
    pub fn resized(&self, max_bytes: u64, max_entry: usize) -> Self {
        if max_bytes == self.max_bytes {
            return Self { max_entry, ..self.clone() };
        }
        let store = Self::build(max_bytes, max_entry, Arc::clone(&self.evicted));
        let now = Instant::now();
        for (fingerprint, kept) in &self.kept {
            store.put(*fingerprint, kept.entry, kept.until.saturating_duration_since(now));
        }
        store
    }

    fn build(max_bytes: u64, max_entry: usize, evicted: Arc<AtomicU64>) -> Self {
        let counter = Arc::clone(&evicted);
        let kept = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, kept: &Kept| u32::try_from(kept.entry.size()).unwrap_or(u32::MAX))
            .expire_after(Keep)
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            })
            .build();
        Self { kept, evicted, max_bytes, max_entry }
    }

    /// The entry of a call, if it is kept. It may be stale: see [`Entry::age`].
    pub fn get(&self, fingerprint: &Fingerprint) -> Option<Arc<Entry>> {
        let kept = self.kept.get(fingerprint)?;
        (Instant::now() < kept.until).then_some(kept.entry)
    }

    /// Keeps an entry for so long from now (its time to live, and the time for which it may be given when the providers
    /// fail), instead of the one that there was. Whether it is kept: not when it is too large or its time is nothing.
    pub fn put(&self, fingerprint: Fingerprint, entry: Arc<Entry>, keep: Duration) -> bool {
        let until = Instant::now().checked_add(keep);
        let Some(until) = until.filter(|_| entry.size() <= self.max_entry && !keep.is_zero()) else {
            return false;
        };
        self.kept.insert(fingerprint, Kept { entry, keep, until });
        true
    }

    /// The size in bytes above which an entry is not kept.
    pub fn max_entry(&self) -> usize {
        self.max_entry
    }

    /// How much is kept.
    pub fn counts(&self) -> Counts {
        self.kept.run_pending_tasks();
        Counts {
            entries: self.kept.entry_count(),
            bytes: self.kept.weighted_size(),
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("max_bytes", &self.max_bytes)
            .field("max_entry", &self.max_entry)
            .finish_non_exhaustive()
    }
}

/// Tells moka for how long each entry is kept.
struct Keep;

#[expect(clippy::disallowed_types, reason = "moka's own clock; it only makes room")]
impl Expiry<Fingerprint, Kept> for Keep {
    fn expire_after_create(&self, _: &Fingerprint, kept: &Kept, _: std::time::Instant) -> Option<Duration> {
        Some(kept.keep)
    }

    fn expire_after_update(
        &self,
        _: &Fingerprint,
        kept: &Kept,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.keep)
    }
}
