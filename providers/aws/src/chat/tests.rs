//! Chat against a played Bedrock.

mod golden;
mod order;
mod refusals;
mod streaming;
mod turns;
