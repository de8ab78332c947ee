//! What every provider and every policy of aigate agrees on.
//!
//! A **task** is a kind of work ([`Chat`], [`ChatStream`], [`Embed`], [`Predict`]). A **provider** is one account at a cloud; it
//! implements [`Serve<T>`] for each task it can do and lists them in its [`Offers`]. A **call** travels down the
//! policies to one provider and comes back as the task's answer or as an [`Error`] whose kind says whether to retry,
//! whether another deployment may do better, and who is to blame.
//!
//! Nothing here knows a cloud or an HTTP client.

mod body;
mod call;
mod caller;
pub mod chat;
mod cost;
mod demand;
pub mod embed;
mod error;
mod facts;
mod money;
mod offers;
pub mod predict;
pub mod settings;
mod task;
mod trail;
mod usage;

pub use body::{Body, BodyError, Spans};
pub use call::{Call, OnUnsupported, Target};
pub use caller::Caller;
pub use cost::Cost;
pub use demand::Demand;
pub use error::{BoxError, Error, ErrorKind, Result};
pub use facts::{Facts, FinishReason, Streamed};
pub use money::Money;
pub use offers::{Description, Endpoint, Known, Offers, Provider, Serve};
pub use task::{Chat, ChatStream, Embed, End, Predict, Task, Tend};
pub use trail::{
    AttemptRecord, CacheNote, CacheStatus, CacheWishes, Expected, Failure, Narrowing, Standing, Told, Trail,
};
pub use usage::{CompletionDetails, OpenAiUsage, PromptDetails, Usage};
