//! The edge: HTTP in, calls out. The OpenAI surface and the Open Inference Protocol for callers; health and metrics for
//! operators.

mod call;
mod chat;
mod embed;
pub mod error;
mod intake;
mod linger;
mod models;
mod operations;
mod predict;
pub mod server;
mod sse;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

pub use self::operations::operations;
use crate::gateway::Gateway;

/// The routes for callers.
pub fn callers(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat::chat))
        .route("/v1/embeddings", post(embed::embed))
        .route("/v1/models", get(models::list))
        // A model's name may have slashes.
        .route("/v1/models/{*model}", get(models::retrieve))
        .route("/v2", get(predict::server))
        .route("/v2/", get(predict::server))
        .route("/v2/health/live", get(predict::live))
        .route("/v2/health/ready", get(predict::ready))
        .route("/v2/models/{*rest}", get(predict::inspect).post(predict::infer))
        .fallback(call::unknown_path)
        .method_not_allowed_fallback(call::wrong_method)
        .with_state(gateway)
}
