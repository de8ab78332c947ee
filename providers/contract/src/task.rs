//! A kind of work, as a type: the request, the answer, and how policies stay with an answer until it has ended.

mod chat;
mod embed;
mod predict;

use std::{fmt::Debug, time::Duration};

use tokio::time::Instant;

pub use self::{
    chat::{Chat, ChatStream},
    embed::Embed,
    predict::Predict,
};
use crate::{Demand, Endpoint, Error, Facts, Offers};

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Chat {}
    impl Sealed for super::ChatStream {}
    impl Sealed for super::Embed {}
    impl Sealed for super::Predict {}
}

/// One kind of work the gateway can ask of a provider.
pub trait Task: sealed::Sealed + Copy + Debug + Send + Sync + 'static {
    /// Name in config, metrics, errors and URLs.
    const NAME: &'static str;
    /// The operation's name in the GenAI semantic conventions.
    const OPERATION: &'static str;
    /// Whether the answer is a stream.
    const STREAMED: bool = false;
    /// What is asked.
    type Request: Debug + Send + Sync + 'static;
    /// What is answered: a whole answer, or a stream whose first chunk is in hand.
    type Response: Send + 'static;

    /// Picks this task's slot; this is also what seals the list of tasks.
    fn offer(offers: &Offers) -> Option<&Endpoint<Self>>;

    /// What a request will consume, as far as it tells by itself; `visit` sees each text that will be counted in tokens.
    fn demand(request: &Self::Request, visit: &mut dyn FnMut(&str)) -> Demand;

    /// The class of service that a request asks for, where it is another than the usual one: it has another price.
    fn class(_request: &Self::Request) -> Option<String> {
        None
    }

    /// Lets `tender` see the answer through to its end: at once for a whole answer, with the last chunk for a stream.
    fn tend(response: Self::Response, tender: impl Tend) -> Self::Response;

    /// Bounds the silence between two chunks and the end of the whole answer. A whole answer is already here and passes.
    fn bound(response: Self::Response, idle: Duration, deadline: Instant) -> Self::Response;
}

/// Something that stays with an answer until it ends: a permit, a stop watch, a breaker's verdict.
pub trait Tend: Send + Unpin + 'static {
    /// The answer has ended. Called once.
    fn end(self, end: End<'_>);
}

/// How an answer ended.
#[derive(Debug)]
pub enum End<'a> {
    /// All of it arrived.
    Complete(&'a Facts),
    /// A stream broke after its first chunk.
    Failed(&'a Error),
    /// The caller left before the stream's end. What was seen until then.
    Abandoned(&'a Facts),
}
