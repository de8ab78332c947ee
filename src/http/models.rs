//! `GET /v1/models` and `GET /v1/models/{model}`.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    response::Response,
};
use serde::Serialize;

use super::{
    call::{Entered, Outcome, json, run},
    chat::unknown_model,
    error::Refusal,
};
use crate::{gateway::Gateway, stack::ModelRoutes};

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    task: &'static str,
}

pub(super) async fn list(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    run(&gateway, request.headers(), |entered| async move {
        let names = entered.here.models();
        let data = names.into_iter().filter_map(|name| item(&entered, name)).collect();
        write(&List { object: "list", data })
    })
    .await
}

pub(super) async fn retrieve(
    State(gateway): State<Arc<Gateway>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    run(&gateway, request.headers(), |entered| async move {
        let Ok(Path(name)) = name else { return Err(unknown_model(&entered, "?")) };
        match item(&entered, &name) {
            Some(item) => write(&item),
            None => Err(unknown_model(&entered, &name)),
        }
    })
    .await
}

/// A model, if there is one that the caller may use.
fn item<'a>(entered: &Entered, name: &'a str) -> Option<Item<'a>> {
    let task = entered.here.model(name).map(ModelRoutes::task).filter(|task| entered.may_use(name, task))?;
    Some(Item { id: name, object: "model", created: entered.here.created, owned_by: "aigate", task })
}

fn write(value: &impl Serialize) -> Outcome {
    let text = serde_json::to_vec(value)
        .map_err(|error| Refusal::new(http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(json(text))
}
