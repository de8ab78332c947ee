//! Fetches models from the Hugging Face Hub, or a mirror of it, into the Hub's standard cache folder, and finds them there.
//!
//! The folder is the one that `huggingface_hub` and llama.cpp use: what they fetched is found here, and the other way round.

mod cache;
mod client;
mod environment;
mod error;
mod patience;
mod progress;
mod pull;
mod reference;

pub use cache::{Cache, Entry, Held, Kind, Removed};
pub use client::address;
pub use environment::Options;
pub use error::{PullError, size};
pub use progress::{Progress, Silent};
pub use pull::pull;
pub use reference::Reference;
