//! Embeddings, by whichever of Google's three methods the model has.
//!
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>,
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/multimodal-embeddings-api>,
//! <https://ai.google.dev/api/embeddings>

mod wire;

use aigate_contract::{
    Call, Embed, Error, Result, Serve, Usage,
    embed::{EmbedReply, Input, Vectors},
};
use aigate_transport::Request;
use futures_util::{StreamExt, TryStreamExt, stream};
use url::Url;

use self::wire::{Batch, Method};
use crate::{Google, write};

/// So many requests are under way at once for one call.
const AT_ONCE: usize = 8;
/// No answer is larger, in bytes: 250 vectors of 3072 numbers are about 16 MiB.
const MAX_REPLY: usize = 64 * 1024 * 1024;

impl Serve<Embed> for Google {
    async fn serve(&self, call: Call<Embed>) -> Result<EmbedReply> {
        let request = &call.request;
        request.refuse_unknown(&call, &[])?;
        let Input::Texts(texts) = &request.input else {
            return Err(Error::unsupported("input", "google takes texts, not tokens"));
        };
        let method = Method::of(&call.target.model, &self.site.api);
        let url = self.site.url(&call.target.model, method.path())?;
        // The requests own what they send: a stream of borrowing futures is not `Send` enough for the trait.
        let mut bodies = Vec::new();
        for batch in texts.chunks(method.batch()) {
            bodies.push(write(&method.request(&self.site, &call, batch)?)?);
        }
        let counts: Vec<usize> = texts.chunks(method.batch()).map(<[String]>::len).collect();
        let answers = stream::iter(bodies.into_iter().zip(counts))
            .map(|(body, count)| self.embed(&call, &url, method, body, count))
            .buffered(AT_ONCE)
            .try_collect::<Vec<Batch>>()
            .await
            .map_err(|error| error.with_target(&call.target))?;
        let tokens = answers.iter().map(|batch| batch.tokens).sum::<Option<u64>>();
        let vectors = Vectors {
            vectors: answers.into_iter().flat_map(|batch| batch.vectors).collect(),
            model: call.target.model.to_string(),
            usage: tokens.map(|tokens| Usage { fresh_input: Some(tokens), ..Usage::default() }),
        };
        vectors.into_reply(texts.len(), request.encoding_format)
    }
}

impl Google {
    async fn embed(
        &self,
        call: &Call<Embed>,
        url: &Url,
        method: Method,
        body: bytes::Bytes,
        count: usize,
    ) -> Result<Batch> {
        let answer = self.post(call, Request::json(url.clone(), body)).await?.bytes(MAX_REPLY).await?;
        method.read(&answer, count)
    }
}

#[cfg(test)]
mod tests;
