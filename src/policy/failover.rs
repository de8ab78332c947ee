//! Walks the deployments of a model until one answers, or one refuses in a way that any other would.
//!
//! Stands at the top of the stack, beneath the deadline. Streams fail over as well: a deployment's answer is a stream whose
//! first chunk is in hand, and nothing is replayed after that.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use aigate_contract::{AttemptRecord, Call, Error, ErrorKind, Failure, Result, Target, Task};
use rand::Rng;
use tokio::time::Instant;
use tower::Service;

use super::{Answer, Route};
use crate::config::document::Strategy;

/// A deployment that may answer, with its attempt policies.
#[derive(Debug)]
pub struct Candidate<T: Task> {
    /// Its names.
    pub target: Arc<Target>,
    /// Its share under [`Strategy::Weighted`].
    pub weight: u32,
    /// The attempt's policies and the provider.
    pub route: Route<T>,
}

/// Tries one deployment after the other.
#[derive(Debug)]
pub struct Failover<T: Task> {
    model: Arc<str>,
    strategy: Strategy,
    candidates: Arc<[Candidate<T>]>,
}

impl<T: Task> Failover<T> {
    /// Tries `candidates` of `model` in the strategy's order.
    pub fn new(model: Arc<str>, strategy: Strategy, candidates: Vec<Candidate<T>>) -> Self {
        Self { model, strategy, candidates: candidates.into() }
    }

    /// When every deployment is left alone, none was asked: then each is, once, whatever its circuit says. Otherwise an
    /// outage would last as long as the circuits, and not as long as the clouds.
    async fn walk(self, call: Call<T>) -> Result<T::Response> {
        match self.round(call.clone()).await {
            Err(error) if error.kind() == ErrorKind::Exhausted && none_was_asked(error.attempts()) => {
                call.trail.become_urgent();
                self.round(call).await
            }
            outcome => outcome,
        }
    }

    async fn round(&self, mut call: Call<T>) -> Result<T::Response> {
        for index in order(self.strategy, &self.candidates) {
            let Some(candidate) = self.candidates.get(index) else { continue };
            if candidate.target.fallback && call.trail.refuses_degraded {
                continue;
            }
            if Instant::now() >= call.deadline {
                break;
            }
            call.target = Arc::clone(&candidate.target);
            call.trail.forget_dropped();
            match candidate.route.clone().call(call.clone()).await {
                Err(error) if error.kind().fails_over() => {
                    tracing::debug!(deployment = %candidate.target.deployment, %error, "failing over");
                }
                Err(error) => return Err(error.with_target(&candidate.target)),
                answer => return answer,
            }
        }
        Err(exhausted(&self.model, call.trail.attempts(), Instant::now() >= call.deadline))
    }
}

fn none_was_asked(attempts: &[AttemptRecord]) -> bool {
    let left_alone = |failure: &Failure| failure.kind == ErrorKind::CircuitOpen;
    !attempts.is_empty() && attempts.iter().all(|attempt| attempt.failure.as_ref().is_some_and(left_alone))
}

/// In which order the candidates are tried.
fn order<T: Task>(strategy: Strategy, candidates: &[Candidate<T>]) -> Vec<usize> {
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    if strategy == Strategy::Order {
        return left;
    }
    let weight = |index: &usize| candidates.get(*index).map_or(0, |candidate| candidate.weight);
    let mut order = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let total: u64 = left.iter().map(|index| u64::from(weight(index))).sum();
        // Those with weight zero come last, as they stand.
        let mut drawn = if total == 0 { 0 } else { rand::rng().random_range(0..total) };
        let place = left.iter().position(|index| match drawn.checked_sub(u64::from(weight(index))) {
            Some(rest) if total > 0 => {
                drawn = rest;
                false
            }
            _ => true,
        });
        order.push(left.remove(place.unwrap_or(0)));
    }
    order
}

/// Everything failed: which were tried, why each failed, when to come back.
fn exhausted(model: &str, attempts: Vec<AttemptRecord>, late: bool) -> Error {
    let failures = || attempts.iter().filter_map(|attempt| attempt.failure.as_ref());
    // When none of them can do what the caller asks, it is the caller's to change.
    let beyond = |failure: &Failure| matches!(failure.kind, ErrorKind::Unsupported | ErrorKind::TooLarge);
    if failures().all(beyond)
        && let Some(first) = failures().next()
    {
        let mut error = Error::new(first.kind, first.message.clone());
        if let Some(param) = &first.param {
            error = error.with_param(param.clone());
        }
        return error.with_attempts(attempts);
    }
    let list: Vec<String> = attempts
        .iter()
        .filter_map(|attempt| Some((attempt, attempt.failure.as_ref()?)))
        .map(|(attempt, failure)| {
            format!("{}: {} ({})", attempt.target.deployment, failure.kind.as_str(), failure.public())
        })
        .collect();
    let why = if late { "the call's deadline passed" } else { "no deployment answered" };
    let tried =
        if list.is_empty() { "none was tried".to_owned() } else { format!("tried {}", list.join("; ")) };
    let message = format!("model `{model}`: {why}; {tried}");
    let soonest = soonest(&attempts);
    Error::new(ErrorKind::Exhausted, message).with_retry_after(soonest).with_attempts(attempts)
}

