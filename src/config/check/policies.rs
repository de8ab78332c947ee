//! Policies that every model has: its own, or the defaults.

use std::time::Duration;

use aigate_contract::settings::{Fault, Interval};

use super::Faults;
use crate::config::{
    document::{Breaker, Policies, Retry, Timeouts},
    load::join,
    plan::{BreakerPlan, RetryPlan, TimeoutPlan},
};

impl Policies {
    pub(super) fn timeouts(&self, own: &Timeouts, at: &At<'_>, faults: &mut Faults) -> Option<TimeoutPlan> {
        let base = &self.timeouts;
        let deadline = at.interval("deadline", own.deadline, base.deadline, faults);
        let attempt = at.interval("attempt", own.attempt, base.attempt, faults);
        let first_chunk = at.interval("first_chunk", own.first_chunk, base.first_chunk, faults);
        let idle = at.interval("idle", own.idle, base.idle, faults);
        Some(TimeoutPlan { deadline: deadline?, attempt: attempt?, first_chunk: first_chunk?, idle: idle? })
    }

    pub(super) fn retry(&self, own: &Retry, at: &At<'_>, faults: &mut Faults) -> Option<RetryPlan> {
        let (first, max) = (
            at.interval("base", own.base, self.retry.base, faults),
            at.interval("max", own.max, self.retry.max, faults),
        );
        let share = |budget: &f32| (0.0..=1.0).contains(budget);
        let max_retries = at.within(
            "max_retries",
            own.max_retries,
            self.retry.max_retries,
            |count| *count <= 10,
            "between 0 and 10",
            faults,
        );
        let budget = at.within("budget", own.budget, self.retry.budget, share, "between 0 and 1", faults);
        Some(RetryPlan { max_retries: max_retries?, base: first?, max: max?, budget: budget? })
    }

    pub(super) fn breaker(&self, own: &Breaker, at: &At<'_>, faults: &mut Faults) -> Option<BreakerPlan> {
        let base = &self.breaker;
        let open = at.interval("open", own.open, base.open, faults);
        let max_open = at.interval("max_open", own.max_open, base.max_open, faults);
        let some = |count: &u32| *count > 0;
        let failures = at.within("failures", own.failures, base.failures, some, "at least 1", faults);
        let share = |ratio: &f32| *ratio > 0.0 && *ratio <= 1.0;
        let failure_ratio = at.within(
            "failure_ratio",
            own.failure_ratio,
            base.failure_ratio,
            share,
            "above 0 and at most 1",
            faults,
        );
        Some(BreakerPlan {
            failures: failures?,
            failure_ratio: failure_ratio?,
            open: open?,
            max_open: max_open?,
        })
    }
}

/// Where a policy's settings stand: with a model, or among the defaults.
pub(super) struct At<'a> {
    pub(super) model: &'a str,
    pub(super) table: &'static str,
}

impl At<'_> {
    /// The value that counts, if it is right. A wrong one is told where it stands; a default once, not for each model.
    fn within<V: Copy>(
        &self,
        key: &str,
        own: Option<V>,
        base: Option<V>,
        right: impl Fn(&V) -> bool,
        wanted: &str,
        faults: &mut Faults,
    ) -> Option<V> {
        let value = own.or(base);
        if let Some(value) = value.filter(right) {
            return Some(value);
        }
        let path = match own {
            Some(_) => vec!["models", self.model, self.table, key],
            None => vec!["defaults", self.table, key],
        };
        let message = if value.is_some() { format!("must be {wanted}") } else { "is not set".to_owned() };
        let path: Vec<String> = path.into_iter().map(str::to_owned).collect();
        let fault = Fault::at(join(&path), message);
        if !faults.0.contains(&fault) {
            faults.0.push(fault);
        }
        None
    }

    fn interval(
        &self,
        key: &str,
        own: Option<Interval>,
        base: Option<Interval>,
        faults: &mut Faults,
    ) -> Option<Duration> {
        let some = |interval: &Interval| !interval.0.is_zero();
        self.within(key, own, base, some, "longer than zero", faults).map(|interval| interval.0)
    }
}
