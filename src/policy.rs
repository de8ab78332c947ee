//! Something that decides about a call. Each policy is one [`tower::Service`] in one file; [`crate::stack`] puts them
//! together. No policy waits in `poll_ready`: it refuses in `call`, so that failover can move on at once.

pub mod breaker;
pub mod concurrency;
pub mod deadline;
pub mod failover;
pub mod observe;
pub mod retry;
pub mod timeout;

use std::future::Future;

use aigate_contract::{Call, Error, Result, Task};
use futures_util::future::BoxFuture;
use tower::{Service, util::BoxCloneSyncService};

/// A service that answers calls of a task, with its type erased.
pub type Route<T> = BoxCloneSyncService<Call<T>, <T as Task>::Response, Error>;

/// What a policy's future is.
pub type Answer<T> = BoxFuture<'static, Result<<T as Task>::Response>>;

/// A service beneath a policy: the bounds that every policy needs, in one name.
pub trait Upstream<T: Task>:
    Service<Call<T>, Response = T::Response, Error = Error, Future: Future + Send> + Clone + Send + Sync + 'static
{
}

impl<T: Task, S> Upstream<T> for S where
    S: Service<Call<T>, Response = T::Response, Error = Error, Future: Future + Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

#[cfg(test)]
pub(crate) mod testing;