/// When the first of the deployments may answer again; each counts by what it said last.
fn soonest(attempts: &[AttemptRecord]) -> Option<Duration> {
    let is_last = |place: usize, target: &Arc<Target>| {
        !attempts.iter().skip(place + 1).any(|later| later.target.deployment == target.deployment)
    };
    let last = attempts.iter().enumerate().filter(|(place, attempt)| is_last(*place, &attempt.target));
    last.filter_map(|(_, attempt)| attempt.failure.as_ref()?.retry_after).min()
}

impl<T: Task> Service<Call<T>> for Failover<T> {
    type Response = T::Response;
    type Error = Error;
    type Future = Answer<T>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<T>) -> Answer<T> {
        Box::pin(self.clone().walk(call))
    }
}

impl<T: Task> Clone for Failover<T> {
    fn clone(&self) -> Self {
        Self {
            model: Arc::clone(&self.model),
            strategy: self.strategy,
            candidates: Arc::clone(&self.candidates),
        }
    }
}

#[cfg(test)]
mod tests {
    use aigate_contract::Chat;

    use super::*;
    use crate::policy::testing::{Script, call, recorded, target};

    fn candidate(name: &str, weight: u32, script: Script<Chat>) -> Candidate<Chat> {
        let target = target(name);
        Candidate { target, weight, route: Route::new(recorded(script)) }
    }

    fn failing(kind: ErrorKind) -> Script<Chat> {
        Script::<Chat>::fails(move || Error::new(kind, "x").with_param("n"))
    }

    fn failover(candidates: Vec<Candidate<Chat>>) -> Failover<Chat> {
        Failover::new("m".into(), Strategy::Order, candidates)
    }

    #[tokio::test]
    async fn the_next_deployment_answers_when_one_fails() {
        let (first, second) = (failing(ErrorKind::Throttled), Script::<Chat>::ok());
        let mut service = failover(vec![candidate("a", 1, first.clone()), candidate("b", 1, second.clone())]);
        assert!(service.call(call::<Chat>()).await.is_ok());
        assert_eq!((first.calls(), second.calls()), (1, 1));
    }

    #[tokio::test]
    async fn the_caller_s_fault_and_a_filter_s_refusal_end_the_walk() {
        for kind in [ErrorKind::Invalid, ErrorKind::Filtered] {
            let second = Script::<Chat>::ok();
            let mut service =
                failover(vec![candidate("a", 1, failing(kind)), candidate("b", 1, second.clone())]);
            assert_eq!(service.call(call::<Chat>()).await.unwrap_err().kind(), kind);
            assert_eq!(second.calls(), 0);
        }
    }

    #[tokio::test]
    async fn when_all_fail_the_error_says_who_why_and_when_to_come_back() {
        let later = |seconds| {
            Script::<Chat>::fails(move || {
                Error::new(ErrorKind::Throttled, "busy").with_retry_after(Duration::from_secs(seconds))
            })
        };
        let mut service = failover(vec![candidate("a", 1, later(9)), candidate("b", 1, later(4))]);
        let error = service.call(call::<Chat>()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(4)));
        assert_eq!(
            error.message(),
            "model `m`: no deployment answered; tried a/x: throttled (the provider asks for patience); \
             b/x: throttled (the provider asks for patience)"
        );
    }

    #[tokio::test]
    async fn a_field_that_no_deployment_can_honour_is_the_caller_s_to_change() {
        let failing = || failing(ErrorKind::Unsupported);
        let mut service = failover(vec![candidate("a", 1, failing()), candidate("b", 1, failing())]);
        let error = service.call(call::<Chat>()).await.unwrap_err();
        assert_eq!((error.kind(), error.param()), (ErrorKind::Unsupported, Some("n")));
    }

    #[test]
    fn weights_are_shares_and_zero_comes_last() {
        let candidates: Vec<_> =
            [("a", 3), ("b", 1), ("c", 0)].map(|(name, weight)| candidate(name, weight, Script::ok())).into();
        let mut first = [0; 3];
        for _ in 0..4000 {
            let order = order(Strategy::Weighted, &candidates);
            assert_eq!((order.len(), order[2]), (3, 2));
            first[order[0]] += 1;
        }
        assert!((2800..3200).contains(&first[0]), "{first:?}");
    }
}
