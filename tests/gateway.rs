//! The gateway's behaviour through real HTTP, against the simulated clouds. One binary, so that it is linked once.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "gateway/harness.rs"]
mod harness;

#[path = "gateway/breaker.rs"]
mod breaker;
#[path = "gateway/cancellation.rs"]
mod cancellation;
#[path = "gateway/clients.rs"]
mod clients;
#[path = "gateway/commands.rs"]
mod commands;
#[path = "gateway/configuration.rs"]
mod configuration;
#[path = "gateway/credentials.rs"]
mod credentials;
#[path = "gateway/failover.rs"]
mod failover;
#[path = "gateway/house.rs"]
mod house;
#[path = "gateway/http_api.rs"]
mod http_api;
#[cfg(feature = "language")]
#[path = "gateway/language.rs"]
mod language;
#[path = "gateway/operations.rs"]
mod operations;
#[path = "gateway/predict.rs"]
mod predict;
#[path = "gateway/probing.rs"]
mod probing;
#[path = "gateway/streaming.rs"]
mod streaming;
#[path = "gateway/tabular.rs"]
mod tabular;
#[cfg(feature = "language")]
#[path = "../neural/tests/session/tiny.rs"]
mod tiny;
