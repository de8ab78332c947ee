//! The worker of a chat model.

use std::{path::Path, sync::Arc};

use aigate_neural::{
    chat::{ChatModel, Facts, Session},
    kernels::lower_priority,
};
use serde_json::{Value, json};

use crate::resident::{Residence, Worker};

/// Answers one conversation after the other.
#[derive(Debug)]
pub(crate) struct Speaker(pub(crate) Session);

impl Worker for Speaker {
    type Model = ChatModel;

    fn load(residence: &Residence) -> Result<ChatModel, String> {
        ChatModel::open(&residence.path)
    }

    fn new(model: &Arc<ChatModel>, residence: &Residence) -> Self {
        // What serves calls goes first.
        lower_priority();
        Self(Session::new(Arc::clone(model), residence.context, residence.threads))
    }
}

pub(super) fn facts(path: &Path) -> Result<Vec<(&'static str, Value)>, String> {
    let facts = Facts::read(path)?;
    let usual = facts.context.min(4096);
    Ok(vec![
        ("kind", json!("chat")),
        ("name", json!(facts.name)),
        ("architecture", json!(facts.architecture)),
        ("parameters", json!(facts.parameters)),
        ("quantisation", json!(facts.quantisation)),
        ("layers", json!(facts.layers)),
        ("context", json!(facts.context)),
        ("vocabulary", json!(facts.vocabulary)),
        ("tools", json!(facts.tools)),
        ("licence", json!(facts.licence)),
        ("memory_bytes", json!(facts.memory(1, usual))),
        ("memory_context", json!(usual)),
    ])
}
