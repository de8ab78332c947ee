//! The gateway's behaviour through real HTTP, against the simulated clouds. One binary, so that it is linked once.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "gateway/harness.rs"]
mod harness;

#[path = "gateway/acting.rs"]
mod acting;
#[path = "gateway/breaker.rs"]
mod breaker;
#[path = "gateway/budgets.rs"]
mod budgets;
#[path = "gateway/cache.rs"]
mod cache;
#[path = "gateway/cache_tasks.rs"]
mod cache_tasks;
#[path = "gateway/cancellation.rs"]
mod cancellation;
#[path = "gateway/clients.rs"]
mod clients;
#[path = "gateway/commands.rs"]
mod commands;
#[path = "gateway/configuration.rs"]
mod configuration;
#[path = "gateway/corruption.rs"]
mod corruption;
#[path = "gateway/credentials.rs"]
mod credentials;
#[path = "gateway/every_key.rs"]
mod every_key;
#[path = "gateway/failover.rs"]
mod failover;
#[path = "gateway/house.rs"]
mod house;
#[path = "gateway/http_api.rs"]
mod http_api;
#[cfg(feature = "language")]
#[path = "gateway/language.rs"]
mod language;
#[path = "gateway/limits.rs"]
mod limits;
#[path = "gateway/operations.rs"]
mod operations;
#[path = "gateway/predict.rs"]
mod predict;
#[path = "gateway/probing.rs"]
mod probing;
#[path = "gateway/reload.rs"]
mod reload;
#[path = "gateway/reload_program.rs"]
mod reload_program;
#[path = "gateway/replicas.rs"]
mod replicas;
#[path = "gateway/rights.rs"]
mod rights;
#[path = "gateway/streaming.rs"]
mod streaming;
#[path = "gateway/tabular.rs"]
mod tabular;
#[path = "gateway/tenants.rs"]
mod tenants;
#[cfg(feature = "language")]
#[path = "../neural/tests/session/tiny.rs"]
mod tiny;
