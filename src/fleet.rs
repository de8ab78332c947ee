//! From a provider's settings to its crate: the one place that knows every kind.

use std::sync::Arc;

use aigate_contract::{Provider, settings::Fault};
use aigate_transport::Fetcher;
use schemars::JsonSchema;
use serde::Deserialize;

/// One account at a cloud, one server, or this machine. `kind` picks which.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ProviderConfig {
    /// Amazon Bedrock.
    Aws(aigate_aws::Config),
    /// Azure OpenAI and Foundry Models.
    Azure(aigate_azure::Config),
    /// A model on this machine.
    Local(aigate_local::Config),
    /// Vertex AI and the Gemini API.
    Google(aigate_google::Config),
    /// OpenAI, or a server that speaks its API.
    OpenAi(aigate_openai::Config),
}

impl ProviderConfig {
    /// The values of `kind`.
    pub const KINDS: [&'static str; 5] = ["aws", "azure", "google", "local", "openai"];

    /// Builds the provider. Touches no network.
    ///
    /// # Errors
    /// Every fault of its settings, at once.
    pub fn build(self, fetcher: &Fetcher) -> Result<Arc<dyn Provider>, Vec<Fault>> {
        Ok(match self {
            Self::Aws(config) => aigate_aws::build(config, fetcher.clone())?,
            Self::Azure(config) => aigate_azure::build(&config)?,
            Self::Local(config) => aigate_local::build(&config)?,
            Self::Google(config) => aigate_google::build(config, fetcher.clone())?,
            Self::OpenAi(config) => aigate_openai::build(&config)?,
        })
    }
}
