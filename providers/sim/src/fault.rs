//! What can go wrong at a cloud, and how often.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// A way to fail, in the vendor's own form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Too many requests. Google: 429 `RESOURCE_EXHAUSTED`, the time in `RetryInfo` and in no header; Bedrock: 429
    /// `ThrottlingException`, without a time; SageMaker: 400 `ThrottlingException`, without a time or a message; Azure ML:
    /// 429 with an empty body, without a time; Azure and OpenAI: 429 with `retry-after` and `retry-after-ms`.
    Throttled {
        /// When to come back, where the vendor says so.
        retry_after: Option<Duration>,
    },
    /// A server error in the vendor's form.
    ServerError {
        /// 500 to 599; other numbers become 500.
        status: u16,
    },
    /// The request is taken and never answered.
    Hang,
    /// Late by this much. A stream's head comes at once and its first event late; a whole answer's head comes late.
    SlowFirstByte(Duration),
    /// The connection closes in the middle: a stream without its last chunk, a whole answer shorter than its length.
    CutMidStream {
        /// Events that still arrive; fewer than the answer has. A whole answer is cut in its middle.
        after_chunks: usize,
    },
    /// A stream ends properly for HTTP, but before its final event (`finishReason`, `messageStop`, `[DONE]`). Whole
    /// answers are not touched.
    EndEarly {
        /// Events that still arrive; at most all before the final one.
        after_chunks: usize,
    },
    /// 200 with half a JSON text, or half of another text and an end that is not of its form. In a stream, the second event is broken: half a JSON text, or a frame with a wrong
    /// checksum.
    Malformed,
    /// Every token issued so far expires for good. Credentials that cannot be renewed (API keys, fixed access keys) are
    /// refused as expired while the fault is set.
    ExpiredToken,
    /// An error inside a 200. Google and the OpenAI protocol: an `error` object as the body or the first event;
    /// Bedrock: a `throttlingException` frame as the first of the stream, or an error document as the body; SageMaker,
    /// Azure ML and `:rawPredict`: `{"error": "…"}` from the container.
    ErrorInside200,
    /// The connection is accepted and closed at once.
    Refused,
}

/// Which requests the fault strikes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Strikes {
    Always,
    /// This many more.
    Times(u64),
    /// With this probability.
    Chance(f64),
}

/// The fault that is set, if any.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// So that requests without a fault need no lock.
    armed: AtomicBool,
    active: Mutex<Option<(Fault, Strikes)>>,
}

impl Faults {
    pub(crate) fn set(&self, fault: Option<(Fault, Strikes)>) {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        self.armed.store(fault.is_some(), Ordering::Release);
        *active = fault;
    }

    /// Draws for one request: `dice` is a number from 0 to 1.
    pub(crate) fn draw(&self, dice: impl FnOnce() -> f64) -> Option<Fault> {
        self.draw_if(|_| true, dice)
    }

    /// Draws for a new connection: only [`Fault::Refused`] strikes there.
    pub(crate) fn draw_refused(&self, dice: impl FnOnce() -> f64) -> bool {
        self.draw_if(|fault| *fault == Fault::Refused, dice).is_some()
    }

    fn draw_if(&self, wanted: impl FnOnce(&Fault) -> bool, dice: impl FnOnce() -> f64) -> Option<Fault> {
        if !self.armed.load(Ordering::Acquire) {
            return None;
        }
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        let (fault, strikes) = active.as_mut().filter(|(fault, _)| wanted(fault))?;
        let struck = match strikes {
            Strikes::Always => true,
            Strikes::Times(0) => false,
            Strikes::Times(left) => {
                *left -= 1;
                true
            }
            Strikes::Chance(chance) => dice() < *chance,
        };
        struck.then(|| fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_fault_strikes_that_many_times() {
        let faults = Faults::default();
        faults.set(Some((Fault::Hang, Strikes::Times(2))));
        let struck: Vec<_> = (0..4).map(|_| faults.draw(|| 0.0).is_some()).collect();
        assert_eq!(struck, [true, true, false, false]);
    }

    #[test]
    fn a_chance_follows_the_dice() {
        let faults = Faults::default();
        faults.set(Some((Fault::Hang, Strikes::Chance(0.5))));
        assert!(faults.draw(|| 0.4).is_some());
        assert!(faults.draw(|| 0.6).is_none());
    }

    #[test]
    fn only_a_refusal_strikes_new_connections() {
        let faults = Faults::default();
        faults.set(Some((Fault::Hang, Strikes::Always)));
        assert!(!faults.draw_refused(|| 0.0));
        faults.set(Some((Fault::Refused, Strikes::Always)));
        assert!(faults.draw_refused(|| 0.0));
        faults.set(None);
        assert!(!faults.draw_refused(|| 0.0));
    }
}
