//! Our share of a deployment's quota. A call over it is refused at once, so that failover moves on; none waits.
//!
//! Stands beneath the breaker, which does not count its refusals. A stream holds its place until it ends.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use aigate_contract::{Call, Cost, End, Error, ErrorKind, Expected, Facts, Money, Result, Task, Tend};
use aigate_limits::Kind;
use tower::Service;

use super::{Answer, Upstream};
use crate::allowance::{Consumed, Forecast, Hold, Keeper, No, Ration, Want, consumed};

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
struct Holding {
    share: Arc<Share>,
    hold: Option<Hold>,
    expected: Expected,
}

impl Holding {
    fn settle(&mut self, facts: Option<&Facts>) {
        let Some(hold) = self.hold.take() else { return };
        let told = facts.and_then(|facts| facts.usage.as_ref());
        hold.settle(Consumed {
            money: told.and_then(|usage| self.share.forecast.bill(usage)),
            usage: facts.map(|facts| consumed(facts, self.expected)),
            ..Consumed::default()
        });
    }

    /// What the provider refused, or failed to begin, is a request to it all the same. What it may have worked on is held to have
    /// been worked on.
    fn failed(&mut self, error: &Error) {
        let asked = !error.kind().is_own_refusal() && error.kind() != ErrorKind::Unsupported;
        match error.kind().cost() {
            Cost::Absent(_) => self.settle(None),
            _ => self.hold.take().into_iter().for_each(|hold| hold.failed(asked.then_some(Money::ZERO))),
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
            let mut holding = share.take::<T>(&call).await?;
            match inner.call(call).await {
                Ok(answer) => Ok(T::tend(answer, holding)),
                Err(error) => {
                    holding.failed(&error);
                    Err(error)
                }
            }
        })
    }
}

impl Share {
    async fn take<T: Task>(self: Arc<Self>, call: &Call<T>) -> Result<Holding> {
        let reckoned = self.forecast.of(call, &self.rations);
        let wants = self.rations.iter().map(|ration| Want::new(ration, &reckoned)).collect();
        let who = call.trail.caller.as_ref().map(|caller| &caller.name);
        let hold = self.keeper.reserve(wants, who).await.map_err(refuse)?;
        Ok(Holding { share: self, hold: Some(hold), expected: reckoned.expected })
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
