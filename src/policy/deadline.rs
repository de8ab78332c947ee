//! The whole call's time. Sets the moment; every wait beneath it (attempts, backoff, streams) is bounded by it.
//!
//! Stands above failover.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use aigate_contract::{Call, Error, Result, Task};
use tower::Service;

use super::{Answer, Upstream};

/// Sets a call's deadline.
#[derive(Clone, Debug)]
pub struct Deadline<S> {
    inner: S,
    limit: Duration,
}

impl<S> Deadline<S> {
    /// Gives calls to `inner` at most `limit`, counted from their arrival.
    pub fn new(inner: S, limit: Duration) -> Self {
        Self { inner, limit }
    }
}

impl<T: Task, S: Upstream<T>> Service<Call<T>> for Deadline<S> {
    type Response = T::Response;
    type Error = Error;
    type Future = Answer<T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut call: Call<T>) -> Answer<T> {
        call.deadline = call.trail.started + self.limit;
        Box::pin(self.inner.call(call))
    }
}
