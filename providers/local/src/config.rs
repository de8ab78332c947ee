//! Settings of a provider with `kind = "local"`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

/// This machine. Needs nothing.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// The folder in which models are looked for. Default `models`.
    #[serde(default)]
    pub folder: Option<PathBuf>,
}

impl Config {
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| Path::new("models").to_owned())
    }
}
