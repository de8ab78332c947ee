//! Answers that are asked for again: one call for many equal ones, kept for a while.
//!
//! - A [`Fingerprint`] says which calls are equal: same task, tenant, model and whole request.
//! - [`Flights`] and [`Streams`] make one call of equal calls that are under way at the same time: one for whole answers,
//!   one for streams.
//! - A [`Store`] keeps what was answered, each [`Entry`] for its own time, all of them within a number of bytes.
//! - A whole chat answer and a stream share an entry: each is turned into the other where that can be done faithfully.
//!
//! What is kept for how long, for whom, and what the caller is told about it is the policy's business, not this crate's.

mod canon;
mod entry;
mod fingerprint;
mod flights;
mod replay;
mod slots;
mod store;
mod streams;
mod tape;
#[cfg(test)]
mod testing;

pub use self::{
    canon::Canon,
    entry::{Answer, Entry, Origin, worth_keeping},
    fingerprint::{Cacheable, Fingerprint, Scope, Tenant},
    flights::{Flights, Waiter},
    slots::Role,
    store::{Counts, Store},
    streams::Streams,
    tape::{Opened, Reader},
};
