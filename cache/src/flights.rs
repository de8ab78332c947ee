//! Equal calls under way at the same time, for whole answers: one is made, all get its answer.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use aigate_contract::{Error, ErrorKind, Result};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};

use crate::{
    Fingerprint,
    slots::{Role, Slots},
};

type Work<R> = BoxFuture<'static, Result<R, Arc<Error>>>;

/// Calls for whole answers that are under way.
pub struct Flights<R: Clone> {
    /// `None` for a work that had ended before it began, which none has.
    slots: Slots<Option<WeakShared<Work<R>>>>,
}

/// Waits for a call's answer. The call is made for as long as somebody waits; when all have left it is given up.
pub struct Waiter<R: Clone>(Shared<Work<R>>);

impl<R: Clone + Send + Sync + 'static> Flights<R> {
    /// At most `most` calls can be joined at a time; more are made, each by itself.
    pub fn new(most: usize) -> Self {
        Self { slots: Slots::new(most) }
    }

    /// Joins an equal call, or makes one. `make` is run when the waiter is first polled, and not at all when there is an
    /// equal call. What keeps the answer belongs into its future: from the moment that it ends, the next equal call is
    /// a new one.
    ///
    /// Waiting fails for all as the call fails, each with an error of its own, equal in all that can be asked of it; a panic of the call is an
    /// [`ErrorKind::Internal`].
    pub fn join<F>(&self, fingerprint: Fingerprint, make: F) -> (Role, Waiter<R>)
    where
        F: FnOnce() -> BoxFuture<'static, Result<R>> + Send + 'static,
    {
        let (role, work) = self.slots.join(
            fingerprint,
            |slot| slot.as_ref()?.upgrade(),
            |claim| {
                let work = async move {
                    let _until_the_end = claim;
                    let call = AssertUnwindSafe(async move { make().await });
                    call.catch_unwind().await.unwrap_or_else(|_| Err(broken())).map_err(Arc::new)
                };
                let work = work.boxed().shared();
                (work.downgrade(), work)
            },
        );
        (role, Waiter(work))
    }
}

impl<R: Clone> Future for Waiter<R> {
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.0.poll_unpin(cx)).map_err(|error| again(&error)))
    }
}

impl<R: Clone> fmt::Debug for Flights<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").field("under_way", &self.slots.len()).finish()
    }
}

impl<R: Clone> fmt::Debug for Waiter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiter")
    }
}

/// The error of a call that panicked.
pub(crate) fn broken() -> Error {
    Error::new(ErrorKind::Internal, "the call broke off: a defect of the gateway")
}

/// The same error once more: equal in all that can be asked of it, with the same cause.
pub(crate) fn again(error: &Arc<Error>) -> Error {
    let mut copy = Error::new(error.kind(), error.message().to_owned())
        .with_retry_after(error.retry_after())
        .with_attempts(error.attempts().to_vec());
    if let Some(param) = error.param() {
        copy = copy.with_param(param);
    }
    if let Some(code) = error.code() {
        copy = copy.with_code(code);
    }
    if let Some(status) = error.status() {
        copy = copy.with_status(status);
    }
    if let Some(target) = error.target() {
        copy = copy.with_target(target);
    }
    if std::error::Error::source(error).is_some() {
        copy = copy.with_source(Cause(Arc::clone(error)));
    }
    copy
}

/// The cause of a shared error, which cannot be copied.
#[derive(Debug)]
struct Cause(Arc<Error>);

impl Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.0)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source() {
            Some(source) => fmt::Display::fmt(source, f),
            None => fmt::Display::fmt(&self.0, f),
        }
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source()?.source()
    }
}
