//! The Open Inference Protocol v2 over REST: `/v2`, health, metadata, `POST /v2/models/{model}[/versions/{version}]/infer`.
//!
//! <https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md>,
//! <https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md>

mod metadata;

use std::sync::Arc;

use aigate_contract::{
    BodyError, Predict, Trail,
    predict::{Packed, PredictReply, PredictRequest},
};
use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

pub(super) use self::metadata::{inspect, live, ready, server};
use super::{
    call::{Entered, Outcome, json, run_on},
    chat::wrong_task,
    error::{Refusal, Surface},
    intake::{Held, read_message},
};
use crate::{
    gateway::Gateway,
    policy::{Route, send},
    stack::{ModelRoutes, PredictRoutes},
};

const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Bytes that are read or written where the call runs.
const AT_ONCE: usize = 64 * 1024;

/// What a path below `/v2/models/` asks for. A model's name may have slashes.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    model: &'a str,
    version: Option<&'a str>,
    verb: Verb,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Metadata,
    Ready,
    Infer,
}

pub(super) async fn infer(
    State(gateway): State<Arc<Gateway>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    run_on(Surface::Inference, &gateway, &parts.headers, |entered| async move {
        let rest = utf8(path)?;
        let asked = Asked::read(&rest);
        if asked.verb != Verb::Infer {
            let message = format!("/v2/models/{rest} does not take POST: to score, POST to its /infer");
            return Err(Refusal::method_not_allowed("GET,HEAD", message));
        }
        // Read first: some clients do not hear an answer that comes while they still send.
        let held = read_message(&entered.here, headers, body).await?;
        let routes = routes(&entered, asked.model)?;
        let length = json_length(headers)?;
        let (request, _held) = parse(routes, &asked, held, length).await?;
        answer(routes, request, Arc::clone(&entered.trail)).await
    })
    .await
}

/// The request, checked against the model's signature, and the room that its body takes.
async fn parse(
    routes: &Arc<PredictRoutes>,
    asked: &Asked<'_>,
    held: Held,
    length: Option<usize>,
) -> Result<(PredictRequest, Held), Refusal> {
    let (model, version) = (asked.model.to_owned(), asked.version.map(str::to_owned));
    let signature = Arc::clone(&routes.signature);
    let parsed = off_the_runtime(held.bytes.len(), move || {
        let mut request = PredictRequest::parse(&model, version.as_deref(), &held.bytes, length)?;
        signature.check(&mut request)?;
        Ok((request, held))
    });
    // The protocol's messages name the tensor themselves.
    parsed.await?.map_err(|error: BodyError| Refusal::new(StatusCode::BAD_REQUEST, error.message))
}

/// Runs what takes long where `bytes` are many: not on the threads on which every other call waits its turn.
async fn off_the_runtime<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    if bytes <= AT_ONCE {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a large message was not read or written to its end");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error").code("internal")
    })
}

async fn answer(routes: &PredictRoutes, request: PredictRequest, trail: Arc<Trail>) -> Outcome {
    let route = match &request.version {
        None => &routes.usual,
        Some(version) => {
            routes.version(version).ok_or_else(|| unknown_version(routes, &request.model, version))?
        }
    };
    // What the answer's form depends on; the tensors go down with the call.
    let form = request.without_inputs();
    let mut reply = send(route, request, Arc::clone(&trail)).await?;
    mark(&mut reply, &trail);
    choose(&mut reply, &form)?;
    let size = reply.outputs.iter().map(|tensor| tensor.data.len().saturating_mul(8)).sum();
    let packed = off_the_runtime(size, move || reply.write(&form)).await?;
    Ok(pack(packed.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.message))?))
}

impl PredictRoutes {
    fn version(&self, version: &str) -> Option<&Route<Predict>> {
        self.versions.iter().find(|(known, _)| **known == *version).map(|(_, route)| route)
    }
}

/// Says in the answer itself who scored: most clients of the protocol do not show headers.
fn mark(reply: &mut PredictReply, trail: &Trail) {
    let Some(target) = trail.told().and_then(|told| told.served_by) else { return };
    reply.parameters.insert("aigate_deployment".to_owned(), (*target.deployment).into());
    if target.fallback {
        reply.parameters.insert("aigate_degraded".to_owned(), "local".into());
    }
}

/// Keeps the outputs that were asked for, in the order in which they were.
fn choose(reply: &mut PredictReply, request: &PredictRequest) -> Result<(), Refusal> {
    if request.outputs.is_empty() {
        return Ok(());
    }
    let mut chosen = Vec::with_capacity(request.outputs.len());
    for wanted in &request.outputs {
        let place = reply.outputs.iter().position(|tensor| tensor.name == wanted.name);
        let Some(place) = place else {
            let message = format!("the deployment did not give the output `{}`", wanted.name);
            return Err(Refusal::new(StatusCode::BAD_GATEWAY, message));
        };
        chosen.push(reply.outputs.swap_remove(place));
    }
    reply.outputs = chosen;
    Ok(())
}

fn pack(packed: Packed) -> Response {
    let mut response = json(packed.body);
    if let Some(length) = packed.json_length {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(JSON_LENGTH, HeaderValue::from(length));
    }
    response
}

fn utf8(path: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    path.map(|Path(rest)| rest)
        .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the path is not UTF-8 once its % are decoded"))
}

fn json_length(headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
    let Some(value) = headers.get(JSON_LENGTH) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "the header `Inference-Header-Content-Length` is not a number of bytes",
        )
    })
}

fn routes<'a>(entered: &'a Entered, model: &str) -> Result<&'a Arc<PredictRoutes>, Refusal> {
    match entered.model(model, "predict")? {
        ModelRoutes::Predict(routes) => Ok(routes),
        _ => Err(wrong_task(model, "predict")),
    }
}

fn unknown_version(routes: &PredictRoutes, model: &str, version: &str) -> Refusal {
    let known: Vec<&str> = routes.versions.iter().map(|(version, _)| &**version).collect();
    let shown: String = version.chars().take(64).collect();
    let message = format!("the model `{model}` has no version `{shown}`: there are {}", known.join(", "));
    Refusal::new(StatusCode::NOT_FOUND, message)
}

impl<'a> Asked<'a> {
    fn read(path: &'a str) -> Self {
        let (rest, verb) = match path.rsplit_once('/') {
            Some((rest, "infer")) => (rest, Verb::Infer),
            Some((rest, "ready")) => (rest, Verb::Ready),
            _ => (path, Verb::Metadata),
        };
        let parts = rest
            .rsplit_once('/')
            .and_then(|(rest, version)| Some((rest.strip_suffix("/versions")?, version)));
        match parts {
            Some((model, version)) => Self { model, version: Some(version), verb },
            None => Self { model: rest, version: None, verb },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_model_perhaps_a_version_and_what_is_asked_of_it() {
        let asked = |model, version, verb| Asked { model, version, verb };
        for (path, expected) in [
            ("m", asked("m", None, Verb::Metadata)),
            ("m/ready", asked("m", None, Verb::Ready)),
            ("m/infer", asked("m", None, Verb::Infer)),
            ("m/versions/2", asked("m", Some("2"), Verb::Metadata)),
            ("m/versions/2/ready", asked("m", Some("2"), Verb::Ready)),
            ("team/m/versions/2024-1/infer", asked("team/m", Some("2024-1"), Verb::Infer)),
            ("team/m/infer", asked("team/m", None, Verb::Infer)),
            ("", asked("", None, Verb::Metadata)),
        ] {
            assert_eq!(Asked::read(path), expected, "{path}");
        }
    }
}
