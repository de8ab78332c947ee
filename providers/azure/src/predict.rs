//! Azure ML's online endpoints: predictions of models of one's own.
//!
//! A target is an endpoint; `azureml_deployment` in its `wire` picks one of the deployments behind it, past the endpoint's
//! split of the traffic.
//!
//! <https://learn.microsoft.com/azure/machine-learning/how-to-authenticate-online-endpoint>,
//! <https://learn.microsoft.com/azure/machine-learning/how-to-deploy-mlflow-models-online-endpoints>,
//! <https://learn.microsoft.com/azure/machine-learning/how-to-safely-rollout-online-endpoints>

mod address;
mod error;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aigate_contract::{
    Call, Description, Endpoint, Error, ErrorKind, Offers, Predict, Provider, Result, Serve, Target, Task,
    predict::{BodyForm, Encoded, Form, PredictReply, Service},
    settings::Fault,
};
use aigate_openai::Pass;
use aigate_transport::{Client, Request, Response, json_length};
use http::{HeaderName, HeaderValue, StatusCode, header};

use self::address::{Address, check_name, check_path};
use crate::{
    Config,
    auth::{Environment, Proof, choose},
    endpoint::check_version,
};

/// The deployment that is to answer, and in the answer the one that did.
const DEPLOYMENT: HeaderName = HeaderName::from_static("azureml-model-deployment");
/// No answer is larger, in bytes.
const MAX_REPLY: usize = 64 * 1024 * 1024;

/// Online endpoints of Azure ML.
#[derive(Debug)]
pub(crate) struct OnlineEndpoints {
    address: Address,
    proof: Proof,
    client: Client,
}

/// Builds the provider in an environment.
///
/// # Errors
/// Every fault of the settings, at once.
pub(crate) fn build_in(
    config: &Config,
    environment: Environment<'_>,
) -> Result<Arc<OnlineEndpoints>, Vec<Fault>> {
    let transport = config.transport();
    let address = Address::parse(&config.endpoint).map_err(|why| vec![Fault::at("endpoint", why)]);
    let inert = check_inert(config);
    let choice = choose(config, environment);
    let client = Client::build(&transport).map_err(|fault| vec![fault]);
    match (address, inert, choice, client) {
        (Ok(address), Ok(()), Ok(choice), Ok(client)) => {
            let proof = Proof::build(choice, &client, &transport).map_err(|fault| vec![fault])?;
            Ok(Arc::new(OnlineEndpoints { address, proof, client }))
        }
        (address, inert, choice, client) => {
            let faults = [address.err(), inert.err(), choice.err(), client.err()];
            Err(faults.into_iter().flatten().flatten().collect())
        }
    }
}

/// Keys that only chat has a use for.
fn check_inert(config: &Config) -> Result<(), Vec<Fault>> {
    let mut faults: Vec<Fault> = check_version(config).err().into_iter().collect();
    for (key, set) in [
        ("stream_usage", config.stream_usage.is_some()),
        ("token_limit_field", config.token_limit_field.is_some()),
    ] {
        if set {
            faults.push(Fault::at(
                key,
                "has no effect with `api = \"ml\"`, which serves no chat: remove the key",
            ));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

impl Provider for OnlineEndpoints {
    fn offers(self: Arc<Self>) -> Offers {
        Offers { predict: Some(Endpoint::new(self)), ..Offers::default() }
    }

    fn describe(&self) -> Description {
        Description {
            kind: "azure",
            region: None,
            system: "azure.ml",
            endpoint: self.address.to_string(),
            credentials: self.proof.describe(),
        }
    }

    fn check_target(&self, task: &str, target: &str) -> Result<(), String> {
        match task {
            Predict::NAME => self.address.check_target(target),
            _ => Err("a provider with `api = \"ml\"` serves predict alone".to_owned()),
        }
    }

    fn usual_body(&self) -> Option<BodyForm> {
        Some(BodyForm::InputData)
    }

    fn check_form(&self, target: &Target) -> Result<(), Vec<Fault>> {
        target.form.as_deref().map_or(Ok(()), check_form)
    }
}

impl Serve<Predict> for OnlineEndpoints {
    async fn serve(&self, call: Call<Predict>) -> Result<PredictReply> {
        self.score(&call).await.map_err(|error| error.with_target(&call.target))
    }
}

impl OnlineEndpoints {
    async fn score(&self, call: &Call<Predict>) -> Result<PredictReply> {
        let (request, target) = (&call.request, &call.target);
        let form = target.form.as_deref().ok_or_else(without_form)?;
        form.admit(call)?;
        let message = self.message(&target.model, form, form.encode(request)?)?;
        let answer = self.send(message.traced(call.trail.traceparent())).await?;
        let headers = answer.headers().clone();
        let body = answer.bytes(MAX_REPLY).await?;
        let mut reply = form.reply(call, &body, json_length(&headers)?, Vec::new())?;
        if let Some(deployment) = headers.get(DEPLOYMENT).and_then(|name| name.to_str().ok()) {
            reply.parameters.insert("azureml_deployment".to_owned(), deployment.into());
        }
        Ok(reply)
    }

    fn message(&self, target: &str, form: &Form, encoded: Encoded) -> Result<Request> {
        let url = self.address.url(target, form.routing.path.as_deref())?;
        let request = Request::json(url, encoded.body)
            .header(header::CONTENT_TYPE, HeaderValue::from_static(encoded.content_type))
            .header(header::ACCEPT, HeaderValue::from_static(encoded.accept));
        let Some(deployment) = &form.routing.azureml_deployment else { return Ok(request) };
        let value = HeaderValue::from_str(deployment).map_err(|_| {
            Error::new(ErrorKind::Missing, "`azureml_deployment` cannot stand in an HTTP header")
        })?;
        Ok(request.header(DEPLOYMENT, value))
    }

    /// Sends the request; an error status comes back as an error. A refused token is renewed once.
    async fn send(&self, request: Request) -> Result<Response> {
        let pass = self.proof.pass().await?;
        let answer = self.client.send(pass.stamp(request.clone())).await?;
        let answer = match pass {
            Pass::Token(token) if answer.status() == StatusCode::UNAUTHORIZED => {
                self.proof.refused(&token);
                self.client.send(self.proof.pass().await?.stamp(request)).await?
            }
            _ => answer,
        };
        if answer.status().is_success() { Ok(answer) } else { Err(error::from_response(answer).await) }
    }
}

fn without_form() -> Error {
    Error::new(ErrorKind::Internal, "the predict deployment has no form")
}

/// Whether Azure ML can be asked in a deployment's form. Every fault, at its key of `wire`.
fn check_form(form: &Form) -> Result<(), Vec<Fault>> {
    let routing = &form.routing;
    let mut faults = Vec::new();
    if form.body == BodyForm::Instances {
        let why = "`instances` is Vertex AI's: write input_data, json, csv, json_lines or oip";
        faults.push(Fault::at("body", why));
    }
    faults.extend(routing.foreign(Service::AzureMl));
    let named = [
        ("azureml_deployment", routing.azureml_deployment.as_deref().map(check_name)),
        ("path", routing.path.as_deref().map(check_path)),
    ];
    for (key, checked) in named {
        if let Some(Err(why)) = checked {
            faults.push(Fault::at(key, why));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}
