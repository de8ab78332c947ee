//! From an OpenAI chat request to the parts of a Converse request.

use std::collections::HashMap;

use aigate_contract::{Call, Result, Task, chat::ChatRequest};
use aigate_transport::Fetcher;
use aws_sdk_bedrockruntime::types::{
    InferenceConfiguration, Message, OutputConfig, ServiceTier, SystemContentBlock, ToolConfiguration,
};
use aws_smithy_types::Document;
use serde_json::Map;

use super::{fields, options, reasoning, tools, turns::Conversation};
use crate::{document::object, model::Family};

/// The parts of a Converse request, the same for both operations.
#[derive(Debug)]
pub(super) struct Prompt {
    pub(super) messages: Vec<Message>,
    pub(super) system: Option<Vec<SystemContentBlock>>,
    pub(super) inference: Option<InferenceConfiguration>,
    pub(super) tools: Option<ToolConfiguration>,
    /// `additionalModelRequestFields`: what only this model knows.
    pub(super) model_fields: Option<Document>,
    pub(super) metadata: Option<HashMap<String, String>>,
    pub(super) tier: Option<ServiceTier>,
    pub(super) output: Option<OutputConfig>,
    /// Whether the body holds schemas, whose order must not change from call to call.
    pub(super) sorted: bool,
}

/// Translates the call's request for the call's target.
///
/// # Errors
/// What the request asks and Converse cannot do, naming the field; a picture or document that cannot be fetched.
pub(super) async fn translate<T>(call: &Call<T>, fetcher: &Fetcher) -> Result<Prompt>
where
    T: Task<Request = ChatRequest>,
{
    let request = &*call.request;
    let family = Family::of(&call.target.model);
    let mut model_fields = Map::new();
    fields::refuse_unknown(call)?;
    options::refuse(call, family, &mut model_fields)?;
    let effort = reasoning::effort(call, family, &mut model_fields)?;
    let conversation = Conversation::read(call, family, fetcher).await?;
    let tools = tools::translate(call, family, conversation.has_calls(), &mut model_fields)?;
    let (system, messages) = conversation.into_parts()?;
    Ok(Prompt {
        messages,
        system: (!system.is_empty()).then_some(system),
        inference: options::inference(request)?,
        sorted: tools.is_some(),
        tools,
        metadata: options::metadata(call)?,
        tier: options::tier(call)?,
        output: options::output(call, effort)?,
        model_fields: (!model_fields.is_empty()).then(|| object(&model_fields)),
    })
}
