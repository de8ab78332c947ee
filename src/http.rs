//! The edge: HTTP in, calls out. The OpenAI surface for callers; health and metrics for operators.

mod call;
mod chat;
mod embed;
pub mod error;
mod intake;
mod models;
mod operations;
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
        .fallback(call::unknown_path)
        .method_not_allowed_fallback(call::wrong_method)
        .with_state(gateway)
}
