//! What a provider can do: one optional, typed endpoint per task.

use std::{
    fmt,
    future::Future,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tower::Service;

use crate::{
    Call, Chat, ChatStream, Embed, Error, Predict, Result, Target, Task,
    predict::{BodyForm, Signature},
    settings::Fault,
};

/// Implemented by a provider once for each task it can do. The only trait that most provider authors meet.
pub trait Serve<T: Task>: Send + Sync + 'static {
    /// Makes one attempt. Dropping the future gives the attempt up, upstream too.
    ///
    /// # Errors
    /// Every failure, with the kind that decides what happens next: see [`crate::ErrorKind`].
    fn serve(&self, call: Call<T>) -> impl Future<Output = Result<T::Response>> + Send;
}

/// One cloud account, one OpenAI-compatible server, or this machine.
pub trait Provider: fmt::Debug + Send + Sync + 'static {
    /// The tasks it serves.
    fn offers(self: Arc<Self>) -> Offers;

    /// What `aigate check --explain` tells of it.
    fn describe(&self) -> Description;

    /// `gen_ai.provider.name` for one task, where a cloud has several services.
    fn system(&self, _task: &str) -> &'static str {
        self.describe().system
    }

    /// Whether it is this machine: its models know their own signature and version ([`Provider::known`]).
    fn is_local(&self) -> bool {
        false
    }

    /// Checks, when the config is loaded, that `target` can name a deployment for the task called `task`.
    ///
    /// # Errors
    /// A message for the operator: what is wrong with the name and what would be right.
    fn check_target(&self, task: &str, target: &str) -> Result<(), String>;

    /// The body that its predict deployments usually take, where there is such a thing.
    fn usual_body(&self) -> Option<BodyForm> {
        None
    }

    /// Checks, when the config is loaded, that a predict deployment can be asked in its declared form
    /// ([`Target::form`]).
    ///
    /// # Errors
    /// Every fault, at its key of the deployment's table `wire`.
    fn check_form(&self, _target: &Target) -> Result<(), Vec<Fault>> {
        Ok(())
    }

    /// What `aigate check --explain` tells of one deployment beyond what all have: names and words, in order.
    fn explain(&self, _task: &str, _target: &str) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Asks whether a deployment can be reached, by a call that costs nothing. `None` where its provider has no such call.
    /// An error says what any call would have met.
    fn probe(self: Arc<Self>, _task: &str, _target: &str) -> Option<BoxFuture<'static, Result<()>>> {
        None
    }

    /// The gateway begins to serve: what is to be ready from the start is made ready, in the background.
    fn prepare(&self, _task: &str, _target: &str) {}

    /// What a predict model on this machine knows of itself; a cloud's deployments are declared in the config.
    fn known(&self, _target: &str) -> Option<Known> {
        None
    }
}

/// A provider in words. Holds no secret.
#[derive(Clone, Debug)]
pub struct Description {
    /// The `kind` in the config: `aws`, `azure`, `google`, `local`, `openai`.
    pub kind: &'static str,
    /// Where the provider works, as it calls it: `eu-central-1`, `europe-west4`, `global`. `None` where it has no regions, or
    /// where its address does not tell.
    pub region: Option<String>,
    /// `gen_ai.provider.name` of the GenAI semantic conventions, e.g. `aws.bedrock`.
    pub system: &'static str,
    /// Where calls go.
    pub endpoint: String,
    /// How the gateway proves who it is, e.g. `api key`, `entra id (client secret)`.
    pub credentials: String,
}

/// What a predict model knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it takes and gives.
    pub signature: Signature,
    /// Its version.
    pub version: String,
    /// What runs it, in the Open Inference Protocol's sense, e.g. `aigate_tabular`.
    pub platform: &'static str,
}

/// Which tasks a provider serves.
#[derive(Clone, Debug, Default)]
pub struct Offers {
    /// Whole chat completions.
    pub chat: Option<Endpoint<Chat>>,
    /// Streamed chat completions.
    pub chat_stream: Option<Endpoint<ChatStream>>,
    /// Embeddings.
    pub embed: Option<Endpoint<Embed>>,
    /// Predictions.
    pub predict: Option<Endpoint<Predict>>,
}

/// A provider's service for one task, with its type erased.
pub struct Endpoint<T: Task>(Arc<dyn ServeDyn<T>>);

impl<T: Task> Endpoint<T> {
    /// Offers `provider` for the task. A provider cannot offer what it does not implement.
    pub fn new(provider: Arc<impl Serve<T>>) -> Self {
        Self(provider)
    }
}

/// The erased twin of [`Serve`].
trait ServeDyn<T: Task>: Send + Sync {
    fn serve_dyn(self: Arc<Self>, call: Call<T>) -> BoxFuture<'static, Result<T::Response>>;
}

impl<T: Task, S: Serve<T>> ServeDyn<T> for S {
    fn serve_dyn(self: Arc<Self>, call: Call<T>) -> BoxFuture<'static, Result<T::Response>> {
        Box::pin(async move { self.serve(call).await })
    }
}

impl<T: Task> Service<Call<T>> for Endpoint<T> {
    type Response = T::Response;
    type Error = Error;
    type Future = BoxFuture<'static, Result<T::Response>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<T>) -> Self::Future {
        Arc::clone(&self.0).serve_dyn(call)
    }
}

impl<T: Task> Clone for Endpoint<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Task> fmt::Debug for Endpoint<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&T::NAME).finish()
    }
}
