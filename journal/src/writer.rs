//! The thread that writes, and what it shares with those who wake it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use crate::{Row, store::Store};

/// The rest after a write: what becomes dirty meanwhile is one more, so that the work has a bound however many calls there
/// are. A call that begins and ends within it may be unknown to the file.
const REST: Duration = Duration::from_millis(2);
/// The wait after a failed write; doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Failures are told this often at most.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The work of the writing thread, from the first wake to the close.
pub(crate) fn writer(
    store: Store,
    rows: impl Fn() -> Vec<Row> + Send + 'static,
    shared: Arc<Shared>,
) -> impl FnOnce() + Send + 'static {
    move || {
        let end = End(Arc::clone(&shared));
        Writer { store, rows, shared, unwritten: BTreeMap::new(), wait: REST, told: None }.run();
        drop(end); // after the writer, and with it the file, is gone
    }
}

struct Writer<F> {
    store: Store,
    rows: F,
    shared: Arc<Shared>,
    /// Collected and not yet in the file; more than one collection's rows only after a failure.
    unwritten: BTreeMap<(String, String), Row>,
    /// Before the next write; more than the rest when the last one failed.
    wait: Duration,
    /// When a failure was last told.
    told: Option<SystemTime>,
}

impl<F: Fn() -> Vec<Row>> Writer<F> {
    fn run(mut self) {
        loop {
            let work = self.shared.await_work(!self.unwritten.is_empty());
            self.collect();
            match self.store.write(self.unwritten.values()) {
                Ok(()) => self.succeeded(work.asked),
                Err(why) => self.failed(&why),
            }
            if work.closing {
                return;
            }
            self.shared.rest(self.wait);
        }
    }

    fn collect(&mut self) {
        // Before the rows are read: what becomes dirty from here on wakes the thread again.
        self.shared.dirty.swap(false, Ordering::AcqRel);
        for row in (self.rows)() {
            self.unwritten.insert((row.id.clone(), row.window.clone()), row);
        }
    }

    fn succeeded(&mut self, asked: u64) {
        self.unwritten.clear();
        if self.wait != REST {
            self.wait = REST;
            tracing::info!("the state of budgets can be written again: nothing was lost");
        }
        self.shared.lock().done = asked;
        self.shared.turn.notify_all();
    }

    fn failed(&mut self, why: &rusqlite::Error) {
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        self.wait = (self.wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
        let due = |at: SystemTime| at.elapsed().map_or(true, |since| since >= TELL_EVERY);
        if self.told.is_none_or(due) {
            self.told = Some(SystemTime::now());
            tracing::error!(
                "the state of budgets cannot be written: {why}. Calls go on and budgets hold, and it is tried again; what a \
                 restart now would find is older"
            );
        }
    }
}

/// What the writing thread shares with its callers.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// A row is dirty, and the thread has been woken for it.
    dirty: AtomicBool,
    failures: AtomicU64,
    state: Mutex<State>,
    /// Something in `state`, or `dirty`, has changed.
    turn: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the last flush asked for.
    asked: u64,
    /// The number of the last one whose rows are in the file.
    done: u64,
    closing: bool,
    /// The thread is gone, and the file is closed.
    ended: bool,
}

/// What the thread is to do now.
struct Work {
    asked: u64,
    closing: bool,
}

impl Shared {
    pub(crate) fn wake(&self) {
        if !self.dirty.swap(true, Ordering::AcqRel) {
            // The lock is taken so that the thread either sees the mark or already waits for the notice.
            drop(self.lock());
            self.turn.notify_all();
        }
    }

    #[cfg(test)]
    pub(crate) fn flush(&self, bound: Duration) -> bool {
        let mut state = self.lock();
        state.asked += 1;
        let mine = state.asked;
        self.turn.notify_all();
        let state = self.wait_while(state, bound, |state| state.done < mine && !state.ended);
        state.done >= mine
    }

    pub(crate) fn close(&self, bound: Duration) -> bool {
        let mut state = self.lock();
        if !state.closing {
            state.closing = true;
            state.asked += 1;
        }
        self.turn.notify_all();
        let state = self.wait_while(state, bound, |state| !state.ended);
        state.ended && state.done == state.asked
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Waits until there is something to write. `again`: there still is.
    fn await_work(&self, again: bool) -> Work {
        let idle = |state: &mut State| {
            !again && !self.dirty.load(Ordering::Acquire) && state.done == state.asked && !state.closing
        };
        let state = self.turn.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        Work { asked: state.asked, closing: state.closing }
    }

    /// Waits for so long, or until the close.
    fn rest(&self, wait: Duration) {
        drop(self.wait_while(self.lock(), wait, |state| !state.closing));
    }

    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        bound: Duration,
        condition: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'a, State> {
        self.turn.wait_timeout_while(state, bound, condition).unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells those who wait that the thread has ended, also when it panicked.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!("the state of budgets is no longer written: its thread has panicked");
        }
        self.0.lock().ended = true;
        self.0.turn.notify_all();
    }
}
