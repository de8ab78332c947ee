//! Sees calls and attempts through to their end and says what became of them: metrics, one log line a call, spans.
//!
//! [`ObserveCall`] stands above everything; [`ObserveAttempt`] beneath retry, so that each try is seen by itself, and
//! above the breaker, so that a refusal by an open circuit is seen too.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use aigate_contract::{
    AttemptRecord, CacheStatus, Call, Cost, End, Error, ErrorKind, Facts, Money, Result, Target, Task, Tend,
    Trail, Usage,
};
use aigate_prices::Price;
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};
use tokio::time::Instant;
use tower::Service;
use tracing::{Instrument, Span, field::Empty};

use super::{Answer, Upstream};
use crate::{
    metrics::{CacheLabels, CallLabels, DeploymentMetrics, Metrics, ModelLabels, Word},
    telemetry,
};

/// Watches calls of one model.
#[derive(Clone, Debug)]
pub struct ObserveCall<S> {
    inner: S,
    scope: Arc<Scope>,
}

#[derive(Debug)]
struct Scope {
    model: Arc<str>,
    task: &'static str,
    metrics: Arc<Metrics>,
    duration: Histogram,
    /// The counter of the usual case: no key, all well.
    answered: Counter,
    log: bool,
}

impl<S> ObserveCall<S> {
    /// Watches `inner` on behalf of `model`; `log` says whether each call gets its line.
    pub fn new(inner: S, model: &Arc<str>, task: &'static str, metrics: &Arc<Metrics>, log: bool) -> Self {
        let labels = ModelLabels { model: Word(Arc::clone(model)), task };
        let duration = metrics.call_duration.get_or_create(&labels).clone();
        let usual = CallLabels { model: Word(Arc::clone(model)), task, key: Word("".into()), outcome: OK };
        let answered = metrics.calls.get_or_create(&usual).clone();
        let scope =
            Scope { model: Arc::clone(model), task, metrics: Arc::clone(metrics), duration, answered, log };
        Self { inner, scope: Arc::new(scope) }
    }
}

/// The outcome of a call that was answered whole.
const OK: &str = "ok";

/// A call on its way. Dropped without an end, the caller has left.
struct Record {
    scope: Arc<Scope>,
    trail: Arc<Trail>,
    streamed: bool,
    first_chunk: Option<Duration>,
    /// The call's span, which ends when the record does.
    span: Span,
    ended: bool,
}

impl Record {
    fn close(&mut self, outcome: &'static str, facts: Option<&Facts>, error: Option<&Error>) {
        self.ended = true;
        if let Some(error) = error {
            fail(&self.span, error);
        }
        let scope = &self.scope;
        let elapsed = self.trail.started.elapsed();
        scope.metrics.in_flight.dec();
        scope.duration.observe(elapsed.as_secs_f64());
        if let Some(note) = self.trail.cache_note() {
            let labels = CacheLabels { model: Word(Arc::clone(&scope.model)), status: note.status.as_str() };
            scope.metrics.cache.get_or_create(&labels).inc();
        }
        match &self.trail.caller {
            None if outcome == OK => scope.answered.inc(),
            caller => {
                let key =
                    caller.as_ref().map_or_else(|| Word(Arc::default()), |caller| scope.metrics.key(caller));
                if let Some(caller) = caller {
                    scope.metrics.called_by(caller);
                }
                let labels =
                    CallLabels { model: Word(Arc::clone(&scope.model)), task: scope.task, key, outcome };
                scope.metrics.calls.get_or_create(&labels).inc()
            }
        };
        if scope.log && tracing::enabled!(target: "aigate::call", tracing::Level::INFO) {
            self.write(outcome, elapsed, facts, error);
        }
    }

