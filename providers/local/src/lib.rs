//! This machine as a provider: models over tables that answer when no cloud does.
//!
//! A target names a file in the provider's folder: `credit-risk` is `credit-risk.json` (what `aigate model train` wrote) or
//! `credit-risk.onnx`. `sample/credit-risk` is the sample that is built into the program.

mod config;
mod example;
mod models;
mod predict;
mod rows;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aigate_contract::{Description, Endpoint, Known, Offers, Provider, settings::Fault};

use aigate_tabular::artefact::Artefact;
use serde_json::Value;

pub use crate::config::Config;
use crate::models::Models;

/// The sample that is built in, as a target.
pub const SAMPLE: &str = "sample/credit-risk";

/// This machine.
#[derive(Debug)]
pub struct Local {
    models: Models,
}

/// Builds the provider. Reads no model yet: each is read when a deployment names it.
///
/// # Errors
/// Every fault of the settings, at once.
pub fn build(config: &Config) -> Result<Arc<Local>, Vec<Fault>> {
    Ok(Arc::new(Local { models: Models::new(config.folder()) }))
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
        Offers { predict: Some(Endpoint::new(self)), ..Offers::default() }
    }

    fn describe(&self) -> Description {
        Description {
            system: "aigate.local",
            endpoint: self.models.folder().display().to_string(),
            credentials: "none needed".to_owned(),
        }
    }

    fn is_local(&self) -> bool {
        true
    }

    fn check_target(&self, _task: &str, target: &str) -> Result<(), String> {
        self.models.get(target).map(drop)
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
