//! The operators' listener: health, readiness, metrics, the configuration.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use super::call::bearer;
use crate::{gateway::Gateway, reload::Reloader};

/// What operators reach.
#[derive(Clone)]
struct Desk {
    gateway: Arc<Gateway>,
    reloader: Option<Arc<Reloader>>,
}

/// The routes for operators.
pub fn operations(gateway: Arc<Gateway>, reloader: Option<Arc<Reloader>>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/admin/config", get(config))
        .route("/admin/reload", post(reload))
        .with_state(Desk { gateway, reloader })
}

/// Ready as soon as it listens; not any more when it drains. Clouds that are down do not make it unready: it is there to
/// answer for them.
async fn ready(State(Desk { gateway, .. }): State<Desk>) -> Response {
    if gateway.is_ready() {
        (StatusCode::OK, "ready\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    }
}

async fn metrics(State(desk): State<Desk>, headers: HeaderMap) -> Response {
    if let Some(refusal) = desk.refuse(&headers) {
        return refusal;
    }
    match desk.gateway.metrics_text() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Which configuration is in force, what the last change was, and why the present files are refused, if they are.
async fn config(State(desk): State<Desk>, headers: HeaderMap) -> Response {
    desk.refuse(&headers).unwrap_or_else(|| answer(StatusCode::OK, &desk.gateway.reloads.state()))
}

/// Reads the configuration again. 200 with what changed; 422 with all faults, and nothing has changed.
async fn reload(State(desk): State<Desk>, headers: HeaderMap) -> Response {
    if let Some(refusal) = desk.refuse(&headers) {
        return refusal;
    }
    let Some(reloader) = &desk.reloader else {
        let why =
            json!({"error": "this gateway was not started from a configuration that can be read again"});
        return answer(StatusCode::CONFLICT, &why);
    };
    match reloader.reload("POST /admin/reload").await {
        Ok(outcome) => answer(
            StatusCode::OK,
            &json!({
                "version": &*outcome.version,
                "changes": outcome.changes,
                "at_next_start": outcome.at_next_start,
            }),
        ),
        Err(faults) => answer(
            StatusCode::UNPROCESSABLE_ENTITY,
            &json!({"error": "the configuration is faulty: the last good one stays in force", "faults": faults}),
        ),
    }
}

impl Desk {
    /// Whoever does not have the operators' key is told so.
    fn refuse(&self, headers: &HeaderMap) -> Option<Response> {
        let message = "this needs the operators' key: `Authorization: Bearer …`\n";
        let admitted = self.gateway.now().admit_operator(bearer(headers));
        (!admitted).then(|| (StatusCode::UNAUTHORIZED, message).into_response())
    }
}

fn answer(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{value:#}\n")).into_response()
}
