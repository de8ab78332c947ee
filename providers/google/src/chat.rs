//! Chat: `:generateContent`, and `:streamGenerateContent` as server-sent events.
//!
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference>

mod generation;
mod logprobs;
mod media;
mod reply;
mod request;
mod signature;
mod stream;
mod tools;
mod turns;

use std::time::{SystemTime, UNIX_EPOCH};

use aigate_contract::{
    Call, Chat, ChatStream, Result, Serve, Task,
    chat::{ChatReply, ChatRequest, ChunkStream},
};
use aigate_transport::{Request, events};
use bytes::Bytes;

use crate::{Google, write};

/// No whole answer is larger, in bytes.
const MAX_REPLY: usize = 64 * 1024 * 1024;

impl Serve<Chat> for Google {
    async fn serve(&self, call: Call<Chat>) -> Result<ChatReply> {
        let body = self.translate(&call).await?;
        let url = self.site.url(&call.target.model, "generateContent")?;
        let answer = self.post(&call, Request::json(url, body)).await?.bytes(MAX_REPLY).await?;
        reply::read(&answer, &call.target.model, now()).map_err(|error| error.with_target(&call.target))
    }
}

impl Serve<ChatStream> for Google {
    async fn serve(&self, call: Call<ChatStream>) -> Result<ChunkStream> {
        let body = self.translate(&call).await?;
        let mut url = self.site.url(&call.target.model, "streamGenerateContent")?;
        url.set_query(Some("alt=sse"));
        let answer = self.post(&call, Request::json(url, body)).await?;
        let model = call.target.model.to_string();
        stream::start(events(answer.into_body()), model, now())
            .await
            .map_err(|error| error.with_target(&call.target))
    }
}

impl Google {
    async fn translate<T: Task<Request = ChatRequest>>(&self, call: &Call<T>) -> Result<Bytes> {
        let request = request::translate(call, &self.site.api, &self.fetcher).await?;
        write(&request)
    }
}

/// Seconds since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
pub(crate) mod tests;
