//! Asks a second deployment when the first is slower than usual, and takes the answer that comes first.
//!
//! Off unless configured, and only for tasks that are short and may be asked twice. A hedge costs money, so that
//! [`HedgeBudget`] bounds their share of the calls.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aigate_contract::{Call, Embed, Predict, Result, Task};
use futures_util::future::{Either, select};
use tokio::time::{Instant, timeout_at};

use super::Candidate;
use crate::config::{HedgeAfter, HedgePlan};

/// Whether a task is short enough, and asks for nothing but an answer, so that it may be asked twice.
pub fn hedges<T: Task>() -> bool {
    T::NAME == Embed::NAME || T::NAME == Predict::NAME
}

/// When a model's calls are hedged and how many of them.
#[derive(Clone, Debug)]
pub struct Hedge {
    plan: HedgePlan,
    budget: Arc<HedgeBudget>,
}

impl Hedge {
    /// Hedges as planned, within `budget`, which is shared by all calls of the model and outlives a configuration.
    pub fn new(plan: HedgePlan, budget: Arc<HedgeBudget>) -> Self {
        Self { plan, budget }
    }

    /// A call of the model begins.
    pub(super) fn counted(&self) {
        self.budget.deposit(self.plan.max_extra);
    }

    /// How long `first` may take before `second` is asked as well; `None` when it is not to be.
    pub(super) fn patience<T: Task>(
        &self,
        first: &Candidate<T>,
        second: Option<&&Candidate<T>>,
        deadline: Instant,
    ) -> Option<Duration> {
        if second?.target.fallback {
            return None;
        }
        let patience = match self.plan.after {
            HedgeAfter::Fixed(wait) => wait,
            HedgeAfter::Percentile(share) => first.load.percentile(share)?,
        };
        (patience < deadline.saturating_duration_since(Instant::now())).then_some(patience)
    }

    /// Asks `first` and, once `patience` and the budget say so, the next in `line` too. The one that is not waited for is
    /// given up, upstream as well.
    pub(super) async fn race<'a, T: Task>(
        &self,
        first: &Candidate<T>,
        line: &mut impl Iterator<Item = &'a Candidate<T>>,
        patience: Duration,
        call: &Call<T>,
    ) -> Result<T::Response> {
        let begun = Instant::now();
        let mut one = pin!(first.ask(call));
        if let Ok(outcome) = timeout_at(begun + patience, &mut one).await {
            return outcome;
        }
        if !self.budget.withdraw() {
            return one.await;
        }
        let Some(second) = line.next() else { return one.await };
        tracing::debug!(first = %first.target.deployment, hedge = %second.target.deployment, "hedging");
        let other = pin!(async { second.ask(call).await.inspect(|_| self.budget.count_won()) });
        match select(one, other).await {
            Either::Left((outcome, other)) if goes_on(&outcome) => other.await,
            Either::Right((outcome, one)) if goes_on(&outcome) => one.await,
            Either::Left((outcome, _)) => outcome,
            Either::Right((outcome, _)) => {
                first.load.outrun(begun.elapsed());
                outcome
            }
        }
    }
}

/// Whether the other one may still do better.
fn goes_on<R>(outcome: &Result<R>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind().fails_over())
}

/// What the hedges of one model may cost: each call pays its share in, a hedge takes one out, and no more than one is ever
/// in it. So `hedges ≤ share × calls` holds at every moment, and a slow spell after a quiet day begins with one hedge.
#[derive(Debug, Default)]
pub struct HedgeBudget {
    /// In millionths of a hedge.
    saved: AtomicU64,
    hedges: AtomicU64,
    won: AtomicU64,
}

/// A hedge, in millionths of one.
const ONE: u64 = 1_000_000;

impl HedgeBudget {
    /// How many calls were hedged.
    pub fn hedges(&self) -> u64 {
        self.hedges.load(Ordering::Relaxed)
    }

    /// How many hedges gave the answer.
    pub fn won(&self) -> u64 {
        self.won.load(Ordering::Relaxed)
    }

    /// `share` from 0 to 1; rounded down.
    pub(super) fn deposit(&self, share: f64) {
        let share = (share.clamp(0.0, 1.0) * ONE as f64) as u64;
        // The closure never refuses.
        let _ = self
            .saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| Some((saved + share).min(ONE)));
    }

    pub(super) fn withdraw(&self) -> bool {
        let take = |saved: u64| saved.checked_sub(ONE);
        let taken = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        self.hedges.fetch_add(u64::from(taken), Ordering::Relaxed);
        taken
    }

    fn count_won(&self) {
        self.won.fetch_add(1, Ordering::Relaxed);
    }
}
