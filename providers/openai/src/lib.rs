//! OpenAI, and servers that speak its API (Ollama, vLLM, llama.cpp), as a provider.
//!
//! The caller's body passes through byte for byte; only the model's name and the stream options are set. What
//! [`Wire`] does is shared with Azure, whose API is the same behind another door.

mod account;
mod chat;
mod chunk;
mod config;
mod embed;
mod error;
mod glance;
mod wire;

use std::sync::Arc;

use aigate_contract::{
    Call, Chat, ChatStream, Description, Embed, Endpoint, Offers, Provider, Result, Serve,
    chat::{ChatReply, ChunkStream},
    embed::EmbedReply,
    settings::Fault,
};

use futures_util::future::BoxFuture;

use crate::account::OpenAiAccount;
pub use crate::{
    account::{Account, Pass, Purpose},
    config::{Config, TokenLimitField},
    error::from_answer,
    wire::{Dialect, Wire},
};

/// OpenAI, or a server that speaks its API.
#[derive(Debug)]
pub struct OpenAi(Wire<OpenAiAccount>);

/// Builds the provider.
///
/// # Errors
/// Every fault of the settings, at once.
pub fn build(config: &Config) -> Result<Arc<OpenAi>, Vec<Fault>> {
    let (account, client, dialect) = OpenAiAccount::build(config)?;
    Ok(Arc::new(OpenAi(Wire::new(account, client, dialect))))
}

impl Provider for OpenAi {
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

    fn probe(self: Arc<Self>, _task: &str, _target: &str) -> Option<BoxFuture<'static, Result<()>>> {
        Some(Box::pin(async move { self.0.probe().await }))
    }

    fn check_target(&self, _task: &str, target: &str) -> Result<(), String> {
        // The name travels in the body, so any text will do.
        if target.trim().is_empty() { Err("the model's name is empty".to_owned()) } else { Ok(()) }
    }
}

impl Serve<Chat> for OpenAi {
    async fn serve(&self, call: Call<Chat>) -> Result<ChatReply> {
        self.0.chat(&call).await
    }
}

impl Serve<ChatStream> for OpenAi {
    async fn serve(&self, call: Call<ChatStream>) -> Result<ChunkStream> {
        self.0.chat_stream(&call).await
    }
}

impl Serve<Embed> for OpenAi {
    async fn serve(&self, call: Call<Embed>) -> Result<EmbedReply> {
        self.0.embed(&call).await
    }
}
