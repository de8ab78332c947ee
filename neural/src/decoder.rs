//! Decoders: the networks behind chat, from GGUF files of the Llama, Qwen and Gemma families.
//!
//! One graph serves all families: what they differ in are numbers of the [`Shape`] and tensors that are there or not.
//! Activations are quantised before each product as llama.cpp does, so that the same file gives the same text.

mod attention;
mod cache;
mod forward;
mod rope;
mod shape;
mod share;
mod weights;

pub use self::{
    cache::Cache,
    forward::{BATCH, Workspace},
    shape::{Family, Shape},
};

use crate::gguf::File;

/// A decoder with its weights in memory.
#[derive(Debug)]
pub struct Decoder {
    shape: Shape,
    weights: weights::Weights,
}

/// The computation was stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl Decoder {
    /// Reads a decoder's weights into memory.
    ///
    /// # Errors
    /// Says which setting or tensor is missing, of the wrong shape or not supported.
    pub fn read(file: &File) -> Result<Self, String> {
        let shape = Shape::read(file.metadata())?;
        let weights = weights::Weights::read(file, &shape)?;
        Ok(Self { shape, weights })
    }

    /// Checks by the file's header what [`Decoder::read`] would find.
    ///
    /// # Errors
    /// As those of [`Decoder::read`].
    pub fn check(file: &File, shape: &Shape) -> Result<(), String> {
        weights::Weights::check(file, shape)
    }

    /// Its numbers.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Tokens in its vocabulary: the logits that a pass returns.
    pub fn vocabulary(&self) -> usize {
        self.weights.embeddings.rows()
    }
}
