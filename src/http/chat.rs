//! `POST /v1/chat/completions`.

use std::sync::Arc;

use aigate_contract::{BodyError, chat::ChatRequest};
use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::{
    call::{Entered, Outcome, json, run},
    error::Refusal,
    intake::read_json,
    sse::SseBody,
};
use crate::{gateway::Gateway, policy::send, stack::ModelRoutes};

pub(super) async fn chat(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    run(&gateway, &parts.headers, |entered| async move {
        let held = read_json(&entered.here, headers, body).await?;
        let request = ChatRequest::parse(held.bytes.clone())?;
        answer(&entered, request).await
    })
    .await
}

async fn answer(entered: &Entered, request: ChatRequest) -> Outcome {
    let trail = Arc::clone(&entered.trail);
    match entered.model(&request.model, "chat")? {
        ModelRoutes::Chat { stream, .. } if request.stream => {
            let wants_usage = request.wants_stream_usage();
            let chunks = send(stream, request, trail).await?;
            Ok(event_stream(Body::new(SseBody::new(chunks, wants_usage))))
        }
        ModelRoutes::Chat { whole, .. } => Ok(json(send(whole, request, trail).await?.json)),
        _ => Err(wrong_task(&request.model, "chat")),
    }
}

fn event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies such as nginx would hold the events back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// 404 with the nearest names.
pub(super) fn unknown_model(entered: &Entered, name: &str) -> Refusal {
    let shown: String = name.chars().take(128).collect();
    let near = entered.nearest(&shown);
    let hint = match near.as_slice() {
        [] => "see GET /v1/models for those there are".to_owned(),
        near => format!(
            "did you mean {}?",
            near.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
        ),
    };
    let message = format!("there is no model `{shown}`: {hint}");
    Refusal::new(StatusCode::NOT_FOUND, message).code("model_not_found").param("model")
}

/// The model is there, but for other work.
pub(super) fn wrong_task(model: &str, task: &str) -> Refusal {
    BodyError::at("model", format!("the model `{model}` does not do the task `{task}`")).into()
}
