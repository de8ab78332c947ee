//! Products of quantised matrices on the processor.
//!
//! A [`Matrix`] keeps weights in one of the [`Format`]s of ggml; a [`Team`] of threads multiplies. The arithmetic
//! is that of llama.cpp: the input is rounded to integers of 8 bits (`Q8_0` and `Q8_1` for the formats with blocks
//! of 32, `Q8_K` for those with blocks of 256) or to the float format of the weights, products of integers are
//! exact, and the sums over blocks are in single precision. Only the order of those sums is our own.
//!
//! Rows of weights are interleaved by eight, so that eight products are computed side by side. The weights of many
//! tokens are first unpacked to bytes, eight rows by 256 values, in an order that all formats share; then they meet
//! the tokens, four at a time. Those of one token are read straight from memory, whose speed is the limit there.
//! Which instructions are used is decided when the process runs.

mod activation;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod chunk;
mod decode;
mod format;
mod instructions;
mod matrix;
mod portable;
mod product;
#[cfg(test)]
mod reference;
mod scratch;
mod team;
#[cfg(test)]
mod tests;
pub mod vector;

pub use format::Format;
pub use matrix::Matrix;
pub use scratch::Scratch;
pub use team::{Team, lower_priority};
