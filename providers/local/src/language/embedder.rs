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

pub(super) fn facts(folder: &Path) -> Result<Vec<(&'static str, Value)>, String> {
    let needs = Encoder::estimate(folder, 1)?;
    let encoder = Encoder::open(folder)?;
    Ok(vec![
        ("kind", json!("embed")),
        ("dimensions", json!(encoder.dimensions())),
        ("context", json!(encoder.max_tokens())),
        ("pooling", json!(encoder.assumes_mean().then_some("mean (assumed: the folder does not say)"))),
        ("memory_bytes", json!(needs.weights + needs.scratch)),
    ])
}
