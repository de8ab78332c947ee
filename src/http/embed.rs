//! `POST /v1/embeddings`.

use std::sync::Arc;

use aigate_contract::embed::EmbedRequest;
use axum::{
    extract::{Request, State},
    response::Response,
};

use super::{
    call::{json, run},
    chat::{unknown_model, wrong_task},
    intake::read_json,
};
use crate::{gateway::Gateway, policy::send, stack::ModelRoutes};

pub(super) async fn embed(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    run(&gateway, &parts.headers, |trail| async {
        let held = read_json(&gateway, &parts.headers, body).await?;
        let request = EmbedRequest::parse(held.bytes.clone())?;
        match gateway.model(&request.model) {
            Some(ModelRoutes::Embed(route)) => Ok(json(send(route, request, trail).await?.json)),
            Some(_) => Err(wrong_task(&request.model, "embed")),
            None => Err(unknown_model(&gateway, &request.model)),
        }
    })
    .await
}
