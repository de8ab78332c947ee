//! Azure OpenAI, Foundry Models and Azure ML's online endpoints as a provider.
//!
//! A resource's wire is OpenAI's, so bodies and answers are [`aigate_openai::Wire`]'s work. What is Azure's own stands here: where
//! an account lives ([`Api`]), how the gateway proves who it is ([`Auth`]), and what Azure's errors say beyond OpenAI's.
//! Azure ML, whose endpoints serve models of one's own, stands apart in `predict`.
//!
//! <https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle>

mod account;
mod auth;
mod config;
mod endpoint;
mod error;
#[cfg(test)]
mod golden;
mod predict;
#[cfg(test)]
mod stub;

use std::sync::Arc;

use aigate_contract::{
    Call, Chat, ChatStream, Description, Embed, Endpoint, Offers, Predict, Provider, Result, Serve, Task,
    chat::{ChatReply, ChunkStream},
    embed::EmbedReply,
    settings::Fault,
};
use aigate_openai::Wire;
use futures_util::future::BoxFuture;

use crate::account::AzureAccount;
pub use crate::config::{Api, Auth, Config};

/// An Azure OpenAI or Foundry resource.
#[derive(Debug)]
struct Azure(Wire<AzureAccount>);

/// Builds the provider: reads the secrets' files and, where the settings leave it to them, the environment variables of
/// Azure's identities. Makes no call.
///
/// # Errors
/// Every fault of the settings, at once.
pub fn build(config: &Config) -> Result<Arc<dyn Provider>, Vec<Fault>> {
    let environment = |name: &str| std::env::var(name).ok();
    Ok(match config.api {
        Api::Ml => predict::build_in(config, &environment)?,
        Api::V1 | Api::Deployments | Api::Models => build_in(config, &environment)?,
    })
}

/// Builds a resource in an environment.
fn build_in(config: &Config, environment: auth::Environment<'_>) -> Result<Arc<Azure>, Vec<Fault>> {
    let (account, client, dialect) = AzureAccount::build(config, environment)?;
    Ok(Arc::new(Azure(Wire::new(account, client, dialect))))
}

impl Provider for Azure {
    fn offers(self: Arc<Self>) -> Offers {
        Offers {
            chat: Some(Endpoint::new(Arc::clone(&self))),
            chat_stream: Some(Endpoint::new(Arc::clone(&self))),
            embed: Some(Endpoint::new(self)),
            predict: None,
        }
    }

    fn describe(&self) -> Description {
        self.0.account().describe()
    }

    /// The list of models; the older forms of the URL have none that would tell as much.
    fn probe(self: Arc<Self>, _task: &str, _target: &str) -> Option<BoxFuture<'static, Result<()>>> {
        let has_list = self.0.account().lists_models();
        has_list.then(|| -> BoxFuture<'static, Result<()>> { Box::pin(async move { self.0.probe().await }) })
    }

    fn check_target(&self, task: &str, target: &str) -> Result<(), String> {
        if task == Predict::NAME {
            return Err("only a provider with `api = \"ml\"` predicts".to_owned());
        }
        self.0.account().check_name(target)
    }
}

impl Serve<Chat> for Azure {
    async fn serve(&self, call: Call<Chat>) -> Result<ChatReply> {
        self.0.chat(&call).await
    }
}

impl Serve<ChatStream> for Azure {
    async fn serve(&self, call: Call<ChatStream>) -> Result<ChunkStream> {
        self.0.chat_stream(&call).await
    }
}

impl Serve<Embed> for Azure {
    async fn serve(&self, call: Call<Embed>) -> Result<EmbedReply> {
        self.0.embed(&call).await
    }
}
