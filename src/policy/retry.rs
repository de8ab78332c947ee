//! Tries the same deployment again when it may do better in a moment.
//!
//! Stands above the breaker (which may open between two tries and then ends them) and beneath failover. Waits with
//! jittered exponential backoff, never past the call's deadline, never shorter than the provider asks. When the provider asks
//! for longer than `patience`, the next deployment is the better choice. A budget keeps retries from adding to an overload.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use aigate_contract::{Call, Error, Result, Task};
use rand::Rng;
use tokio::time::{Instant, sleep};
use tower::{
    Service,
    retry::budget::{Budget, TpsBudget},
};

use super::{Answer, Upstream};
use crate::config::RetryPlan;

/// Tries again.
#[derive(Clone, Debug)]
pub struct Retry<S> {
    inner: S,
    plan: RetryPlan,
    patience: Duration,
    budget: Arc<TpsBudget>,
}

impl<S> Retry<S> {
    /// Retries `inner` as planned, within `budget`, which is shared by all who call the same deployment. A provider that wants
    /// to be left alone for longer than `patience` is not waited for.
    pub fn new(inner: S, plan: RetryPlan, patience: Duration, budget: Arc<TpsBudget>) -> Self {
        Self { inner, plan, patience, budget }
    }
}

/// A budget for one deployment: ten retries a second, and the planned share of its calls.
pub fn budget(plan: &RetryPlan) -> TpsBudget {
    TpsBudget::new(Duration::from_secs(10), 10, plan.budget)
}

impl<T: Task, S: Upstream<T>> Service<Call<T>> for Retry<S> {
    type Response = T::Response;
    type Error = Error;
    type Future = Answer<T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<T>) -> Answer<T> {
        let (plan, patience, budget) = (self.plan, self.patience, Arc::clone(&self.budget));
        let mut inner = self.inner.clone();
        let first = self.inner.call(call.clone());
        Box::pin(async move {
            budget.deposit();
            let mut outcome = first.await;
            for retry in 0..plan.max_retries {
                let Err(error) = &outcome else { break };
                let Some(wait) = wait(&plan, patience, retry, error, call.deadline) else { break };
                if !budget.withdraw() {
                    tracing::debug!(deployment = %call.target.deployment, "retry budget is spent");
                    break;
                }
                sleep(wait).await;
                call.trail.forget_dropped(&call.target);
                outcome = inner.call(call.clone()).await;
            }
            outcome
        })
    }
}

/// How long to wait before the next try; `None` when there is no point in one.
fn wait(
    plan: &RetryPlan,
    patience: Duration,
    retry: u32,
    error: &Error,
    deadline: Instant,
) -> Option<Duration> {
    if !error.kind().is_retryable() {
        return None;
    }
    let ceiling = plan.base.saturating_mul(1 << retry.min(16)).min(plan.max);
    let jittered = ceiling.mul_f64(rand::rng().random_range(0.5..=1.0));
    let wait = match error.retry_after() {
        Some(asked) if asked > patience => return None,
        Some(asked) => asked.max(jittered),
        None => jittered,
    };
    (Instant::now() + wait < deadline).then_some(wait)
}

#[cfg(test)]
mod tests {
    use aigate_contract::{Chat, ErrorKind};

    use super::*;
    use crate::policy::testing::{Script, call, plan};

    fn retry(upstream: &Script<Chat>, max_retries: u32) -> Retry<Script<Chat>> {
        let plan = RetryPlan { max_retries, ..plan().retry };
        Retry::new(upstream.clone(), plan, plan.max, Arc::new(budget(&plan)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_passing_failure_is_retried_with_growing_waits_and_a_lasting_one_is_reported() {
        let upstream = Script::<Chat>::fails(|| Error::new(ErrorKind::Unavailable, "x"));
        let begun = Instant::now();
        let error = retry(&upstream, 3).call(call::<Chat>()).await.unwrap_err();
        assert_eq!((error.kind(), upstream.calls()), (ErrorKind::Unavailable, 4));
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_millis(350) && waited <= Duration::from_millis(710), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_would_fail_again_is_not_retried() {
        for kind in [ErrorKind::Invalid, ErrorKind::CircuitOpen, ErrorKind::Denied, ErrorKind::Filtered] {
            let upstream = Script::<Chat>::fails(move || Error::new(kind, "x"));
            let _ = retry(&upstream, 3).call(call::<Chat>()).await.unwrap_err();
            assert_eq!(upstream.calls(), 1, "{kind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_obeyed_or_the_deployment_is_left() {
        let throttled = |wait| {
            move || Error::new(ErrorKind::Throttled, "x").with_retry_after(Duration::from_millis(wait))
        };
        let upstream = Script::<Chat>::fails(throttled(1500));
        let begun = Instant::now();
        let _ = retry(&upstream, 1).call(call::<Chat>()).await.unwrap_err();
        assert_eq!((upstream.calls(), begun.elapsed().as_millis() >= 1500), (2, true));

        let upstream = Script::<Chat>::fails(throttled(60_000));
        let _ = retry(&upstream, 1).call(call::<Chat>()).await.unwrap_err();
        assert_eq!(upstream.calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn no_wait_goes_past_the_deadline() {
        let upstream = Script::<Chat>::fails(|| Error::new(ErrorKind::Unavailable, "x"));
        let mut call = call::<Chat>();
        call.deadline = Instant::now() + Duration::from_millis(40);
        let _ = retry(&upstream, 5).call(call).await.unwrap_err();
        assert_eq!(upstream.calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_spent_budget_ends_the_retries() {
        let upstream = Script::<Chat>::fails(|| Error::new(ErrorKind::Unavailable, "x"));
        let plan = RetryPlan { max_retries: 1, budget: 0.0, base: Duration::from_nanos(1), ..plan().retry };
        let mut service = Retry::new(upstream.clone(), plan, plan.max, Arc::new(budget(&plan)));
        for _ in 0..1000 {
            let _ = service.call(call::<Chat>()).await.unwrap_err();
        }
        assert!((1000..=1110).contains(&upstream.calls()), "{}", upstream.calls());
    }
}
