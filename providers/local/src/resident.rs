//! Models that live in memory and are asked by many: a bounded queue before a few workers, each a thread of its own, so that
//! no computation ever runs where calls are served.
//!
//! A model is loaded when it is first asked for (or at the start) and unloaded when it was idle for a while or when another
//! needs its room. All of it stays within one bound of memory, which is known before anything is loaded.

mod crew;
mod memory;
mod pace;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc, time::Duration};

use aigate_contract::{Error, ErrorKind};
use tokio::time::Instant;

use self::crew::Crew;
pub(crate) use self::memory::Memory;

/// A worker of a model: what one thread needs to answer, beside the model that it shares with others.
pub(crate) trait Worker: Sized + Send + 'static {
    /// What is loaded once and shared.
    type Model: Send + Sync + 'static;

    /// Reads the model into memory.
    ///
    /// # Errors
    /// Says what is wrong with its files.
    fn load(residence: &Residence) -> Result<Self::Model, String>;

    /// A new worker.
    fn new(model: &Arc<Self::Model>, residence: &Residence) -> Self;
}

/// A piece of work: gets a worker, or why there is none.
pub(crate) type Work<W> = Box<dyn FnOnce(Result<&mut W, Error>) + Send>;

/// Where a model lives and how much it may take.
#[derive(Clone, Debug)]
pub(crate) struct Residence {
    /// Its name for callers and operators: the target.
    pub(crate) target: String,
    /// Its file or folder.
    pub(crate) path: PathBuf,
    /// Bytes of memory that it takes when loaded, with all its workers.
    pub(crate) bytes: u64,
    /// Answers computed at once.
    pub(crate) workers: usize,
    /// Calls that may wait for a worker.
    pub(crate) queue: usize,
    /// Threads of each worker.
    pub(crate) threads: usize,
    /// Tokens of a conversation.
    pub(crate) context: usize,
    /// How long it stays when nobody asks.
    pub(crate) unload_after: Option<Duration>,
}

/// A model that may be asked, loaded or not. When it is dropped, its workers end what waits and go.
pub(crate) struct Resident<W: Worker> {
    crew: Crew<W>,
}

impl<W: Worker> Resident<W> {
    /// A model that is not loaded yet.
    pub(crate) fn new(residence: Residence, memory: &Arc<Memory>) -> Arc<Self> {
        let resident = Arc::new(Self { crew: Crew::new(residence, memory) });
        memory.register(&resident);
        resident
    }

    /// Queues work. Never waits.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`] when the queue is full, with the time after which there should be a place.
    pub(crate) fn submit(&self, work: Work<W>) -> Result<(), Error> {
        self.crew.submit(work).map_err(|crew::Full { free_in }| {
            let Residence { workers, queue, target, .. } = self.residence();
            let message =
                format!("`{target}` on this machine answers {workers} at once, and {queue} wait already");
            Error::new(ErrorKind::Overloaded, message).with_retry_after(free_in)
        })
    }

    /// Loads the model, if it is not loaded, without being asked for an answer. A failure stands in the log.
    pub(crate) fn warm(&self) {
        // A full queue means that others have it loaded.
        let _ = self.submit(Box::new(|_: Result<&mut W, Error>| ()));
    }

    /// Where it lives.
    pub(crate) fn residence(&self) -> &Residence {
        self.crew.residence()
    }
}

impl<W: Worker> memory::Tenant for Resident<W> {
    fn leave_if_idle(&self) -> bool {
        self.crew.leave_if_idle()
    }

    fn last_used(&self) -> Instant {
        self.crew.last_used()
    }
}

impl<W: Worker> std::fmt::Debug for Resident<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resident").field("residence", self.residence()).finish_non_exhaustive()
    }
}