    fn write(&self, outcome: &'static str, elapsed: Duration, facts: Option<&Facts>, error: Option<&Error>) {
        let attempts = self.trail.attempts();
        let told = self.trail.told();
        let asked = told.as_ref().and_then(|told| told.served_by.clone()).or_else(|| self.trail.asked());
        let note = self.trail.cache_note();
        // What is kept consumes nothing.
        let free = note.as_ref().is_some_and(|note| note.status.is_free());
        let usage = facts.and_then(|facts| facts.usage.as_ref()).filter(|_| !free);
        let (cost, is_all) = self.trail.cost();
        let degraded = match &note {
            Some(note) if note.status == CacheStatus::Stale => Some("stale"),
            _ => asked.as_ref().filter(|target| target.fallback).map(|_| "local"),
        };
        let warnings = self.trail.warnings();
        let labels = self.trail.caller.as_ref().filter(|caller| !caller.labels.is_empty()).map(|caller| {
            caller.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
        });
        let finish = facts
            .map(|facts| facts.finish.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(","));
        let dropped = self.trail.dropped();
        let failures: Vec<String> = attempts
            .iter()
            .filter_map(|attempt| Some((&attempt.target.deployment, attempt.failure.as_ref()?)))
            .map(|(deployment, failure)| {
                format!("{deployment}: {} ({})", failure.kind.as_str(), failure.message)
            })
            .collect();
        let millis = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        tracing::info!(
            target: "aigate::call",
            request_id = %self.trail.request_id,
            key = self.trail.caller.as_ref().map(|caller| &*caller.name),
            labels,
            model = %self.scope.model,
            task = self.scope.task,
            stream = self.streamed,
            outcome,
            provider = asked.as_ref().map(|target| &*target.provider),
            deployment = asked.as_ref().map(|target| &*target.deployment),
            attempts = attempts.len(),
            duration_ms = millis(elapsed),
            first_chunk_ms = self.first_chunk.map(millis),
            input_tokens = usage.and_then(|usage| usage.input()),
            cached_tokens = usage.and_then(|usage| usage.cached_read),
            output_tokens = usage.and_then(|usage| usage.output),
            reasoning_tokens = usage.and_then(|usage| usage.reasoning),
            rows = usage.and_then(|usage| usage.rows),
            version = asked.as_ref().and_then(|target| target.version.as_deref()),
            degraded,
            cache = note.as_ref().map(|note| note.status.as_str()),
            // Unknown is not zero: what is known of it, or nothing.
            cost_usd = (is_all || cost > Money::ZERO).then(|| cost.to_string()),
            cost_is_part = (!is_all).then_some(true),
            why_no_cost = (!is_all).then(|| why_no_cost(&attempts)),
            warnings = (!warnings.is_empty()).then(|| warnings.join("; ")),
            finish = finish.filter(|finish| !finish.is_empty()),
            dropped = (!dropped.is_empty()).then(|| dropped.join(",")),
            error = error.map(Error::message),
            // In full: the caller reads less.
            failures = (!failures.is_empty()).then(|| failures.join("; ")),
            "call"
        );
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.ended {
            self.close("abandoned", None, None);
        }
    }
}

impl Tend for Record {
    fn end(mut self, end: End<'_>) {
        match end {
            End::Complete(facts) => self.close(OK, Some(facts), None),
            End::Abandoned(facts) => self.close("abandoned", Some(facts), None),
            End::Failed(error) => self.close(error.kind().as_str(), None, Some(error)),
        }
    }
}

impl<T: Task, S: Upstream<T>> Service<Call<T>> for ObserveCall<S> {
    type Response = T::Response;
    type Error = Error;
    type Future = Answer<T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<T>) -> Answer<T> {
        self.scope.metrics.in_flight.inc();
        let span = Span::current();
        span.record("gen_ai.request.model", &*self.scope.model);
        let mut record = Record {
            scope: Arc::clone(&self.scope),
            trail: Arc::clone(&call.trail),
            streamed: T::STREAMED,
            first_chunk: None,
            span,
            ended: false,
        };
        let answer = self.inner.call(call);
        Box::pin(async move {
            match answer.await {
                Ok(answer) => {
                    record.first_chunk = T::STREAMED.then(|| record.trail.started.elapsed());
                    Ok(T::tend(answer, record))
                }
                Err(error) => {
                    record.close(error.kind().as_str(), None, Some(&error));
                    Err(error)
                }
            }
        })
    }
}

/// Watches attempts at one deployment.
#[derive(Clone, Debug)]
pub struct ObserveAttempt<S> {
    inner: S,
    deployment: Arc<Deployment>,
}

/// What is counted of a deployment, and what it charges.
#[derive(Debug)]
struct Deployment {
    metrics: DeploymentMetrics,
    system: &'static str,
    /// Or why nobody knows.
    price: std::result::Result<Arc<Price>, Arc<str>>,
}

impl<S> ObserveAttempt<S> {
    /// Watches `inner`, a deployment of the provider that the conventions call `system`; `price` is what it charges, or why
    /// nobody knows.
    pub fn new(
        inner: S,
        metrics: DeploymentMetrics,
        system: &'static str,
        price: std::result::Result<Arc<Price>, Arc<str>>,
    ) -> Self {
        Self { inner, deployment: Arc::new(Deployment { metrics, system, price }) }
    }
}

/// Why the cost of an attempt is not known, or not from the provider.
fn why_no_cost(attempts: &[AttemptRecord]) -> String {
    let why = |attempt: &AttemptRecord| match &attempt.cost {
        Some(Cost::Absent(why)) => Some(format!("{}: {why}", attempt.target.deployment)),
        Some(Cost::Estimated(_)) => Some(format!("{}: estimated", attempt.target.deployment)),
        Some(Cost::Reported(_)) => None,
        None => Some(format!("{}: not told yet", attempt.target.deployment)),
    };
    attempts.iter().filter_map(why).collect::<Vec<_>>().join("; ")
}

impl Deployment {
    /// What a call cost that was left: by what was expected of it, and of its output by what arrived, if something did.
    fn estimate(&self, trail: &Trail, arrived: Option<u64>) -> Option<Cost> {
        let (expected, price) = trail.expected().zip(self.price.as_ref().ok())?;
        let output = Some(arrived.unwrap_or(expected.output));
        let usage = Usage { fresh_input: Some(expected.input), output, ..Usage::default() };
        price.cost(&usage).ok().map(Cost::Estimated)
    }

