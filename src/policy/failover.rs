//! Walks the deployments of a model until one answers, or one refuses in a way that any other would.
//!
//! Stands at the top of the stack, beneath the deadline. Streams fail over as well: a deployment's answer is a stream whose
//! first chunk is in hand, and nothing is replayed after that.

mod hedge;
mod order;

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use aigate_contract::{
    AttemptRecord, Call, Error, ErrorKind, Failure, Money, Narrowing, Result, Target, Task,
};
use tokio::time::Instant;
use tower::Service;

pub use self::hedge::{Hedge, HedgeBudget, hedges};
use self::order::line_up;
use super::{Answer, Route, load::Load};
use crate::config::document::Strategy;

/// A deployment that may answer, with its attempt policies.
#[derive(Debug)]
pub struct Candidate<T: Task> {
    /// Its names.
    pub target: Arc<Target>,
    /// Whether it is a model on this machine.
    pub local: bool,
    /// Its share under [`Strategy::Weighted`].
    pub weight: u32,
    /// What a call will cost there; `None` where no price is known.
    pub expected: Option<Arc<dyn Expect<T>>>,
    /// How fast it answers this task: learned from every call, whatever the strategy.
    pub load: Arc<Load>,
    /// The attempt's policies and the provider.
    pub route: Route<T>,
}

/// Reckons what a call will cost at one deployment.
pub trait Expect<T: Task>: fmt::Debug + Send + Sync {
    /// The expected cost; `None` when it cannot be told.
    fn cost(&self, call: &Call<T>) -> Option<Money>;
}

/// Tries one deployment after the other.
#[derive(Debug)]
pub struct Failover<T: Task> {
    model: Arc<str>,
    strategy: Strategy,
    candidates: Arc<[Candidate<T>]>,
    hedge: Option<Hedge>,
}

impl<T: Task> Failover<T> {
    /// Tries `candidates` of `model` in the strategy's order. `hedge` is for tasks that [may be hedged](hedges) only.
    pub fn new(
        model: Arc<str>,
        strategy: Strategy,
        candidates: Vec<Candidate<T>>,
        hedge: Option<Hedge>,
    ) -> Self {
        let hedge = hedge.filter(|_| hedges::<T>());
        Self { model, strategy, candidates: candidates.into(), hedge }
    }

    /// When every deployment is left alone, none was asked: then each is, once, whatever its circuit says. Otherwise an
    /// outage would last as long as the circuits, and not as long as the clouds.
    async fn walk(self, call: Call<T>) -> Result<T::Response> {
        if let Some(hedge) = &self.hedge {
            hedge.counted();
        }
        match self.round(&call).await {
            Err(error) if error.kind() == ErrorKind::Exhausted && none_was_asked(error.attempts()) => {
                call.trail.become_urgent();
                self.round(&call).await
            }
            outcome => outcome,
        }
    }

    async fn round(&self, call: &Call<T>) -> Result<T::Response> {
        let narrowing = call.trail.narrowing();
        let mut line = line_up(self.strategy, &self.candidates, call).into_iter().peekable();
        if line.peek().is_none() && narrowing != Narrowing::None {
            return Err(self.nobody_is_left(narrowing));
        }
        // What hedges cost extra is not for a caller whose budget is spent, nor for clouds in an outage.
        let mut hedge =
            self.hedge.as_ref().filter(|_| narrowing == Narrowing::None && !call.trail.is_urgent());
        while let Some(candidate) = line.next() {
            if Instant::now() >= call.deadline {
                break;
            }
            call.trail.forget_dropped(&call.target);
            // Only the first choice is hedged: after a failure the next one is asked anyway.
            let hedge = hedge
                .take()
                .and_then(|hedge| Some((hedge, hedge.patience(candidate, line.peek(), call.deadline)?)));
            let outcome = match hedge {
                Some((hedge, patience)) => hedge.race(candidate, &mut line, patience, call).await,
                None => candidate.ask(call).await,
            };
            match outcome {
                Err(error) if error.kind().fails_over() => {}
                outcome => return outcome,
            }
        }
        Err(exhausted(&self.model, call.trail.attempts(), Instant::now() >= call.deadline))
    }

    /// The caller's budget is spent, and the model has no deployment for such a call.
    fn nobody_is_left(&self, narrowing: Narrowing) -> Error {
        let why = match narrowing {
            Narrowing::Cheapest => {
                "only the cheapest deployment may answer, and no deployment's cost is known"
            }
            _ if self.candidates.iter().any(|candidate| candidate.local) => {
                "only a deployment on this machine may answer, and the caller refuses degraded answers"
            }
            _ => "only a deployment on this machine may answer, and there is none",
        };
        let message = format!("model `{}`: the budget is spent: {why}", self.model);
        Error::new(ErrorKind::OverBudget, message)
    }
}

impl<T: Task> Candidate<T> {
    /// Asks the deployment, and learns from it how fast it is.
    async fn ask(&self, call: &Call<T>) -> Result<T::Response> {
        let call = Call { target: Arc::clone(&self.target), ..call.clone() };
        let asked = self.load.ask();
        match self.route.clone().call(call).await {
            Ok(answer) => Ok(T::tend(answer, asked.answered())),
            Err(error) => {
                asked.failed(&error);
                if error.kind().fails_over() {
                    tracing::debug!(deployment = %self.target.deployment, %error, "failing over");
                }
                Err(error.with_target(&self.target))
            }
        }
    }
}

fn none_was_asked(attempts: &[AttemptRecord]) -> bool {
    let left_alone = |failure: &Failure| failure.kind == ErrorKind::CircuitOpen;
    !attempts.is_empty() && attempts.iter().all(|attempt| attempt.failure.as_ref().is_some_and(left_alone))
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
            hedge: self.hedge.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
