//! `POST /v1/embeddings`.

use std::sync::Arc;

use aigate_contract::embed::EmbedRequest;
use axum::{
    extract::{Request, State},
    response::Response,
};

use super::{
    call::{json, run},
    chat::wrong_task,
    intake::read_json,
};
use crate::{gateway::Gateway, policy::send, stack::ModelRoutes};

pub(super) async fn embed(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    run(&gateway, &parts.headers, |entered| async move {
        let held = read_json(&entered.here, headers, body).await?;
        let request = EmbedRequest::parse(held.bytes.clone())?;
        match entered.model(&request.model, "embed")? {
            ModelRoutes::Embed(route) => {
                Ok(json(send(route, request, Arc::clone(&entered.trail)).await?.json))
            }
            _ => Err(wrong_task(&request.model, "embed")),
        }
    })
    .await
}
