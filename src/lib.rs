//! aigate: one gateway to the AI services of Google, AWS and Azure.
//!
//! A call comes in at [`http`], finds its model's route in [`stack`], passes the policies in [`policy`] and reaches a
//! provider crate through [`fleet`]. [`config`] decides which. `ARCHITECTURE.md` tells the story with file names.

pub mod allowance;
pub mod cli;
pub mod config;
pub mod fleet;
pub mod gateway;
pub mod http;
pub mod metrics;
pub mod policy;
pub mod probe;
pub mod reload;
pub mod running;
pub mod sample;
pub mod stack;
pub mod state;
pub mod telemetry;
