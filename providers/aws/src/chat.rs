//! Chat: one translated request, sent to Converse for a whole answer or to ConverseStream for a stream.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>

mod fields;
mod options;
mod parts;
mod reasoning;
mod reply;
mod request;
mod stream;
mod tools;
mod turns;

#[cfg(test)]
mod tests;

use std::time::{SystemTime, UNIX_EPOCH};

use aigate_contract::{
    Call, Chat, ChatStream, Error, ErrorKind, Result, Serve,
    chat::{ChatReply, ChunkStream, ChunkWriter},
};
use aws_sdk_bedrockruntime::{
    Client,
    error::BuildError,
    operation::RequestId,
    types::{GuardrailConfiguration, GuardrailStreamConfiguration},
};
use uuid::Uuid;

use crate::{Aws, Guardrail, error::from_sdk, send::prepare};

impl Serve<Chat> for Aws {
    async fn serve(&self, call: Call<Chat>) -> Result<ChatReply> {
        self.access.attempt(|clients| self.converse(&call, clients.bedrock)).await
    }
}

impl Serve<ChatStream> for Aws {
    async fn serve(&self, call: Call<ChatStream>) -> Result<ChunkStream> {
        self.access.attempt(|clients| self.converse_stream(&call, clients.bedrock)).await
    }
}

impl Aws {
    async fn converse(&self, call: &Call<Chat>, client: Client) -> Result<ChatReply> {
        let prompt = request::translate(call, &self.fetcher).await?;
        let request = client
            .converse()
            .model_id(&*call.target.model)
            .set_messages(Some(prompt.messages))
            .set_system(prompt.system)
            .set_inference_config(prompt.inference)
            .set_tool_config(prompt.tools)
            .set_guardrail_config(self.guardrail.as_ref().map(Guardrail::whole))
            .set_additional_model_request_fields(prompt.model_fields)
            .set_request_metadata(prompt.metadata)
            .set_service_tier(prompt.tier)
            .set_output_config(prompt.output)
            .customize()
            .mutate_request(prepare(call.trail.traceparent().map(str::to_owned), prompt.sorted));
        let answer = Box::pin(request.send()).await.map_err(from_sdk)?;
        let id = answer_id(answer.request_id());
        reply::whole(answer, id, now(), &call.target.model)
    }

    async fn converse_stream(&self, call: &Call<ChatStream>, client: Client) -> Result<ChunkStream> {
        let prompt = request::translate(call, &self.fetcher).await?;
        let request = client
            .converse_stream()
            .model_id(&*call.target.model)
            .set_messages(Some(prompt.messages))
            .set_system(prompt.system)
            .set_inference_config(prompt.inference)
            .set_tool_config(prompt.tools)
            .set_guardrail_config(self.guardrail.as_ref().map(Guardrail::streamed))
            .set_additional_model_request_fields(prompt.model_fields)
            .set_request_metadata(prompt.metadata)
            .set_service_tier(prompt.tier)
            .set_output_config(prompt.output)
            .customize()
            .mutate_request(prepare(call.trail.traceparent().map(str::to_owned), prompt.sorted));
        let answer = Box::pin(request.send()).await.map_err(from_sdk)?;
        let writer = ChunkWriter::new(answer_id(answer.request_id()), now(), &*call.target.model);
        stream::begin(answer.stream, writer).await
    }
}

impl Guardrail {
    fn whole(&self) -> GuardrailConfiguration {
        GuardrailConfiguration::builder()
            .guardrail_identifier(&self.id)
            .guardrail_version(&self.version)
            .build()
    }

    fn streamed(&self) -> GuardrailStreamConfiguration {
        GuardrailStreamConfiguration::builder()
            .guardrail_identifier(&self.id)
            .guardrail_version(&self.version)
            .build()
    }
}

/// Every required part is given, so this is a defect of ours.
fn unbuilt(error: BuildError) -> Error {
    Error::new(ErrorKind::Internal, "a part of the request to Bedrock could not be built").with_source(error)
}

fn answer_id(request_id: Option<&str>) -> String {
    request_id.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// Seconds since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
