//! Simulated clouds: the vendors' wire protocols on loopback, with faults on demand.
//!
//! [`start`] gives a [`Cloud`]: one server that speaks the protocols of one vendor as strictly as the vendor does, checks
//! credentials, hands out tokens, and answers by a fixed script so that a test or a demo knows what to
//! expect. A [`Fault`] makes it fail the way that vendor fails. Nothing here shares code with the provider crates: a
//! simulator that shares a bug proves nothing.
//!
//! | module | what it holds |
//! |---|---|
//! | `cloud` | the server: connections, latency, faults, counters |
//! | `fault` | what can go wrong, and how often |
//! | `script` | the model: from a conversation to an answer, without any protocol |
//! | `scorer`, `container` | the model of the predict services, and the bodies that its container takes and gives |
//! | `google`, `aws`, `azure`, `openai` | the wire protocols |
//! | `answer`, `body` | an answer on its way to the client |
//! | `token`, `clock` | tokens that the cloud issued; dates |

mod answer;
mod aws;
mod azure;
mod body;
mod clock;
mod cloud;
mod container;
mod fault;
mod google;
mod openai;
mod scorer;
mod script;
mod token;

pub use cloud::{Cloud, CloudKind, Credentials, Latency, Options, Recorded, Stats, start};
pub use fault::Fault;
pub use scorer::{Cell, Score, Scorer};
