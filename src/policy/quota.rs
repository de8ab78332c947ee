//! Our share of a deployment's quota. A call over it is refused at once, so that failover moves on; none waits.
//!
//! Stands beneath the breaker, which does not count its refusals. A stream holds its place until it ends.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use aigate_contract::{Call, End, Error, ErrorKind, Facts, Result, Task, Tend};
use aigate_limits::Kind;
use tower::Service;

use super::{Answer, Upstream};
use crate::allowance::{Consumed, Forecast, Hold, Keeper, No, Ration, Want};

/// Keeps calls at one deployment within our share.
#[derive(Clone, Debug)]
pub struct Quota<S> {
    inner: S,
    share: Option<Arc<Share>>,
}

/// Our share of a deployment's quota.
#[derive(Debug)]
pub struct Share {
    /// Its limits.
    pub rations: Vec<Arc<Ration>>,
    /// Who keeps them.
    pub keeper: Arc<Keeper>,
    /// What a call will consume.
    pub forecast: Forecast,
}

impl<S> Quota<S> {
    /// Keeps `inner` within `share`; without one there is no bound.
    pub fn new(inner: S, share: Option<Arc<Share>>) -> Self {
        Self { inner, share }
    }
}

/// What is held until the answer ends.
struct Holding(Option<Hold>);

impl Holding {
    fn settle(&mut self, facts: Option<&Facts>) {
        if let Some(hold) = self.0.take() {
            hold.settle(Consumed {
                usage: facts.and_then(|facts| facts.usage.clone()),
                ..Consumed::default()
            });
        }
    }
}

impl Tend for Holding {
    fn end(mut self, end: End<'_>) {
        match end {
            End::Complete(facts) | End::Abandoned(facts) => self.settle(Some(facts)),
            End::Failed(_) => self.settle(None),
        }
    }
}

impl Drop for Holding {
    /// The caller left, or another deployment was faster: what was sent may well be worked on.
    fn drop(&mut self) {
        self.settle(None);
    }
}

impl<T: Task, S: Upstream<T>> Service<Call<T>> for Quota<S> {
    type Response = T::Response;
    type Error = Error;
    type Future = Answer<T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<T>) -> Answer<T> {
        let Some(share) = &self.share else { return Box::pin(self.inner.call(call)) };
        let (share, mut inner) = (Arc::clone(share), self.inner.clone());
        Box::pin(async move {
            let hold = share.take::<T>(&call).await?;
            let mut holding = Holding(Some(hold));
            match inner.call(call).await {
                Ok(answer) => Ok(T::tend(answer, holding)),
                Err(error) => {
                    if let Some(hold) = holding.0.take() {
                        hold.failed(None);
                    }
                    Err(error)
                }
            }
        })
    }
}

impl Share {
    async fn take<T: Task>(&self, call: &Call<T>) -> Result<Hold> {
        let (demand, expected) = self.forecast.of::<T>(&call.request);
        let cost = self.forecast.cost(&demand, expected);
        let wants = self.rations.iter().map(|ration| Want::new(ration, &demand, expected, cost)).collect();
        let who = call.trail.caller.as_ref().map(|caller| &caller.name);
        self.keeper.reserve(wants, who).await.map_err(refuse)
    }
}

fn refuse(no: No) -> Error {
    let (kind, retry_after) = match &no {
        No::Denied { kind: Kind::Concurrency, retry_after, .. } => (ErrorKind::Overloaded, *retry_after),
        No::Denied { retry_after, .. } => (ErrorKind::OverShare, *retry_after),
        No::Unknown => (ErrorKind::LimitsUnknown, None),
    };
    Error::new(kind, no.to_string()).with_retry_after(retry_after)
}
