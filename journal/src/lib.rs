//! What must outlive the process: the state of budgets, in SQLite.
//!
//! Not on the data path: a caller marks a budget dirty and calls [`Journal::wake`]; one thread collects the dirty rows and
//! writes them in one transaction, a few milliseconds later at most.
//!
//! What a `kill -9` costs. A row holds what is spent and what is reserved by calls in flight. A call reserves when it
//! begins, so a call that lasts longer than a write is in the file before it ends, and stays covered by its reservation
//! until what it really cost is written. At the next start all that was still reserved counts as spent: nobody can tell any
//! more what those calls cost. So a budget loses no more than calls that began within the last few milliseconds, and gains
//! no more than the unused part of the reservations then open. The file itself is never half written: every write is a
//! transaction in a write-ahead log. When the whole machine stops at once, the last half minute may be missing, nothing else.

mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::{path::Path, sync::Arc, thread, time::Duration};

use crate::{store::Store, writer::Shared};

/// How long dropping a journal waits for its last write.
const DROP_WAIT: Duration = Duration::from_secs(5);

/// The state of one budget in one window of time. Money is in trillionths of a dollar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose budget it is.
    pub id: String,
    /// The day (`2026-11-24`) or month (`2026-11`) that it is for. A day or month that ended more than 62 days ago is
    /// deleted; other texts are kept for ever.
    pub window: String,
    /// What was spent.
    pub spent: i128,
    /// What calls in flight have reserved.
    pub reserved: i128,
}

/// A file with the state of budgets, and the thread that writes it. Dropping it writes what is dirty and ends the thread.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
}

impl Journal {
    /// Opens the file, or makes it (mode 0600; its folder must exist), and gives back what it holds. What the process
    /// before this one had reserved has become part of `spent`, and `reserved` is zero.
    ///
    /// `rows` gives the rows that changed since it was last asked, and is asked first after the first [`Journal::wake`],
    /// on the writing thread. It must not block for long. A row that it gave is kept until it is written or until a newer
    /// one takes its place, also through failures.
    ///
    /// While the journal is open nothing else in this process may open the file, not even to read it: closing it would
    /// release the lock that keeps other processes out.
    ///
    /// # Errors
    /// In words, with the file's name and what to do: the file is in use, damaged, made by a newer aigate or by another
    /// program, or cannot be made or written. The file is then as it was.
    pub fn open(
        path: &Path,
        rows: impl Fn() -> Vec<Row> + Send + 'static,
    ) -> Result<(Self, Vec<Row>), String> {
        let (store, stored) = Store::open(path)?;
        let shared = Arc::new(Shared::default());
        let write = writer::writer(store, rows, Arc::clone(&shared));
        thread::Builder::new()
            .name("aigate-journal".to_owned())
            .spawn(write)
            .map_err(|why| format!("the thread that writes {} cannot start: {why}", path.display()))?;
        Ok((Self { shared }, stored))
    }

    /// Says that a row is dirty. Costs next to nothing and never waits for a write; many at once are one.
    pub fn wake(&self) {
        self.shared.wake();
    }

    /// Waits until all that was dirty when it was called is written, for `bound` at most, and says whether it is.
    #[cfg(test)]
    #[must_use]
    fn flush(&self, bound: Duration) -> bool {
        self.shared.flush(bound)
    }

    /// Writes what is dirty once more, whatever comes of it, and ends the thread and the use of the file. Waits for that
    /// for `bound` at most and says whether all is written. Blocks the thread. Later calls of [`Journal::wake`] do nothing.
    #[must_use]
    pub fn flush_and_close(&self, bound: Duration) -> bool {
        self.shared.close(bound)
    }

    /// How many writes have failed since the start. Each was or will be made again.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.shared.failures()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.close(DROP_WAIT);
    }
}
