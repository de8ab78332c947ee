//! One attempt's time: until the whole answer, or until a stream's first chunk; then the stream's silences.
//!
//! Stands directly above the provider, so that each retry has its own time. Dropping the attempt cancels it upstream.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use aigate_contract::{Call, Error, ErrorKind, Result, Task};
use tokio::time::{Instant, timeout_at};
use tower::Service;

use super::{Answer, Upstream};
use crate::config::TimeoutPlan;

/// Bounds the time of one attempt.
#[derive(Clone, Debug)]
pub struct Timeout<S> {
    inner: S,
    plan: TimeoutPlan,
}

impl<S> Timeout<S> {
    /// Bounds `inner` as planned.
    pub fn new(inner: S, plan: TimeoutPlan) -> Self {
        Self { inner, plan }
    }
}

impl<T: Task, S: Upstream<T>> Service<Call<T>> for Timeout<S> {
    type Response = T::Response;
    type Error = Error;
    type Future = Answer<T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<T>) -> Answer<T> {
        let limit = if T::STREAMED { self.plan.first_chunk } else { self.plan.attempt };
        let (idle, deadline) = (self.plan.idle, call.deadline);
        let until = deadline.min(Instant::now() + limit);
        let attempt = self.inner.call(call);
        Box::pin(async move {
            match timeout_at(until, attempt).await {
                Ok(Ok(answer)) => Ok(T::bound(answer, idle, deadline)),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(too_late::<T>(limit, until == deadline)),
            }
        })
    }
}

fn too_late<T: Task>(limit: Duration, deadline: bool) -> Error {
    let what = if T::STREAMED { "first chunk" } else { "answer" };
    if deadline {
        // What was left of the call's time says nothing about the deployment.
        return Error::new(ErrorKind::Deadline, format!("no {what} before the call's deadline"));
    }
    Error::new(ErrorKind::Timeout, format!("no {what} within {}", humantime::format_duration(limit)))
}

#[cfg(test)]
mod tests {
    use aigate_contract::{Chat, ChatStream};
    use futures_util::StreamExt;

    use super::*;
    use crate::policy::testing::{Script, call, chunk_stream, plan};

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_does_not_answer_ends_at_its_limit() {
        let mut service = Timeout::new(Script::<Chat>::hangs(), plan().timeouts);
        let begun = Instant::now();
        let error = service.call(call::<Chat>()).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::Timeout, Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_call_s_deadline_cuts_the_attempt_short() {
        let mut service = Timeout::new(Script::<Chat>::hangs(), plan().timeouts);
        let mut call = call::<Chat>();
        call.deadline = Instant::now() + Duration::from_secs(1);
        let error = service.call(call).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadline, "which blames nobody");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_falls_silent_ends_with_an_error_and_a_slow_one_goes_on() {
        let seconds = |n| Duration::from_secs(n);
        let slow = chunk_stream([Some(seconds(0)), Some(seconds(4)), Some(seconds(4)), None]);
        let mut service = Timeout::new(Script::<ChatStream>::answers(slow), plan().timeouts);
        let items: Vec<_> = service.call(call::<ChatStream>()).await.unwrap().collect().await;
        assert!(items[..3].iter().all(Result::is_ok));
        assert_eq!(items[3].as_ref().unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(items.len(), 4);
    }
}
