//! What has happened, counted.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tracing::warn;

use crate::Observe;

/// What has happened since the start, and what waits now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Times a connection that stood was lost, whichever of the two.
    pub losses: u64,
    /// Answers that did not come within the timeout.
    pub timeouts: u64,
    /// Scripts and items of them that Redis refused to run.
    pub script_errors: u64,
    /// What waits to be settled, now.
    pub settles_waiting: u64,
    /// What was never settled: too much waited.
    pub settles_dropped: u64,
    /// Answers that were not put into the cache.
    pub puts_dropped: u64,
    /// Times what is spent of a budget was not kept: too many budgets.
    pub floors_dropped: u64,
}

pub(crate) struct Counters {
    losses: AtomicU64,
    timeouts: AtomicU64,
    script_errors: AtomicU64,
    settles_dropped: AtomicU64,
    puts_dropped: AtomicU64,
    floors_dropped: AtomicU64,
    unasked: AtomicU64,
    observe: Option<Observe>,
}

impl Counters {
    pub(crate) fn new(observe: Option<Observe>) -> Self {
        let zero = AtomicU64::default;
        Self {
            losses: zero(),
            timeouts: zero(),
            script_errors: zero(),
            settles_dropped: zero(),
            puts_dropped: zero(),
            floors_dropped: zero(),
            unasked: zero(),
            observe,
        }
    }

    pub(crate) fn counts(&self, settles_waiting: usize) -> Counts {
        Counts {
            losses: self.losses.load(Relaxed),
            timeouts: self.timeouts.load(Relaxed),
            script_errors: self.script_errors.load(Relaxed),
            settles_waiting: settles_waiting as u64,
            settles_dropped: self.settles_dropped.load(Relaxed),
            puts_dropped: self.puts_dropped.load(Relaxed),
            floors_dropped: self.floors_dropped.load(Relaxed),
        }
    }

    pub(crate) fn round_trip(&self, what: &'static str, took: Duration) {
        if let Some(observe) = &self.observe {
            observe(what, took);
        }
    }

    pub(crate) fn loss(&self) {
        self.losses.fetch_add(1, Relaxed);
    }

    pub(crate) fn timeout(&self) {
        self.timeouts.fetch_add(1, Relaxed);
    }

    pub(crate) fn script_error(&self, why: &str) {
        say(&self.script_errors, |count| warn!(count, why, "the shared Redis refused to run a script"));
    }

    pub(crate) fn settle_dropped(&self) {
        say(&self.settles_dropped, |count| {
            warn!(count, "too much waits to be settled in the shared Redis: dropped")
        });
    }

    pub(crate) fn unasked(&self, why: &str) {
        say(&self.unasked, |count| {
            warn!(count, why, "the shared Redis cannot be asked this: limits are not shared for such calls");
        });
    }

    pub(crate) fn put_dropped(&self) {
        self.puts_dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn floor_dropped(&self) {
        say(&self.floors_dropped, |count| {
            warn!(count, "there are too many budgets to remember what is spent of them")
        });
    }
}

/// Counts, and logs the 1st, 2nd, 4th, 8th… time.
fn say(counter: &AtomicU64, log: impl Fn(u64)) {
    let count = counter.fetch_add(1, Relaxed) + 1;
    if count.is_power_of_two() {
        log(count);
    }
}
