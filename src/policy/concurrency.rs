//! How many calls may be at one deployment at once. A further one is refused, so that failover moves on; none waits.
//!
//! Stands beneath the breaker, which does not count this refusal. A stream holds its place until it ends.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use aigate_contract::{Call, End, Error, ErrorKind, Result, Task, Tend};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

use super::{Answer, Upstream};

/// Bounds the calls at one deployment.
#[derive(Clone, Debug)]
pub struct Concurrency<S> {
    inner: S,
    places: Option<Arc<Semaphore>>,
}

impl<S> Concurrency<S> {
    /// Bounds `inner` by `places`; without places there is no bound.
    pub fn new(inner: S, places: Option<Arc<Semaphore>>) -> Self {
        Self { inner, places }
    }
}

/// A place, held until the answer ends.
struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Tend for Place {
    fn end(self, _end: End<'_>) {}
}

impl<T: Task, S: Upstream<T>> Service<Call<T>> for Concurrency<S> {
    type Response = T::Response;
    type Error = Error;
    type Future = Answer<T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<T>) -> Answer<T> {
        let Some(places) = &self.places else { return Box::pin(self.inner.call(call)) };
        let Ok(permit) = Arc::clone(places).try_acquire_owned() else {
            let message = "as many calls as `concurrency` allows are at this deployment";
            return Box::pin(std::future::ready(Err(Error::new(ErrorKind::Overloaded, message))));
        };
        let attempt = self.inner.call(call);
        Box::pin(async move { Ok(T::tend(attempt.await?, Place(permit))) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aigate_contract::{Chat, ChatStream};
    use futures_util::StreamExt;

    use super::*;
    use crate::policy::testing::{Script, call, chunk_stream};

    #[tokio::test(start_paused = true)]
    async fn the_call_over_the_bound_is_refused_at_once_and_a_left_call_frees_its_place() {
        let mut service = Concurrency::new(Script::<Chat>::hangs(), Some(Arc::new(Semaphore::new(1))));
        let first = service.call(call::<Chat>());
        assert_eq!(service.call(call::<Chat>()).await.unwrap_err().kind(), ErrorKind::Overloaded);
        drop(first);
        let again = tokio::time::timeout(Duration::from_secs(1), service.call(call::<Chat>())).await;
        assert!(again.is_err(), "it should hang upstream, not be refused");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_holds_its_place_until_it_ends() {
        let places = Arc::new(Semaphore::new(1));
        let stream = chunk_stream([Some(Duration::ZERO)]);
        let mut service = Concurrency::new(Script::<ChatStream>::answers(stream), Some(Arc::clone(&places)));
        let mut stream = service.call(call::<ChatStream>()).await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        assert_eq!(places.available_permits(), 0);
        assert!(stream.next().await.is_none());
        assert_eq!(places.available_permits(), 1);
    }
}
