//! The worker of an embedding model.

use std::{path::Path, sync::Arc};

use aigate_neural::{
    encoder::{Encoder, Threads},
    kernels::lower_priority,
};
use serde_json::{Value, json};

use crate::resident::{Residence, Worker};

/// Embeds one batch after the other.
#[derive(Debug)]
pub(crate) struct Embedder {
    pub(crate) encoder: Arc<Encoder>,
    /// An error when the system has no threads.
    pub(crate) threads: Result<Threads, String>,
}

impl Worker for Embedder {
    type Model = Encoder;

    fn load(residence: &Residence) -> Result<Encoder, String> {
        Encoder::open(&residence.path)
    }

    fn new(model: &Arc<Encoder>, residence: &Residence) -> Self {
        lower_priority();
        Self { encoder: Arc::clone(model), threads: Threads::new(residence.threads) }
    }
}

/// Bytes of memory with so many workers.
pub(super) fn memory(folder: &Path, threads: usize, workers: usize) -> Result<u64, String> {
    let needs = Encoder::estimate(folder, threads)?;
    let known = needs.weights + needs.scratch * workers as u64;
    // The tokenizer and what an allocator rounds up: measured.
    Ok(known + known / 6 + (8 << 20))
}

pub(super) fn facts(folder: &Path) -> Result<Vec<(&'static str, Value)>, String> {
    let encoder = Encoder::open(folder)?;
    Ok(vec![
        ("kind", json!("embed")),
        ("dimensions", json!(encoder.dimensions())),
        ("context", json!(encoder.max_tokens())),
        ("pooling", json!(encoder.assumes_mean().then_some("mean (assumed: the folder does not say)"))),
        ("memory_bytes", json!(memory(folder, 1, 1)?)),
    ])
}
