//! What the protocol tells without scoring: the server, health, a model's tensors.

use std::sync::Arc;

use aigate_contract::predict::{Datatype, Signature};
use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    response::Response,
};
use http::StatusCode;
use serde::Serialize;

use super::{Asked, Verb, routes, unknown_version, utf8};
use crate::{
    gateway::Gateway,
    http::{
        call::{Outcome, json, run_on},
        error::{Refusal, Surface},
    },
    stack::PredictRoutes,
};

#[derive(Serialize)]
struct Server {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; 1],
}

#[derive(Serialize)]
struct Model<'a> {
    name: &'a str,
    versions: Vec<&'a str>,
    platform: &'a str,
    inputs: Vec<Tensor<'a>>,
    outputs: Vec<Tensor<'a>>,
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    datatype: Datatype,
    shape: &'a [i64],
}

#[derive(Serialize)]
struct Ready<'a> {
    name: &'a str,
    ready: bool,
}

/// `GET /v2`
pub(in crate::http) async fn server(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    run_on(Surface::Inference, &gateway, request.headers(), |_| async {
        write(&Server {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            extensions: ["binary_tensor_data"],
        })
    })
    .await
}

/// `GET /v2/health/live`. Health needs no key, as probes have none.
pub(in crate::http) async fn live() -> Response {
    json(r#"{"live":true}"#)
}

/// `GET /v2/health/ready`: not any more when it drains.
pub(in crate::http) async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    let ready = gateway.is_ready();
    let mut response = json(if ready { r#"{"ready":true}"# } else { r#"{"ready":false}"# });
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// `GET /v2/models/{model}[/versions/{version}][/ready]`
pub(in crate::http) async fn inspect(
    State(gateway): State<Arc<Gateway>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let ready = gateway.is_ready();
    run_on(Surface::Inference, &gateway, request.headers(), |entered| async move {
        let rest = utf8(path)?;
        let asked = Asked::read(&rest);
        let routes = routes(&entered, asked.model)?;
        if let Some(version) = asked.version
            && routes.version(version).is_none()
        {
            return Err(unknown_version(routes, asked.model, version));
        }
        match asked.verb {
            Verb::Metadata => write(&model(asked.model, routes)),
            // Whichever clouds are down: the gateway is there to answer for them.
            Verb::Ready if ready => write(&Ready { name: asked.model, ready: true }),
            Verb::Ready => {
                Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping").retry_later())
            }
            Verb::Infer => {
                let message = format!("/v2/models/{rest} takes POST, not GET");
                Err(Refusal::method_not_allowed("POST", message))
            }
        }
    })
    .await
}

fn model<'a>(name: &'a str, routes: &'a PredictRoutes) -> Model<'a> {
    let Signature { inputs, outputs } = &*routes.signature;
    Model {
        name,
        versions: routes.versions.iter().map(|(version, _)| &**version).collect(),
        platform: &routes.platform,
        inputs: (inputs.iter())
            .map(|input| Tensor { name: &input.name, datatype: input.datatype, shape: &input.shape })
            .collect(),
        outputs: (outputs.iter())
            .map(|output| Tensor { name: &output.name, datatype: output.datatype, shape: &output.shape })
            .collect(),
    }
}

fn write(value: &impl Serialize) -> Outcome {
    let text = serde_json::to_vec(value)
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(json(text))
}
