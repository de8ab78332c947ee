//! This machine as a provider: models over tables that answer when no cloud does.
//!
//! A target names a file in the provider's folder: `credit-risk` is `credit-risk.json` (what `aigate model train` wrote) or
//! `credit-risk.onnx`. `sample/credit-risk` is the sample that is built into the program. With the feature `language`, chat models
//! (GGUF files) and embedding models (folders of sentence-transformers) answer as well, from the folder or from the cache of
//! the Hugging Face Hub (`hf:OWNER/REPO/FILE`).

#[cfg(feature = "language")]
mod chat;
mod config;
#[cfg(feature = "language")]
mod embed;
mod example;
#[cfg(feature = "language")]
mod language;
mod models;
mod predict;
#[cfg(feature = "language")]
mod resident;
mod rows;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aigate_contract::{Description, Endpoint, Known, Offers, Provider, settings::Fault};

use aigate_tabular::artefact::Artefact;
use serde_json::Value;

pub use crate::config::{Config, Load};
#[cfg(feature = "language")]
pub use crate::language::{Installed, installed};
use crate::models::Models;

/// The sample that is built in, as a target.
pub const SAMPLE: &str = "sample/credit-risk";

/// This machine.
#[derive(Debug)]
pub struct Local {
    models: Models,
    #[cfg(feature = "language")]
    language: language::Language,
}

/// Builds the provider. Reads no model yet: each is read when a deployment names it.
///
/// # Errors
/// Every fault of the settings, at once.
pub fn build(config: &Config) -> Result<Arc<Local>, Vec<Fault>> {
    let _bounds = config.bounds()?;
    Ok(Arc::new(Local {
        models: Models::new(config.folder()),
        #[cfg(feature = "language")]
        language: language::Language::new(config.folder(), _bounds),
    }))
}

/// What a language model's file or folder tells of itself: names and values. `measured`: also how fast it is here.
///
/// # Errors
/// Says what is wrong with it.
#[cfg(feature = "language")]
pub fn language_facts(path: &std::path::Path, measured: bool) -> Result<Vec<(&'static str, Value)>, String> {
    language::facts(path, measured)
}

/// The built-in sample's file.
pub fn sample() -> &'static [u8] {
    models::SAMPLE_FILE
}

/// A request of the Open Inference Protocol that the sample answers: one row of typical values.
///
/// # Errors
/// When the sample cannot be read.
pub fn sample_request() -> Result<Value, String> {
    let artefact = Artefact::read(models::SAMPLE_FILE).map_err(|error| error.to_string())?;
    Ok(example::example(&artefact))
}

impl Provider for Local {
    fn offers(self: Arc<Self>) -> Offers {
        let offers = Offers { predict: Some(Endpoint::new(Arc::clone(&self))), ..Offers::default() };
        #[cfg(feature = "language")]
        let offers = Offers {
            chat: Some(Endpoint::new(Arc::clone(&self))),
            chat_stream: Some(Endpoint::new(Arc::clone(&self))),
            embed: Some(Endpoint::new(self)),
            ..offers
        };
        offers
    }

    fn describe(&self) -> Description {
        Description {
            kind: "local",
            region: None,
            system: "aigate.local",
            endpoint: self.models.folder().display().to_string(),
            credentials: "none needed".to_owned(),
        }
    }

    fn is_local(&self) -> bool {
        true
    }

    fn check_target(&self, task: &str, target: &str) -> Result<(), String> {
        match task {
            #[cfg(feature = "language")]
            "chat" => self.language.chat(target).map(drop),
            #[cfg(feature = "language")]
            "embed" => self.language.encoder(target).map(drop),
            #[cfg(not(feature = "language"))]
            "chat" | "embed" => Err("this aigate was built without the feature `language`".to_owned()),
            _ => self.models.get(target).map(drop),
        }
    }

    #[cfg(feature = "language")]
    fn explain(&self, task: &str, target: &str) -> Vec<(&'static str, String)> {
        self.language.explain(task, target)
    }

    #[cfg(feature = "language")]
    fn prepare(&self, task: &str, target: &str) {
        self.language.prepare(task, target);
    }

    fn known(&self, target: &str) -> Option<Known> {
        let model = self.models.get(target).ok()?;
        Some(Known {
            signature: signature::of(&model.predictor),
            version: model.version.to_string(),
            platform: signature::platform(&model.predictor),
        })
    }
}
