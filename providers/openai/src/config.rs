//! Settings of a provider with `kind = "openai"`.

use std::path::PathBuf;

use aigate_contract::settings::{Interval, Secret};
use aigate_transport::Settings;
use schemars::JsonSchema;
use serde::Deserialize;

/// OpenAI, or a server that speaks its API: Ollama, vLLM, llama.cpp.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// Where the API lives, with its version. Default `https://api.openai.com/v1`; Ollama's is `http://127.0.0.1:11434/v1`.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The API key. Servers of your own often need none.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// Sent as `OpenAI-Organization`.
    #[serde(default)]
    pub organization: Option<String>,
    /// Sent as `OpenAI-Project`.
    #[serde(default)]
    pub project: Option<String>,
    /// Whether to ask for the usage of every stream (`stream_options.include_usage`). Default true; set it to false for a
    /// server that refuses the field, and the usage of its streams is unknown.
    #[serde(default = "yes")]
    pub stream_usage: bool,
    /// The name under which the server knows the output limit. Default `as_sent`.
    #[serde(default)]
    pub token_limit_field: TokenLimitField,
    /// A PEM file with CA certificates to trust beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A proxy for every call to this provider, e.g. `http://proxy.internal:3128`.
    #[serde(default)]
    pub proxy: Option<String>,
    /// How long a connection may take to open. Default 5s.
    #[serde(default)]
    pub connect_timeout: Option<Interval>,
}

/// The name under which a server knows the output limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenLimitField {
    /// Whichever the caller used.
    #[default]
    AsSent,
    /// `max_completion_tokens`: OpenAI's reasoning models refuse the other.
    MaxCompletionTokens,
    /// `max_tokens`: older servers know only this one.
    MaxTokens,
}

fn yes() -> bool {
    true
}

impl Config {
    /// The transport's part of the settings.
    pub fn transport(&self) -> Settings {
        Settings {
            ca_file: self.ca_file.clone(),
            proxy: self.proxy.clone(),
            connect_timeout: self.connect_timeout,
        }
    }
}
