//! Predictions of models of one's own, at SageMaker's endpoints.
//!
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html>

#[cfg(test)]
mod tests;

use aigate_contract::{
    Call, Error, ErrorKind, Predict, Result, Serve, Target,
    predict::{BodyForm, Encoded, Form, PredictReply, Service},
    settings::Fault,
};
use aws_sdk_sagemakerruntime::{
    Client,
    config::http::HttpResponse,
    error::SdkError,
    operation::invoke_endpoint::{InvokeEndpointError, InvokeEndpointOutput},
    primitives::Blob,
    types::error::ModelError,
};

use crate::{
    Aws,
    error::{from_sdk, shortened},
    send::prepare,
};

/// The reply's parameter that names the production variant that answered.
const VARIANT: &str = "sagemaker_variant";
/// The longest names of endpoints, variants and inference components, and of a multi-model endpoint's models.
const LONGEST_NAME: usize = 63;
const LONGEST_MODEL: usize = 1024;
/// The longest inference id.
const LONGEST_ID: usize = 64;

impl Serve<Predict> for Aws {
    async fn serve(&self, call: Call<Predict>) -> Result<PredictReply> {
        if self.access.has_key_alone() {
            let message = "SageMaker takes signed requests, and the provider has a Bedrock API key alone";
            return Err(Error::new(ErrorKind::Denied, message));
        }
        let form = call.target.form.as_deref();
        let form = form.ok_or_else(|| Error::new(ErrorKind::Internal, "the deployment has no form"))?;
        form.admit(&call)?;
        let encoded = form.encode(&call.request)?;
        let answer =
            self.access.attempt(|clients| invoke(&call, clients.sagemaker, form, encoded.clone())).await?;
        let body = answer.body.map(Blob::into_inner).unwrap_or_default();
        let mut reply = form.reply(&call, &body.into(), None, Vec::new())?;
        if let Some(variant) = answer.invoked_production_variant {
            reply.parameters.insert(VARIANT.to_owned(), variant.into());
        }
        Ok(reply)
    }
}

async fn invoke(
    call: &Call<Predict>,
    client: Client,
    form: &Form,
    encoded: Encoded,
) -> Result<InvokeEndpointOutput> {
    let routing = &form.routing;
    let request = client
        .invoke_endpoint()
        .endpoint_name(&*call.target.model)
        .content_type(encoded.content_type)
        .accept(encoded.accept)
        .set_target_variant(routing.variant.clone())
        .set_target_model(routing.target_model.clone())
        .set_inference_component_name(routing.inference_component.clone())
        .set_inference_id(inference_id(&call.trail.request_id))
        .body(Blob::new(encoded.body))
        .customize()
        .mutate_request(prepare(call.trail.traceparent().map(str::to_owned), false));
    Box::pin(request.send()).await.map_err(failed)
}

/// The call's id, which SageMaker writes beside what it captures; `None` where it does not take it.
fn inference_id(id: &str) -> Option<String> {
    let fits = !id.starts_with(' ') && id.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    (fits && (1..=LONGEST_ID).contains(&id.len())).then(|| id.to_owned())
}

fn failed(error: SdkError<InvokeEndpointError, HttpResponse>) -> Error {
    match error.as_service_error() {
        Some(InvokeEndpointError::ModelError(refusal)) => of_model(refusal),
        _ => from_sdk(error),
    }
}

/// The model's container answered, but not with 200; SageMaker tells it with 424. A refusal is the model's, not
/// SageMaker's: the gateway has checked the request, and another deployment may take it.
fn of_model(refusal: &ModelError) -> Error {
    let said = refusal.original_message().or(refusal.message()).unwrap_or("no reason given");
    let status = refusal.original_status_code();
    let kind = match status {
        Some(404) => ErrorKind::Missing,
        Some(408) => ErrorKind::Timeout,
        Some(413) => ErrorKind::TooLarge,
        Some(429) => ErrorKind::Throttled,
        Some(400..=499) => ErrorKind::Unsupported,
        // No status at all: the container did not answer within SageMaker's 60 seconds.
        Some(0) if said.contains("timed out") => ErrorKind::Timeout,
        _ => ErrorKind::Unavailable,
    };
    let status = status.map_or_else(|| "an error".to_owned(), |status| status.to_string());
    let said = shortened(&said.split_whitespace().collect::<Vec<_>>().join(" "));
    Error::new(kind, format!("the model behind the SageMaker endpoint answered {status}: {said}"))
        .with_code("ModelError")
        .with_status(424)
}

/// Checks that `target` is the name of an endpoint.
///
/// # Errors
/// What would be right.
pub(crate) fn check(target: &str) -> Result<(), String> {
    if is_name(target) {
        return Ok(());
    }
    let hint = if target.starts_with("arn:") { ", and no ARN" } else { "" };
    Err(format!(
        "`{target}` is not a SageMaker endpoint: expected its name, up to 63 letters, digits and hyphens between them{hint}"
    ))
}

/// What SageMaker cannot do of a deployment's form, each at its key.
pub(crate) fn form_faults(target: &Target) -> Vec<Fault> {
    let Some(form) = &target.form else { return Vec::new() };
    let routing = &form.routing;
    let mut faults = Vec::new();
    let wrong = match form.body {
        BodyForm::Instances => Some("`instances` is Vertex AI's body; `json` writes the same field"),
        BodyForm::InputData => Some("`input_data` is Azure ML's body: use csv, json, json_lines or oip"),
        BodyForm::Csv | BodyForm::Json | BodyForm::JsonLines | BodyForm::Oip => None,
    };
    faults.extend(wrong.map(|why| Fault::at("body", why)));
    faults.extend(routing.foreign(Service::SageMaker));
    for (key, value) in [("variant", &routing.variant), ("inference_component", &routing.inference_component)]
    {
        if value.as_deref().is_some_and(|name| !is_name(name)) {
            faults.push(Fault::at(key, "expected up to 63 letters, digits and hyphens between them"));
        }
    }
    let is_model = |name: &str| {
        name.len() <= LONGEST_MODEL
            && name.starts_with(|first: char| first.is_ascii_graphic())
            && name.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    };
    if routing.target_model.as_deref().is_some_and(|name| !is_model(name)) {
        faults.push(Fault::at(
            "target_model",
            "expected a path such as `credit.tar.gz`, up to 1024 characters",
        ));
    }
    faults
}

/// Letters, digits, and hyphens between them.
fn is_name(name: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(inside)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
