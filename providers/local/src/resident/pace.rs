//! How long pieces of work take: for telling callers when to come back.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// What is said while nothing was measured, and the least that is ever said: `Retry-After` has whole seconds.
const LEAST: Duration = Duration::from_secs(1);
/// The most that is said: beyond it, nobody knows.
const MOST: Duration = Duration::from_secs(300);

/// A moving average of the time that work takes.
#[derive(Debug)]
pub(super) struct Pace(Mutex<Known>);

#[derive(Clone, Copy, Debug)]
struct Known {
    average: Option<Duration>,
    last: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self(Mutex::new(Known { average: None, last: Instant::now() }))
    }
}

impl Pace {
    /// Some work took so long.
    pub(super) fn took(&self, time: Duration) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.average = Some(known.average.map_or(time, |average| (average * 3 + time) / 4));
        known.last = Instant::now();
    }

    /// When work last ended.
    pub(super) fn last(&self) -> Instant {
        self.known().last
    }

    /// How long until `rounds` pieces of work are done, one after the other.
    pub(super) fn until_free(&self, rounds: usize) -> Duration {
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
        self.known().average.map_or(LEAST, |average| average.saturating_mul(rounds).clamp(LEAST, MOST))
    }

    fn known(&self) -> Known {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
