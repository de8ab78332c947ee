//! Something that decides about a call. Each policy is one [`tower::Service`] in one file; [`crate::stack`] puts them
//! together. No policy waits in `poll_ready`: it refuses in `call`, so that failover can move on at once.

pub mod breaker;
pub mod cache;
pub mod deadline;
pub mod failover;
pub mod limit;
pub mod load;
pub mod observe;
pub mod quota;
pub mod retry;
pub mod timeout;

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

use aigate_contract::{Call, Error, Result, Target, Task, Trail};
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};
use tracing::Instrument;

use crate::telemetry;

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

/// Sends a request down a route.
///
/// # Errors
/// What the policies and the providers say.
pub async fn send<T: Task>(route: &Route<T>, request: T::Request, trail: Arc<Trail>) -> Result<T::Response> {
    let span = telemetry::call_span(T::OPERATION, &trail);
    let call = Call { request: Arc::new(request), target: nobody(), deadline: Instant::now(), trail };
    let mut route = route.clone();
    let answer = async move { route.ready().await?.call(call).await };
    answer.instrument(span).await
}

/// The target of a call that no candidate has been chosen for yet.
fn nobody() -> Arc<Target> {
    static NOBODY: OnceLock<Arc<Target>> = OnceLock::new();
    Arc::clone(NOBODY.get_or_init(|| Arc::new(Target::new("", ""))))
}

#[cfg(test)]
pub(crate) mod testing;