    /// Counts what an attempt cost, and writes it down.
    fn charge(&self, trail: &Trail, place: usize, cost: Cost) {
        self.metrics.cost(&cost, trail.caller.as_deref());
        trail.charge(place, cost);
    }
}

/// Counts what an answer consumed, once it is known, and ends the attempt's span with it.
struct Meter {
    deployment: Arc<Deployment>,
    span: Span,
    trail: Arc<Trail>,
    /// The attempt's place in the trail.
    place: usize,
    /// The class of service that was asked for, if it is not the usual one.
    class: Option<String>,
}

impl Meter {
    /// What the answer cost; what is not known of a stream that broke off is reckoned from what had come.
    fn cost(&self, usage: Option<&Usage>, facts: Option<&Facts>) -> Cost {
        if let Some(class) = &self.class {
            let why = format!("the request asked for the service tier `{class}`, which has another price");
            return Cost::Absent(why);
        }
        let price = match &self.deployment.price {
            Ok(price) => price,
            Err(why) => return Cost::Absent(why.to_string()),
        };
        let told = match usage {
            Some(usage) => match price.cost(usage) {
                Ok(money) => return Cost::Reported(money),
                Err(why) => why,
            },
            None => "the provider did not tell its usage".to_owned(),
        };
        let arrived = facts.filter(|facts| facts.streamed.chunks > 0).map(|facts| facts.streamed.tokens());
        let estimate = arrived.and_then(|output| self.deployment.estimate(&self.trail, Some(output)));
        estimate.unwrap_or(Cost::Absent(told))
    }
}

impl Tend for Meter {
    fn end(self, end: End<'_>) {
        let (usage, facts) = match end {
            End::Complete(facts) | End::Abandoned(facts) => (facts.usage.as_ref(), Some(facts)),
            End::Failed(error) => {
                fail(&self.span, error);
                (None, None)
            }
        };
        self.deployment.metrics.consumed(usage);
        let cost = self.cost(usage, facts);
        self.deployment.charge(&self.trail, self.place, cost);
        if self.span.is_disabled() {
            return;
        }
        if let Some(usage) = usage {
            self.span.record("gen_ai.usage.input_tokens", usage.input());
            self.span.record("gen_ai.usage.output_tokens", usage.output);
        }
    }
}

/// An attempt under way. Dropped before its end, nobody waits for it any more: the caller left, or another was first.
struct UnderWay {
    deployment: Arc<Deployment>,
    target: Arc<Target>,
    trail: Arc<Trail>,
    begun: Instant,
    ended: bool,
}

impl UnderWay {
    /// There is an outcome; the attempt's place in the trail.
    fn end(&mut self, error: Option<&Error>) -> usize {
        self.ended = true;
        self.trail.record(&self.target, self.begun.elapsed(), error)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let error = Error::new(ErrorKind::Abandoned, "nobody waited for the answer any more");
        let place = self.end(Some(&error));
        self.deployment.metrics.failed(self.begun.elapsed(), ErrorKind::Abandoned);
        if let Some(cost) = self.deployment.estimate(&self.trail, None) {
            self.deployment.charge(&self.trail, place, cost);
        }
    }
}

fn fail(span: &Span, error: &Error) {
    span.record("error.type", error.kind().as_str()).record("otel.status_code", "ERROR");
}

impl<T: Task, S: Upstream<T>> Service<Call<T>> for ObserveAttempt<S> {
    type Response = T::Response;
    type Error = Error;
    type Future = Answer<T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<T>) -> Answer<T> {
        let begun = Instant::now();
        let deployment = Arc::clone(&self.deployment);
        let (target, trail) = (Arc::clone(&call.target), Arc::clone(&call.trail));
        let span = tracing::info_span!(
            target: "aigate::trace",
            "attempt",
            otel.name = %format_args!("{} {}", T::OPERATION, target.model),
            otel.kind = "client",
            otel.status_code = Empty,
            gen_ai.operation.name = T::OPERATION,
            gen_ai.provider.name = deployment.system,
            gen_ai.request.model = %target.model,
            aigate.deployment = %target.deployment,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            error.type = Empty,
        );
        if let Some(traceparent) = telemetry::traceparent_of(&span) {
            trail.trace(traceparent);
        }
        trail.ask(&target);
        let class = T::class(&call.request);
        let attempt = self.inner.call(call).instrument(span.clone());
        let mut under_way = UnderWay { deployment, target, trail, begun, ended: false };
        Box::pin(async move {
            let outcome = attempt.await;
            let place = under_way.end(outcome.as_ref().err());
            let (deployment, elapsed) = (Arc::clone(&under_way.deployment), under_way.begun.elapsed());
            match outcome {
                Ok(answer) => {
                    deployment.metrics.answered(elapsed, T::STREAMED);
                    let trail = Arc::clone(&under_way.trail);
                    Ok(T::tend(answer, Meter { deployment, span, trail, place, class }))
                }
                Err(error) => {
                    deployment.metrics.failed(elapsed, error.kind());
                    fail(&span, &error);
                    Err(error.with_target(&under_way.target))
                }
            }
        })
    }
}
