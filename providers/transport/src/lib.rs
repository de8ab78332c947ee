//! What the provider crates need to talk to a cloud: one HTTP client, incremental parsers, cached tokens, safe fetching
//! of pictures.

mod client;
mod connect;
mod failure;
mod fetch;
mod sse;
mod tensors;
mod token;

pub use client::{BodyStream, Client, Request, Response, Settings};
pub use connect::is_loopback;
pub use failure::{excerpt, kind_of_status, retry_after};
pub use fetch::{Fetched, Fetcher, Inline, parse_data_uri};
pub use sse::{Event, SseParser, SseStream, events};
pub use tensors::json_length;
pub use token::{Token, TokenCache};
